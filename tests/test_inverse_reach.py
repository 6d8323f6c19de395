"""How far a scan shows the sample to reach, also within a container that has lines of its own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import EXAMPLES, averaged
from inverse.contrast import line_contrast
from inverse.reach import ReachWarning, reach_of, sample_reach
from inverse.sinogram import Sinogram, sinogram_of
from validation.experiment import load_experiment
from validation.steps import simulate

COARSE_STEP_UM = 5.0


@pytest.fixture(scope="module")
def in_a_cell() -> Sinogram:
    """The coarse scan, 205 µm wide, of an electrode of 140 µm in its cell; a few seconds."""
    roi = averaged(load_experiment(EXAMPLES / "roi.toml"))
    coarse = {"n_offsets": 41, "step_um": COARSE_STEP_UM, "n_angles": 31}
    update = {
        "seed": 411,
        "sample": roi.sample.model_copy(update={"diameter_um": 140.0}),
        "scan": roi.scan.model_copy(update={"n_offsets": 9, "n_angles": 3}),
        "scans": {"coarse": roi.scans["coarse"].model_copy(update=coarse)},
    }
    return sinogram_of(simulate(roi.model_copy(update=update)).others["coarse"])


def test_the_sample_ends_where_its_lines_fall_to_the_containers(in_a_cell):
    # Truth: the planted radius of 70 µm; the sample ends up to a step before or after the last ray
    # that shows it, and one step is added.
    assert abs(sample_reach(in_a_cell).radius_um - 70.0 - COARSE_STEP_UM) <= COARSE_STEP_UM
    mean = line_contrast(in_a_cell).mean(axis=0)
    # The case is one of lines that go on: the end of the view shows more than what is next to none.
    assert min(mean[0], mean[-1]) > 0.05 * mean.max()


def disc_scan(offsets_um: np.ndarray, radius_um: float, *, signal: np.ndarray | None = None):
    """A scan, in steps of 1 µm, of a disc's chords, and its transmission."""
    chord = np.sqrt(np.maximum(radius_um**2 - offsets_um**2, 0.0))
    shown = chord if signal is None else signal
    values = np.zeros((4, offsets_um.size, 60), np.float32)
    values[..., 20:23] = shown[:, None]
    return Sinogram(
        values=values, variance=np.ones_like(values),
        transmission=np.tile(np.exp(-0.002 * chord), (4, 1)),
        angles_rad=np.arange(4.0), step_um=1.0, axis_offset_um=0.0,
        two_theta_rad=0.1 + 1e-3 * np.arange(60.0), distance_m=0.7,
    )  # fmt: skip


OFFSETS_UM = np.arange(61) - 30.0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.88, 0.9, 0.97, 0.99])
def test_a_disc_that_reaches_beyond_the_view_is_not_taken_to_end_in_it(share):
    # Closed form: chords of a disc, of which the view shows a share, and its transmission. The last
    # rays of the four smallest are as faint as those beside a sample in its container may be (0.47
    # of the middle at 0.88), but fall off by 0.1 and more over an end of three rays.
    radius_um = 30.0 / share
    scan = disc_scan(OFFSETS_UM, radius_um)
    assert sample_reach(scan).radius_um == pytest.approx(radius_um + 1.0, rel=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.02, 0.1, 0.2, 0.35, 0.9])
def test_it_ends_where_chords_fall_to_the_level_of_a_container(level):
    # Closed form: chords of a disc of 15 µm fall to 0.05 of the middle at 14.98 µm: the last ray
    # that shows it is at 14 µm, and one step is added.
    chord = np.sqrt(np.maximum(15.0**2 - OFFSETS_UM**2, 0.0))
    scan = disc_scan(OFFSETS_UM, 15.0, signal=chord + level * 15.0)
    assert sample_reach(scan).radius_um == 15.0


def test_noise_beside_the_sample_does_not_count():
    # Law: of 200 draws of a hundredth of the middle none is 5 % at any of 31 rays: a false alarm in
    # 6200 draws of more than 4 σ (the level is the mean of three) has a probability below 2e-3 each
    # seed; these are fixed.
    chord = np.sqrt(np.maximum(15.0**2 - OFFSETS_UM**2, 0.0))
    rng = np.random.Generator(np.random.Philox(3))
    found = [
        sample_reach(
            disc_scan(OFFSETS_UM, 15.0, signal=chord + 0.15 * rng.standard_normal(61))
        ).radius_um
        for _ in range(200)
    ]
    assert set(found) == {15.0}


@pytest.mark.parametrize(("radius_um", "place_um"), [(15.0, 18.0), (20.0, 14.0)])
def test_a_sample_that_leaves_the_view_on_one_side_does_not_end_in_it(radius_um, place_um):
    # Truth: discs off the axis reach to 33 and 34 µm; no less than the view's end can be told.
    chord = np.sqrt(np.maximum(radius_um**2 - (OFFSETS_UM - place_um) ** 2, 0.0))
    scan = disc_scan(OFFSETS_UM, 34.0, signal=chord)
    assert sample_reach(scan).radius_um > 30.0


def test_a_sample_that_ends_within_the_last_rays_is_no_container():
    # Closed form: chords of a disc of 29.5 µm; the ray at 29 µm shows 0.18 of the middle, that at
    # 30 µm nothing, and one step is added. Its own chords at the ends are not level.
    assert sample_reach(disc_scan(OFFSETS_UM, 29.5)).radius_um == 30.0


FULL = np.ones((61, 61))


def test_a_view_full_of_material_does_not_hold_a_sample_that_transmission_calls_narrower():
    # Truth: a disc of 29.5 µm in the middle and matter all over the view, as a map tells. Rays and
    # transmission show the disc alone; pixels reach twice the view of 31 µm, and that is told.
    scan = disc_scan(OFFSETS_UM, 29.5)
    with pytest.warns(ReachWarning, match=r"62 µm.*direct\.reach_um"):
        reach = reach_of(scan, None, amount=FULL)
    assert (reach.radius_um, reach.seen) == (62.0, False)


def test_what_transmission_tells_beyond_twice_the_view_counts():
    # Closed form: the chords and transmission of a disc of 100 µm.
    with pytest.warns(ReachWarning):
        reach = reach_of(disc_scan(OFFSETS_UM, 100.0), None, amount=FULL)
    assert reach.radius_um == pytest.approx(101.0, rel=1e-6)
    assert not reach.seen


def test_an_end_is_seen_in_a_map_or_in_a_wider_scan_or_given():
    # Truth: an empty rim of the map; a disc of 45 µm in a scan of 60 µm to either side; the word of
    # who made the recipe. None warns.
    window = disc_scan(OFFSETS_UM, 45.0)
    rim = np.where(np.hypot(*np.indices((61, 61)) - 30.0) < 20.0, 1.0, 0.0)
    in_map = reach_of(window, None, amount=rim)
    assert (in_map.radius_um, in_map.seen) == (31.0, True)
    in_scan = reach_of(window, disc_scan(np.arange(121) - 60.0, 45.0), amount=FULL)
    assert (in_scan.radius_um, in_scan.seen) == (45.0, True)
    given = reach_of(window, None, amount=FULL, known_um=47.0)
    assert (given.radius_um, given.seen) == (47.0, True)


def test_a_scan_of_the_surroundings_that_ends_within_the_sample_tells_no_end():
    # Truth: a disc of 45 µm, of which the further scan sees no more than the window does.
    with pytest.warns(ReachWarning):
        reach = reach_of(disc_scan(OFFSETS_UM, 45.0), disc_scan(OFFSETS_UM, 45.0), amount=FULL)
    assert reach.radius_um == 62.0
