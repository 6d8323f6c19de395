"""Opposite projections: the same rays seen from behind, with the offsets mirrored about the axis.

    p(ω + π, t) = p(ω, 2a − t)

for the axis offset a; where projections are displaced by d(ω) as well, the mirror of a pair stands
at 2a + d(ω) + d(ω + π). A scan of 360° has a partner for every projection, and whatever stays
outside the rays' window leaves the same trace in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from inverse.sharpness import shifted
from inverse.sinogram import Floats

_FINER = 32
"""Points per step at which a correlation is looked at."""
_SMOOTH = 0.03
"""Share of a projection over which its mean is taken off before it is compared."""
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Projections and, between two neighbours, what is opposite to them."""

    one: NDArray[np.int64]
    """Number of the projection, shape (pair,)."""
    before: NDArray[np.int64]
    """Numbers of the projections about its opposite, shape (pair,), and"""
    after: NDArray[np.int64]
    share: Floats
    """the share of ``after``, 0 where ``before`` is exactly opposite."""

    def part(self, chosen: slice) -> Pairs:
        """Return some of the pairs."""
        return Pairs(
            one=self.one[chosen],
            before=self.before[chosen],
            after=self.after[chosen],
            share=self.share[chosen],
        )

    def opposite(self, values: Floats) -> Floats:
        """Return what is opposite of each pair's projection, (pair, ...), of (angle, ...)."""
        share = self.share.reshape(-1, *(1,) * (values.ndim - 1))
        return np.asarray((1.0 - share) * values[self.before] + share * values[self.after])


def opposite_pairs(angles_rad: Floats) -> Pairs | None:
    """Return the pairs of opposite projections; None where half of them or more have no partner.

    Each pair comes once, by that of its projections which is earlier.
    """
    turn = np.mod(angles_rad, 2.0 * np.pi)
    order = np.argsort(turn, kind="stable")
    ring = np.concatenate([turn[order], turn[order[:1]] + 2.0 * np.pi])
    # Rounding must not put an exact opposite just before the projection it equals.
    wanted = np.mod(turn + np.pi + 1e-9, 2.0 * np.pi)
    place = np.searchsorted(ring, wanted, side="right") - 1
    place[place < 0] = turn.size - 1
    gap = ring[place + 1] - ring[place]
    share = np.clip((np.mod(wanted - ring[place], 2.0 * np.pi) - 1e-9) / gap, 0.0, 1.0)
    before, after = order[place], order[(place + 1) % turn.size]
    # A scan of 180° leaves a gap of more than that: with few angles, no more than their mean gap.
    partnered = gap < min(2.5 * 2.0 * np.pi / turn.size, np.pi * (1.0 - 1e-6))
    if np.count_nonzero(partnered) <= 0.5 * turn.size:
        return None
    nearest = np.where(share < 0.5, before, after)
    one = np.flatnonzero(partnered & (np.arange(turn.size) < nearest))
    return Pairs(one=one, before=before[one], after=after[one], share=share[one])


def mirror_offset_um(
    lines: Floats, *, pairs: Pairs, step_um: float, start_um: float = 0.0
) -> float:
    """Return half the offset about which the pairs are mirrored: the axis offset, in µm.

    lines (angle, offset), on centred offsets. All pairs are correlated together, first as they are
    and then again moved to where they fit, so that neither sees more than the other.
    """
    found = start_um / step_um
    for _ in range(_ROUNDS):
        moved = shifted(lines, np.full((lines.shape[0], 1), found))[..., 0].astype(np.float64)
        found += 0.5 * _mirror_steps(moved[pairs.one], pairs.opposite(moved))
    return float(found * step_um)


def _mirror_steps(one: Floats, other: Floats) -> float:
    """Return how far ``one`` lies beyond the mirror image of ``other``, both (pair, offset)."""
    n_offsets = one.shape[1]
    padded = fft.next_fast_len(2 * n_offsets, real=True)
    a, b = (fft.rfft(_detail(part), padded, axis=1) for part in (one, other[:, ::-1]))
    power = np.sum(a * np.conj(b), axis=0)
    correlation = fft.irfft(power, _FINER * padded)
    steps = np.arange(correlation.size) / _FINER
    steps[steps > 0.5 * padded] -= padded
    best = int(np.argmax(correlation))
    around = (best + np.arange(-_FINER // 4, _FINER // 4 + 1)) % correlation.size
    x = np.arange(-_FINER // 4, _FINER // 4 + 1) / _FINER
    c2, c1, _ = np.polyfit(x, correlation[around], 2)
    beside = -0.5 * c1 / c2 if c2 < 0.0 else 0.0
    return float(steps[best] + np.clip(beside, -0.25, 0.25))


def _detail(lines: Floats) -> Floats:
    """Return projections without what is smooth in them, faded out towards their ends."""
    n_offsets = lines.shape[1]
    width = max(2 * int(0.5 * _SMOOTH * n_offsets) + 1, 7)
    sums = np.cumsum(np.pad(lines, ((0, 0), (width // 2 + 1, width // 2)), mode="reflect"), axis=1)
    smooth = (sums[:, width:] - sums[:, :-width]) / width
    fade = np.sin(np.pi * (np.arange(n_offsets) + 0.5) / n_offsets) ** 0.5
    return np.asarray((lines - smooth) * fade)
