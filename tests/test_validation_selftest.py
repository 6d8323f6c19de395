"""The self-test passes our own chain, and catches and names every planted mistake.

Fast tests make evidence of maps that are the truth with a mistake and known noise, so that what a
check has to say is known in closed form. The slow ones run whole pipelines in their sandbox.
"""

import json
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from typer.testing import CliRunner

from inverse.maps import Maps
from inverse.projector import project
from inverse.reconstruct import filtered_back_projection
from inverse.refine import Status
from validation.cli import app
from validation.pipelines.sources import read_pipeline
from validation.planted import PLANTED
from validation.properties import subjects
from validation.selftest.amounts import polarisation_verdict, trim_verdict
from validation.selftest.cases import CASES, above, ball, beside, faint, trio
from validation.selftest.evidence import Evidence
from validation.selftest.lattices import lattice_verdicts
from validation.selftest.places import TURNS, place_verdicts
from validation.selftest.run import OWN, Bench, self_test
from validation.selftest.verdict import MISTAKES
from validation.truth import truth_on_grid
from xrdct.errors import InputError

ESD_A, ESD_AMOUNT = 1e-3, 0.01


@lru_cache(maxsize=8)
def known(make):
    """An experiment with its truth, nothing simulated."""
    experiment = make(1)
    return experiment, truth_on_grid(
        experiment.build_sample(), scan=experiment.scan, beam_height_um=0.0, workers=1
    )


def evidence(make, *, amount=None, a_A=None, scale=1.0, noise=1.0, maps=None, **changes):
    """Maps that are the truth, with Gaussian noise of what they state."""
    experiment, truth = known(make)
    rng = np.random.default_rng(3)
    shape = truth.a_A.shape
    amount = np.nan_to_num(truth.volume_fraction) if amount is None else amount
    lattice = truth.a_A if a_A is None else a_A
    amount = scale * amount + noise * rng.normal(0.0, ESD_AMOUNT, shape)
    lattice = lattice + noise * rng.normal(0.0, ESD_A, shape)
    found = Maps(
        phase="LiMn2O4", scan=experiment.scan, a_A=lattice,
        a_esd_noise_A=np.full(shape, ESD_A), a_esd_total_A=np.full(shape, 2.0 * ESD_A),
        volume_fraction=amount, volume_fraction_esd_noise=np.full(shape, ESD_AMOUNT),
        volume_fraction_esd_total=np.full(shape, ESD_AMOUNT), chi2_reduced=np.ones(shape),
        status=np.where(np.isfinite(lattice), Status.CONVERGED, Status.NO_MATERIAL).astype(float),
        example=None, recipe=experiment.recipe,
    )  # fmt: skip
    steps = np.arange(experiment.scan.n_angles * experiment.scan.n_offsets, dtype=float)
    decay = np.exp(-steps / steps.size).reshape(experiment.scan.n_angles, -1)
    return Evidence(experiment, truth, 1e9 * decay, maps=replace(found, **changes))


def by_check(verdicts):
    return {verdict.check: verdict for verdict in verdicts}


def image_of(make, *, axis_px=0.0, weight=None):
    """The true amounts, projected along the rays and back, with a mistake in between."""
    experiment, truth = known(make)
    scan = experiment.scan
    lines = project(
        np.nan_to_num(truth.volume_fraction)[:, :, None], angles_rad=scan.angles_rad,
        n_offsets=scan.n_offsets, step_um=scan.step_um, workers=1,
    )  # fmt: skip
    if weight is not None:
        lines = lines * weight[:, :, None].astype(np.float32)
    return np.nan_to_num(filtered_back_projection(
        lines, angles_rad=scan.angles_rad, step_um=scan.step_um, workers=1, axis_offset_um=axis_px,
    ).values[:, :, 0])  # fmt: skip


def test_true_maps_pass_every_check_of_places():
    found = by_check(place_verdicts(evidence(trio, amount=image_of(trio))))
    assert [v.status for v in found.values()] == ["passed"] * 3
    assert all(v.false_alarm == 1e-7 for v in found.values())


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_told_and_spoils_no_other_check(name):
    # Truth: the maps were turned by numpy.
    turn = TURNS[name].done
    one = evidence(trio, amount=turn(image_of(trio)), a_A=turn(known(trio)[1].a_A))
    found = by_check(place_verdicts(one))
    assert found["orientation"].named == TURNS[name].named
    assert found["rotation axis"].status == found["monitor"].status == "passed"


def test_the_wrong_sense_of_rotation_is_the_mirror_along_y():
    # Law: t = x cos ω + y sin ω, so that −ω is −y.
    experiment, truth = known(trio)
    scan = experiment.scan
    lines = project(
        np.nan_to_num(truth.volume_fraction)[:, :, None], angles_rad=-scan.angles_rad,
        n_offsets=scan.n_offsets, step_um=1.0,
    )  # fmt: skip
    wrong = filtered_back_projection(lines, angles_rad=scan.angles_rad, step_um=1.0).values[..., 0]
    found = by_check(place_verdicts(evidence(trio, amount=np.nan_to_num(wrong))))
    assert found["orientation"].named == "rotation_sign"


