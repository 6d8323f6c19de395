"""Scores of segmentations: discs drawn on the fine grid, moved and grown by known amounts."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.segment import Particles
from phantoms.particle import Particle
from phantoms.sample import Sample
from validation.segmentation_metrics import (
    Sections,
    score_against_circles,
    score_against_truth,
    score_depths,
    sections_of,
)
from validation.truth import truth_on_grid
from xrdct.errors import InputError
from xrdct.scan import Scan

N, FINER = 41, 5


def drawn(*circles):
    """Particles that are circles (x, y, radius in voxels)."""
    line = (np.arange(N * FINER) - 0.5 * (N * FINER - 1)) / FINER
    fine = np.full((N * FINER, N * FINER), -1)
    depth = np.zeros(fine.shape)
    for number, (x, y, radius) in enumerate(circles):
        below = radius - np.hypot(line - x, line[:, None] - y)
        fine[below > 0.0] = number
        depth[below > 0.0] = below[below > 0.0]
    middle = (slice(FINER // 2, None, FINER),) * 2
    own = fine[middle]
    return Particles(
        label=own, depth_um=np.where(own >= 0, depth[middle], np.nan),
        area_um2=np.bincount(fine[fine >= 0], minlength=len(circles)) / FINER**2,
        whole=np.ones(len(circles), bool), fine=fine, fine_depth_um=depth, finer=FINER,
    )  # fmt: skip


def truth_of(*circles, height_um=0.0):
    table = np.array(circles, float)
    return Sections(
        particle=np.arange(len(table)), centre_um=table[:, :2], radius_um=table[:, 2],
        height_um=np.full(len(table), height_um),
    )  # fmt: skip


def test_what_was_found_as_it_is_scores_one():
    # Identity, up to the fine pixels, whose middles lie within a tenth of a voxel of the outline on
    # either side, 0.05 in the mean; IoU by the definition less at most that share of the area.
    circles = ((-8.0, 3.0, 9.0), (9.0, -4.0, 6.0))
    score = score_against_circles(drawn(*circles), sections=truth_of(*circles), step_um=1.0)
    assert np.all(score.iou == 1.0)
    assert np.all(score.boundary_error_um < 0.08)
    assert np.all(np.abs(score.shift_um) < 0.05)
    assert not score.split.any()
    assert not score.merged.any()


@pytest.mark.parametrize("growth", [-0.6, 0.6])
def test_a_disc_too_large_by_a_known_amount(growth):
    # Closed form: radii R and R + g have IoU (smaller/larger)², outlines |g| apart, signed.
    radius = 9.0
    score = score_against_circles(
        drawn((0.3, 0.1, radius + growth)), sections=truth_of((0.3, 0.1, radius)), step_um=1.0
    )
    ratio = min(radius, radius + growth) / max(radius, radius + growth)
    assert score.iou[0] == pytest.approx(ratio**2, abs=0.01)
    assert score.boundary_error_um[0] == pytest.approx(abs(growth), abs=0.06)
    assert score.shift_um[0] == pytest.approx(growth, abs=0.06)


def test_a_displaced_disc():
    # Closed form: outlines of equal circles s apart lie s|cos φ| from each other, 2s/π in the mean,
    # to first order in s/R; signed they cancel.
    score = score_against_circles(
        drawn((0.5, 0.0, 10.0)), sections=truth_of((0.0, 0.0, 10.0)), step_um=1.0
    )
    assert score.boundary_error_um[0] == pytest.approx(0.5 * 2 / np.pi, abs=0.05)
    assert abs(score.shift_um[0]) < 0.05


def test_split_merged_and_missed_particles_are_told():
    # By construction: two halves for one disc, one disc for two, none for the last.
    halves = drawn((-3.0, 0.0, 4.0), (3.0, 0.0, 4.0))
    assert score_against_circles(halves, sections=truth_of((0.0, 0.0, 8.0)), step_um=1.0).split[0]
    one = drawn((0.0, 0.0, 10.0))
    both = truth_of((-4.0, 0.0, 4.0), (4.0, 0.0, 4.0), (15.0, 15.0, 2.0))
    score = score_against_circles(one, sections=both, step_um=1.0)
    assert list(score.merged) == [True, True, False]
    assert list(score.match) == [0, 0, -1]
    rows = score.rows(np.ones(3, bool))
    assert (rows["n_merged"], rows["n_missed"], rows["n_sections"]) == (2.0, 1.0, 3.0)
    assert score.iou[2] == 0.0
    assert np.isnan(score.boundary_error_um[2])


def spheres():
    return Sample(
        (
            Particle(centre_um=(-8.0, 2.0, 1.0), diameter_um=16.0),
            Particle(centre_um=(9.0, -3.0, -4.0), diameter_um=10.0),
            Particle(centre_um=(0.0, 0.0, 40.0), diameter_um=10.0),
            Particle(centre_um=(19.0, 0.0, 0.0), diameter_um=6.0),
        )
    )


def test_sections_are_the_circles_of_spheres():
    # Closed form: r² = R² − h²; one sphere is not cut, one reaches out of view.
    sections = sections_of(spheres(), view_radius_um=20.0)
    np.testing.assert_array_equal(sections.particle, [0, 1])
    np.testing.assert_allclose(sections.radius_um, [np.sqrt(63.0), 3.0])
    np.testing.assert_allclose(sections.height_um, [1.0, -4.0])


def test_the_truth_map_scores_as_the_circles_do():
    # Two ways to the same figure: the truth's voxels have stairs of a voxel, which lie up to √2/2
    # from the circle, on average a quarter.
    scan = Scan(n_offsets=N, step_um=1.0, n_angles=4)
    truth = truth_on_grid(spheres(), scan=scan, beam_height_um=0.1)
    sections = sections_of(spheres(), view_radius_um=20.0)
    found = drawn(*np.column_stack([sections.centre_um, sections.radius_um]))
    by_map = score_against_truth(found, truth=truth)
    assert by_map.diameter_um.size == 2  # the last one touches the edge of the map
    assert by_map.iou[0] > 1.0 - 2.0 * 0.35 / np.sqrt(63.0)  # of the ring between the outlines
    assert by_map.boundary_error_um[0] < 0.35
    with pytest.raises(InputError, match="one shape"):
        score_against_truth(
            found, truth=truth_on_grid(
                spheres(), scan=Scan(n_offsets=31, step_um=1.0, n_angles=4), beam_height_um=0.1
            ),
        )  # fmt: skip


def test_depths_are_scored_in_the_plane_and_in_space():
    # Closed form: a circle found exactly has no error in the plane; in space it lacks d − D(d).
    circle = (0.0, 0.0, 8.0)
    sections, found = truth_of(circle, height_um=6.0), drawn(circle)
    score = score_against_circles(found, sections=sections, step_um=1.0)
    depths = score_depths(found, sections=sections, step_um=1.0, score=score)
    inside = found.label == 0
    d = found.depth_um[inside]
    gap = d - (10.0 - np.sqrt(36.0 + (8.0 - d) ** 2))
    assert depths.rms_in_plane_um[0] < 1e-12
    assert depths.hidden_um[0] == pytest.approx(gap.mean())
    assert depths.bias_in_3d_um[0] == pytest.approx(gap.mean())
    assert depths.rms_in_3d_um[0] == pytest.approx(np.sqrt(np.mean(gap**2)))
    assert depths.latitude[0] == pytest.approx(0.6)
