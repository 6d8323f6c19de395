"""The raw scan file: what is written comes back, and nothing of the truth is in it.

And no file, however damaged or hostile, does more than be refused.
"""

import json
import os
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from validation.experiment import load_experiment
from validation.run import write_simulated
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.hdf5 import safely_written
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawfile import (
    CLOCK_START,
    RawScan,
    Readings,
    experiment_hash_of,
    linked_scans,
    read_raw_scan,
    write_raw_scan,
)
from xrdct.scan import Scan

TINY = load_experiment(Path(__file__).parent / "data" / "tiny.toml")
SHAPE = (6, 5)
RAW = RawScan(
    scan=Scan(n_offsets=5, step_um=2.0, n_angles=6),
    beam=Beam(),
    detector=Detector(),
    geometry=Geometry(n_channels=16),
    counts=np.arange(6 * 5 * 16, dtype=np.int32).reshape(6, 5, 16),
    monitor=np.full(SHAPE, 1e9),
    transmitted=np.full(SHAPE, 9e8),
    recipe={"n_background": 4},
    title="LiMn₂O₄ at 50 keV",
    experiment_hash="abc",
    versions={"numpy": "2"},
)


@pytest.fixture(scope="module")
def simulated():
    return simulate(TINY)


@pytest.fixture(scope="module")
def measured(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    write_simulated(simulated, folder / "scan.h5", truth=None, experiment=TINY)
    return folder / "scan.h5"


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "raw.h5"
    write_raw_scan(RAW, path)
    return path


def everything(path):
    """Every name, text and number of a file, texts and numbers by where they are."""
    texts, numbers = {}, {}

    def take(where, value):
        value = np.asarray(value)
        if value.dtype.kind in "OSU":
            flat = value.ravel().tolist()
            texts[where] = " ".join(v.decode() if isinstance(v, bytes) else str(v) for v in flat)
        else:
            numbers[where] = value.astype(float).ravel()

    def collect(name, item):
        texts[f"{name} (name)"] = name
        for key, value in item.attrs.items():
            take(f"{name}@{key}", value)
        if isinstance(item, h5py.Dataset):
            take(name, item[()])

    with h5py.File(path) as file:
        collect("", file)
        file.visititems(collect)
    return texts, numbers


def test_what_is_written_comes_back(written):
    found = read_raw_scan(written)
    for field in fields(RawScan):
        one, other = getattr(found, field.name), getattr(RAW, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other
    assert experiment_hash_of(written) == "abc"


def test_expectations_come_back_as_they_are(tmp_path):
    # Without noise the counts are no whole numbers.
    counts = RAW.counts.astype(np.float32) + np.float32(0.5)
    write_raw_scan(replace(RAW, counts=counts), tmp_path / "raw.h5")
    found = read_raw_scan(tmp_path / "raw.h5").counts
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, counts)


def test_raw_scan_carries_the_nominal_instrument(simulated, measured):
    # The truth differs: its distance is off by up to 200 ppm.
    assert simulated.instrument.distance_m != TINY.geometry.distance_m
    for raw in (simulated.raw, read_raw_scan(measured), read_raw_scan(measured, name="coarse")):
        assert raw.geometry == TINY.geometry
        assert raw.beam == TINY.beam
        assert raw.detector == TINY.detector
        np.testing.assert_array_equal(raw.monitor, TINY.beam.flux_per_s * raw.scan.exposure_s)


def test_nothing_of_the_truth_is_in_the_file(tmp_path):
    # An experiment of numbers that are found nowhere else; searched are every name, attribute, text
    # and number of the file, and its bytes as they lie. The name that the user chose may be there.
    ball = {"centre_um": (-1.2173, 0.5391, 0.1237), "diameter_um": 7.0417, "x": 0.9531}
    ball |= {"porosity": 0.0519, "strain": 5.173e-4, "crystallite_size_nm": 187.3}
    shell = {"phase": "Al", "thickness_um": 1.0391, "weight_fraction": 0.0437}
    secret = type(TINY).model_validate(
        TINY.model_dump()
        | {
            "seed": 918273645,
            "sample": {"particles": [ball | {"shells": [shell]}]},
            "unknowns": {"b_iso_factor": (0.8123, 1.2371), "distance_ppm": (-187.3, 213.7)},
        }
    )
    simulated = simulate(secret)
    write_simulated(simulated, tmp_path / "scan.h5", truth=None, experiment=secret)
    drawn = [simulated.instrument.distance_m, simulated.instrument.b_iso_factor]
    numbers = [*drawn, *(v for v in ball.values() if isinstance(v, float)), *ball["centre_um"]]
    numbers += [1.0391, 0.0437, 0.8123, 1.2371, -187.3, 213.7, 918273645]
    # NXxrdct asks for a group "sample", which holds links to rotations and offsets: that name and
    # its class are no news.
    asked = re.compile(r"nxsample|entry/sample(?=[\n/])|(?<=\0)sample(?=\0)")
    words = ["sample", "particle", "seed", "b_iso", "air_factor", "unknowns", "centre", "shell"]
    words += ["diameter", "effect", "accuracy", "true", "truth", "expect", "variance", '"al"']
    words += [repr(number) for number in numbers]
    for path in (tmp_path / "scan.h5", tmp_path / "scan_coarse.h5"):
        texts, stored = everything(path)
        content = path.read_bytes()
        for found in ("\n".join(texts.values()), content.decode("latin-1")):
            told = asked.sub("", found.lower()).replace(": true", "")  # which is JSON for yes
            assert [word for word in words if word in told] == []
        for values in stored.values():
            assert not np.isin(values, numbers).any()
        for number in numbers:
            assert np.float64(number).tobytes() not in content


def test_file_says_only_what_is_listed(measured):
    # Closed list: whatever is added later has to be added here, and thought about.
    texts, _ = everything(measured)
    names = {name.removesuffix(" (name)") for name in texts if name.endswith(" (name)")} - {""}
    groups = {
        "": "beam control data definition end_time experiment_hash instrument monitor other_scans"
        " readings recipe sample start_time title transmitted versions xrdct_twin",
        "beam/": "incident_energy",
        "control/": "data mode preset",
        "data/": "intensity offset rotation two_theta",
        "instrument/": "detector monochromator name source",
        "instrument/detector/": "count_time data description distance x_pixel_size y_pixel_size",
        "instrument/monochromator/": "wavelength",
        "instrument/source/": "name probe type",
        "readings/": "encoder_offset_um encoder_rotation_rad time_s",
        "xrdct_twin/": "beam detector geometry scan",
    }
    assert names == {"entry"} | {
        f"entry/{g}{name}" for g, held in groups.items() for name in held.split()
    }
    assert texts["entry/title"] == "tiny"
    assert len(texts["entry/experiment_hash"]) == 64
    assert set(json.loads(texts["entry/recipe"])) == set(type(TINY.recipe).model_fields)


def test_viewer_finds_the_plot(written):
    # NeXus: default leads to an NXdata whose signal and axes are there and fit.
    with h5py.File(written) as file:
        entry = file[file.attrs["default"]]
        data = entry[entry.attrs["default"]]
        assert (entry.attrs["NX_class"], data.attrs["NX_class"]) == ("NXentry", "NXdata")
        signal = data[data.attrs["signal"]]
        axes = [data[name] for name in data.attrs["axes"]]
        assert signal.shape == tuple(len(axis) for axis in axes)
        assert [axis.attrs["units"] for axis in axes] == ["deg", "um", "deg"]
        np.testing.assert_allclose(axes[0], np.arange(6) * 30.0)
        np.testing.assert_allclose(axes[1], [-4.0, -2.0, 0.0, 2.0, 4.0])
        assert axes[2][0] == pytest.approx(1.5 + 6.5 / 16)


def test_what_others_look_for_is_ours_seen_from_elsewhere(written):
    # Links to the same object, and a virtual dataset over the file itself, wherever it lies.
    moved = written.rename(written.with_name("moved.h5"))
    with h5py.File(moved) as file:
        entry = file["entry"]
        assert entry["instrument/detector/radial_axis"] == entry["data/two_theta"]
        assert entry["sample/rotation_angles"] == entry["data/rotation"]
        assert entry["sample/translation_values"] == entry["data/offset"]
        turned = {"instrument/detector/data": RAW.counts, "control/data": RAW.monitor}
        for name, ours in turned.items():
            assert {source.file_name for source in entry[name].virtual_sources()} == {"."}
            np.testing.assert_array_equal(entry[name], np.swapaxes(ours, 0, 1))


def test_what_the_file_says_for_others_is_not_read(written):
    # It may be gone, point elsewhere or say what it likes: specifications and counts decide.
    elsewhere = h5py.VirtualLayout((5, 6, 16), "i4")
    elsewhere[...] = h5py.VirtualSource("/dev/zero", "entry/data", (5, 6, 16))
    with h5py.File(written, "r+") as file:
        entry = file["entry"]
        for name in ("instrument/detector/data", "sample", "control", "data/two_theta"):
            del entry[name]
        entry["instrument/detector"].create_virtual_dataset("data", elsewhere)
        entry["sample"] = h5py.ExternalLink("/etc/passwd", "/")
        entry["beam/incident_energy"][()] = -1.0
    found = read_raw_scan(written)
    np.testing.assert_array_equal(found.counts, RAW.counts)
    assert (found.geometry, found.beam) == (RAW.geometry, RAW.beam)


def test_clock_runs_from_the_first_exposure_to_the_end_of_the_last(tmp_path):
    # Truth: the readings, by hand. In zigzag order the last exposure is not the last of the raster.
    times_s = 60.0 + np.arange(30.0).reshape(SHAPE)
    times_s[1::2] = times_s[1::2, ::-1].copy()
    readings = Readings(np.zeros(SHAPE), np.zeros(6), times_s)
    assert datetime(2020, 1, 1, tzinfo=UTC) == CLOCK_START
    for found, begin_s, end_s in (
        (readings, 60.0, 60.0 + 29.0 + 0.01),
        (None, 0.0, 30 * (0.01 + 0.00095)),
    ):
        write_raw_scan(replace(RAW, readings=found), tmp_path / "raw.h5")
        texts, _ = everything(tmp_path / "raw.h5")
        told = [datetime.fromisoformat(texts[f"entry/{name}_time"]) for name in ("start", "end")]
        assert told == [CLOCK_START + timedelta(seconds=since_s) for since_s in (begin_s, end_s)]


def test_other_scans_are_read_by_name(measured):
    assert linked_scans(measured) == ["coarse"]
    coarse = read_raw_scan(measured, name="coarse")
    assert coarse.scan == TINY.scans["coarse"]
    assert read_raw_scan(measured.with_name("scan_coarse.h5")).scan == coarse.scan
    with pytest.raises(InputError, match="holds no scan named 'broad', but main, coarse"):
        read_raw_scan(measured, name="broad")
    for name in ("entry", "entry/data", "coarse/data", "..", "", "."):
        with pytest.raises(InputError, match="holds no scan named"):
            read_raw_scan(measured, name=name)


def test_link_needs_its_file_beside(tmp_path, written):
    with pytest.raises(InputError, match="scan 'coarse' must lie in the folder of"):
        write_raw_scan(RAW, tmp_path / "x.h5", linked={"coarse": tmp_path / "sub" / "c.h5"})
    assert not (tmp_path / "x.h5").exists()
    write_raw_scan(RAW, tmp_path / "x.h5", linked={"coarse": tmp_path / "missing.h5"})
    assert read_raw_scan(tmp_path / "x.h5").title == RAW.title
    with pytest.raises(InputError, match=r"missing\.h5 does not exist"):
        read_raw_scan(tmp_path / "x.h5", name="coarse")


def test_links_out_of_the_folder_are_not_followed(tmp_path, written):
    inner = tmp_path / "inner"
    inner.mkdir()
    for target in ("../raw.h5", str(written), "a/../../raw.h5"):
        path = inner / "scan.h5"
        write_raw_scan(RAW, path)
        with h5py.File(path, "r+") as file:
            file["entry/other_scans/coarse"] = h5py.ExternalLink(target, "/entry")
        with pytest.raises(InputError, match="is not in its own folder"):
            read_raw_scan(path, name="coarse")
    write_raw_scan(RAW, inner / "scan.h5", linked={"coarse": inner / "coarse.h5"})
    with h5py.File(inner / "scan.h5", "r+") as file:
        file.move("entry/other_scans", "moved")
        file["entry/other_scans"] = h5py.SoftLink("/moved")
    with pytest.raises(InputError, match="has no group 'other_scans' of its own"):
        linked_scans(inner / "scan.h5")
    (inner / "link.h5").symlink_to(written)
    write_raw_scan(RAW, inner / "scan.h5", linked={})
    with h5py.File(inner / "scan.h5", "r+") as file:
        file["entry/other_scans/coarse"] = h5py.ExternalLink("link.h5", "/entry")
    with pytest.raises(InputError, match="is not in its own folder"):
        read_raw_scan(inner / "scan.h5", name="coarse")


def test_linked_scan_of_another_experiment_is_refused(tmp_path):
    write_raw_scan(replace(RAW, experiment_hash="other"), tmp_path / "c.h5")
    write_raw_scan(RAW, tmp_path / "s.h5", linked={"coarse": tmp_path / "c.h5"})
    with pytest.raises(InputError, match="belongs to another experiment"):
        read_raw_scan(tmp_path / "s.h5", name="coarse")


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "stored outside"])
@pytest.mark.parametrize(
    "name", ["entry/data/intensity", "entry/monitor", "entry/xrdct_twin/scan", "entry"]
)
def test_data_that_lie_elsewhere_are_refused(tmp_path, written, kind, name):
    other = tmp_path / "other.h5"
    write_raw_scan(RAW, other)
    with h5py.File(written, "r+") as file:
        old = file[name]
        shape = getattr(old, "shape", (1,)) or (1,)
        file.move(name, "moved")
        if kind == "soft":
            file[name] = h5py.SoftLink("/moved")
        elif kind == "external":
            file[name] = h5py.ExternalLink("other.h5", name)
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f8")
            layout[:] = h5py.VirtualSource(str(other), "entry/monitor", shape)
            file.create_virtual_dataset(name, layout)
        else:
            outside = [(str(tmp_path / "x.bin"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(name, shape, "f8", external=outside)
    with pytest.raises(InputError, match=r"of its own|not a plain dataset|not a group"):
        read_raw_scan(written)


def test_truncated_file_is_refused_wherever_it_ends(written):
    content = written.read_bytes()
    for length in [0, 1, 8, 100, 500, *range(1000, len(content), 997), len(content) - 1]:
        written.write_bytes(content[:length])
        with pytest.raises(InputError, match="is not an HDF5 file, or is truncated"):
            read_raw_scan(written)


def test_damaged_file_is_refused_or_read_and_nothing_else(written):
    # Law of the reader: whatever bytes are changed, an InputError of one line is the worst. The
    # counts carry a checksum: what is read of them is what was written. 150 deterministic damages.
    content = written.read_bytes()
    rng = np.random.default_rng(5)
    complaints = []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(content))] = rng.integers(256)
        written.write_bytes(damaged)
        try:
            found = read_raw_scan(written)
        except InputError as error:
            complaints.append(str(error))
            continue
        if found.counts.shape == RAW.counts.shape and found.counts.dtype == np.int32:
            np.testing.assert_array_equal(found.counts, RAW.counts)
    assert len(complaints) > 10
    assert not any("\n" in complaint for complaint in complaints)


@pytest.mark.parametrize("part", [(0, 8), (8, 12)])
def test_lying_head_of_a_chunk_is_refused(written, part):
    # The head tells the filter how much memory it may write to.
    with h5py.File(written) as file:
        place = file["entry/data/intensity"].id.get_chunk_info(3).byte_offset
    damaged = bytearray(written.read_bytes())
    damaged[place + part[0] : place + part[1]] = b"\x7f" * (part[1] - part[0])
    written.write_bytes(damaged)
    with pytest.raises(InputError, match="chunk of /entry/data/intensity has a wrong head"):
        read_raw_scan(written)


def changed(path, name, values, **options):
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **options)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("entry/data/intensity", np.zeros((6, 5, 17), np.int32), "the scan needs (6, 5, 16)"),
        ("entry/data/intensity", np.zeros((5, 6, 16), np.int32), "the scan needs (6, 5, 16)"),
        ("entry/data/intensity", np.zeros((6, 5, 16), complex), "holds complex128, not numbers"),
        ("entry/data/intensity", np.full((6, 5, 16), b"3"), "holds |S1, not numbers"),
        ("entry/data/intensity", np.full((6, 5, 16), -1), "counts must be photons, finite and not"),
        ("entry/data/intensity", np.full((6, 5, 16), np.nan), "counts must be photons"),
        ("entry/monitor", np.full(SHAPE, np.inf), "monitor must be photons, finite"),
        ("entry/transmitted", np.full(SHAPE, -5.0), "but range from -5 to -5"),
        ("entry/transmitted", np.zeros(30), "has shape (30,), but the scan needs (6, 5)"),
        ("entry/xrdct_twin/scan", 3, "is not a text"),
        ("entry/xrdct_twin/scan", "{", "/entry/xrdct_twin/scan "),
        ("entry/xrdct_twin/scan", '{"n_offsets": 5, "step_um": -2, "n_angles": 6}', "step_um"),
        ("entry/xrdct_twin/geometry", '{"two_theta_min_deg": 20}', "must lie above"),
        ("entry/recipe", "[]", "is not a JSON object"),
        ("entry/recipe", "[" * 100_000, "raw.h5"),
        ("entry/title", b"\xff\xfe", "is damaged"),
    ],
)
def test_content_that_does_not_fit_is_refused(written, name, values, sentence):
    changed(written, name, values)
    with pytest.raises(InputError) as told:
        read_raw_scan(written)
    assert sentence in str(told.value)
    assert str(told.value).startswith(str(written))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "name", ["entry", "entry/data/intensity", "entry/xrdct_twin/scan", "entry/title"]
)
def test_missing_content_is_refused(written, name):
    with h5py.File(written, "r+") as file:
        del file[name]
    with pytest.raises(InputError, match="of its own"):
        read_raw_scan(written)


