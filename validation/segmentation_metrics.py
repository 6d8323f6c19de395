"""How well particles were found: against the circles in which the plane cuts them, or a truth map.

Of every true section the found particle that covers most of it is its match. Then

    IoU               area of both / area of either
    boundary error    mean distance of the found outline from the true one and of the true one from
                      the found, averaged: the average symmetric surface distance
    shift             the same, signed: positive where the found outline lies outside
    split             a second found particle lies mostly in the section and covers a tenth of it
    merged            the match also covers most of another section, of a tenth of this one's area

Spheres are cut in circles, which are known exactly, so that outlines are compared to fractions of a
voxel. Other shapes are known on the truth's grid only, as the voxels in which they have the most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from inverse.depth_in_3d import sphere_depth_um
from inverse.segment import Particles
from phantoms.sample import Sample
from validation.truth import Truth
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_COUNTS = 0.1
"""Share of a section's area from which on a further particle counts as split off or merged."""
_POINTS_PER_PIXEL = 2.0
"""Points along a true circle, for each fine pixel of its length."""


@dataclass(frozen=True, eq=False)
class Sections:
    """What the plane cuts out of the true particles that lie in view as a whole."""

    particle: Ints
    """Number in the sample, shape (section,), as all that follow."""
    centre_um: Floats
    """Place in the plane, (x, y) about the rotation axis, shape (section, 2)."""
    radius_um: Floats
    """Of the circle."""
    height_um: Floats
    """Of the particle's centre above the plane."""


@dataclass(frozen=True, eq=False)
class SegmentationScore:
    """One row for each true section; NaN where nothing was found there."""

    diameter_um: Floats
    """Of the circle of the true section's area, shape (section,), as all that follow."""
    match: Ints
    """The found particle that covers most of it, or −1."""
    iou: Floats
    """0 where nothing was found."""
    boundary_error_um: Floats
    shift_um: Floats
    split: Bools
    merged: Bools

    def rows(self, chosen: Bools) -> dict[str, float]:
        """Return figures of the chosen sections, by name; means of none are NaN."""
        found = chosen & (self.match >= 0)
        return {
            "n_sections": float(chosen.sum()),
            "mean_iou": _mean(self.iou[chosen]),
            "least_iou": float(self.iou[chosen].min(initial=1.0)),
            "mean_boundary_error_um": _mean(self.boundary_error_um[found]),
            "worst_boundary_error_um": float(self.boundary_error_um[found].max(initial=0.0)),
            "mean_shift_um": _mean(self.shift_um[found]),
            "n_split": float((self.split & chosen).sum()),
            "n_merged": float((self.merged & chosen).sum()),
            "n_missed": float((chosen & ~found).sum()),
        }


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def sections_of(sample: Sample, *, view_radius_um: float) -> Sections:
    """Return the circles in which the sample's plane cuts its particles.

    Those that reach beyond a circle of ``view_radius_um`` about the axis are left out.
    """
    height_um = sample.centres_um[:, 2] - sample.z_um
    squared = sample.radii_um**2 - height_um**2
    radius_um = np.sqrt(np.maximum(squared, 0.0))
    reach_um = np.hypot(sample.centres_um[:, 0], sample.centres_um[:, 1]) + radius_um
    cut = np.flatnonzero((squared > 0.0) & (reach_um <= view_radius_um))
    return Sections(
        particle=cut.astype(np.int64),
        centre_um=sample.centres_um[cut, :2],
        radius_um=radius_um[cut],
        height_um=height_um[cut],
    )


def score_against_circles(
    particles: Particles, *, sections: Sections, step_um: float
) -> SegmentationScore:
    """Return how well particles agree with the circles; ``step_um`` is a voxel's side."""
    fine_um = step_um / particles.finer
    size = np.array(particles.fine.shape)
    line_um = [(np.arange(n) - 0.5 * (n - 1)) * fine_um for n in size]

    def mask(number: int) -> Bools:
        x, y = sections.centre_um[number]
        squared = (line_um[1] - x) ** 2 + (line_um[0][:, None] - y) ** 2
        return np.asarray(squared < sections.radius_um[number] ** 2)

    def outline(number: int) -> Floats:
        radius = sections.radius_um[number] / fine_um
        turn = np.linspace(0.0, 2.0 * np.pi, max(16, round(_POINTS_PER_PIXEL * 7.0 * radius)))
        circle = radius * np.stack([np.sin(turn), np.cos(turn)], axis=1)
        middle = sections.centre_um[number, ::-1] / fine_um + 0.5 * (size - 1)
        return np.asarray(middle + circle)

    diameter_um = 2.0 * sections.radius_um
    return _score(particles, mask, outline, diameter_um=diameter_um, fine_um=fine_um)


def score_against_truth(
    particles: Particles, *, truth: Truth, smallest_um: float = 1.0
) -> SegmentationScore:
    """Return how well particles agree with the voxels of the truth, for particles of any shape.

    Sections smaller than ``smallest_um``, and those that touch the edge of the map, are left out.
    Raises InputError where maps and truth differ in shape.
    """
    if truth.particle.shape != particles.label.shape:
        raise InputError(
            f"particles and truth must be maps of one shape, not {particles.label.shape} and "
            f"{truth.particle.shape}"
        )
    step_um, finer = truth.scan.step_um, particles.finer
    drawn = np.where(np.nan_to_num(truth.volume_fraction) >= _half_full(truth), truth.particle, -1)
    fine = np.repeat(np.repeat(drawn, finer, axis=0), finer, axis=1)
    at_edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    numbers, n_voxels = np.unique(drawn[drawn >= 0], return_counts=True)
    diameter_um = 2.0 * step_um * np.sqrt(n_voxels / np.pi)
    kept = (diameter_um >= smallest_um) & ~np.isin(numbers, at_edge)
    numbers = numbers[kept]

    def mask(number: int) -> Bools:
        return np.asarray(fine == numbers[number])

    def outline(number: int) -> Floats:
        return np.concatenate(
            find_contours(mask(number).astype(float), 0.5)  # type: ignore[no-untyped-call]
        )

    return _score(particles, mask, outline, diameter_um=diameter_um[kept], fine_um=step_um / finer)


