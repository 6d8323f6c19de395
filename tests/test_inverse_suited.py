"""What a recipe cannot do with a scan is refused before any work, and what it hides is told."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

import validation.run as run_module
from inverse.interlace import at_half_steps
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.sinogram import Sinogram
from inverse.suited import (
    FEWEST_ANGLES,
    FewAnglesWarning,
    check_interlaced,
    check_suited,
    warn_of_few_angles,
)
from validation.experiment import load_experiment
from validation.run import run
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.scan import Scan

TINY = Path(__file__).parent / "data" / "tiny.toml"
GOLDEN_DEG = tuple(np.round(np.mod(111.246 * np.arange(13), 180.0), 3))


@lru_cache(maxsize=1)
def tiny():
    """As many angles as the direct method needs."""
    experiment = load_experiment(TINY)
    scan = Scan(n_offsets=15, step_um=1.0, n_angles=FEWEST_ANGLES)
    return simulate(experiment.model_copy(update={"scan": scan, "scans": {}}), workers=1).raw


def tiny_recipe(**sections):
    return Recipe.model_validate(dict(tiny().recipe) | sections)


def interlaced(**how):
    return Scan(n_offsets=9, step_um=1.0, interlaced=True, **how)


@pytest.mark.parametrize(
    ("scan", "accepted"),
    [
        (interlaced(n_angles=12), True),
        (interlaced(n_angles=14, angle_range_deg=360.0), True),
        (interlaced(n_angles=12, angle_range_deg=360.0), True),
        # every projection has its opposite half the list away, which has an odd number: no matter
        # that angles do not rise
        (interlaced(angles_deg=(0, 80, 40, 120, 160, 180, 260, 220, 300, 340)), True),
        (interlaced(angles_deg=GOLDEN_DEG), False),
        (interlaced(angles_deg=tuple(range(165, -1, -15))), False),
        (interlaced(n_angles=1), False),
    ],
)
def test_interlaced_scans_are_refused_that_cannot_be_merged(scan, accepted):
    """Law: what is refused beforehand is what would be refused where rays are merged."""
    values = np.ones((scan.n_angles, scan.n_offsets, 1), np.float32)
    sinogram = Sinogram(
        values=values, variance=values, transmission=np.ones(values.shape[:2]),
        angles_rad=scan.angles_rad, step_um=scan.step_um, axis_offset_um=0.0,
        two_theta_rad=np.array([0.1]), distance_m=0.7,
    )  # fmt: skip
    if accepted:
        check_interlaced(scan)
        at_half_steps(sinogram, offsets_um=scan.projection_offsets_um)
        return
    with pytest.raises(InputError, match="interlaced = true needs angles_deg that rise"):
        check_interlaced(scan)
    if scan.n_angles > 1:
        with pytest.raises(InputError, match="must rise"):
            at_half_steps(sinogram, offsets_um=scan.projection_offsets_um)


def test_an_experiment_with_such_a_scan_is_refused_as_it_is_read(tmp_path):
    path = tmp_path / "golden.toml"
    text = TINY.read_text()
    given = f"n_angles = 12\ninterlaced = true\nangles_deg = {[float(a) for a in GOLDEN_DEG[:12]]}"
    path.write_text(text.replace("n_angles = 12", given, 1))
    with pytest.raises(InputError, match=r"golden\.toml: scan: interlaced = true needs"):
        load_experiment(path)


def test_halves_of_few_projections_tell_no_uncertainty():
    """Definition: four angles are two in each half; with these the direct method runs through."""
    recipe = tiny_recipe(reconstruction={"method": "direct"}, direct={"reach_um": 8.0})
    one_less = tiny().scan.model_copy(update={"n_angles": FEWEST_ANGLES - 1})
    with pytest.raises(InputError, match=r"method = 'direct' .* at least 4 angles.* scan has 3"):
        check_suited(one_less, recipe=recipe)
    with pytest.warns(FewAnglesWarning):
        maps = recover(tiny(), recipe=recipe, workers=1)
    known = np.isfinite(maps.a_A)
    assert known.sum() > 10
    assert np.isfinite(maps.a_esd_total_A[known]).all()


def test_a_method_that_the_backend_lacks_is_refused_before_any_step():
    recipe = tiny_recipe(reconstruction={"method": "sirt", "backend": "scikit-image"})
    told = []
    with pytest.raises(InputError, match=r"reconstruction.method must be .*\(fbp, sart.* 'sirt'"):
        recover(tiny(), recipe=recipe, progress=lambda step, _: told.append(step))
    assert told == []
    check_suited(tiny().scan, recipe=tiny_recipe(reconstruction={"backend": "tomopy"}))


def test_a_run_refuses_before_it_simulates(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "simulate", lambda *_, **__: pytest.fail("simulated"))
    recipe = Recipe.model_validate({"reconstruction": {"backend": "nobody's"}})
    with pytest.raises(InputError, match='not "nobody\'s"'):
        run(load_experiment(TINY), tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("scan", "directions"),
    [
        (Scan(n_offsets=51, step_um=1.0, n_angles=1), 1),
        (Scan(n_offsets=51, step_um=1.0, n_angles=26), 26),
        # opposites see the same lines
        (Scan(n_offsets=51, step_um=1.0, n_angles=52, angle_range_deg=360.0), 26),
        (Scan(n_offsets=51, step_um=1.0, angles_deg=(0.0, 60.0, 120.0, 180.0, 300.0)), 3),
    ],
)
def test_streaks_nearly_everywhere_are_told(scan, directions):
    """Closed form: π/2 · 51 = 80.1, of which 26 are less than a third of 81, and 27 are not."""
    told = rf"directions of projections, {directions}, are less than a third of the 81 "
    with pytest.warns(FewAnglesWarning, match=told):
        warn_of_few_angles(scan)


def test_fewer_streaks_are_not():
    for n_angles, turn_deg in ((27, 180.0), (27, 360.0), (54, 360.0)):
        scan = Scan(n_offsets=51, step_um=1.0, n_angles=n_angles, angle_range_deg=turn_deg)
        warn_of_few_angles(scan)


def test_recovering_one_projection_warns():
    raw = tiny()
    one = replace(
        raw, scan=raw.scan.model_copy(update={"n_angles": 1}), counts=raw.counts[:1],
        monitor=raw.monitor[:1], transmitted=raw.transmitted[:1], readings=None,
    )  # fmt: skip
    with pytest.warns(FewAnglesWarning, match="projections, 1, are less than a third of the 24 "):
        recover(one, workers=1)
