"""The master of a scan of frames: what is written comes back, and nothing hostile is followed.

No file, however damaged, does more than be refused in one sentence.
"""

import json
import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from xrdct.errors import InputError
from xrdct.framefile import FrameScan, is_frame_scan, read_frame_scan, write_frame_scan
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.manifest import Layout, Manifest, ShardRecord
from xrdct.ponifile import poni_text
from xrdct.scan import Scan
from xrdct.shardfile import write_shard_file
from xrdct.shardreader import Shards
from xrdct.shards import ShardWriter

SCAN = Scan(n_offsets=4, step_um=2.0, n_angles=3, order="zigzag", exposure_s=0.01)
DETECTOR = Detector(name="Pilatus100k")
GEOMETRY = Geometry(distance_m=0.2, two_theta_max_deg=12.0, poni1_m=0.01, rot1_rad=0.02)
SHAPE = (195, 487)
ZIGZAG = np.array([0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11])
"""Time order of three lines of four points, every other one backwards: by hand."""
RNG = np.random.default_rng(1)
FRAMES = RNG.poisson(3.0, (12, *SHAPE)).astype(np.int32)
FRAMES[:, :, 100] = -1
FRAMES[:, 7, 8] = -2
MASK = np.zeros(SHAPE, np.uint32)
MASK[:, 100], MASK[7, 8] = 1, 2
START = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
LAYOUT = Layout(stem="scan", identity="abc", frame_shape=SHAPE, n_frames=12, frames_per_shard=5)


def write_shards(folder, layout=LAYOUT, frames=FRAMES):
    with ShardWriter(folder, layout, workers=2) as writer:
        for index in writer.missing():
            numbers = layout.frames_of(index)
            writer.write_shard(index, frames[numbers.start : numbers.stop])
        return Shards(folder, writer.finished())


