"""Files and arrays of pipelines become maps, or a sentence that says what is wrong with them."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from inverse.maps import read_maps, write_maps
from inverse.recipe import Recipe
from inverse.refine import Status
from validation.experiment import load_experiment
from validation.pipelines import wrapping
from validation.pipelines.arrays import save_arrays
from validation.pipelines.sandbox import Usage
from validation.pipelines.scoring import scores
from validation.pipelines.session import Outcome
from validation.pipelines.wrapping import (
    Measurement,
    maps_in,
    wrapped_arrays,
    wrapped_file,
)
from validation.steps import experiment_hash, simulate
from validation.truthfile import KnownTruth
from xrdct.errors import InputError
from xrdct.scan import Scan

TINY = Path(__file__).parent / "data" / "tiny.toml"
SCAN = Scan(n_offsets=15, step_um=1.0, n_angles=12)
MEASUREMENT = Measurement(SCAN, Recipe(), "hash", {"xrdct-twin": "0"})


def arrays(**more):
    rng = np.random.default_rng(1)
    a_A = 8.2 + 0.01 * rng.random((15, 15))
    a_A[:, :4] = np.nan
    return {"a_A": a_A, "a_esd_A": np.full((15, 15), 1e-4)} | more


def test_npz_and_both_kinds_of_hdf5_give_the_same_maps(tmp_path):
    # Truth: the arrays that were written.
    given = arrays()
    np.savez(tmp_path / "maps.npz", **given)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        for name, values in given.items():
            file[name] = values
    with h5py.File(tmp_path / "nexus.h5", "w") as file:
        for name, values in given.items():
            file[f"entry/{name}/values"] = values
    for name in ("maps.npz", "plain.h5", "nexus.h5"):
        wrapped = wrapped_file(tmp_path / name, MEASUREMENT)
        np.testing.assert_array_equal(wrapped.maps.a_A, given["a_A"])
        np.testing.assert_array_equal(wrapped.maps.a_esd_total_A, given["a_esd_A"])
        assert wrapped.maps.experiment_hash == "hash"
        assert wrapped.remarks == ()


def test_our_own_maps_file_passes_through_as_it_is(tmp_path):
    maps = wrapped_arrays(arrays(chi2_reduced=np.ones((15, 15))), MEASUREMENT).maps
    write_maps(maps, tmp_path / "maps.h5")
    again = wrapped_file(maps_in(tmp_path), MEASUREMENT).maps
    for name in ("a_A", "a_esd_noise_A", "a_esd_total_A", "chi2_reduced", "status"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert again.recipe == read_maps(tmp_path / "maps.h5").recipe


def test_no_pipeline_can_choose_what_it_is_scored_on():
    # A voxel in view that is called "not measured" would not count as lost.
    honest = wrapped_arrays(arrays(), MEASUREMENT).maps
    n_in_view = int((honest.status != Status.NOT_MEASURED).sum())
    y, x = np.mgrid[-7:8, -7:8]
    # NaN columns at the left are outside the circle or lost; numbers count wherever they are.
    expected = (np.hypot(x, y) <= 7.0) | np.isfinite(honest.a_A)
    np.testing.assert_array_equal(honest.status != Status.NOT_MEASURED, expected)
    sly = replace(honest, status=np.full((15, 15), float(Status.NOT_MEASURED)))
    from validation.pipelines.wrapping import checked_maps

    status = checked_maps(sly, MEASUREMENT).maps.status
    surely = np.hypot(x, y) <= 5.0
    assert (status[surely] != Status.NOT_MEASURED).all()
    assert n_in_view >= (status != Status.NOT_MEASURED).sum() >= surely.sum()


@pytest.mark.parametrize(
    ("factor", "unit"), [(0.1, "nm"), (100.0, "pm"), (1000.0, "mÅ"), (1e-10, "m"), (1e-4, "µm")]
)
def test_wrong_units_are_recognised(factor, unit):
    # Truth: SI.
    with pytest.raises(InputError, match=f"lattice parameter in {unit}, but it must be in Å"):
        wrapped_arrays({"a_A": factor * arrays()["a_A"]}, MEASUREMENT)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "it gave no a_A"),
        ({"a_A": np.full((15, 15), np.nan)}, "a_A holds no number in any voxel"),
        ({"a_A": np.full((15, 15), np.inf)}, "a_A holds no number in any voxel"),
        ({"a_A": np.full((15, 14), 8.2)}, r"has the shape \(15, 14\), but .* have 15 × 15"),
        ({"a_A": np.full((15, 15), 3.0)}, "lies between 7.98 and 8.3 Å"),
        (arrays(amount=np.ones(15)), r"amount has the shape \(15,\)"),
    ],
)
def test_nonsense_is_told_in_one_sentence(given, told):
    with pytest.raises(InputError, match=told):
        wrapped_arrays(given, MEASUREMENT)


def test_uncertainties_that_cannot_be_are_left_out_and_told():
    in_mA = wrapped_arrays(arrays(a_esd_A=np.full((15, 15), 0.4)), MEASUREMENT)
    assert np.isnan(in_mA.maps.a_esd_total_A).all()
    assert "cannot be in Å" in in_mA.remarks[0]
    none = wrapped_arrays({"a_A": arrays()["a_A"]}, MEASUREMENT)
    assert none.remarks == ("it states no uncertainties",)
    some = np.full((15, 15), 1e-4)
    some[7, 7] = -1.0
    assert wrapped_arrays(arrays(a_esd_A=some), MEASUREMENT).remarks == (
        "1 recovered voxels have no uncertainty",
    )


def test_files_are_read_with_suspicion(tmp_path):
    with pytest.raises(InputError, match="wrote no maps"):
        maps_in(tmp_path)
    (tmp_path / "maps.h5").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="it left a link"):
        maps_in(tmp_path)
    path = tmp_path / "pickle.npz"
    np.savez(path, a_A=np.array([object()] * 3))  # a pickle, which could run anything
    with pytest.raises(InputError, match="cannot be read"):
        wrapped_file(path, MEASUREMENT)
    path.write_bytes(b"8.2 8.3 8.2")
    with pytest.raises(InputError, match="neither an HDF5 nor an npz file"):
        wrapped_file(path, MEASUREMENT)
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(InputError, match="cannot be read"):
        wrapped_file(path, MEASUREMENT)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["a_A"] = h5py.ExternalLink("/etc/other.h5", "a_A")
    with pytest.raises(InputError, match=r"a_A|cannot be read"):
        wrapped_file(tmp_path / "link.h5", MEASUREMENT)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(tmp_path, monkeypatch):
    # 2 MB of zeros compress to 2 kB: the archive states its size, and that is enough to refuse it.
    monkeypatch.setattr(wrapping, "_LARGEST_BYTES", 2**20)
    path = tmp_path / "maps.npz"
    np.savez_compressed(path, a_A=np.zeros((512, 512)))
    assert path.stat().st_size < 2**14
    with pytest.raises(InputError, match="of memory"):
        wrapped_file(path, MEASUREMENT)


def test_a_mapping_is_written_by_its_known_names_only(tmp_path):
    save_arrays(arrays(file="x", notes="secret"), tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as file:
        assert sorted(file.files) == ["a_A", "a_esd_A"]
    with pytest.raises(InputError, match="has no a_A"):
        save_arrays({"a": np.ones(3)}, tmp_path / "maps.npz")
    with pytest.raises(InputError, match="a_A is no array of numbers"):
        save_arrays({"a_A": ["eight"]}, tmp_path / "maps.npz")


@lru_cache(maxsize=1)
def known():
    experiment = load_experiment(TINY)
    simulated = simulate(experiment)
    truth = KnownTruth(simulated.truth, experiment, simulated.timing_s)
    own = Measurement(experiment.scan, experiment.recipe, experiment_hash(experiment), {})
    return truth, own


def scored(**pipelines):
    """Score arrays as pipelines of the tiny experiment; returns the entries by label."""
    truth, measurement = known()
    outcomes = []
    for label, given in pipelines.items():
        found = wrapped_arrays(given, measurement)
        outcomes.append(
            Outcome(label, "m:f", "callable", Usage("ended", 0), found.maps, remarks=found.remarks)
        )
    entries = scores(outcomes, truth)[0]["pipelines"]
    return {entry["label"]: entry for entry in entries}


def test_planted_errors_come_back_as_bias_rms_and_lost_voxels():
    # Truth: planted. With errors ±d alternating about a shift b, bias b and RMS √(b² + d²) over an
    # even number of voxels; the voxels one pipeline gives up leave the common ones for all.
    truth = known()[0].truth
    y, x = np.nonzero(truth.interior & ~truth.two_lattices)
    n = y.size - y.size % 2
    lost = slice(n, None)
    planted = np.full(truth.a_A.shape, np.nan)
    planted[y[:n], x[:n]] = 1e-3 + 2e-3 * (-1.0) ** np.arange(n)
    esd = np.full(truth.a_A.shape, 2e-3)
    shifted = truth.a_A + planted
    exact = np.where(truth.interior, truth.a_A, np.nan)
    exact[y[0], x[0]] = np.nan
    found = scored(shifted={"a_A": shifted, "a_esd_A": esd}, exact={"a_A": exact})
    interior = found["shifted"]["lattice"]["interior"]
    assert interior["bias_A"] == pytest.approx(1e-3, rel=1e-9)
    assert interior["rms_A"] == pytest.approx(np.hypot(1e-3, 2e-3), rel=1e-9)
    assert interior["std_z"] == pytest.approx(1.0, rel=1e-9)
    assert interior["n_not_recovered"] == y[lost].size
    assert found["exact"]["lattice"]["interior"]["n_not_recovered"] == 1
    assert "std_z" not in found["exact"]["lattice"]["interior"]
    common = [found[label]["common"] for label in ("shifted", "exact")]
    assert common[0]["interior_n_voxels"] == common[1]["interior_n_voxels"] == n - 1
    assert common[1]["interior_rms_A"] == 0.0


def test_maps_with_swapped_axes_get_a_remark_and_right_ones_do_not():
    # Truth: the truth itself, transposed or mirrored where it has material all over the view.
    truth = known()[0].truth
    y, x = np.mgrid[-7:8, -7:8]
    filled = np.where(truth.interior, truth.a_A, 8.2 + 1e-3 * x + 3e-3 * y)
    remarks = {
        label: entry["remarks"]
        for label, entry in scored(
            right={"a_A": filled}, transposed={"a_A": filled.T}, mirrored={"a_A": filled[::-1]}
        ).items()
    }
    assert remarks["right"] == ["it states no uncertainties"]
    assert "better transposed" in remarks["transposed"][1]
    assert "better mirrored along y" in remarks["mirrored"][1]


def test_weight_fractions_of_voxels_become_those_of_regions():
    # Truth: a constant share w of a disc comes back as w in every depth shell; n independent voxels
    # of esd σ have a mean of esd σ/√n.
    scan = Scan(n_offsets=61, step_um=1.0, n_angles=90)
    y, x = np.mgrid[-30:31, -30:31]
    solid = np.hypot(x, y) <= 18.0
    given = {
        "a_A": np.where(solid, 8.2, np.nan),
        "amount": np.where(solid, 1.0, 0.0),
        "weight_fraction_Li2MnO3": np.full(solid.shape, 0.04),
        "weight_fraction_Li2MnO3_esd": np.full(solid.shape, 0.01),
    }
    table = wrapped_arrays(given, replace(MEASUREMENT, scan=scan)).maps.regions
    assert table is not None
    assert table.phases == ("LiMn2O4", "Li2MnO3")
    assert table.shell.size > 1
    np.testing.assert_allclose(table.weight_fraction[:, 1], 0.04, rtol=1e-12)
    np.testing.assert_allclose(table.weight_fraction.sum(axis=1), 1.0, rtol=1e-12)
    n_solid = [np.sum((table.label == n) & solid) for n in range(table.shell.size)]
    expected = 0.01 / np.sqrt(n_solid)
    np.testing.assert_allclose(table.weight_fraction_esd_total[:, 1], expected, rtol=1e-12)
    assert (
        wrapped_arrays({"a_A": given["a_A"]}, replace(MEASUREMENT, scan=scan)).maps.regions is None
    )
