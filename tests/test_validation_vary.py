"""What `--vary` means: lists, ranges, keys there are and keys there are not."""

import pytest

from phantoms.particle import Particle
from validation.batch.vary import (
    Varied,
    all_varied,
    combinations,
    read_varied,
    value_at,
    with_values,
)
from validation.experiment import Experiment, ParticleList
from xrdct.errors import InputError
from xrdct.scan import Scan

BALL = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=8.0)


def experiment(**more):
    given = {
        "sample": ParticleList(particles=(BALL,)),
        "scan": Scan(n_offsets=11, step_um=1.0, n_angles=18),
    }
    return Experiment(**(given | more))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("scan.step_um=0.5,1,2", (0.5, 1, 2)),
        ("scan.step_um=0.5:4:8", (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
        ("scan.step_um=0.1:0.5:5", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("scan.exposure_s=0.001:0.1:3:log", (0.001, 0.01, 0.1)),
        ("recipe.integration.method=mean,trimmed_5_5", ("mean", "trimmed_5_5")),
        ('recipe.integration.method="mean"', ("mean",)),
        ("effects.noise=true,false", (True, False)),
        ("unknowns.distance_ppm=[0, 0],[-200, 200]", ([0, 0], [-200, 200])),
        ("seed = 1", (1,)),
    ],
)
def test_values_are_what_is_written(text, values):
    # Truth: the notation's definition; sums of equal steps and powers of equal factors.
    found = read_varied(text)
    assert found.key == text.partition("=")[0].strip()
    assert found.listed() == values


def test_a_range_without_count_is_for_whoever_chooses_values():
    found = read_varied("scan.n_angles=50:700")
    assert (found.values, found.low, found.high) == (None, 50.0, 700.0)
    assert found.spaced(3) == (50.0, 375.0, 700.0)
    with pytest.raises(InputError, match="how many values"):
        found.listed()
    with pytest.raises(InputError, match="list, not a range"):
        read_varied("scan.n_angles=50,700").spaced(3)
    assert read_varied("scan.n_angles=1:100:log").spaced(3) == (1.0, 10.0, 100.0)


@pytest.mark.parametrize(
    "text",
    [
        "scan.step_um", "=1", "scan.step_um=", "scan step=1", "scan..step_um=1",
        "scan.step_um=1,,2",
        "scan.step_um=4:0.5:5", "scan.step_um=1:1:5", "scan.step_um=0:4:5:log",
        "scan.step_um=1:2:1",
        "scan.step_um=1:2:3:4", "scan.step_um=a:b:c", "scan.step_um=1:nan:3", "scan.step_um=1:",
        "scan.step_um=1:2:99999",
    ],
)  # fmt: skip
def test_what_is_no_list_and_no_range_is_refused_in_one_sentence(text):
    with pytest.raises(InputError) as caught:
        read_varied(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("scan.stp_um", 1.0, "unknown key scan.stp_um.*step_um"),
        ("scann.step_um", 1.0, "unknown key scann"),
        ("scan.step_um.x", 1.0, "unknown key scan.step_um.x"),
        ("scans.fine.step_um", 1.0, "no such scan"),
        ("sample.particles[1].diameter_um", 1.0, "list has 1 entries"),
        ("sample.colour", 1.0, "colour"),
        ("scan.step_um", -1.0, "scan.step_um must be greater than 0"),
        ("scan.step_um", "wide", "scan.step_um must be a number"),
        ("scan.n_angles", 7.5, "scan.n_angles must be a whole number"),
        ("scan.angle_range_deg", 90.0, "180 or 360"),
        ("folder", "x", "folder"),
    ],
)
def test_keys_there_are_not_and_values_that_cannot_be_are_refused(key, value, told):
    with pytest.raises(InputError, match=told) as caught:
        with_values(experiment(), {key: value})
    assert "\n" not in str(caught.value)


def test_values_take_the_place_of_the_experiments_own_and_nothing_else_changes():
    before = experiment()
    values = {
        "scan.step_um": 0.5,
        "sample.particles[0].diameter_um": 7.0,
        "cell.tilt_mrad": 2.0,
        "seed": 4,
    }
    after = with_values(before, values)
    assert {key: value_at(after, key) for key in values} == values
    back = {key: value_at(before, key) for key in ("scan.step_um", "seed")}
    back["sample.particles[0].diameter_um"] = 8.0
    restored = with_values(after, back).model_copy(update={"cell": None})
    assert restored.config_json() == before.config_json()


def test_generated_fractions_of_whole_numbers_are_rounded():
    (angles,) = all_varied(["scan.n_angles=50:53:3"])
    found = [with_values(experiment(), each).scan.n_angles for each in combinations([angles])]
    assert found == [50, 52, 53]  # 51.5 to the even neighbour


def test_combinations_are_all_of_them_the_last_key_fastest():
    keys = [Varied("a", (1, 2)), Varied("b", ("x", "y", "z"))]
    assert [tuple(each.values()) for each in combinations(keys)] == [
        (1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")
    ]  # fmt: skip


def test_a_key_is_varied_once():
    for second in ("scan.step_um=3", "scan=1"):
        with pytest.raises(InputError, match="varied"):
            all_varied(["scan.step_um=1,2", second])
