"""The maps file: what is written is read, what is damaged is refused, what is default is found."""

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inverse.maps import ExampleFit, Maps, read_maps, write_maps
from inverse.recipe import Calibration, FixedPhase, Recipe
from inverse.region_table import RegionTable
from xrdct.errors import InputError
from xrdct.scan import Scan

SCAN = Scan(n_offsets=5, step_um=1.5, n_angles=8)
MAPS = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced", "status",
)  # fmt: skip


def example():
    channels = np.linspace(2.0, 12.0, 30)
    return ExampleFit(
        pixel=(1, 3), two_theta_deg=channels, observed=channels**2, esd=np.sqrt(channels),
        fitted=channels**2 + 0.1, background=0.0 * channels,
    )  # fmt: skip


def regions():
    """Four regions in two particles, of two phases; one could not be refined."""
    rng = np.random.default_rng(1)
    label = np.full((5, 5), -1)
    label[1:4, 1:4] = [[0, 0, 2], [0, 1, 2], [3, 3, 3]]
    fraction = rng.random((4, 2))
    fraction[2] = np.nan
    return RegionTable(
        phases=("LiMn2O4", "folder/other.cif"), label=label, particle=np.array([0, 0, 1, 2]),
        shell=np.array([0, 1, 0, 0]), n_voxels=np.array([3, 1, 2, 3]),
        n_lattices=np.array([1, 1, 2, 1]), depth_um=np.array([[0, 1], [1, 2], [0, 1], [0, 1.0]]),
        amount=rng.random((4, 2)), weight_fraction=fraction,
        weight_fraction_esd_noise=rng.random((4, 2)), weight_fraction_esd_total=rng.random((4, 2)),
        a_A=rng.random(4), a_esd_noise_A=rng.random(4), chi2_reduced=rng.random(4),
    )  # fmt: skip


def maps(**changes):
    rng = np.random.default_rng(0)
    values = {name: rng.random((5, 5)) for name in MAPS}
    values["a_A"][0, :2] = np.nan
    values["status"] = rng.integers(0, 5, (5, 5)).astype(float)
    recipe = Recipe(
        fixed_phases=(FixedPhase(crystal="Li2MnO3"),), calibration=Calibration(distance_m=0.7001)
    )
    made = Maps(
        phase="LiMn2O4", scan=SCAN, **values, example=example(), recipe=recipe,
        shared={"crystallite_size_nm": 180.0, "strain": 3e-4}, experiment_hash="abc123",
        versions={"numpy": "2.0"}, timing_s={"refine": 1.5},
    )  # fmt: skip
    return replace(made, **changes)


def written(folder, **changes):
    path = folder / "maps.h5"
    write_maps(maps(**changes), path)
    return path