def _half_full(truth: Truth) -> float:
    """Return half of what a voxel wholly inside of a particle holds."""
    full = truth.volume_fraction[truth.interior]
    return 0.5 * float(np.median(full)) if full.size else 0.0


def _score(
    particles: Particles,
    mask: Callable[[int], Bools],
    outline: Callable[[int], Floats],
    *,
    diameter_um: Floats,
    fine_um: float,
) -> SegmentationScore:
    """Score sections by their masks and outlines on the fine grid, both by number."""
    n = diameter_um.size
    covered = [_shares(particles, mask(k)) for k in range(n)]
    area = np.bincount(particles.fine[particles.fine >= 0], minlength=particles.whole.size)
    match = np.array([int(np.argmax(c)) if c.any() else -1 for c in covered], np.int64)
    iou, error, shift = np.zeros(n), np.full(n, np.nan), np.full(n, np.nan)
    split, merged = np.zeros(n, bool), np.zeros(n, bool)
    for k in range(n):
        if match[k] < 0:
            continue
        true = mask(k)
        both = covered[k][match[k]]
        iou[k] = both / (true.sum() + area[match[k]] - both)
        error[k], shift[k] = _outline_error(particles.fine == match[k], outline(k), true)
        others = np.delete(np.arange(area.size), match[k])
        parts = covered[k][others]
        split[k] = np.any((parts > _COUNTS * true.sum()) & (parts > 0.5 * area[others]))
        shared = np.array([c[match[k]] for c in covered])
        sizes = np.array([c.sum() for c in covered])
        there = (shared > 0.5 * sizes) & (shared > _COUNTS * true.sum())
        there[k] = False
        merged[k] = there.any()
    return SegmentationScore(
        diameter_um, match, iou, error * fine_um, shift * fine_um, split, merged
    )


def _shares(particles: Particles, true: Bools) -> Ints:
    """Return how many fine pixels of a section each found particle has."""
    found = particles.fine[true]
    return np.bincount(found[found >= 0], minlength=particles.whole.size).astype(np.int64)


def _outline_error(found: Bools, true_outline: Floats, true: Bools) -> tuple[float, float]:
    """Return the mean distance of two outlines, and the signed one, in fine pixels."""
    contours = find_contours(np.pad(found.astype(float), 1), 0.5)  # type: ignore[no-untyped-call]
    outline = np.concatenate(contours) - 1.0
    to_true = np.asarray(cKDTree(true_outline).query(outline)[0])
    to_found = np.asarray(cKDTree(outline).query(true_outline)[0])
    place = np.clip(np.round(outline).astype(int), 0, np.array(true.shape) - 1)
    sign = np.where(true[place[:, 0], place[:, 1]], -1.0, 1.0)
    return 0.5 * float(to_true.mean() + to_found.mean()), float((sign * to_true).mean())


@dataclass(frozen=True, eq=False)
class DepthScore:
    """How far recovered depths are from the true ones, by section; NaN where nothing was found."""

    diameter_um: Floats
    """Of the section, shape (section,), as all that follow."""
    latitude: Floats
    """Height of the plane off the sphere's middle in its radius, 0 at the equator to 1."""
    rms_in_plane_um: Floats
    """Of recovered depth less the depth below the true circle."""
    bias_in_3d_um: Floats
    """Mean of recovered depth less the depth below the sphere: what the plane hides, and errors."""
    rms_in_3d_um: Floats
    hidden_um: Floats
    """Mean of depth below the circle less depth below the sphere: what no segmentation can mend."""


def score_depths(
    particles: Particles, *, sections: Sections, step_um: float, score: SegmentationScore
) -> DepthScore:
    """Return how recovered depths compare with true ones in two and in three dimensions.

    Voxels whose middle lies in the section and in its match count.
    """
    line_um = [(np.arange(n) - 0.5 * (n - 1)) * step_um for n in particles.label.shape]
    n = sections.radius_um.size
    figures = np.full((4, n), np.nan)
    for k in range(n):
        x, y = sections.centre_um[k]
        depth = sections.radius_um[k] - np.hypot(line_um[1] - x, line_um[0][:, None] - y)
        both = (depth > 0.0) & (particles.label == score.match[k]) & (score.match[k] >= 0)
        if not both.any():
            continue
        true = sphere_depth_um(
            depth[both], section_radius_um=float(sections.radius_um[k]),
            height_um=float(sections.height_um[k]),
        )  # fmt: skip
        found = particles.depth_um[both]
        figures[:, k] = (
            np.sqrt(np.mean((found - depth[both]) ** 2)), np.mean(found - true),
            np.sqrt(np.mean((found - true) ** 2)), np.mean(depth[both] - true),
        )  # fmt: skip
    whole = np.hypot(sections.radius_um, sections.height_um)
    return DepthScore(2.0 * sections.radius_um, np.abs(sections.height_um) / whole, *figures)
