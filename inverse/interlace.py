"""Merge the projections of an interlaced scan into half as long steps.

In an interlaced scan every second projection is moved on by half a step. What its rays miss others
see:

- over 360°, the opposite projection, p(ω + π, t) = p(ω, 2a − t) with the axis offset a, if its
  mirrored offsets fall between. Both become one projection, and nothing is assumed but that
  the sample shows the same from behind: parallax, which it shows reversed, is taken off before;
- otherwise the projections before and after, whose mean stands for the missing rays. That is right
  to second order in the angle between them, so it sharpens what is near the axis: as far out as
  points move by less than half a step from one projection to the next.

From the merged rays the set-points are interpolated as in :mod:`inverse.positions`. A scan that is
not interlaced, but whose axis is seen a quarter of a step off a ray, does as well over 360°.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from inverse.opposites import Pairs, opposite_pairs
from inverse.positions import checked_offsets, interpolate_rays, interpolation_taps
from inverse.sinogram import Floats, Singles, Sinogram
from xrdct.compiled import threaded
from xrdct.errors import InputError

_WIDEST_GAP = 0.8
"""Mean of the wider gaps between merged rays, in old steps, above which nothing is gained."""

_FARTHEST = 0.25
"""Angle by which an opposite projection may fail to be opposite, in mean steps of the angle."""


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays of one projection, which need not rise."""

    offsets_um: Floats
    values: Singles
    variance: Singles
    depth: Floats

    def joined(self, other: _Rays) -> _Rays:
        """Return these rays and others, in the order of their offsets."""
        offsets_um = np.concatenate([self.offsets_um, other.offsets_um])
        order = np.argsort(offsets_um, kind="stable")
        return _Rays(
            offsets_um=offsets_um[order],
            values=np.concatenate([self.values, other.values])[order],
            variance=np.concatenate([self.variance, other.variance])[order],
            depth=np.concatenate([self.depth, other.depth])[order],
        )


def at_half_steps(
    sinogram: Sinogram, *, offsets_um: ArrayLike, workers: int | None = None
) -> Sinogram:
    """Return the sinogram of an interlaced scan with half the step, over the same width.

    ``offsets_um``, (angle, offset), is where each ray was measured; the sinogram is as it was
    measured, not yet at its set-points, and its axis offset and angles are known. A scan of 360°
    becomes one of 180° with half as many angles, if opposite projections interlace; otherwise all
    projections remain.

    Raises InputError where shapes do not fit, where no projections interlace, and where those
    before and after are needed but the angles do not rise.
    """
    offsets = checked_offsets(offsets_um, sinogram=sinogram)
    pairs = _exact_pairs(sinogram)
    if pairs is not None and _interlace(*_both_sides_um(sinogram, pairs, offsets), sinogram):
        return _merged_opposites(sinogram, pairs, offsets, workers)
    if not _interlace(offsets[1:], offsets[:-1], sinogram):
        raise InputError(
            "offsets_um must interlace, those of every other projection lying between the others', "
            f"but leave gaps as wide as the step of {sinogram.step_um:g} µm."
        )
    if not ((turns := np.diff(sinogram.angles_rad)) > 0.0).all():
        raise InputError(
            "The angles of an interlaced scan must rise, so that neighbours complete each other, "
            f"but one of them changes by {np.degrees(turns.min()):.4g}°."
        )
    return _merged_neighbours(sinogram, offsets, workers)


def _exact_pairs(sinogram: Sinogram) -> Pairs | None:
    """Return the pairs if all projections have a partner that is opposite, or nearly."""
    pairs = opposite_pairs(sinogram.angles_rad)
    if pairs is None or 2 * pairs.one.size != sinogram.angles_rad.size:
        return None
    partner = np.where(pairs.share < 0.5, pairs.before, pairs.after)
    if np.unique(np.concatenate([pairs.one, partner])).size != sinogram.angles_rad.size:
        return None
    mismatch = np.minimum(pairs.share, 1.0 - pairs.share)
    return Pairs(pairs.one, partner, partner, mismatch) if mismatch.max() < _FARTHEST else None