@pytest.mark.parametrize("axis_px", [-0.5, 0.5])
def test_half_a_pixel_of_the_axis_is_measured(axis_px):
    # Truth: the place where it was planted. Tolerance: the esd it states is 0.02 to 0.03 pixels.
    found = by_check(place_verdicts(evidence(trio, amount=image_of(trio, axis_px=axis_px))))
    assert found["orientation"].status == "passed"
    assert found["rotation axis"].named == "axis"
    measured = float(found["rotation axis"].sentence.split("found ")[1].split(" ±")[0])
    assert measured == pytest.approx(axis_px, abs=0.1)


def test_shifted_maps_are_not_taken_for_an_axis():
    # Truth: moved by numpy by one voxel along x, which no axis does over a half turn.
    moved = np.roll(image_of(trio), 1, axis=1)
    found = by_check(place_verdicts(evidence(trio, amount=moved)))
    assert found["rotation axis"].named == "shifted"
    assert "(+1.0" in found["rotation axis"].sentence


def test_maps_without_amounts_are_placed_by_where_they_have_a_lattice_parameter():
    truth = known(trio)[1]
    material = np.where(np.nan_to_num(truth.volume_fraction) > 0.4, truth.a_A, np.nan)
    nothing = np.full((26, 26), np.nan)
    found = by_check(place_verdicts(evidence(trio, a_A=material, volume_fraction=nothing)))
    assert found["orientation"].status == "passed"
    assert found["rotation axis"].status != "failed"  # whole voxels say little of half of one
    assert found["monitor"].status == "not asked"


def test_rays_that_are_not_normalised_are_told():
    good = evidence(trio)
    weight = good.monitor / good.monitor.mean()
    found = by_check(place_verdicts(evidence(trio, amount=image_of(trio, weight=weight))))
    assert found["monitor"].named == "monitor"
    assert found["orientation"].status == "passed"


def test_noise_that_hides_the_answer_is_said():
    found = by_check(place_verdicts(evidence(trio, noise=200.0)))
    assert found["monitor"].status == "not asked"
    assert "too noisy" in found["monitor"].line()


@pytest.mark.parametrize(
    ("factor", "named"),
    [(1.0, ""), (np.sqrt(0.5), "esd_small"), (np.sqrt(2.0), "esd_large")],
)
def test_uncertainties_wrong_by_the_root_of_two_are_named(factor, named):
    # Truth: Gaussian errors of known width. 448 voxels: the band of χ² is 0.83 to 1.18.
    one = evidence(ball, a_esd_noise_A=np.full((84, 84), factor * ESD_A))
    found = by_check(lattice_verdicts(one, evidence(trio)))
    assert found["uncertainties"].named == named
    assert found["lattice parameters"].status == "passed"


def test_one_uncertainty_for_everything_may_be_larger():
    esd_A = np.full((84, 84), 3.0 * ESD_A)
    one = evidence(ball, a_esd_noise_A=esd_A, a_esd_total_A=esd_A)
    found = by_check(lattice_verdicts(one, evidence(trio)))
    assert found["uncertainties"].status == "passed"


def test_a_relative_error_of_one_in_ten_thousand_is_measured():
    # Truth: planted. Tolerance: five times 1 mÅ/√448/8.2 Å = 0.006e-4.
    one = evidence(ball, a_A=known(ball)[1].a_A * (1.0 + 1e-4))
    same = evidence(trio, a_A=known(trio)[1].a_A * (1.0 + 1e-4), noise=0.1)
    lattice = by_check(lattice_verdicts(one, same))["lattice parameters"]
    assert lattice.named == "lattice_scale"
    another = by_check(lattice_verdicts(one, evidence(trio, noise=0.1)))["lattice parameters"]
    assert (another.status, another.named) == ("failed", "")
    assert float(lattice.sentence.split("(")[1].split(" ±")[0]) == pytest.approx(1.0, abs=0.03)


def test_degrees_are_told_of_maps_that_were_refused():
    # Truth: a = λ√16/(2 sin θ) with θ smaller by π/180, 20 keV or any other.
    a_A = subjects.uniform_lattice_A(0.9)
    refused = f"a_A has a median of {a_A * 180.0 / np.pi:.4g} Å, but the lattice parameter of …"
    one = replace(evidence(ball), maps=None, reason=refused)
    found = by_check(lattice_verdicts(one, evidence(trio)))
    assert found["lattice parameters"].named == "degrees"
    other = replace(one, reason="a_A has a median of 815, which is a lattice parameter in pm")
    assert by_check(lattice_verdicts(other, evidence(trio)))["lattice parameters"].named == ""