def frame_scan(folder):
    noise = RNG.normal(0.0, 0.1, 12)
    return FrameScan(
        scan=SCAN,
        beam=Beam(),
        detector=DETECTOR,
        geometry=GEOMETRY,
        shards=write_shards(folder),
        raster=ZIGZAG,
        encoder_offset_um=SCAN.offsets_um[ZIGZAG % 4] + noise,
        encoder_rotation_rad=SCAN.angles_rad[ZIGZAG // 4],
        elapsed_s=5.0 + 0.25 * np.arange(12),
        monitor=np.arange(12) + 1e9,
        transmitted=np.arange(12) + 9e8,
        pixel_mask=MASK,
        clock_start=START,
        flat_field=np.linspace(0.9, 1.1, 195 * 487, dtype=np.float32).reshape(SHAPE),
        saturation=1_000_000,
        recipe={"n_background": 4},
        title="LiMn₂O₄ at 50 keV",
        versions={"numpy": "2"},
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_frame_scan(frame_scan(folder), folder / "scan.h5")
    return folder


@pytest.fixture
def written(original, tmp_path):
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path / "scan.h5"


def shard_of(path, index):
    return path.parent / "scan_frames" / f"scan_{index:06d}.h5"


def changed(path, name, values, **options):
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **options)


def test_what_is_written_comes_back(tmp_path):
    wrote = frame_scan(tmp_path)
    write_frame_scan(wrote, tmp_path / "scan.h5")
    found = read_frame_scan(tmp_path / "scan.h5", verify=True)
    for field in fields(FrameScan):
        one, other = getattr(found, field.name), getattr(wrote, field.name)
        if field.name == "shards":
            assert one.manifest == other.manifest
        elif field.name == "encoder_rotation_rad":  # stored in degrees
            np.testing.assert_allclose(one, other, rtol=4 * np.finfo(float).eps)
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other
    assert found.experiment_hash == "abc"
    np.testing.assert_array_equal(found.frames(0, 12), FRAMES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.h5", "scan.poni", "scan_frames"]


def test_frames_are_in_order_of_time_and_the_raster_gives_their_places(written):
    # Truth: the zigzag above, written out by hand.
    found = read_frame_scan(written)
    np.testing.assert_allclose(found.offset_um[:8], [-3, -1, 1, 3, 3, 1, -1, -3])
    np.testing.assert_allclose(np.rad2deg(found.rotation_rad), np.repeat([0.0, 60.0, 120.0], 4))
    assert (np.diff(found.elapsed_s) > 0).all()
    elapsed = found.in_raster_order(found.elapsed_s)
    np.testing.assert_allclose(elapsed[0], [5.0, 5.25, 5.5, 5.75])
    np.testing.assert_allclose(elapsed[1], [6.75, 6.5, 6.25, 6.0])
    frames = found.in_raster_order(found.frames(0, 12))
    np.testing.assert_array_equal(frames[1, 0], FRAMES[7])
    np.testing.assert_array_equal(frames[2, 3], FRAMES[11])


def test_times_are_those_of_the_scan_not_of_the_wall(written):
    # From the first exposure, 5 s after the clock's start, to the end of the last.
    with h5py.File(written) as file:
        assert file["entry/start_time"][()] == b"2024-05-01T12:00:05+00:00"
        assert file["entry/end_time"][()] == b"2024-05-01T12:00:07.760000+00:00"
        epoch = file["entry/measurement/epoch"][()]
    np.testing.assert_allclose(epoch - START.timestamp(), 5.0 + 0.25 * np.arange(12), atol=1e-6)


def test_same_scan_gives_the_same_bytes(tmp_path):
    first = replace(frame_scan(tmp_path), encoder_offset_um=np.zeros(12))
    names = ("scan.h5", "scan.poni")
    write_frame_scan(first, tmp_path / "scan.h5")
    before = [(tmp_path / name).read_bytes() for name in names]
    write_frame_scan(first, tmp_path / "scan.h5")
    assert [(tmp_path / name).read_bytes() for name in names] == before


def test_beam_centre_is_where_the_direct_beam_lands(written):
    # Truth: L tan(rot1) along the columns from the foot, for a detector turned about the vertical.
    with h5py.File(written) as file:
        detector = file["entry/instrument/detector"]
        columns = 0.5 * 487 + 0.2 * np.tan(-0.02) / 172e-6
        assert detector["beam_center_x"][()] == pytest.approx(columns, abs=1e-6)
        assert detector["beam_center_y"][()] == pytest.approx(0.01 / 172e-6, abs=1e-9)


def test_setpoints_and_encoders_are_apart_and_carry_units(written):
    with h5py.File(written) as file:
        instrument = file["entry/instrument"]
        for group in ("positioners", "encoders"):
            assert instrument[group]["offset"].attrs["units"] == "um"
            assert instrument[group]["rotation"].attrs["units"] == "deg"
        asked, read = instrument["positioners/offset"][()], instrument["encoders/offset"][()]
        assert 0.0 < np.abs(asked - read).max() < 1.0
        assert instrument["detector/data"] == file["entry/data/data"]


def test_file_says_only_what_is_listed(written):
    # Closed list: whatever is added later has to be added here, and thought about.
    names = set()
    with h5py.File(written) as file:
        file.visit(names.add)
    groups = {
        "": "data end_time experiment_hash instrument measurement monitor start_time title"
        " transmitted xrdct_twin",
        "data/": "data",
        "instrument/": "beam detector encoders name positioners source",
        "instrument/beam/": "extent flux incident_energy incident_energy_spread"
        " incident_polarization_stokes incident_wavelength",
        "instrument/detector/": "beam_center_x beam_center_y count_time description distance"
        " flatfield pixel_mask saturation_value sensor_material sensor_thickness"
        " threshold_energy x_pixel_size y_pixel_size",
        "instrument/encoders/": "offset rotation",
        "instrument/positioners/": "offset rotation",
        "instrument/source/": "probe type",
        "measurement/": "elapsed_time epoch monitor transmitted",
        "monitor/": "mode preset",
        "transmitted/": "mode preset",
        "xrdct_twin/": "beam clock_start detector geometry raster recipe scan shards versions",
    }
    wanted = {f"entry/{group}{n}" for group, held in groups.items() for n in held.split()}
    assert names == wanted | {"entry"}


def test_frames_are_read_in_threads(written):
    shards = read_frame_scan(written).shards

    def read(number):
        out = np.empty(SHAPE, np.int32)
        shards.read_frame(number % 12, out)
        return out

    with ThreadPoolExecutor(4) as pool:
        for number, frame in enumerate(pool.map(read, range(48))):
            np.testing.assert_array_equal(frame, FRAMES[number % 12])


def test_frames_that_are_not_there_are_refused(written):
    shards = read_frame_scan(written).shards
    for start, stop in ((-1, 2), (3, 2), (0, 13), (13, 13)):
        with pytest.raises(InputError, match=f"there are 12 frames, not {start} to {stop}"):
            shards.frames(start, stop)
    with pytest.raises(InputError, match="but none is number 12"):
        shards.read_frame(12, np.empty(SHAPE, np.int32))
    for room in (np.empty(SHAPE, np.int64), np.empty((4, 4), np.int32), FRAMES[0].T.copy().T):
        with pytest.raises(InputError, match="but there is room for"):
            shards.read_frame(0, room)


def test_master_is_written_last_and_only_beside_its_shards(tmp_path):
    scan = frame_scan(tmp_path)
    path = tmp_path / "scan.h5"
    shards = dict(scan.shards.manifest.shards)
    shards.pop(1)
    part = scan.shards.manifest.model_copy(update={"shards": shards})
    backwards = np.array([*range(11), 3])
    for change, sentence in (
        ({"shards": replace(scan.shards, manifest=part)}, "before all of its shards are"),
        ({"shards": replace(scan.shards, folder=tmp_path / "b")}, "must lie beside it"),
        ({"clock_start": datetime(2024, 5, 1)}, "needs a time zone"),
        ({"monitor": np.zeros(11)}, "monitor must have shape (12,), not (11,)"),
        ({"monitor": np.full(12, -1.0)}, "must be photons, not negative, but has -1"),
        ({"pixel_mask": MASK[1:]}, "pixel_mask must have shape"),
        ({"raster": backwards}, "raster must name each of 12 places once"),
        ({"detector": Detector()}, "but the detector is (1679, 1475)"),
    ):
        with pytest.raises(InputError) as told:
            write_frame_scan(replace(scan, **change), path)
        assert sentence in str(told.value)
        assert not path.exists()
    with pytest.raises(InputError, match=r"those of scan\.h5, not of other\.h5"):
        write_frame_scan(scan, tmp_path / "other.h5")


def test_full_disk_is_told_for_the_master_too(tmp_path):
    scan = frame_scan(tmp_path)
    (tmp_path / "scan.poni.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"the disk is full at .*scan\.h5; what is complete stays"):
        write_frame_scan(scan, tmp_path / "scan.h5")
    assert not (tmp_path / "scan.h5").exists()
    write_frame_scan(scan, tmp_path / "scan.h5")
    read_frame_scan(tmp_path / "scan.h5", verify=True)


# What is hostile or damaged in the master


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "stored outside"])
@pytest.mark.parametrize(
    "name", ["entry/xrdct_twin/raster", "entry/monitor/data", "entry/instrument", "entry/title"]
)
def test_content_that_lies_elsewhere_is_refused(tmp_path, written, kind, name):
    other = tmp_path / "other.h5"
    other.write_bytes(written.read_bytes())
    with h5py.File(written, "r+") as file:
        file.move(name, "moved")
        if kind == "soft":
            file[name] = h5py.SoftLink("/moved")
        elif kind == "external":
            file[name] = h5py.ExternalLink("other.h5", name)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((12,), "f8")
            layout[:] = h5py.VirtualSource(str(other), "entry/monitor/data", (12,))
            file.create_virtual_dataset(name, layout)
        else:
            outside = [(str(tmp_path / "x.bin"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(name, (12,), "f8", external=outside)
    with pytest.raises(InputError, match=r"of its own|not a plain dataset|not a group"):
        read_frame_scan(written)


def remapped(path, sources, shape=(12, *SHAPE)):
    """Replace the virtual dataset by one of these (file, dataset, first, last, begin in source)."""
    layout = h5py.VirtualLayout(shape, "<i4")
    for file_name, name, first, last, begin in sources:
        source = h5py.VirtualSource(file_name, name, (last - first + (begin or 0), *SHAPE))
        layout[first:last] = source if begin is None else source[begin:]
    with h5py.File(path, "r+") as file:
        del file["entry/data/data"]
        file["entry/data"].create_virtual_dataset("data", layout)


NAMES = [f"scan_frames/scan_{i:06d}.h5" for i in range(3)]
INSIDE = "entry/data/data"
GOOD = [(NAMES[0], INSIDE, 0, 5, None), (NAMES[1], INSIDE, 5, 10, None)]
GOOD += [(NAMES[2], INSIDE, 10, 12, None)]


@pytest.mark.parametrize(
    "sources",
    [
        [("/etc/passwd", INSIDE, 0, 5, None), *GOOD[1:]],
        [("../scan_frames/scan_000000.h5", INSIDE, 0, 5, None), *GOOD[1:]],
        [("scan_frames/../../x.h5", INSIDE, 0, 5, None), *GOOD[1:]],
        [(".", INSIDE, 0, 5, None), *GOOD[1:]],
        [(NAMES[1], INSIDE, 0, 5, None), *GOOD[1:]],
        [(NAMES[0], "entry/data/other", 0, 5, None), *GOOD[1:]],
        [(NAMES[0], INSIDE, 0, 5, 2), *GOOD[1:]],
        [(NAMES[0], INSIDE, 1, 6, None), *GOOD[1:]],
        [(NAMES[0], INSIDE, 0, 4, None), *GOOD[1:]],
        GOOD[:2],
        [*GOOD, GOOD[0]],
        GOOD[::-1],
    ],
)
def test_virtual_dataset_that_points_elsewhere_is_refused(written, sources):
    remapped(written, GOOD)
    read_frame_scan(written)
    remapped(written, sources)
    with pytest.raises(InputError, match="shows other files than the shards beside it"):
        read_frame_scan(written)


def test_frames_that_are_not_virtual_or_of_another_shape_are_refused(written):
    remapped(written, GOOD, shape=(13, *SHAPE))
    with pytest.raises(InputError, match="is not the virtual dataset of its"):
        read_frame_scan(written)
    changed(written, "entry/data/data", FRAMES)
    with pytest.raises(InputError, match="is not the virtual dataset of its"):
        read_frame_scan(written)
    with h5py.File(written, "r+") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = h5py.ExternalLink("scan_frames/scan_000000.h5", INSIDE)
    with pytest.raises(InputError, match="has no dataset /entry/data/data of its own"):
        read_frame_scan(written)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("entry/monitor/data", np.zeros(13), "has shape (13,), but the scan needs (12,)"),
        ("entry/monitor/data", np.full(12, -1.0), "must be photons, not negative"),
        ("entry/monitor/data", np.full(12, np.nan), "must be finite numbers"),
        ("entry/monitor/data", np.zeros(12, complex), "not numbers"),
        ("entry/xrdct_twin/raster", np.zeros(12), "not whole numbers"),
        ("entry/xrdct_twin/raster", np.zeros(12, int), "must name each of 12 places once"),
        ("entry/xrdct_twin/raster", np.arange(12) + 10**9, "must name each of 12 places"),
        ("entry/xrdct_twin/raster", -np.arange(12), "must name each of 12 places once"),
        ("entry/xrdct_twin/raster", np.arange(12), "set-points of offset are not those"),
        ("entry/instrument/positioners/rotation", np.zeros(12), "set-points of rotation are not"),
        ("entry/instrument/encoders/offset", np.full(12, np.inf), "must be finite"),
        ("entry/instrument/detector/pixel_mask", np.zeros((5, 5), int), "has shape (5, 5)"),
        ("entry/instrument/detector/flatfield", np.zeros((5, 5)), "has shape (5, 5)"),
        ("entry/instrument/detector/saturation_value", 0.5, "not whole numbers"),
        ("entry/xrdct_twin/scan", "{", "/entry/xrdct_twin/scan "),
        ("entry/xrdct_twin/scan", '{"n_offsets": 5, "step_um": 2, "n_angles": 3}', "15 points"),
        ("entry/xrdct_twin/detector", '{"name": "Eiger4M"}', "but the detector is (2167, 2070)"),
        ("entry/xrdct_twin/detector", '{"name": "nonesuch"}', "knows no detector named"),
        ("entry/xrdct_twin/shards", "[]", "/entry/xrdct_twin/shards"),
        ("entry/xrdct_twin/clock_start", "yesterday", "is no ISO 8601 time"),
        ("entry/experiment_hash", "other", "lists shards of another experiment"),
    ],
)
def test_content_that_does_not_fit_is_refused(written, name, values, sentence):
    changed(written, name, values)
    with pytest.raises(InputError) as told:
        read_frame_scan(written)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_small_master_that_claims_to_hold_much_is_refused(written):
    # A contiguous dataset that was never written takes no room in the file, but 160 MB in memory.
    scan = SCAN.model_copy(update={"n_offsets": 20_000, "n_angles": 1000})
    huge = LAYOUT.model_copy(update={"n_frames": 20_000_000, "frames_per_shard": 100_000})
    record = {"size_bytes": 1, "sha256": "0" * 64, "n_frames": 100_000}
    shards = {
        i: record | {"name": huge.shard_name(i), "first_frame": 100_000 * i} for i in range(200)
    }
    listed = json.dumps({"layout": huge.model_dump(), "shards": shards})
    changed(written, "entry/xrdct_twin/scan", scan.model_dump_json())
    changed(written, "entry/xrdct_twin/shards", listed)
    sources = [
        (f"scan_frames/{huge.shard_name(i)}", INSIDE, 100_000 * i, 100_000 * (i + 1), None)
        for i in range(200)
    ]
    remapped(written, sources, shape=(20_000_000, *SHAPE))
    with h5py.File(written, "r+") as file:
        del file["entry/xrdct_twin/raster"]
        file["entry/xrdct_twin"].create_dataset("raster", (20_000_000,), np.int64)
    assert written.stat().st_size < 2_000_000
    with pytest.raises(InputError, match="raster claims 160 MB but stores 0 bytes"):
        read_frame_scan(written)


def test_damaged_master_is_refused_or_read_and_nothing_else(written):
    # Law: whatever bytes are changed, an InputError of one line is the worst. 150 fixed damages.
    content = written.read_bytes()
    rng = np.random.default_rng(5)
    complaints = []
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content) // 8, rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        written.write_bytes(damaged)
        try:
            read_frame_scan(written)
        except InputError as error:
            complaints.append(str(error))
    assert len(complaints) > 10
    assert not any("\n" in complaint for complaint in complaints)


def test_truncated_master_is_refused(written):
    content = written.read_bytes()
    for length in (0, 1, 8, 100, 5000, len(content) // 2, len(content) - 1):
        written.write_bytes(content[:length])
        with pytest.raises(InputError, match="is not an HDF5 file, or is truncated"):
            read_frame_scan(written)


def test_file_of_another_format_is_refused(written, tmp_path):
    with pytest.raises(InputError, match="does not exist or is not a file"):
        read_frame_scan(tmp_path / "missing.h5")
    with pytest.raises(InputError, match="does not exist or is not a file"):
        is_frame_scan(tmp_path / "missing.h5")
    assert is_frame_scan(written)
    assert not is_frame_scan(shard_of(written, 0))
    with pytest.raises(InputError, match="is not a frame scan file"):
        read_frame_scan(shard_of(written, 0))


# What is hostile or damaged in a shard


def resized(path, size):
    """Let the master record the size that a shard has got, to see what else is looked at."""
    manifest = read_frame_scan(path).shards.manifest
    record = manifest.shards[0].model_copy(update={"size_bytes": size})
    changed_manifest = manifest.with_shard(0, record)
    changed(path, "entry/xrdct_twin/shards", changed_manifest.model_dump_json())


def refused_frame(path, sentence, number=0):
    scan = read_frame_scan(path)
    with pytest.raises(InputError) as told:
        scan.frames(number, number + 1)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"checksum|recorded|does not exist|is a link"):
        scan.shards.verify()


def test_missing_truncated_or_linked_shard_is_refused(tmp_path, written):
    shard, content = shard_of(written, 0), shard_of(written, 0).read_bytes()
    shard.write_bytes(content[:-1])
    refused_frame(written, f"has {len(content) - 1} bytes, but {len(content)} are recorded")
    np.testing.assert_array_equal(read_frame_scan(written).frames(5, 12), FRAMES[5:])
    shard.unlink()
    refused_frame(written, "does not exist, but the scan needs its frames")
    (tmp_path / "elsewhere.h5").write_bytes(content)
    shard.symlink_to(tmp_path / "elsewhere.h5")
    refused_frame(written, "is a link, but frames must lie beside their scan")
    shard.unlink()
    shard.mkdir()
    refused_frame(written, "does not exist")
    shard.rmdir()
    shard.write_bytes(content)
    (tmp_path / "scan_frames").rename(tmp_path / "moved")
    (tmp_path / "scan_frames").symlink_to(tmp_path / "moved")
    refused_frame(written, "is a link", number=11)


def test_checksum_finds_what_no_structure_shows(written):
    # A byte of a text is changed: all is well formed, and frames come, but verification tells.
    shard = shard_of(written, 1)
    damaged = shard.read_bytes().replace(b"NXdata", b"NXdatb", 1)
    shard.write_bytes(damaged)
    scan = read_frame_scan(written)
    np.testing.assert_array_equal(scan.frames(5, 10), FRAMES[5:10])
    with pytest.raises(InputError, match="is damaged: its checksum is not the recorded one"):
        read_frame_scan(written, verify=True)


def new_frames(file, *args, **options):
    del file["entry/data/data"]
    file["entry/data"].create_dataset("data", *args, **options)


LZ4 = dict(hdf5plugin.Bitshuffle(cname="lz4"))
CHUNK = (1, *SHAPE)
FIVE = (5, *SHAPE)


def outside_storage(file, folder):
    (folder / "x.bin").write_bytes(b"\0" * 10)
    place = [(str(folder / "x.bin"), 0, h5py.h5f.UNLIMITED)]
    new_frames(file, FIVE, "<i4", external=place)


def virtual_storage(file, folder):
    layout = h5py.VirtualLayout(FIVE, "<i4")
    layout[:] = h5py.VirtualSource(str(folder / "scan_frames/scan_000001.h5"), INSIDE, FIVE)
    del file["entry/data/data"]
    file["entry/data"].create_virtual_dataset("data", layout)


def linked(link):
    def change(file, _folder):
        del file["entry/data/data"]
        file["entry/data/data"] = link

    return change


def of_frames(*args, **options):
    return lambda file, _folder: new_frames(file, *args, **options)


def attribute(name, value):
    def change(file, _folder):
        del file[name]
        file[name] = value

    return change


SHARD_CHANGES = {
    "external link": (linked(h5py.ExternalLink("scan_000001.h5", INSIDE)), "of its own"),
    "soft link": (linked(h5py.SoftLink("/entry/first_frame")), "of its own"),
    "external storage": (outside_storage, "is not a plain dataset"),
    "virtual": (virtual_storage, "is not a plain dataset"),
    "shape": (
        of_frames((5, 195, 488), "<i4", chunks=(1, 195, 488), **LZ4),
        "but the scan needs int32 of shape (5, 195, 487)",
    ),
    "absurd shape": (
        of_frames((5, 195, 10**15), "<i4", chunks=CHUNK, **LZ4),
        "but the scan needs int32",
    ),
    "type": (of_frames(FIVE, "<i8", chunks=CHUNK, **LZ4), "holds int64"),
    "floats": (of_frames(FIVE, "<f4", chunks=CHUNK, **LZ4), "holds float32"),
    "byte order": (of_frames(FIVE, ">i4", chunks=CHUNK, **LZ4), "holds >i4"),
    "chunk": (of_frames(FIVE, "<i4", chunks=(2, *SHAPE), **LZ4), "one frame to a chunk"),
    "no filter": (of_frames(data=FRAMES[:5], chunks=CHUNK), "one frame to a chunk"),
    "gzip": (of_frames(data=FRAMES[:5], chunks=CHUNK, compression="gzip"), "in bitshuffle-LZ4"),
    "zstd": (
        of_frames(data=FRAMES[:5], chunks=CHUNK, **hdf5plugin.Bitshuffle(cname="zstd")),
        "in bitshuffle-LZ4",
    ),
    "bare bitshuffle": (
        of_frames(data=FRAMES[:5], chunks=CHUNK, **hdf5plugin.Bitshuffle(cname="none")),
        "in bitshuffle-LZ4",
    ),
    "no frames": (of_frames(FIVE, "<i4", chunks=CHUNK, **LZ4), "are missing or changed"),
    "identity": (attribute("entry/experiment_hash", b"other"), "belongs to another experiment"),
    "place": (attribute("entry/first_frame", 5), "holds other frames than those from 0"),
}


@pytest.mark.parametrize("name", SHARD_CHANGES)
def test_shard_that_is_not_as_it_should_is_refused(tmp_path, written, name):
    change, sentence = SHARD_CHANGES[name]
    shard = shard_of(written, 0)
    with h5py.File(shard, "r+") as file:
        change(file, tmp_path)
    resized(written, shard.stat().st_size)
    refused_frame(written, sentence)


def test_shard_that_was_swapped_is_refused(written):
    shard_of(written, 0).write_bytes(shard_of(written, 1).read_bytes())
    resized(written, shard_of(written, 0).stat().st_size)
    refused_frame(written, "holds other frames than those from 0")


def test_bomb_is_refused_before_memory_is_taken(tmp_path):
    # A shard of 100 frames of 100 million pixels, 40 GB, that stores nothing; and one frame of it
    # that would fit, but not into what is stored.
    shape = (10_000, 10_000)
    layout = Layout(stem="b", identity="", frame_shape=shape, n_frames=200, frames_per_shard=100)
    path = tmp_path / "b_frames" / "b_000000.h5"
    path.parent.mkdir()
    write_shard_file(path, layout, 0, [])
    record = ShardRecord(
        name="b_000000.h5",
        first_frame=0,
        n_frames=100,
        size_bytes=path.stat().st_size,
        sha256="0" * 64,
    )
    shards = Shards(tmp_path, Manifest(layout=layout, shards={0: record}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="claims 40000 MB but stores 0 bytes"):
        shards.frames(0, 1)
    with pytest.raises(InputError, match="frames 0 to 200 would take 75 GB"):
        shards.frames(0, 200)
    with pytest.raises(InputError, match=r"shard 1 of .* is not complete"):
        shards.frames(150, 151)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_lying_chunk_of_a_frame_is_refused(written):
    shard = shard_of(written, 0)
    with h5py.File(shard) as file:
        info = file["entry/data/data"].id.get_chunk_info(2)
    content = shard.read_bytes()
    head = content[info.byte_offset : info.byte_offset + 12]
    for part, lie, sentence in (
        (0, b"\x7f" * 8, "has a wrong head"),
        (8, b"\x7f" * 4, "has a wrong head"),
        (12, b"\xff\xff\xff\xff", "its frame 2 cannot be decompressed"),
        (13, bytes([content[info.byte_offset + 13] ^ 1]), "its frame 2 cannot be decompressed"),
    ):
        damaged = bytearray(content)
        damaged[info.byte_offset + part : info.byte_offset + part + len(lie)] = lie
        shard.write_bytes(damaged)
        refused_frame(written, sentence, number=2)
    assert int.from_bytes(head[:8], "big") == 195 * 487 * 4


def test_damaged_shard_is_refused_or_read_and_nothing_else(written):
    # Law: whatever bytes of the structure are changed, an InputError of one line is the worst.
    shard = shard_of(written, 0)
    content = shard.read_bytes()
    with h5py.File(shard) as file:
        structure = file["entry/data/data"].id.get_chunk_info(0).byte_offset
    rng = np.random.default_rng(6)
    complaints = []
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, structure + 100, rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        shard.write_bytes(damaged)
        try:
            read_frame_scan(written).frames(0, 5)
        except InputError as error:
            complaints.append(str(error))
    assert len(complaints) > 10
    assert not any("\n" in complaint for complaint in complaints)


def test_poni_file_is_text_without_a_date(written):
    text = written.with_suffix(".poni").read_text()
    assert text == poni_text(beam=Beam(), detector=DETECTOR, geometry=GEOMETRY)
    assert "poni_version: 2.1\nDetector: Pilatus100k\n" in text
    assert os.fspath(Path.cwd()) not in text
