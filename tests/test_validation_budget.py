"""The error budget: factors that combine, differences that are paired, nothing done twice."""

import os
import signal
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from phantoms.library import Electrode
from validation.batch.disc import within_disc
from validation.batch.processes import Processes
from validation.batch.scan import outcomes_of
from validation.batch.store import Store, outcomes_folder
from validation.batch.work import Outcome
from validation.budget.budget import budget, question
from validation.budget.cases import BARE, FULL, alone, left, off, one_by_one, work
from validation.budget.collect import factors_of
from validation.budget.evaluate import by_harm, evaluated
from validation.budget.factors import Factors, with_only, without
from validation.budget.paired import Scores, estimate
from validation.budget.reduced import N_OFFSETS, reduced
from validation.budget.report import BudgetFiles, write_budget
from validation.budget.words import is_clear, terminal_table
from validation.experiment import load_experiment, load_recipe
from xrdct.errors import InputError

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ROI = load_experiment(EXAMPLES / "roi.toml")

SMALL = """
name = "small"
seed = 5
[beam]
flux_per_s = 1e11
[geometry]
n_channels = 300
[scan]
n_offsets = 11
step_um = 1.0
n_angles = 30
angle_range_deg = 360.0
[recipe]
n_background = 6
[effects]
parallax = false
attenuation = false
exit_path = false
diffuse = false
sensor_parallax = false
[[sample.particles]]
centre_um = [0, 0, 0]
diameter_um = 8
x = { core = 0.98, surface = 0.85 }
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


class Here:
    """Does tasks here and now, and counts them."""

    def __init__(self):
        self.n_done = 0

    def run(self, tasks):
        for number, task in enumerate(tasks):
            self.n_done += 1
            yield number, task(1)


def scored(bias_A, rms_A, n=10, error=None):
    """Return the outcome of a recovery with these errors."""
    figures = {"n_voxels": n, "n_not_recovered": 0, "bias_A": bias_A, "rms_A": rms_A}
    metrics = {"lattice": {"LiMn2O4": {"interior": figures, "eroded": figures}}}
    return Outcome("0", {} if error else metrics, error)


@pytest.mark.parametrize("name", ["roi", "frames", "particle"])
def test_factors_can_be_switched_off_in_any_order(name):
    # Law: they touch different things.
    experiment = reduced(load_experiment(EXAMPLES / f"{name}.toml")).experiment
    harms = factors_of(experiment).harms
    there, back = without(experiment, harms), without(experiment, harms[::-1])
    assert there.config_json() == back.config_json()
    for one, other in permutations(harms, 2):
        both = other.off(one.off(experiment)).config_json()
        assert both == one.off(other.off(experiment)).config_json()
        assert both != one.off(experiment).config_json(), (one.key, other.key)


@pytest.mark.parametrize("recipe", ["paper", "best", "rietveld"])
def test_steps_go_back_to_their_defaults_and_stay_valid(recipe):
    given = load_recipe(EXAMPLES / "recipes" / f"{recipe}.toml")
    asked = question(ROI, recipe=given)
    experiment, steps = asked.answered.experiment, asked.factors.steps
    assert steps
    for step in steps:
        assert step.off(experiment).recipe != experiment.recipe
    left_over = without(experiment, steps).recipe.model_dump()
    kept = {"phase", "calibration", "regions", "rietveld", "min_volume_fraction", "integration"}
    default = type(given)().model_dump()
    assert {k: v for k, v in left_over.items() if k not in kept} == {
        k: v for k, v in default.items() if k not in kept
    }


def test_what_has_no_strength_is_skipped_with_a_word():
    # Truth: what the example's file holds.
    particle = factors_of(load_experiment(EXAMPLES / "particle.toml"))
    keys = {factor.key for factor in (*particle.harms, *particle.steps)}
    assert {"effects.noise", "effects.parallax", "unknowns", "recipe.fixed_phases"} <= keys
    assert not keys & {"effects.cell", "effects.grains", "effects.dead_time", "scan.n_angles"}
    reasons = {each.name: each.reason for each in particle.skipped}
    assert reasons["the cell around the sample"] == "no cell"
    assert all(reasons.values())
    frames = factors_of(load_experiment(EXAMPLES / "frames.toml"))
    assert {"effects.dead_time", "effects.zingers", "effects.operando"} <= {
        factor.key for factor in frames.harms
    }


def test_photons_are_not_blamed_for_crystallites():
    # Law: 100 times the flux leaves the crystallites that reflect as they were drawn, while
    # effects.noise = false lets as many reflect as on average.
    harms = {factor.key: factor for factor in factors_of(ROI).harms}
    assert "effects.noise" not in harms
    brighter = harms["beam.flux_per_s"].off(ROI)
    assert brighter.effects == ROI.effects
    assert brighter.beam.flux_per_s == 100.0 * ROI.beam.flux_per_s
    smooth = harms["effects.grains"].off(ROI)
    assert "effects.noise" in {factor.key for factor in factors_of(smooth).harms}


def test_the_scan_without_its_shortcomings_is_one_without_them():
    # Truth: π/2 · D / step angles over a half turn; the whole width in view; voxels in place.
    experiment = reduced(ROI).experiment
    bare = without(experiment, factors_of(experiment).harms)
    diameter_um = experiment.sample.diameter_um
    assert bare.scan.width_um > diameter_um
    assert (bare.scan.n_offsets - experiment.scan.n_offsets) % 2 == 0
    assert bare.scan.angle_range_deg == 360.0
    needed = np.pi / 2.0 * diameter_um / bare.scan.step_um
    assert bare.scan.n_angles == 2 * min(np.ceil(needed), 4 * experiment.scan.n_angles)
    assert not any(bare.recipe.integration.left_out)
    assert bare.unknowns.tail_fraction == experiment.unknowns.tail_fraction
    assert bare.unknowns.b_iso_factor == (1.0, 1.0)


def test_a_smaller_experiment_is_truncated_and_undersampled_alike():
    # Law: share in view, and N step / D, to the rounding of whole numbers.
    smaller = reduced(ROI)
    assert smaller.experiment.scan.n_offsets == N_OFFSETS
    assert "electrode of 214" in smaller.told()
    for name, large in ROI.all_scans().items():
        small = smaller.experiment.all_scans()[name]
        ratio = smaller.experiment.sample.diameter_um / ROI.sample.diameter_um
        rounding = 0.5 / small.n_offsets + 0.5 / small.n_angles
        assert small.width_um / large.width_um == pytest.approx(ratio, rel=rounding)
        assert small.alias_free_diameter_um / large.alias_free_diameter_um == pytest.approx(
            ratio, rel=rounding
        )
    assert smaller.experiment.scan.step_um == ROI.scan.step_um
    hours = [e.scan.beam_time_s * e.flux.decay_per_h for e in (ROI, smaller.experiment)]
    assert hours[1] == pytest.approx(hours[0], rel=1e-12)


def test_what_trimming_takes_of_spotty_rings_is_said_not_to_be_alike():
    # Law: rays of a smaller sample meet fewer crystallites; nothing is trimmed by a mean, and many
    # crystallites make no spots.
    assert "Trimming costs less at the real size" in reduced(ROI).told()
    recipe = ROI.recipe
    plain = recipe.integration.model_copy(update={"method": "mean"})
    averaged = ROI.model_copy(update={"recipe": recipe.model_copy(update={"integration": plain})})
    many = ROI.model_copy(update={"effects": ROI.effects.model_copy(update={"grains": False})})
    for experiment in (averaged, many):
        assert "Trimming costs less" not in reduced(experiment).told()


def test_what_is_small_is_answered_as_it_is():
    particle = load_experiment(EXAMPLES / "particle.toml")
    assert reduced(particle).experiment is particle
    assert reduced(particle).told() == ""
    dense = ROI.model_copy(update={"sample": Electrode(diameter_um=90.0)})
    assert reduced(dense).experiment is dense  # five of its largest particles across at least
    assert question(ROI, full=True).answered.experiment.scan == ROI.scan


def test_standard_errors_are_those_of_a_mean():
    # Closed form: s/√n.
    values = [1.0, 2.0, 4.0]
    found = estimate(values)
    assert found.mean == pytest.approx(7.0 / 3.0, rel=1e-14)
    assert found.se == pytest.approx(np.std(values, ddof=1) / np.sqrt(3.0), rel=1e-14)
    assert estimate([1.0]).se is None
    assert estimate([1.0, None]) is None
    assert estimate([]) is None


def test_chance_is_told_by_students_t():
    # Published: t(0.975) = 4.3027 with two degrees of freedom.
    def factor(mean):
        return {"off": {"interior": {"mse_A2": {"mean": mean, "se": 1.0}}}}

    assert not is_clear(factor(4.30), 3)
    assert is_clear(factor(-4.31), 3)


def three_factors():
    """Return two errors that add up and one that matters only beside the first."""
    harms = factors_of(load_experiment(EXAMPLES / "particle.toml")).harms[:3]
    first, second, third = harms
    squares = {first.key: 4.0, second.key: 9.0}

    def mse(keys):
        both = 16.0 if {first.key, third.key} <= set(keys) else 0.0
        return 1.0 + sum(squares.get(key, 0.0) for key in keys) + both

    def scores(keys):
        return Scores(tuple(scored(1e-4, 1e-3 * np.sqrt(mse(keys) + 0.1 * n)) for n in range(3)))

    every = {factor.key for factor in harms}
    found = {FULL: scores(every), BARE: scores(())}
    for factor in harms:
        found[off(factor)] = scores(every - {factor.key})
        found[alone(factor)] = scores({factor.key})
    return harms, found, scores


def test_independent_errors_have_no_interaction_and_dependent_ones_have():
    # Law: mean square errors of independent origin add up.
    harms, scores, case = three_factors()
    ordered = by_harm(harms, scores)
    assert [harms.index(factor) for factor in ordered] == [0, 2, 1]  # 20, 16 and 9
    keys = {factor.key for factor in harms}
    for n in range(1, 4):
        scores[left(n)] = case(keys - {factor.key for factor in ordered[:n]})
    told = evaluated(Factors(harms, (), ()), scores, ordered)
    by_key = {each["key"]: each for each in told["factors"]}
    expected = {0: (20.0, 4.0, 16.0), 1: (9.0, 9.0, 0.0), 2: (16.0, 0.0, 16.0)}
    for number, (whole, lonely, interaction) in expected.items():
        each = by_key[harms[number].key]
        found = [
            1e6 * each["off"]["interior"]["mse_A2"]["mean"],
            1e6 * each["alone"]["interior"]["mse_A2"]["mean"],
            1e6 * each["interaction_A2"]["mean"],
        ]
        assert found == pytest.approx([whole, lonely, interaction], abs=1e-9)
        # Differences of the same seed lack what the seeds have in common.
        assert each["off"]["interior"]["mse_A2"]["se"] == pytest.approx(0.0, abs=1e-15)
    steps = [1e3 * each["interior"]["rms_A"]["mean"] for each in told["waterfall"]]
    assert len(steps) == 3
    assert steps[-1] == 1e3 * told["bare"]["interior"]["rms_A"]["mean"]


def test_refusals_are_told_in_their_place():
    harms, scores, case = three_factors()
    keys = {factor.key for factor in harms}
    scores |= {left(n): case(keys) for n in range(1, 4)}
    scores[off(harms[0])] = Scores((scored(0, 0, error="it cannot be"),) * 3)
    ordered = by_harm(harms, scores)
    assert ordered[-1] is harms[0]
    told = evaluated(Factors(harms, (), ()), scores, ordered)["factors"][-1]
    assert told["refused"] == "it cannot be"
    assert told["off"]["interior"]["mse_A2"] is None


def test_an_effect_alone_keeps_what_it_needs():
    experiment = reduced(ROI).experiment
    cases = one_by_one(experiment, factors_of(experiment))
    lonely = cases["alone:effects.exit_path"].experiment.effects
    rest = cases["needs:effects.attenuation"].experiment.effects
    assert (lonely.attenuation, lonely.exit_path) == (True, True)
    assert (rest.attenuation, rest.exit_path, rest.grains) == (True, False, False)


def test_wider_scans_are_scored_where_the_narrow_one_sees(small):
    # Law: in the same disc lie the same voxels; the sample fills it out.
    experiment = load_experiment(small)
    cases = one_by_one(
        wide := experiment.model_copy(
            update={
                "sample": experiment.sample.model_copy(
                    update={
                        "particles": (
                            experiment.sample.particles[0].model_copy(update={"diameter_um": 15.0}),
                        )
                    }
                )
            }
        ),
        factors_of(wide),
    )
    view_um = cases[FULL].view_um
    assert view_um == 10.0
    counted = []
    for name in (FULL, "off:scan.n_offsets"):
        unit = work(cases[name], 5)
        (outcome,) = outcomes_of(unit.experiment, recipes={"a": None}, view_um=view_um)
        figures = outcome.lattice()
        counted.append(sum(figures[n] for n in ("n_voxels", "n_not_recovered")))
    across = np.arange(-5, 6)
    inside = np.hypot(*np.meshgrid(across, across)) <= 5.0
    assert counted == [inside.sum(), inside.sum()]


def test_regions_are_scored_that_lie_inside_altogether(small):
    from inverse.recover import recover
    from validation.steps import simulate

    simulated = simulate(load_experiment(small))
    maps = recover(simulated.raw)
    table = maps.regions
    kept, _ = within_disc(maps, simulated.truth, diameter_um=4.0)
    place = np.arange(-5, 6)
    outside = np.hypot(*np.meshgrid(place, place)) > 2.0
    expected = [n for n in range(table.shell.size) if not (outside & (table.label == n)).any()]
    assert 0 < len(expected) < table.shell.size
    assert kept.regions.shell.tolist() == table.shell[expected].tolist()
    for new, old in enumerate(expected):
        assert np.array_equal(kept.regions.label == new, table.label == old)


def test_a_budget_is_complete_told_and_not_made_twice(small, tmp_path):
    asked = question(load_experiment(small), n_seeds=2)
    assert [factor.key for factor in asked.factors.harms] == ["effects.noise", "effects.beam_size"]
    store, first, again = Store(outcomes_folder(tmp_path)), Here(), Here()
    found = budget(asked, store=store, workforce=first)
    # Full, bare and two between them: what is alone of two is the other off. Recipes share these.
    assert first.n_done == 4 * 2
    assert budget(asked, store=store, workforce=again) == found
    assert again.n_done == 0
    noise = next(each for each in found["factors"] if each["key"] == "effects.noise")
    beam = next(each for each in found["factors"] if each["key"] == "effects.beam_size")
    # Law: with two factors, each one's interaction is the other's.
    assert noise["interaction_A2"]["mean"] == pytest.approx(beam["interaction_A2"]["mean"])
    assert found["waterfall"][-1]["interior"] == found["bare"]["interior"]
    files = BudgetFiles.within(tmp_path)
    write_budget(found, files)
    page = files.html.read_text(encoding="utf-8")
    assert all(f"{each['name']}</th>" in page for each in found["factors"])
    assert "<script" not in page
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")
    assert files.waterfall.read_bytes().startswith(b"\x89PNG")
    assert any(line.startswith("counting statistics") for line in terminal_table(found))
    with pytest.raises(InputError, match="kind"):
        write_budget({"schema": "other"}, files)


@pytest.mark.slow
def test_processes_give_the_same_budget(small, tmp_path):
    # Law: random numbers belong to the experiment, not to where it is simulated.
    asked = question(load_experiment(small), n_seeds=1)
    here = budget(asked, store=Store(tmp_path / "1"), workforce=Here())
    there = budget(asked, store=Store(tmp_path / "2"), workforce=Processes(2))
    assert here == there


def test_a_budget_that_was_killed_goes_on_where_it_was(small, tmp_path):
    # Law: what is in the store is not done again, and the rest gives what an unbroken run gives.
    folder = tmp_path / "out"
    command = [
        sys.executable, "-m", "validation.cli", "budget", str(small), "-o", str(folder),
        "--seeds", "3", "--workers", "1", "-q",
    ]  # fmt: skip
    started = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 300.0
    while len(list(folder.glob("outcomes/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in folder.glob("outcomes/*.json")}
    assert len(before) >= 2
    assert not BudgetFiles.within(folder).json.exists()
    asked, rest, whole = question(load_experiment(small), n_seeds=3), Here(), Here()
    found = budget(asked, store=Store(outcomes_folder(folder)), workforce=rest)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert budget(asked, store=Store(tmp_path / "whole"), workforce=whole) == found
    assert 0 < rest.n_done < whole.n_done


def test_alone_is_all_others_off():
    # Law: with_only of every key is the experiment itself, of none the bare one.
    experiment = reduced(ROI).experiment
    harms = factors_of(experiment).harms
    keys = {factor.key for factor in harms}
    assert with_only(experiment, harms, keys) is experiment
    assert with_only(experiment, harms, set()) == without(experiment, harms)