def test_amounts_do_not_depend_on_the_detector_but_where_polarisation_is_forgotten():
    right = polarisation_verdict(evidence(beside, noise=0.1), evidence(above, noise=0.1, scale=1.0))
    assert right.status == "passed"
    # Truth: cos²2θ of the range, 6 to 26°, lies between 0.81 and 0.99.
    wrong = polarisation_verdict(
        evidence(beside, noise=0.1, scale=0.93), evidence(above, noise=0.1)
    )
    assert wrong.named == "polarisation"
    twice = polarisation_verdict(
        evidence(beside, noise=0.1, scale=1 / 0.93), evidence(above, noise=0.1)
    )
    assert twice.named == "polarisation_twice"
    other = polarisation_verdict(evidence(beside, noise=0.1, scale=0.5), evidence(above, noise=0.1))
    assert (other.status, other.named) == ("failed", "")


@pytest.mark.parametrize(
    ("scale", "named"), [(0.84, ""), (1.0, ""), (1.11, "trim"), (1.0 / 30.0, "monitor")]
)
def test_leaving_out_the_brightest_cannot_raise_amounts(scale, named):
    verdict = trim_verdict(evidence(faint, noise=0.03, scale=scale), evidence(beside, noise=0.1))
    assert verdict.named == named
    assert (verdict.status == "failed") == bool(named)


def test_what_a_pipeline_does_not_give_is_not_asked():
    none = replace(evidence(beside), maps=None)
    assert polarisation_verdict(none, evidence(above)).status == "not asked"
    bare = evidence(above, volume_fraction=np.full((12, 12), np.nan))
    assert "no amounts" in polarisation_verdict(evidence(beside), bare).sentence
    patterns = replace(none, experiment=subjects.changed(none.experiment, mode="patterns"))
    assert trim_verdict(patterns, none).status == "not asked"


def test_every_planted_mistake_has_a_name_and_cases():
    assert set(PLANTED) <= set(MISTAKES)
    assert {name for _, names in PLANTED.values() for name in names} <= {c.name for c in CASES}


def test_cases_are_experiments_that_can_be_simulated():
    for case in CASES:
        for mode in ("both", "patterns"):
            case.experiment(0, mode=mode).check()


def test_a_crash_is_told_with_its_reason(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def recover(scan):\n    raise ValueError('no such thing')\n")
    found = self_test(read_pipeline(f"{file}:recover"), Bench(tmp_path / "b"), only=["trio"])
    assert found[0].status == "failed"
    assert "no such thing" in found[0].sentence
    assert {v.status for v in found[1:]} == {"not asked"}


def test_a_step_of_integration_needs_frames(tmp_path):
    step = read_pipeline("integrate=lab.chain:mean")
    with pytest.raises(InputError, match="integrates frames"):
        self_test(step, Bench(tmp_path, mode="patterns"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--planted", "nothing"], "--planted is all, or one of rotation_sign"),
        (["--planted", "axis", "a:b"], "name no pipeline with it"),
        (["--planted", "trim", "--quick"], "shows in frames only"),
        (["nonsense"], "a pipeline is module:function"),
        (["--time-limit", "long"], "--time-limit is a time"),
    ],
)
def test_wrong_arguments_are_told(arguments, told):
    result = CliRunner().invoke(app, ["selftest", *arguments])
    assert isinstance(result.exception, InputError)
    assert told in str(result.exception)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "validation.cli", "selftest", *arguments], capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "31"])
def test_our_own_chain_passes(tmp_path, seed):
    file = tmp_path / "verdicts.json"
    done = run("--seed", seed, "-o", str(file))
    assert done.returncode == 0, done.stdout
    written = json.loads(file.read_text())
    assert written["passed"]
    statuses = {v["check"]: v["status"] for v in written["pipelines"]["own"]}
    assert len(statuses) == 8
    assert set(statuses.values()) == {"passed"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--mode", "patterns"]])
def test_every_planted_mistake_is_caught_and_named(options):
    done = run("--planted", "all", *options)
    assert done.returncode == 0, done.stdout
    told = done.stdout.splitlines()
    assert len(told) == len(PLANTED) - bool(options)
    assert all("caught and named" in line for line in told)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["axis", "esd_small", "monitor"])
def test_a_planted_mistake_fails_its_own_check_only(name, tmp_path):
    pipeline = read_pipeline(f"{name}=validation.planted:{name}")
    found = self_test(pipeline, Bench(tmp_path), quick=True)
    failed = [v.named for v in found if v.status == "failed"]
    assert failed == [name]


@pytest.mark.slow
def test_a_pipeline_that_fails_ends_with_one(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def recover(scan):\n    raise ValueError('no such thing')\n")
    done = run(f"{file}:recover", "--quick")
    assert done.returncode == 1
    assert OWN.label not in done.stdout.splitlines()[-1]
