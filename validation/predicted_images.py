"""Linear images of the slice: what the transfer function and parallax make of a field.

A blurred field is F⁻¹[T(ν) F(field)]. Under parallax a point s µm nearer to the detector shows a
larger cell, a′(1 + κ s/D), with s = −x sin ω + y cos ω at rotation ω. To first order that adds the
field d = φ u′ a′ κ/D times s, projection by projection. By the slice theorem the projection at ω
carries the frequencies ν along ω and along ω + π, so that a half turn, 0 ≤ ω < π, shows

    F⁻¹[ T(ν) · ( cos ω sgn(sin ω) F(y d) − |sin ω| F(x d) ) ],      ν = |ν| (cos ω, sin ω).

At the middle of a small body at (x, y) that is −(2/π) x d, and for all of a disc about the axis it
is zero: both are closed forms of it. Over a full turn ω and ω + π cancel.

Source: PHYSICS 4; the slice theorem in Kak & Slaney, ch. 3. Where this fails: second order in
κ s/D (broader lines), bodies beyond the image's margin, whose tails fall off with 1/r².
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from validation.predicted_transfer import Transfer

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Waves:
    """The frequencies of an image of n × n pixels, with the transfer function at each."""

    n: int
    pixel_um: float
    across_per_um: Floats
    """Frequency along x, shape (1, n/2 + 1)."""
    down_per_um: Floats
    """Frequency along y, shape (n, 1)."""
    per_um: Floats
    """Length of the frequency, shape (n, n/2 + 1)."""
    transfer: Floats
    """T, over what the pixel itself has blurred; same shape."""

    def blurred(self, field: Floats) -> Floats:
        """Return the field, (y, x), as a perfect scan would show it."""
        return self._image(self.transfer * rfft2(field))

    def displaced(self, field: Floats) -> Floats:
        """Return what parallax adds over a half turn; ``field`` is d in 1/µm, (y, x)."""
        place_um = (np.arange(self.n) - 0.5 * (self.n - 1)) * self.pixel_um
        x_um, y_um = place_um[None, :], place_um[:, None]
        # A disc about the axis adds nothing, the corners of a square would.
        inside = np.hypot(x_um, y_um) <= place_um[-1]
        length = np.where(self.per_um > 0.0, self.per_um, 1.0)
        cosine, sine = self.across_per_um / length, self.down_per_um / length
        first = np.sign(sine) * cosine * rfft2(field * inside * y_um)
        second = np.abs(sine) * rfft2(field * inside * x_um)
        mean = np.where(self.per_um > 0.0, first - second, -2.0 / np.pi * second[0, 0])
        return self._image(self.transfer * mean)

    def power(self, field: Floats) -> Floats:
        """Return |F|² of a field times the pixel's area squared, in the frequencies' shape."""
        spectrum = rfft2(field) * self.pixel_um**2
        return np.asarray(np.abs(spectrum) ** 2)

    def _image(self, spectrum: Complex) -> Floats:
        return np.asarray(irfft2(spectrum, s=(self.n, self.n)))


def waves(*, n: int, pixel_um: float, transfer: Transfer) -> Waves:
    """Return the frequencies of an image of n × n pixels."""
    found = plain_waves(n=n, pixel_um=pixel_um)
    own = np.sinc(found.across_per_um * pixel_um) * np.sinc(found.down_per_um * pixel_um)
    return replace(found, transfer=transfer.coherent(found.per_um) / own)


def plain_waves(*, n: int, pixel_um: float) -> Waves:
    """Return the frequencies of an image of n × n pixels that nothing blurs."""
    across = np.asarray(np.fft.rfftfreq(n, pixel_um), float)[None, :]
    down = np.asarray(np.fft.fftfreq(n, pixel_um), float)[:, None]
    length = np.hypot(across, down)
    return Waves(
        n=n,
        pixel_um=pixel_um,
        across_per_um=across,
        down_per_um=down,
        per_um=length,
        transfer=np.ones(length.shape),
    )