def same(one, other):
    """Compare two results field by field; NaN equals NaN."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, ExampleFit | RegionTable):
            same(a, b)
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("with_example", [True, False])
def test_what_is_written_is_read(tmp_path, with_example):
    # Law: reading inverts writing, bit for bit, NaN included.
    original = maps() if with_example else maps(example=None)
    path = tmp_path / "new" / "folder" / "maps.h5"
    write_maps(original, path)
    same(original, read_maps(path))
    assert [p.name for p in path.parent.iterdir()] == ["maps.h5"]


def test_regions_are_read_as_they_were_written(tmp_path):
    # Law: reading inverts writing.
    original = maps(regions=regions())
    path = tmp_path / "maps.h5"
    write_maps(original, path)
    same(original, read_maps(path))


def test_files_without_regions_stay_readable(tmp_path):
    # The format before there were regions: the same, but for the group.
    path = written(tmp_path, regions=regions())
    with h5py.File(path, "r+") as file:
        del file["entry/regions"]
    same(maps(), read_maps(path))


def test_weight_fractions_are_painted(tmp_path):
    # By definition: every voxel of a region has its value, all others none.
    table = regions()
    with h5py.File(written(tmp_path, regions=table)) as file:
        group = file["entry/regions/weight_fraction_map_1"]
        assert group.attrs["NX_class"] == "NXdata"
        image = group[group.attrs["signal"]][()]
    for (iy, ix), number in np.ndenumerate(table.label):
        expected = np.nan if number < 0 else table.weight_fraction[number, 1]
        np.testing.assert_array_equal(image[iy, ix], expected)


@given(values=arrays(float, (5, 5), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_every_number_survives(tmp_path_factory, values):
    # Law, for any float: NaN, infinities, signed zeros, subnormals.
    path = written(tmp_path_factory.mktemp("maps"), a_A=values)
    assert read_maps(path).a_A.tobytes() == values.tobytes()


def test_writing_replaces_what_was_there(tmp_path):
    written(tmp_path, phase="old")
    assert read_maps(written(tmp_path, phase="new")).phase == "new"


def test_a_viewer_opens_on_the_lattice_parameter(tmp_path):
    # Rule of NeXus: follow `default` from the root to an NXdata, plot its `signal` over its `axes`.
    with h5py.File(written(tmp_path)) as file:
        group = file
        while group.attrs.get("NX_class") != "NXdata":
            group = group[group.attrs["default"]]
        assert group.name == "/entry/a_A"
        signal = group[group.attrs["signal"]]
        np.testing.assert_array_equal(signal[()], maps().a_A)
        assert signal.attrs["units"] == "angstrom"
        assert list(group.attrs["axes"]) == ["y", "x"]
        for axis in group.attrs["axes"]:
            np.testing.assert_allclose(group[axis][()], [-3.0, -1.5, 0.0, 1.5, 3.0])
            assert group[axis].attrs["units"] == "um"


def test_every_map_can_be_plotted(tmp_path):
    # Rule of NeXus: signal and axes exist and agree in shape.
    with h5py.File(written(tmp_path)) as file:
        groups = {n: g for n, g in file["entry"].items() if g.attrs.get("NX_class") == "NXdata"}
        assert set(groups) == set(MAPS)
        for group in groups.values():
            axes = tuple(group[axis].size for axis in group.attrs["axes"])
            assert group[group.attrs["signal"]].shape == axes


def test_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(InputError, match="does not exist or is not a file"):
            read_maps(path)


@pytest.mark.parametrize("kept", [0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.8, 0.99, 0.99999])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=str(path)):
        read_maps(path)


def set_text(name, text):
    def change(file):
        del file["entry"][name]
        file["entry"][name] = text

    return change


def set_values(name, values):
    def change(file):
        del file["entry"][name]
        file["entry"][name] = values

    return change


def remove(name):
    def change(file):
        del file[name]

    return change


def link_away(name):
    def change(file):
        del file[name]
        file[name] = h5py.ExternalLink("elsewhere.h5", "/x")

    return change


def set_format(text):
    def change(file):
        file.attrs["format"] = text

    return change


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (set_format("xrdct-twin raw scan 1"), "is not a maps file"),
        (set_format(3), "is not a maps file"),
        (lambda file: file.attrs.__delitem__("format"), "is not a maps file"),
        (remove("entry"), "no group 'entry'"),
        (remove("entry/a_A"), "no group 'a_A'"),
        (remove("entry/a_A/values"), "no dataset /entry/a_A/values"),
        (link_away("entry/a_A/values"), "no dataset /entry/a_A/values"),
        (link_away("entry/example/observed"), "no dataset /entry/example/observed"),
        (remove("entry/example/esd"), "no dataset /entry/example/esd"),
        (set_values("a_A/values", np.zeros((5, 4))), r"has shape \(5, 4\)"),
        (set_values("a_A/values", np.array([["x"] * 5] * 5, dtype="S1")), "not numbers"),
        (set_values("example/fitted", np.zeros(29)), r"has shape \(29,\)"),
        (set_values("example/observed", np.zeros((5, 6))), r"has shape \(5, 6\)"),
        (set_values("example/observed", h5py.Empty("f8")), "/entry/example/"),
        (set_values("example/pixel", [5, 0]), r"pixel \(5, 0\), outside the map"),
        (set_values("example/pixel", [-1, 0]), r"pixel \(-1, 0\), outside the map"),
        (set_values("example/pixel", [0, -1]), r"pixel \(0, -1\), outside the map"),
        (set_text("scan", '{"n_offsets": 5}'), "entry/scan"),
        (set_text("scan", '{"n_offsets": 5, "step_um": 1.5, "n_angles": 8, "x": 1}'), "scan x"),
        (set_text("recipe", "[]"), "entry/recipe"),
        (set_text("shared", "[1, 2]"), "is not a JSON object"),
        (set_text("shared", "{"), "is not valid JSON"),
        (set_text("shared", '{"strain": null}'), "strain in /entry/shared is not a number"),
        (set_text("timing_s", '{"refine": "long"}'), "refine in /entry/timing_s is not a number"),
        (set_text("phase", 7.0), "is not a text"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, change, rule):
    path = written(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=rule) as caught:
        read_maps(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (remove("entry/regions/amount"), "no dataset /entry/regions/amount"),
        (link_away("entry/regions/a_A"), "no dataset /entry/regions/a_A"),
        (remove("entry/regions/label"), "no group 'label'"),
        (set_values("regions/shell", np.zeros(3)), r"has shape \(3,\)"),
        (set_values("regions/amount", np.zeros((4, 3))), r"has shape \(4, 3\)"),
        (set_values("regions/label/values", np.full((5, 5), 4)), "must lie within −1 and 3"),
        (set_values("regions/label/values", np.full((5, 5), -2)), "must lie within −1 and 3"),
        (set_text("regions/phases", '{"phases": []}'), "must be a list of names"),
        (set_text("regions/phases", '{"phases": [1]}'), "must be a list of names"),
        (set_text("regions/phases", "[]"), "is not a JSON object"),
    ],
)
def test_damaged_regions_are_refused(tmp_path, change, rule):
    path = written(tmp_path, regions=regions())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=rule) as caught:
        read_maps(path)
    assert str(path) in str(caught.value)


def test_failing_to_write_leaves_the_old_file(tmp_path):
    # Law: the name belongs to complete files only.
    path = written(tmp_path)
    with pytest.raises(AttributeError):
        write_maps(maps(example="not an example"), path)  # type: ignore[arg-type]
    same(maps(), read_maps(path))
    assert [p.name for p in tmp_path.iterdir()] == ["maps.h5"]
