"""What filtered back projection makes of a wave of the sample: its transfer function.

A wave of frequency ν (cycles per µm) is blurred by the beam's Gaussian, B(ν); sampled at steps h it
appears at the folded frequency ν_f, |ν_f| ≤ 1/(2h); the filter multiplies it by |R(ν_f)|; linear
interpolation between offsets multiplies each of its images ν_f + k/h by sinc²((ν_f + k/h) h). What
all projections have in common is the image of the wave's own frequency:

    T(ν) = B(ν) · R(ν_f)/|ν| · sinc²(ν h),       sinc x = sin πx/(πx)

so that a perfect scan shows the sample convolved with the beam and the interpolation. One
projection alone, at a random place between its offsets, has the power

    K²(ν) = B² R² Σ_k sinc⁴(…)

of which ν²T² is the part of its own frequency and the rest falls between offsets.

Source: Kak & Slaney, ch. 3 and 5; Parker, Kenyon & Troxel, IEEE Trans. Med. Imaging 2 (1983) 31,
for the interpolation. Where this fails: rays at places of a fixed pattern between offsets (angles
near 0 and 90°).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.chords import beam_shares
from forward.instrument import TrueInstrument
from forward.settings import Effects
from inverse.filters import KERNELS
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]

_TAPS = 4096
_IMAGES = 4


@dataclass(frozen=True)
class Transfer:
    """Beam, step and filter of one scan."""

    beam: tuple[tuple[float, float], ...]
    """Shares of the beam's Gaussians and their FWHM in µm; empty for a thin beam."""
    step_um: float
    filter_name: str = "ramp"

    def blur(self, per_um: Floats) -> Floats:
        """Return B at frequencies of any shape."""
        if not self.beam:
            return np.ones(per_um.shape)
        squared = (2.0 * np.pi * per_um) ** 2
        return np.asarray(
            sum(s * np.exp(-0.5 * squared * (w / FWHM_PER_SIGMA) ** 2) for s, w in self.beam)
        )

    def ramp(self, per_um: Floats) -> Floats:
        """Return R at the folded frequencies, 1/µm; any shape."""
        return _response(self.filter_name, per_um * self.step_um) / self.step_um

    def coherent(self, per_um: Floats) -> Floats:
        """Return T at frequencies of any shape; one at zero."""
        safe = np.where(per_um == 0.0, 1.0, per_um)
        gain = self.ramp(safe) / np.abs(safe)
        shown = self.blur(safe) * gain * np.sinc(safe * self.step_um) ** 2
        return np.where(per_um == 0.0, 1.0, shown)

    def power(self, per_um: Floats) -> Floats:
        """Return K², 1/µm², of a projection at a random place between its offsets."""
        images = sum(np.sinc(per_um * self.step_um + k) ** 4 for k in range(-_IMAGES, _IMAGES + 1))
        return np.asarray((self.blur(per_um) * self.ramp(per_um)) ** 2 * images)


def transfer_of(
    truth: TrueInstrument, *, effects: Effects, step_um: float, filter_name: str
) -> Transfer:
    """Return the transfer function of a scan with this beam."""
    shares = [(share, beam.width_um) for share, beam in beam_shares(truth, effects)]
    return Transfer(tuple(shares), step_um=step_um, filter_name=filter_name)


def _response(filter_name: str, per_step: Floats) -> Floats:
    """Return the filter's response at frequencies in cycles per step, folded into ±½."""
    nodes, values = _table(filter_name)
    folded = np.abs(per_step - np.round(per_step))
    return np.asarray(np.interp(folded, nodes, values))


def _table(filter_name: str) -> tuple[Sequence[float] | Floats, Floats]:
    """Return the response Σ_k r(k) cos 2πfk at even frequencies from 0 to ½."""
    kernel = KERNELS[filter_name](np.arange(_TAPS, dtype=np.float64))
    mirrored = np.concatenate([kernel, [0.0], kernel[:0:-1]])
    values = np.fft.rfft(mirrored).real
    return np.linspace(0.0, 0.5, values.size), values