def _both_sides_um(sinogram: Sinogram, pairs: Pairs, offsets: Floats) -> tuple[Floats, Floats]:
    """Return where the rays of the pairs pass, those from behind mirrored, each (pair, offset)."""
    return offsets[pairs.one], 2.0 * sinogram.axis_offset_um - offsets[pairs.before]


def _interlace(one_um: Floats, other_um: Floats, sinogram: Sinogram) -> bool:
    """Return whether rays of projections lie between those of others."""
    merged = np.sort(np.concatenate([one_um, other_um], axis=1), axis=1)
    inner = np.diff(merged, axis=1)[:, 2:-2]
    wider = np.maximum(inner[:, :-1], inner[:, 1:])
    return bool(np.median(wider) < _WIDEST_GAP * sinogram.step_um)


def _merged_opposites(
    sinogram: Sinogram, pairs: Pairs, offsets: Floats, workers: int | None
) -> Sinogram:
    behind = pairs.before
    back_rad = sinogram.angles_rad[behind] - np.pi
    ahead_rad = sinogram.angles_rad[pairs.one]
    # Half of what the two differ by, brought to between −π and π.
    turn_rad = 0.5 * (np.mod(back_rad - ahead_rad + np.pi, 2.0 * np.pi) - np.pi)

    def rays(k: int) -> _Rays:
        one = _rays(sinogram, offsets, int(pairs.one[k]))
        other = _rays(sinogram, offsets, int(behind[k]))
        mirrored = replace(other, offsets_um=2.0 * sinogram.axis_offset_um - other.offsets_um)
        return one.joined(mirrored)

    return _at_half_steps(sinogram, rays, ahead_rad + turn_rad, workers)


def _merged_neighbours(sinogram: Sinogram, offsets: Floats, workers: int | None) -> Sinogram:
    angles = sinogram.angles_rad

    def rays(k: int) -> _Rays:
        own = _rays(sinogram, offsets, k)
        if k in (0, angles.size - 1):
            return own
        share = float((angles[k] - angles[k - 1]) / (angles[k + 1] - angles[k - 1]))
        before, after = (_rays(sinogram, offsets, j) for j in (k - 1, k + 1))
        return own.joined(_mean(before, after, share))

    return _at_half_steps(sinogram, rays, angles, workers)


def _rays(sinogram: Sinogram, offsets: Floats, line: int) -> _Rays:
    return _Rays(
        offsets_um=offsets[line],
        values=sinogram.values[line],
        variance=sinogram.variance[line],
        depth=-np.log(sinogram.transmission[line]),
    )


def _mean(before: _Rays, after: _Rays, share: float) -> _Rays:
    """Return rays between two projections; ``share`` is that of ``after``."""
    a, b = np.float32(1.0 - share), np.float32(share)
    return _Rays(
        offsets_um=a * before.offsets_um + b * after.offsets_um,
        values=a * before.values + b * after.values,
        variance=a**2 * before.variance + b**2 * after.variance,
        depth=a * before.depth + b * after.depth,
    )


def _at_half_steps(
    sinogram: Sinogram, rays: Callable[[int], _Rays], angles_rad: Floats, workers: int | None
) -> Sinogram:
    """Return the sinogram of merged rays, given by the number of their projection."""
    n_offsets = 2 * sinogram.values.shape[1] - 1
    step_um = 0.5 * sinogram.step_um
    set_points_um = (np.arange(n_offsets) - 0.5 * (n_offsets - 1)) * step_um
    shape = (angles_rad.size, n_offsets, sinogram.values.shape[2])
    values, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    depth = np.empty(shape[:2])

    def task(first: int, last: int) -> None:
        for k in range(first, last):
            merged = rays(k)
            taps = interpolation_taps(
                merged.offsets_um[None], set_points_um=set_points_um, step_um=sinogram.step_um
            )
            interpolate_rays(
                merged.values[None], merged.variance[None], merged.depth[None], taps.first,
                taps.weight, values[k : k + 1], variance[k : k + 1], depth[k : k + 1],
            )  # fmt: skip

    threaded(task, angles_rad.size, workers=workers)
    return replace(
        sinogram, values=values, variance=variance, transmission=np.exp(-depth),
        angles_rad=angles_rad, step_um=step_um,
    )  # fmt: skip
