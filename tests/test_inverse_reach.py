"""How far a scan shows the sample to reach, also within a container that has lines of its own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import EXAMPLES, averaged
from inverse.contrast import line_contrast
from inverse.reach import sample_radius_um
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
    assert abs(sample_radius_um(in_a_cell) - 70.0 - COARSE_STEP_UM) <= COARSE_STEP_UM
    mean = line_contrast(in_a_cell).mean(axis=0)
    # The case is one of lines that go on: the end of the view shows more than what is next to none.
    assert min(mean[0], mean[-1]) > 0.05 * mean.max()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_disc_that_reaches_beyond_the_view_is_not_taken_to_end_in_it(share):
    # Closed form: chords of a disc, of which the view shows a share, and its transmission. The last
    # ray still shows 0.96 and 0.48 of the middle, more than a container may.
    n, radius_um = 41, 20.5 / share
    offsets_um = np.arange(n) - 20.0
    chord = np.sqrt(radius_um**2 - offsets_um**2)
    values = np.zeros((4, n, 60), np.float32)
    values[..., 20:23] = chord[:, None]
    scan = Sinogram(
        values=values, variance=np.ones_like(values),
        transmission=np.tile(np.exp(-0.002 * chord), (4, 1)),
        angles_rad=np.arange(4.0), step_um=1.0, axis_offset_um=0.0,
        two_theta_rad=0.1 + 1e-3 * np.arange(60.0), distance_m=0.7,
    )  # fmt: skip
    assert sample_radius_um(scan) == pytest.approx(radius_um + 1.0, rel=1e-6)
