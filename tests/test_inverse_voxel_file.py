"""Maps of every phase in the maps file: what is written is read, what is damaged is refused."""

from dataclasses import fields, is_dataclass

import h5py
import numpy as np
import pytest

from inverse.maps import Maps, read_maps, write_maps
from inverse.recipe import Recipe
from inverse.voxel_maps import (
    PhaseMaps,
    Quantity,
    RietveldMaps,
    SecondLatticeMaps,
    SubstanceMaps,
)
from xrdct.errors import InputError
from xrdct.scan import Scan

N = 5
SCAN = Scan(n_offsets=N, step_um=1.5, n_angles=8)
OTHER = "a folder/of.cif"
RNG = np.random.default_rng(3)


def image():
    values = RNG.random((N, N))
    values[0, :2] = np.nan
    return values


def quantity():
    return Quantity(image(), image())


def rietveld(**changes):
    """Two lattices and another phase, with all that may be kept."""
    chi2 = image()
    refined = int(np.isfinite(chi2).sum())
    spinel = {"volume_fraction": quantity(), "weight_fraction": quantity(), "a_A": quantity()}
    made = {
        "phases": (
            PhaseMaps("LiMn2O4", "LiMn2O4", spinel),
            PhaseMaps("LiMn2O4-second", "LiMn2O4", {"a_A": quantity()}),
            PhaseMaps(OTHER, OTHER, {"beta_deg": quantity(), "size_nm": quantity()}),
            PhaseMaps("a_folder_of_cif", "Li2MnO3", {}),
        ),
        "substances": (
            SubstanceMaps("LiMn2O4", image(), image(), image()),
            SubstanceMaps(OTHER, image(), image(), image()),
        ),
        "common": {"background.0": quantity(), "zero_deg": quantity()},
        "chi2_reduced": chi2, "r_wp": image(), "residual_rms": image(), "status": image(),
        "mean_residual": RNG.random(30), "mean_square": RNG.random(30),
        "shared": {"LiMn2O4.strain": (5e-4, 1e-5), f"{OTHER}.size_nm": (200.0, np.nan)},
        "second_lattice": SecondLatticeMaps(image(), image(), quantity()),
        "covariance_names": ("LiMn2O4.a_A", "LiMn2O4.scale"),
        "covariance": RNG.random((refined, 2, 2)).astype(np.float32),
        "residuals": RNG.random((N, N, 30)).astype(np.float32),
    }  # fmt: skip
    return RietveldMaps(**(made | changes))


def maps_with(found):
    return Maps(
        "LiMn2O4", SCAN, *(image() for _ in range(8)), example=None, recipe=Recipe(),
        rietveld=found,
    )  # fmt: skip


def same(one, other):
    """Compare whatever results are made of; NaN equals NaN."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        np.testing.assert_equal(one, other)
    else:
        assert one == other


def written(folder, found):
    path = folder / "maps.h5"
    write_maps(maps_with(found), path)
    return path


@pytest.mark.parametrize("all_of_it", [True, False])
def test_what_is_written_is_read(tmp_path, all_of_it):
    # Law: reading inverts writing, bit for bit, NaN included.
    nothing = {"second_lattice": None, "covariance_names": (), "covariance": None,
               "residuals": None, "shared": {}}  # fmt: skip
    original = rietveld(**({} if all_of_it else nothing))
    same(original, read_maps(written(tmp_path, original)).rietveld)


def test_files_without_them_stay_readable(tmp_path):
    # The format before there were such maps: the same, but for the groups.
    path = written(tmp_path, rietveld())
    with h5py.File(path, "r+") as file:
        del file["entry/rietveld"]
        del file["entry/phases"]
    assert read_maps(path).rietveld is None


def test_a_viewer_finds_a_map_for_every_parameter(tmp_path):
    # Rule of NeXus: an NXdata group names its signal. Labels are the groups' names, as far as these
    # can hold them.
    found = rietveld()
    with h5py.File(written(tmp_path, found)) as file:
        for name, units in (("a_A", "angstrom"), ("a_A_esd", "angstrom"), ("weight_fraction", "")):
            group = file[f"entry/phases/LiMn2O4/{name}"]
            assert group.attrs["NX_class"] == "NXdata"
            assert group[group.attrs["signal"]].attrs["units"] == units
        np.testing.assert_array_equal(
            file["entry/phases/LiMn2O4/a_A/values"][()],
            found.phase("LiMn2O4").quantities["a_A"].value,
        )
        assert sorted(file["entry/phases"]) == [
            "LiMn2O4", "LiMn2O4-second", "a_folder_of_cif", "a_folder_of_cif_",
        ]  # fmt: skip
        assert file["entry/phases/a_folder_of_cif/beta_deg/values"].attrs["units"] == "degree"
        assert "values" in file["entry/rietveld/background_0"]


def deleted(name):
    def damage(file):
        del file[name]

    return damage


def contents(text):
    def damage(file):
        del file["entry/rietveld/contents"]
        file["entry/rietveld/contents"] = text

    return damage


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (deleted("entry/phases"), "no group 'phases'"),
        (deleted("entry/phases/LiMn2O4/a_A_esd"), "a_A_esd"),
        (deleted("entry/rietveld/r_wp"), "r_wp"),
        (deleted("entry/rietveld/substance_1"), "substance_1"),
        (deleted("entry/rietveld/mean_square"), "mean_square"),
        (contents("{}"), "contents is not valid"),
        (contents("nonsense"), "not valid JSON"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, rule):
    path = written(tmp_path, rietveld())
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=rule):
        read_maps(path)


@pytest.mark.parametrize("name", ["covariance", "residuals"])
def test_arrays_of_another_shape_are_refused(tmp_path, name):
    path = written(tmp_path, rietveld())
    with h5py.File(path, "r+") as file:
        del file[f"entry/rietveld/{name}"]
        file[f"entry/rietveld/{name}"] = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(InputError, match=f"{name} has shape"):
        read_maps(path)