def test_scan_of_several_planes_is_refused(written):
    changed(
        written,
        "entry/xrdct_twin/scan",
        RAW.scan.model_copy(update={"n_planes": 2}).model_dump_json(),
    )
    with pytest.raises(InputError, match="holds 2 planes, but a raw scan is one plane"):
        read_raw_scan(written)


def test_file_of_another_format_is_refused(written, tmp_path):
    others = (np.bytes_("xrdct-twin raw scan 1"), np.bytes_("xrdct-twin raw scan 3"))
    for found in (*others, "xrdct-twin raw scan 2", 3, None):
        with h5py.File(written, "r+") as file:
            del file.attrs["format"]
            if found is not None:
                file.attrs["format"] = found
        with pytest.raises(InputError, match="is not a raw scan file"):
            read_raw_scan(written)
        write_raw_scan(RAW, written)
    with pytest.raises(InputError, match="does not exist or is not a file"):
        read_raw_scan(tmp_path / "missing.h5")
    with pytest.raises(InputError, match="does not exist or is not a file"):
        read_raw_scan(tmp_path)


def huge_scan(path):
    """A raw file of a few kB that says it holds 8 GB."""
    scan = RAW.scan.model_copy(update={"n_offsets": 20_000, "n_angles": 100})
    geometry = RAW.geometry.model_copy(update={"n_channels": 1000})
    changed(path, "entry/xrdct_twin/scan", scan.model_dump_json())
    changed(path, "entry/xrdct_twin/geometry", geometry.model_dump_json())
    return (100, 20_000, 1000)


