"""The planner against laws, closed forms, limits and the full prediction."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from inverse.recover import recover
from phantoms.library import Electrode
from tests.gradient_particle import small
from validation.batch.vary import all_varied
from validation.bounds import predict
from validation.check import dose_MGy, forecast
from validation.cli import main
from validation.experiment import load_experiment
from validation.experiment_toml import experiment_toml
from validation.plan.choice import chosen, front
from validation.plan.grid import Point, grid_of
from validation.plan.plan import plan
from validation.plan.report import PlanFiles, entry, shown_front, terminal, write_plan
from validation.plan.rows import Row, rows_of
from validation.plan.verify import neighbours
from validation.plan.wish import Wish, read_limits, read_targets
from validation.plan.words import amount, sentences
from validation.predicted_beyond import beyond, whole_of
from validation.predicted_outside import outside_of
from validation.predicted_scans import Errors, _means, _rms, _sight_of, many_scans
from validation.predicted_scene import voxels_of
from validation.predicted_shown import bins_of, point_spread, resolution_um, spread_of
from validation.predicted_transfer import Transfer
from validation.predicted_trimming import pixels_of
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan


@lru_cache(maxsize=1)
def many():
    return many_scans(small())


def errors_of(**changes):
    return many().errors(small().scan.model_copy(update=changes))


def wide():
    """An electrode of which a window is seen."""
    return small(sample=Electrode(diameter_um=60.0, volume_fraction=0.4))


# What is asked


def test_units_are_those_of_the_field():
    # Definitions of units.
    assert read_limits("30min", "50MGy", "10GB") == {"beam time": 1800, "dose": 50, "data": 1e4}
    assert read_limits("2 h", "500kGy", "1.5TB") == {"beam time": 7200, "dose": 0.5, "data": 1.5e6}
    assert read_limits("90s", None, "20MB") == {"beam time": 90, "data": 20}
    assert read_targets(["lattice_A=0.0003"]) == {"lattice_A": 3e-4}


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (("30", None, None), "--max-time takes a number and its unit"),
        (("30 minutes", None, None), "s, min, h"),
        ((None, "50 Gy", None), "MGy, kGy"),
        ((None, None, "-1GB"), "--max-data must be a number above zero"),
    ],
)
def test_wrong_units_are_refused(limits, told):
    with pytest.raises(InputError, match=told):
        read_limits(*limits)


@pytest.mark.parametrize("texts", [[], ["lattice"], ["a_A=1"], ["lattice_A=0"], ["lattice_A=x"]])
def test_wrong_targets_are_refused(texts):
    with pytest.raises(InputError, match="target"):
        read_targets(texts)


# The scans looked at


def test_offsets_follow_the_step():
    # Law: the outermost offsets stay where they are, to half a step; a given number stays.
    grid = grid_of(small(), all_varied(["scan.step_um=0.5,1,2,3"]))
    assert [p.scan.n_offsets for p in grid.points] == [41, 21, 11, 8]
    assert grid.follows
    given = grid_of(small(), all_varied(["scan.step_um=0.5,1", "scan.n_offsets=21"]))
    assert [p.scan.n_offsets for p in given.points] == [21, 21]
    assert not given.follows


def test_ranges_are_filled_to_two_hundred_scans():
    keys = all_varied(["scan.step_um=0.5:4", "scan.n_angles=50:700", "scan.exposure_s=0.001:0.1"])
    grid = grid_of(small(), keys)
    assert len(grid.points) >= 200
    for axis, (low, high) in zip(grid.axes, ((0.5, 4), (50, 700), (0.001, 0.1)), strict=True):
        assert (axis.values[0], axis.values[-1]) == (low, high)
        assert list(axis.values) == sorted(axis.values)
    assert all(isinstance(value, int) for value in grid.axes[1].values)
    assert len(grid_of(small(), all_varied(["scan.step_um=0.5:2", "scan.n_angles=50:99"])).points)


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("scan.steps=1,2", "unknown key"),
        ("scan.step_um=-1:2", "scan.step_um"),
        ("scan.step_um=4:0.5", "must rise"),
        ("geometry.distance=1,2", "unknown key"),
        ("scan.interlaced=true,false", "interlaced scans are not predicted"),
        ("scan.angle_range_deg=90,180", "180 or 360"),
        ("scans.coarse=with,without", "no such scan"),
        ("seed=1,2", "no setting of a scan"),
        ("recipe.reconstruction.method=sirt", "filtered back projection only"),
    ],
)
def test_what_cannot_be_planned_is_refused(vary, told):
    with pytest.raises(InputError, match=told):
        grid_of(small(), all_varied([vary]))


def test_a_coarse_scan_comes_with_its_correction_and_its_cost():
    coarse = Scan(n_offsets=11, step_um=8.0, n_angles=20)
    experiment = wide().model_copy(update={"scans": {"coarse": coarse}})
    grid = grid_of(experiment, all_varied(["scans.coarse=with,without"]))
    having, lacking = grid.points
    assert having.recipe.truncation.method == "coarse"
    assert lacking.recipe.truncation.method == "none"
    assert list(grid.experiment_of(having).scans) == ["coarse"]
    assert grid.experiment_of(lacking).scans == {}
    rows = rows_of(grid, Wish({"lattice_A": 1e-3}))
    assert rows[0].beam_time_s - rows[1].beam_time_s == pytest.approx(coarse.beam_time_s)
    # Limit: what is left of truncation is not nothing, and the view itself is blurred as before,
    # which few and all voxels (240 and more of the 99 there are) say alike.
    assert 0.0 < rows[0].errors.truncation_A != rows[1].errors.truncation_A
    assert rows[0].errors.blur_A == rows[1].errors.blur_A


def test_costs_are_those_of_check():
    # Truth: the same figures for single experiments.
    grid = grid_of(small(), all_varied(["scan.step_um=0.5,1", "scan.n_angles=30,70"]))
    for row in rows_of(grid, Wish({"lattice_A": 1e-3})):
        alone = grid.experiment_of(row.point)
        assert row.beam_time_s == pytest.approx(forecast(alone).beam_time_s)
        assert row.data_MB == pytest.approx(forecast(alone).file_MB)
        assert row.dose_MGy == pytest.approx(dose_MGy(alone))


# What is predicted


def test_noise_falls_with_the_root_of_exposure_and_angles():
    # Law: counting; exact, so to rounding. With angles, but for those along rows of voxels, 2 of 48
    # and of 192: they have 2.15 times the mean variance, 1.15 (2/48 − 2/192)/2 = 1.8 % of noise.
    once, often, more = errors_of(), errors_of(exposure_s=0.04), errors_of(n_angles=192)
    assert once.noise_A / often.noise_A == pytest.approx(2.0, rel=1e-12)
    assert once.noise_A / more.noise_A == pytest.approx(2.0, rel=0.018)
    assert often.bias_rms_A == once.bias_rms_A
    assert more.blur_A == once.blur_A
    assert more.streaks_A < once.streaks_A


def test_a_full_turn_has_no_parallax_but_half_the_angles():
    # Law: opposite projections cancel it, and repeat each other where their number is even.
    half, full, odd = errors_of(), errors_of(angle_range_deg=360.0, n_angles=96), None
    assert half.parallax_A > 0.0
    assert full.parallax_A == 0.0
    assert full.streaks_A == half.streaks_A
    odd = errors_of(angle_range_deg=360.0, n_angles=97)
    assert odd.streaks_A < full.streaks_A


@pytest.mark.parametrize("experiment", [small(), wide()], ids=["particle", "window"])
def test_terms_are_those_of_the_full_prediction(experiment):
    # Truth: the full prediction of one scan. Both look at all voxels of the small particle;
    # 240 and 400 of the window. Noise: where 16 angles stand for all, single voxels are 2 % off
    # either way (variances of rays change with rotation), some tenths in the mean of 48 and more;
    # that rays along rows of voxels count too much or too little, 3 %, is put right in both.
    # Pixels of 0.25 for 0.33 µm: a variance of 0.004 µm² beside the beam's 0.18, 2 % of a blur, and
    # as much again where voxels at a surface are told apart differently.
    full, quick = predict(experiment, n_voxels=400), many_scans(experiment).errors(experiment.scan)
    expected = full.typical_A
    assert quick.noise_A == pytest.approx(expected["noise"], rel=0.012)
    assert quick.streaks_A == pytest.approx(expected["streaks"], rel=0.05)
    assert quick.blur_A == pytest.approx(expected["blur"], rel=0.10)
    assert quick.parallax_A == pytest.approx(expected["parallax"], rel=0.10)
    assert quick.truncation_A == pytest.approx(expected["truncation"], rel=0.10)
    assert quick.total_A == pytest.approx(expected["total"], rel=0.06)


def test_what_is_beyond_the_view_adds_what_the_full_prediction_has():
    # Truth: the same sum, field by field and at the scan's own step. The image is as fine.
    experiment = wide()
    sample, scan = experiment.build_sample(), experiment.scan
    given = {"beam": experiment.beam, "effects": experiment.effects}
    outside = outside_of(sample, scan=scan, recipe=experiment.recipe, **given)
    scene_voxels = voxels_of(many_scans(experiment).scene, scan, region="interior", most=60)
    found = beyond(
        whole_of(sample, **given), scene_voxels, scan=scan, filter_name="ramp", padding="edge"
    )
    place = {"x_um": scene_voxels.x_um, "y_um": scene_voxels.y_um}
    expected = outside.added(outside.amount, **place)
    assert found.amount.sum(axis=1) == pytest.approx(expected, abs=0.05 * np.abs(expected).max())
    moment = outside.added(outside.amount * outside.a_A, **place)
    assert found.amount @ found.a_A == pytest.approx(moment, abs=0.05 * np.abs(moment).max())


def test_a_finer_coarse_scan_leaves_less():
    # Limit: steps as fine as the image's pixels (1 µm), with angles enough, leave what pixels hold
    # above a quarter of their own frequency, which D, smooth, hardly passes; steps as wide as
    # half the sample leave more. Two steps off the rim, over which what is taken off reaches.
    experiment = wide()
    whole = whole_of(experiment.build_sample(), beam=experiment.beam, effects=experiment.effects)
    voxels = voxels_of(many_scans(experiment).scene, experiment.scan, region="interior", most=60)
    inner = np.hypot(voxels.x_um, voxels.y_um) < 8.0
    given = {"scan": experiment.scan, "filter_name": "ramp", "padding": "zero"}
    alone = beyond(whole, voxels, **given).amount.sum(axis=1)

    def left(step_um):
        coarse = Scan(n_offsets=2 * round(32 / step_um) + 1, step_um=step_um, n_angles=200)
        found = beyond(whole, voxels, coarse=coarse, **given)
        return np.abs(found.amount.sum(axis=1))[inner].max() / np.abs(alone).max()

    assert max(left(1.0), left(4.0)) < 0.05
    assert left(16.0) > 2.0 * max(left(1.0), left(4.0))


def test_what_a_coarse_scan_leaves_is_what_the_recipe_leaves():
    # Truth: the chain without noise and parallax, less what it errs where all is in view. Voxels a
    # step and more off the rim: streaks differ in both, some 0.05 of 0.4 mÅ. At the rim the ring
    # that is taken off eats up to half of a voxel: 4 mÅ and more instead of 1.
    experiment = wide()
    quiet = experiment.effects.model_copy(update={"noise": False, "parallax": False})
    coarse = Scan(n_offsets=11, step_um=8.0, n_angles=20)
    cut = experiment.recipe.truncation.model_copy(update={"method": "coarse"})
    recipe = experiment.recipe.model_copy(update={"truncation": cut})
    experiment = experiment.model_copy(update={"effects": quiet})

    def errors(**changes):
        simulated = simulate(experiment.model_copy(update=changes))
        maps = recover(simulated.raw, others=simulated.others)
        return 1e3 * (maps.a_A - simulated.truth.a_A)

    having = errors(scans={"coarse": coarse}, recipe=recipe)
    in_view = errors(scan=experiment.scan.model_copy(update={"n_offsets": 65}))[22:43, 22:43]
    found = many_scans(experiment)
    sight = _sight_of(found, 21, 1.0, _means(recipe, coarse))
    ix, iy = (np.round(place + 10.0).astype(int) for place in (sight.x_um, sight.y_um))
    measured, predicted = (having - in_view)[iy, ix], 1e3 * sight.truncation_A
    known = np.isfinite(measured)
    inner, rim = known & (sight.radius_um < 9.5), known & (sight.radius_um >= 9.5)
    assert _rms((predicted - measured)[inner]) < 0.25 * _rms(measured[inner])
    assert _rms(predicted[rim]) == pytest.approx(_rms(measured[rim]), rel=0.35)
    assert _rms(measured[rim]) > 3.0 * _rms(measured[inner])


def test_mixtures_hold_the_material_of_the_sample():
    # Law: bins share material linearly, so amount and first moment are those of the pixels; far
    # inside a particle the amount is the particle's own: the point spread sums to one.
    scene = many().scene
    voxels = voxels_of(scene, small().scan, region="eroded", most=30)
    spread = spread_of(scene, voxels, transfer=Transfer(((1.0, 1.0),), step_um=1.0))
    shown = spread.mixture(scene, bins_of(scene.a_A, spacing_A=1e-3))
    assert shown.amount.sum(axis=1) == pytest.approx(spread.of(scene.amount))
    assert shown.amount @ shown.a_A == pytest.approx(spread.of(scene.amount * scene.a_A))
    assert spread.weight.sum(axis=(1, 2)) == pytest.approx(1.0)


def test_the_point_spread_of_a_wide_beam_is_its_gaussian():
    # Limit: of a beam of ten steps, interpolation adds h²/6 to σ² = 1.62 h² · 11: 1 %.
    wide_beam = Transfer(((1.0, 3.0),), step_um=0.3)
    variance = (3.0 / FWHM_PER_SIGMA) ** 2 + 0.3**2 / 6.0
    radius = np.array([0.0, 1.0, 2.5])
    gaussian = np.exp(-0.5 * radius**2 / variance) / (2.0 * np.pi * variance)
    found = point_spread(radius, transfer=wide_beam)
    assert found == pytest.approx(gaussian, abs=0.01 * gaussian[0])
    assert resolution_um(wide_beam) == pytest.approx(FWHM_PER_SIGMA * variance**0.5, rel=5e-3)


def test_resolution_of_a_thin_beam_is_the_interpolation():
    # Limit: without a beam edges are those of the interpolating triangle and the band limit, which
    # lies between one step (the triangle) and one and a half.
    assert 1.0 < resolution_um(Transfer((), step_um=1.0)) < 1.5
    assert resolution_um(Transfer((), step_um=2.0)) == pytest.approx(
        2.0 * resolution_um(Transfer((), step_um=1.0)), rel=1e-6
    )


def test_trimming_that_leaves_nothing_is_refused_in_words():
    # Closed form: a pixel of λ counts is empty with e^(−λ); 5 % are left out above λ = 0.0513.
    trimmed = small().recipe.integration.model_copy(update={"method": "trimmed_5_5"})
    recipe = small().recipe.model_copy(update={"integration": trimmed})
    experiment = small(recipe=recipe)
    found = many_scans(experiment)
    per_pixel = found.table.counts_per_s / np.maximum(pixels_of(found.optics), 1e-9)
    shares = found.table.counts_per_s / found.table.counts_per_s.sum()

    def lost(exposure_s):
        return shares[per_pixel * exposure_s <= -np.log(0.95)].sum()

    exposures = np.geomspace(1e-4, 100.0, 30)
    dark = exposures[[lost(t) > 0.5 for t in exposures]].max()
    bright = exposures[[lost(t) < 0.5 for t in exposures]].min()
    scan = experiment.scan
    with pytest.raises(InputError, match="keeps nothing, since fewer have counted: expose longer"):
        found.errors(scan.model_copy(update={"exposure_s": float(dark)}))
    assert found.errors(scan.model_copy(update={"exposure_s": float(bright)})).total_A > 0.0
    with pytest.raises(InputError, match="keeps nothing"):
        predict(small(recipe=recipe, scan=scan.model_copy(update={"exposure_s": 1e-5})))


# What is recommended


def made_up(time_s, error_A, *, place=(0,), dose=1.0):
    """A scan that is not predicted but stated."""
    errors = Errors(
        noise_A=error_A, grains_A=0.0, streaks_A=0.0, blur_A=0.0, parallax_A=0.0, truncation_A=0.0,
        bias_A=0.0, bias_rms_A=0.0, total_A=error_A, weight_fraction=None, resolution_um=1.0,
        n_voxels=9,
    )  # fmt: skip
    scan = small().scan
    point = Point(place, {"scan.n_angles": place[0]}, 0, scan, small().recipe, ())
    return Row(point, time_s, dose, 1.0, errors)


def test_the_cheapest_that_meets_everything_is_recommended():
    # By hand: 20 s misses the target, 30 s the dose; of 40 and 50 s the first.
    rows = [
        made_up(50, 1e-4), made_up(20, 4e-4), made_up(30, 2e-4, dose=9.0), made_up(40, 2e-4),
    ]  # fmt: skip
    wish = Wish({"lattice_A": 3e-4}, {"dose": 5.0})
    found = chosen(rows, wish)
    assert found.met
    assert found.pick is rows[3]
    # By hand: each further scan of the front errs less than all cheaper ones.
    assert [row.beam_time_s for row in front(rows)] == [20, 30, 50]


def test_the_list_of_the_front_keeps_its_ends_and_the_pick():
    # Definition: of 61 scans of the front 25 are told, evenly spread: at most ⌈60/24⌉ apart, and
    # one more where the pick has taken a neighbour's place.
    best = [made_up(i, 1e-3 / (i + 1)) for i in range(61)]
    for picked in range(61):
        told = shown_front(best, best[picked])
        places = [best.index(row) for row in told]
        assert len(told) == 25
        assert (places[0], places[-1]) == (0, 60)
        assert picked in places
        assert max(np.diff(places)) <= 4
        assert min(np.diff(places)) > 0
    beside = made_up(30.5, 1.0)  # dearer than others of its error, because of a limit
    told = shown_front(best, beside)
    assert beside in told
    assert [row.beam_time_s for row in told] == sorted(row.beam_time_s for row in told)
    assert shown_front(best[:9], best[4]) == best[:9]
    assert shown_front([], None) == []


def test_a_plan_that_cannot_be_met_says_what_fails_and_by_how_much():
    rows = [made_up(20, 6e-4, place=(0,)), made_up(90, 2e-4, place=(1,))]
    grid = replace(grid_of(small(), all_varied(["scan.n_angles=48,96"])))
    wish = Wish({"lattice_A": 3e-4}, {"beam time": 60.0})
    found = chosen(rows, wish)
    assert (found.met, found.within) == (False, True)
    text = " ".join(sentences(found, grid, rows, wish))
    assert "not met within the limits" in text
    assert "0.300 mÅ, by a factor of 2.0" in text
    assert "limit of beam time, 1.0 min, with 1.5 min (1.5 times as much)" in text
    out = chosen(rows[:1], Wish({"lattice_A": 3e-4}, {"beam time": 10.0}))
    assert not out.within
    text = " ".join(sentences(out, grid, rows, Wish({"lattice_A": 3e-4}, {"beam time": 10.0})))
    assert "No scan of the range keeps within the limits" in text
    assert "with 20.00 s (2.0 times as much)" in text
    assert "whatever it costs" in text


def test_what_trimming_adds_is_told_beside_the_number(tmp_path):
    integration = small().recipe.integration.model_copy(update={"method": "trimmed_5_5"})
    recipe = small().recipe.model_copy(update={"integration": integration})
    keys = all_varied(["scan.exposure_s=10,20"])
    wish = Wish({"lattice_A": 1.0})
    for experiment, told in ((small(recipe=recipe), ["trimming"]), (small(), [])):
        found = plan(experiment, keys, wish)
        assert [row["unpredicted"] for row in entry(found)["scans"]] == [told, told]
        files = PlanFiles.within(tmp_path)
        write_plan(found, files)
        assert (" + trimming</td>" in files.html.read_text()) == bool(told)
        assert ("mÅ besides that of trimming" in terminal(found)[0]) == bool(told)


def test_amounts_have_their_units():
    assert amount("lattice_A", 3e-4) == "0.300 mÅ"
    assert amount("weight_fraction", 0.005) == "0.5 wt %"
    assert amount("data", 2.5e6) == "2.5 TB"
    assert amount("dose", 0.2) == "0.2 MGy"


def test_neighbours_are_nearest_first_and_take_axes_by_turns():
    grid = grid_of(small(), all_varied(["scan.step_um=0.5,1,2", "scan.n_angles=30,48,70"]))
    middle = grid.points[4]
    near = neighbours(middle, grid)
    assert len(near) == 8
    assert {near[0].place, near[1].place} == {(2, 1), (1, 2)}
    assert {point.place for point in near[:4]} == {(2, 1), (1, 2), (0, 1), (1, 0)}


# All of it


def test_a_plan_is_written_whole(tmp_path):
    keys = ["scan.step_um=0.8,1,1.5", "scan.n_angles=24:96", "scan.angle_range_deg=180,360"]
    found = plan(small(), all_varied(keys), Wish({"lattice_A": 1e-3}, {"beam time": 60.0}))
    files = PlanFiles.within(tmp_path)
    write_plan(found, files)
    told = json.loads(files.json.read_text())
    assert told == json.loads(json.dumps(entry(found)))
    pick = told["scans"][told["pick"]]
    times = [
        s["beam_time_s"] for s in told["scans"]
        if s["errors"]["total_A"] <= 1e-3 and s["beam_time_s"] <= 60.0
    ]  # fmt: skip
    assert pick["beam_time_s"] == min(times)
    picked = load_experiment(files.toml)
    assert picked.scan == found.choice.pick.point.scan
    assert picked.sample == small().sample
    page = files.html.read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "data:image/png;base64," in page
    text = "\n".join(terminal(found))
    for words in ("Recommended", "ruled by", "Finer steps or more angles?", "180° or 360°?"):
        assert words in text
        assert words in page


def command(*arguments):
    """Run the command line in this process and return its exit code."""
    import sys

    before, sys.argv = sys.argv, ["xrdct-twin", "plan", *map(str, arguments)]
    try:
        main()
    except SystemExit as left:
        return left.code or 0
    finally:
        sys.argv = before
    return 0


@lru_cache(maxsize=1)
def told_once():
    return experiment_toml(small())


@pytest.fixture
def experiment_file(tmp_path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(told_once())
    return path


def test_a_target_out_of_reach_is_an_answer(experiment_file, capsys):
    code = command(
        experiment_file, "--vary", "scan.n_angles=24,48", "--target", "lattice_A=1e-9", "--quiet"
    )
    assert code == 0
    code = command(experiment_file, "--vary", "scan.n_angles=24,48", "--target", "lattice_A=1e-9")
    assert code == 0
    assert "The target is not met by any scan of the range" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--vary", "scan.x=1,2", "--target", "lattice_A=1e-3"), "unknown key scan.x"),
        (("--vary", "scan.n_angles=24,48"), "a plan needs a --target"),
        (("--target", "lattice_A=1e-3"), "nothing is varied"),
        (
            ("--vary", "scan.n_angles=24,48", "--target", "lattice_A=1", "--max-time", "3"),
            "--max-time takes a number and its unit",
        ),
        (
            ("--vary", "scan.n_angles=24,48", "--target", "lattice_A=1", "--verify", "2"),
            "name one with -o",
        ),
        (
            ("--vary", "scan.n_angles=24,48", "--target", "weight_fraction=0.01"),
            "needs recipe.fixed_phases",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(experiment_file, capsys, arguments, told):
    assert command(experiment_file, *arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("error:") == 1


@pytest.mark.slow
def test_predictions_are_verified_by_simulation(experiment_file, tmp_path, capsys):
    # Truth: the simulator. About 60 voxels, as good as 30 for their noise: a ratio of RMS scatters
    # by 1/√60, 0.13; five and a half of that beside 25 % of bias would be 0.75, so factors of two.
    code = command(
        experiment_file, "--vary", "scan.n_angles=48,96", "--target", "lattice_A=0.002",
        "--verify", "2", "--workers", "1", "-o", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    told = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert len(told["verified"]) == 2
    for each in told["verified"]:
        assert 0.5 < each["predicted_rms_A"] / each["simulated_rms_A"] < 2.0
    assert "predicted/simulated" in capsys.readouterr().out
