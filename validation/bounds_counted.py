"""One pass over the projections looked at: everything that bounds need to know of the rays.

Variances of the mean patterns of regions are Σ W² var y (:mod:`validation.bounds_rays`), raw
information Σ (∂µ/∂a)²/µ (:mod:`validation.bounds_raw`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.bounds_optics import Optics
from validation.bounds_raw import lengths_um, ray_information
from validation.bounds_rays import Places, angles_looked_at, mean_power, projection_weights
from validation.predicted_trimming import check_kept
from xrdct.compiled import single_threaded_algebra
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counted:
    """What the rays through places say, from one pass over the projections."""

    variance: Floats
    """Of the mean patterns, shape (region, channel)."""
    raw_information: Floats
    """Of a from raw counts, 1/Å², (region,)."""
    answer: Floats
    """Σ W ℓ over the amount, (region,)."""
    kept: Floats
    """Share that the integration keeps of the counts, (channel,)."""
    path_squares_um: Floats
    """Σ W² path of every state, 1/µm, (region, state)."""
    mean_path_um: Floats
    """Of a ray, shape (state,)."""


def count_rays(
    optics: Optics, places: Places, *, scan: Scan, a_A: Floats, amount: Floats
) -> Counted:
    """Return what the rays through the regions say, of the scan's projections looked at.

    ``a_A`` (region,) is the lattice parameter of each region, ``amount`` (voxel,) the volume
    fraction of each of its voxels. Raises InputError for an interlaced scan, and where an
    integration trims away what there is.
    """
    with single_threaded_algebra():  # products here are too small to share
        return _counted(optics, places, scan, a_A, amount)


def _counted(optics: Optics, places: Places, scan: Scan, a_A: Floats, amount: Floats) -> Counted:
    recipe, beam = optics.recipe, optics.virtual.truth.beam
    n_channels, n_states = optics.channel_gain.size, optics.virtual.grid.n_states
    variance = np.zeros((places.n_regions, n_channels))
    paths, mean_path = np.zeros((places.n_regions, n_states)), np.zeros(n_states)
    raw, shown = np.zeros(places.n_regions), np.zeros(places.n_regions)
    plain, kept = np.zeros(n_channels), np.zeros(n_channels)
    slope = optics.slope_at(a_A)
    width_um = beam.width_um if optics.virtual.effects.beam_size else 0.0
    chosen = angles_looked_at(scan)
    repeats = chosen.size / scan.n_angles
    for line, weights in projection_weights(
        places, scan=scan, filter_name=recipe.reconstruction.filter, padding=recipe.padding
    ):
        rays = optics.rays(scan, line)
        variance += weights**2 @ rays.line_variance
        paths += weights**2 @ rays.path_um
        mean_path += rays.path_um.mean(axis=0) / chosen.size
        plain += rays.counts.sum(axis=0)
        kept += rays.kept.sum(axis=0)
        crossed = lengths_um(
            places, scan=scan, angle_rad=float(scan.angles_rad[line]), beam_fwhm_um=width_um,
            weight=amount,
        )  # fmt: skip
        shown += np.sum(weights * crossed, axis=1) / np.sqrt(repeats)
        raw += ray_information(crossed, slope, rays=rays, channel_gain=optics.channel_gain)
    check_kept(optics, plain / (chosen.size * scan.n_offsets))
    share = np.divide(kept, plain, out=np.ones(n_channels), where=plain > 0.0)
    own = np.bincount(places.region, amount)
    more = _in_proportion(places, scan, chosen, recipe.reconstruction.filter)[:, None]
    return Counted(more * variance, raw / repeats, shown / own, share, more * paths, mean_path)


def _in_proportion(places: Places, scan: Scan, chosen: Ints, filter_name: str) -> Floats:
    """Return what all angles say over what the chosen ones say of variances, (region,)."""
    if chosen.size == scan.n_angles or places.n_regions != places.x_um.size:
        return np.ones(places.n_regions)
    every, some = (
        mean_power(places.x_um, places.y_um, scan=scan, angles_rad=angles, filter_name=filter_name)
        for angles in (scan.angles_rad, scan.angles_rad[chosen])
    )
    return np.asarray(every / some)
