"""Move the projections of a scan until its image is sharpest.

In the image of a scan of 180° a wrong shift of the projections turns every point into half a ring,
and every edge into a fringe. The sum of the squares of the pixels does not notice, since a shift
changes phases only; the entropy of their distribution,

    H = −Σ_b h_b ln h_b,      h_b = share of the pixels in bin b,

does: it is least where material and voids are each of one value (Donath, Beckmann and Schreyer, J.
Opt. Soc. Am. A 23 (2006) 1048). It asks neither for the sample's edge nor for opposite projections,
so it works on a window inside a larger sample, and on anything but a sample without features.

Shifts are a sum of given functions of the projection, d = Σ_j c_j·b_j (a constant for the rotation
axis, polynomials for a drift), searched one after the other. A shift like cos ω or sin ω moves the
whole sample in the image and is no fault; so only what these two and the functions before it leave
of a function is searched, in units in which it blurs as much as a constant does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from inverse.geometry import pixel_positions
from inverse.interpolation import CHANNEL_BLOCK
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Floats, Singles
from xrdct.errors import InputError

_BINS = 128
_COARSE = 0.5
"""Spacing of the first search, in steps of the constant shift: half the width of the minimum."""
_FINE = 1.5
"""Reach of the second search to either side, in steps."""
_PARABOLA = 0.3
"""Reach of the parabola through the minimum, in steps."""
_REACH = 3.0
"""Reach of the first search for other functions, in steps of a constant that blurs as much."""
_ALONE = 3.0
"""Distance, in steps, at which another minimum would be another one, and how deep it may be:"""
_RIVAL = 0.5


def sharpest_shifts(
    lines: ArrayLike,
    *,
    angles_rad: Floats,
    step_um: float,
    basis: Floats,
    search_um: float,
    workers: int | None = None,
) -> Floats:
    """Return the coefficients of the shifts at which the image is sharpest, (function,), in µm.

    lines (angle, offset); basis (angle, function), without unit, the constant first; what belongs
    to the offset t is seen at t + Σ_j c_j·b_j. The constant is searched for within ± ``search_um``,
    other functions within what blurs the image as much as ``_REACH`` steps of it.

    Raises InputError where no shift in reach makes the image clearly sharper than the others.
    """
    reach = search_um / step_um
    units, to_coefficients = independent_parts(basis, angles_rad=angles_rad)
    found = np.zeros(basis.shape[1])
    focus = _Focus(np.asarray(lines, dtype=np.float64), angles_rad, reach, workers)
    for turn in range(1 if found.size == 1 else 2):
        for j in range(found.size):
            others = units @ np.where(np.arange(found.size) == j, 0.0, found)
            if turn == 0:
                found[j] = focus.coarse(others, units[:, j], reach if j == 0 else _REACH)
            found[j] = focus.fine(others, units[:, j], found[j])
    return np.asarray(to_coefficients @ found * step_um)


def sharpest_near(
    lines: ArrayLike,
    *,
    angles_rad: Floats,
    step_um: float,
    start_um: float,
    search_um: float,
    workers: int | None = None,
) -> float:
    """Return the shift of all projections about ``start_um`` at which the image is sharpest, in µm.

    As :func:`sharpest_shifts` finds a constant, looking at the same pixels, once its first search
    has come to ``start_um``. lines (angle, offset).
    """
    focus = _Focus(np.asarray(lines, dtype=np.float64), angles_rad, search_um / step_um, workers)
    still = np.zeros(angles_rad.size)
    return focus.fine(still, still + 1.0, start_um / step_um) * step_um


def independent_parts(basis: Floats, *, angles_rad: Floats) -> tuple[Floats, Floats]:
    """Return what is new in each function, and how to get from its amounts to coefficients.

    The parts, (angle, function), are what cos ω, sin ω and the functions before it leave of a
    function, and blur an image alike: their RMS is that of the constant's part. The matrix,
    (function, function), turns amounts of the parts into coefficients of the functions, up to
    a shift of the sample.
    """
    motion = np.stack([np.cos(angles_rad), np.sin(angles_rad)], axis=1)
    # Gram–Schmidt: column j of the triangular factor holds the function's share of each part.
    orthogonal, share = np.linalg.qr(np.hstack([motion, basis]))
    parts, own = orthogonal[:, 2:], share[2:, 2:]
    scale = np.abs(own[0, 0])
    return parts * scale, np.linalg.inv(own) * scale


def shifted(lines: Floats, shifts: Floats) -> Singles:
    """Return projections read at t + shift, (angle, offset, candidate).

    lines (angle, offset); shifts in steps, (angle, candidate). Band-limited, so that no shift is
    smoother than another; beyond its ends a projection is mirrored.
    """
    n_offsets = lines.shape[1]
    mirrored = np.concatenate([lines, lines[:, ::-1]], axis=1)
    spectrum = fft.rfft(mirrored, axis=1)
    turn = 2j * np.pi * fft.rfftfreq(2 * n_offsets)
    moved = np.empty((*lines.shape, shifts.shape[1]), np.float32)
    for c in range(shifts.shape[1]):
        turned = spectrum * np.exp(turn * shifts[:, c : c + 1])
        moved[..., c] = fft.irfft(turned, 2 * n_offsets, axis=1)[:, :n_offsets]
    return moved


class _Focus:
    """Measures how sharp images are, always on the same pixels."""

    def __init__(
        self, lines: Floats, angles_rad: Floats, reach: float, workers: int | None
    ) -> None:
        self.lines, self.angles_rad, self.workers = lines, angles_rad, workers
        size = lines.shape[1]
        position = pixel_positions(size)
        radius = 0.5 * (size - 1) - reach - _FINE
        self.mask = np.hypot(position[:, None], position[None, :]) < max(radius, 0.25 * size)
        if np.count_nonzero(self.mask) < 2:
            raise InputError(
                f"An image must be wider than the {size} offsets of this scan to be made sharp."
            )

    def coarse(self, base: Floats, unit: Floats, reach: float) -> float:
        """Return the best multiple of ``unit`` within ± ``reach``, to ``_COARSE``."""
        count = 2 * int(np.ceil(reach / _COARSE)) + 1
        trials = _COARSE * (np.arange(count) - count // 2)
        entropy = self.entropy(base[:, None] + unit[:, None] * trials)
        best = int(np.argmin(entropy))
        away = np.abs(trials - trials[best]) > _ALONE
        usual = float(np.median(entropy))
        rival = float(np.min(entropy[away], initial=np.inf))
        if best in (0, count - 1) or rival < usual - _RIVAL * (usual - entropy[best]):
            raise InputError(
                "The image must become clearly sharpest at one shift of the projections within "
                f"±{reach:.4g} steps, but it does not: the sample has too few features, or it "
                "lies farther off (sinogram.axis_search_um of a recipe says how far to look)."
            )
        return float(trials[best])

    def fine(self, base: Floats, unit: Floats, start: float) -> float:
        """Return the best multiple of ``unit`` about ``start``, where a parabola is least."""
        trials = start + np.linspace(-_FINE, _FINE, CHANNEL_BLOCK)
        entropy = self.entropy(base[:, None] + unit[:, None] * trials)
        near = np.abs(trials - trials[np.argmin(entropy)]) <= _PARABOLA
        x = trials[near] - start
        a, b, _ = np.polyfit(x, entropy[near], 2)
        if a <= 0.0:
            return float(trials[np.argmin(entropy)])
        return float(start + np.clip(-b / (2.0 * a), x.min(), x.max()))

    def entropy(self, shifts: Floats) -> Floats:
        """Return the entropy of the image at each of the shifts, (angle, candidate), in steps."""
        images = [
            self._image(shifts[:, k : k + CHANNEL_BLOCK])
            for k in range(0, shifts.shape[1], CHANNEL_BLOCK)
        ]
        pixels = np.concatenate(images, axis=1)
        middle = pixels[:, pixels.shape[1] // 2]
        spread = np.percentile(middle, 99.9) - np.percentile(middle, 0.1)
        if not spread > 0.0:
            raise InputError("The image must have features to be made sharp, but it is uniform.")
        lowest = np.percentile(middle, 0.1) - 0.25 * spread
        place = np.clip((pixels - lowest) / (1.5 * spread) * _BINS, 0.0, _BINS - 1.001)
        return np.array([_entropy(place[:, c]) for c in range(place.shape[1])])

    def _image(self, shifts: Floats) -> Singles:
        volume = filtered_back_projection(
            shifted(self.lines, shifts), angles_rad=self.angles_rad, step_um=1.0,
            filter_name="hann", mask=self.mask, workers=self.workers,
        )  # fmt: skip
        return np.asarray(volume.values[self.mask])


def _entropy(place: NDArray[np.floating]) -> float:
    """Return the entropy of positions in units of bins, each shared between its two nearest."""
    low = place.astype(np.int64)
    part = place - low
    counts = np.bincount(low, 1.0 - part, _BINS + 1) + np.bincount(low + 1, part, _BINS + 1)
    share = counts[counts > 0.0] / place.size
    return float(-np.sum(share * np.log(share)))
