"""Claims of figure 4: distance in the plane taken for the depth in three dimensions.

A sphere cut off its middle looks shallower than it is (:mod:`inverse.depth_in_3d`): the profile by
distance in the plane is too flat, and the core is not in it. The two particles are cut at their
middle; this is asked of all sections in view whose particle holds a gradient. For each, the slope
of the lattice parameter against depth is that of the least-squares line through its voxels:

    coordinate alone   slope by distance in the plane over slope by true depth, both of the true map
    all of it          slope as recovered, by the distance that the maps show, over the true one

The ratio q of slopes r_k to the true ones t_k is that of the line through zero, r_k = q t_k, by
least squares:

    q = Σ t_k r_k / Σ t_k²,    var q = Σ t_k² var r_k / (Σ t_k²)².

Steep gradients count most, and those of either sign alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.depth_blur import blur_sigma_um
from inverse.depth_profiles import DepthAverages, depth_profiles
from validation.gradients import particle_slopes
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.particles import NAMES, label_of
from validation.paper.prepared import Slice
from validation.segmentation_metrics import sections_of

Floats = NDArray[np.float64]

_SMALLEST_RADIUS_UM = 3.0
_LEAST_RISE_A = 0.005
"""From surface to centre, of a particle that holds a gradient."""
_NEEDED = 0.1


@dataclass(frozen=True, eq=False)
class SectionSlopes:
    """Slopes of the lattice parameter by depth, Å/µm, fields (section,)."""

    number: NDArray[np.int64]
    """Of the particle in the sample."""
    true: Floats
    """Against true depth."""
    in_plane: Floats
    """Of the true map, against distance in the plane."""
    shown: Floats
    """Radius of the section over that of the sphere."""


def depth_claims(study: Study) -> list[Claim]:
    """Return what distance in the plane does to gradients in the last scan."""
    last = study.all_operando()[-1]
    slopes = true_slopes(last)
    if slopes.number.size == 0:
        return []
    in_plane, _ = ratio_through_zero(slopes.true, slopes.in_plane)
    recovered, esd = ratio_through_zero(*_recovered(last, slopes))
    apart = float(1.0 - slopes.shown.mean())
    note = (
        f"{slopes.number.size} sections with a gradient above {1e3 * _LEAST_RISE_A:.0f} mÅ; their "
        f"radius is on average {1e2 * apart:.0f} % less than the sphere's"
    )
    return [
        *_of_first(slopes),
        Claim(
            "4a", "Gradients by distance in the plane over those by depth, maps without error",
            "distance in the slice is used", recovered=in_plane, truth=1.0, needed=_NEEDED,
            note=note,
        ),
        Claim(
            "4a", "Gradients as recovered over those by depth, all sections that hold one",
            "distance in the slice is used", recovered=recovered, truth=1.0, needed=_NEEDED,
            esd=esd, note="errors of the map and of outlines included",
        ),
    ]  # fmt: skip


def ratio_through_zero(
    true: Floats, found: Floats, esd: Floats | None = None
) -> tuple[float, float]:
    """Return the ratio of found slopes to true ones, (section,), and its standard uncertainty.

    NaN where there is no slope; the uncertainty, too, where none is given.
    """
    squared = float(true @ true)
    if squared == 0.0:
        return float("nan"), float("nan")
    spread = float("nan") if esd is None else float(np.sqrt(true**2 @ esd**2)) / squared
    return float(true @ found) / squared, spread


def _of_first(slopes: SectionSlopes) -> list[Claim]:
    """Return the same of Particle 1 alone, whose height is the twin's assumption."""
    rows = np.flatnonzero(slopes.number == 0)
    return [
        Claim(
            "4a", f"Gradient of {NAMES[0]} by distance in the plane over that by depth, map "
            "without error", "distance in the slice is used",
            recovered=float(slopes.in_plane[row] / slopes.true[row]), truth=1.0, needed=_NEEDED,
            note=f"cut where its section has {1e2 * slopes.shown[row]:.0f} % of its radius, which "
            "the study does not know",
        )
        for row in rows.tolist()
    ]  # fmt: skip


def true_slopes(each: Slice) -> SectionSlopes:
    """Return the slopes of all sections in view whose particle holds a gradient."""
    truth = each.truth
    section_um, distance_um = _distances_um(each)
    region = truth.interior & ~truth.two_lattices & np.isfinite(distance_um)
    by_depth, in_plane = (
        particle_slopes(
            truth.a_A, true_A=truth.a_A, relative_depth=each_um, particle=truth.particle,
            region=region,
        )
        for each_um in (truth.depth_um, distance_um)
    )  # fmt: skip
    radius_um = each.sample.radii_um[by_depth.particle]
    kept = np.abs(by_depth.true_A) * radius_um >= _LEAST_RISE_A
    number = by_depth.particle[kept]
    return SectionSlopes(
        number=number, true=by_depth.true_A[kept], in_plane=in_plane.true_A[kept],
        shown=section_um[number] / radius_um[kept],
    )  # fmt: skip


def _distances_um(each: Slice) -> tuple[Floats, Floats]:
    """Return the radius of the section of every particle, and each voxel's distance to its edge.

    Shapes (particle,) and (y, x); NaN where the section is too small, or not in view as a whole.
    """
    scan, sample = each.maps.scan, each.sample
    sections = sections_of(sample, view_radius_um=0.5 * scan.width_um)
    large = sections.radius_um >= _SMALLEST_RADIUS_UM
    circles = np.full((len(sample.particles) + 1, 3), np.nan)  # the last is of no particle, −1
    circles[sections.particle[large]] = np.column_stack(
        [sections.centre_um[large], sections.radius_um[large]]
    )
    x_um, y_um, radius_um = np.moveaxis(circles[each.truth.particle], -1, 0)
    away_um = np.hypot(scan.offsets_um - x_um, scan.offsets_um[:, None] - y_um)
    return circles[:-1, 2], radius_um - away_um


def _recovered(each: Slice, slopes: SectionSlopes) -> tuple[Floats, Floats, Floats]:
    """Return the true slopes of the sections that are found, the recovered ones, and their esds."""
    maps = each.maps
    labels = {label_of(each, int(number)): k for k, number in enumerate(slopes.number)}
    labels.pop(None, None)
    found = depth_profiles(
        maps.a_A, particles=each.particles, step_um=maps.scan.step_um, esd=maps.a_esd_total_A,
        settings=DepthAverages(
            correlation=maps.recipe.reconstruction.filter,
            blur_um=blur_sigma_um(each.experiment.beam.width_um, step_um=maps.scan.step_um),
        ),
        only=tuple(label for label in labels if label is not None),
    )  # fmt: skip
    rows = [
        (slopes.true[labels[one.particle]], one.slope_per_um, one.slope_esd_total_per_um)
        for one in found
        if np.isfinite(one.slope_per_um + one.slope_esd_total_per_um)
    ]
    true, value, esd = np.array(rows, float).reshape(-1, 3).T
    return true, value, esd