def test_small_file_that_claims_to_hold_much_is_refused(written):
    shape = huge_scan(written)
    with h5py.File(written, "r+") as file:
        del file["entry/data/intensity"]
        file["entry/data"].create_dataset("intensity", shape, np.int32, chunks=(1, 100, 100))
    assert written.stat().st_size < 100_000
    with pytest.raises(InputError, match="claims 8000 MB but stores 0 bytes"):
        read_raw_scan(written)


def test_more_than_64_GB_is_refused(written):
    huge_scan(written)
    scan = RAW.scan.model_copy(update={"n_offsets": 20_000, "n_angles": 1000})
    changed(written, "entry/xrdct_twin/scan", scan.model_dump_json())
    with h5py.File(written, "r+") as file:
        del file["entry/data/intensity"]
        file["entry/data"].create_dataset(
            "intensity", (1000, 20_000, 1000), "i4", chunks=(1, 99, 99)
        )
    with pytest.raises(InputError, match="would take 75 GB"):
        read_raw_scan(written)


def test_chunks_larger_than_the_data_are_refused(written):
    with h5py.File(written, "r+") as file:
        del file["entry/data/intensity"]
        file["entry/data"].create_dataset(
            "intensity", RAW.counts.shape, "i4", chunks=(6, 500, 9000), maxshape=(6, None, None)
        )
    with pytest.raises(InputError, match="has chunks larger than itself"):
        read_raw_scan(written)


def test_other_filters_than_the_known_are_refused(written):
    for options in ({"compression": "gzip"}, {"compression": "lzf", "shuffle": True}):
        changed(written, "entry/data/intensity", RAW.counts, **options)
        np.testing.assert_array_equal(read_raw_scan(written).counts, RAW.counts)
    changed(written, "entry/data/intensity", RAW.counts, **hdf5plugin.Blosc())
    with pytest.raises(InputError, match="is stored with an unknown filter, 32001"):
        read_raw_scan(written)


def test_text_that_claims_to_be_long_is_refused(written):
    # A text of variable length states its length apart from where it lies.
    with h5py.File(written, "r+") as file:
        del file["entry/title"]
        file["entry/title"] = "short"
        place = file["entry/title"].id.get_offset()
    assert read_raw_scan(written).title == "short"
    damaged = bytearray(written.read_bytes())
    assert damaged[place] == len("short")
    damaged[place : place + 4] = b"\xff\xff\xff\x7f"
    written.write_bytes(damaged)
    with pytest.raises(InputError, match="/entry/title is longer than 16 MB"):
        read_raw_scan(written)


def test_failed_write_leaves_nothing_and_the_old_file_as_it_was(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    found = []

    def interrupted():
        with safely_written(path) as file:
            file["x"] = 1
            found.extend(p.name for p in tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(found) == ["a.h5", "a.h5.partial"]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_file_has_its_name_only_when_complete_and_on_disk(tmp_path, monkeypatch):
    path, order = tmp_path / "new" / "a.h5", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: order.append(path.exists()) or real(fd))
    with safely_written(path) as file:
        file["x"] = 1
        assert not path.exists()
    assert order == [False]
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


def test_stale_partial_is_no_result_and_no_obstacle(tmp_path):
    path = tmp_path / "raw.h5"
    path.with_name("raw.h5.partial").write_bytes(b"half a scan")
    with pytest.raises(InputError, match="does not exist"):
        read_raw_scan(path)
    write_raw_scan(RAW, path)
    assert [p.name for p in tmp_path.iterdir()] == ["raw.h5"]
    np.testing.assert_array_equal(read_raw_scan(path).counts, RAW.counts)
