"""Other people's programs open our files unchanged and see what we wrote.

fabio, silx, pyFAI and nxxrdct run in processes of their own that import nothing of this project, on
files as the writer left them. Truth for the frames: the arrays that were written; for diffmap:
pyFAI's own integration of these arrays.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pyFAI
import pytest

from xrdct.conversion import wavelength_A
from xrdct.framefile import FrameScan, write_frame_scan
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.manifest import Layout
from xrdct.rawfile import RawScan, Readings, write_raw_scan
from xrdct.scan import Scan
from xrdct.shardreader import Shards
from xrdct.shards import ShardWriter

SCAN = Scan(n_offsets=4, step_um=2.0, n_angles=3, order="zigzag")
RASTER = np.array([0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11])
DETECTOR = Detector(name="Pilatus100k")
GEOMETRY = Geometry(
    distance_m=0.2,
    two_theta_max_deg=12.0,
    poni1_m=0.012,
    poni2_m=0.04,
    rot1_rad=0.02,
    rot2_rad=-0.01,
    rot3_rad=0.3,
)
SHAPE = (195, 487)
N_RADIAL = 150


def rings():
    """Frames of which no two are alike: rings, noise, gaps and a dead pixel."""
    ai = pyFAI.load({**PONI, "detector": "Pilatus100k", "detector_config": {"orientation": 3}})
    two_theta = np.rad2deg(ai.twoThetaArray(SHAPE))
    expected = 3.0 + 40.0 * np.exp(-(((two_theta - 6.0) / 0.2) ** 2))
    rng = np.random.default_rng(7)
    frames = np.stack([rng.poisson(expected * (1 + 0.1 * i)) for i in range(12)]).astype(np.int32)
    frames[:, :, 240:244] = -1
    frames[:, 100, 50] = -2
    return frames


PONI = {"poni_version": 2.1, "dist": 0.2, "poni1": 0.012, "poni2": 0.04}
PONI |= {"rot1": 0.02, "rot2": -0.01, "rot3": 0.3, "wavelength": float(wavelength_A(50.0)) * 1e-10}


@pytest.fixture(scope="module")
def frames():
    return rings()


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory):
    """A scan of 12 frames in three shards, in a folder with a space, as names of files have."""
    folder = tmp_path_factory.mktemp("my data")
    layout = Layout(stem="scan", identity="abc", frame_shape=SHAPE, n_frames=12, frames_per_shard=5)
    with ShardWriter(folder, layout) as writer:
        for index in writer.missing():
            writer.make_shard(index, lambda number: frames[number])
        manifest = writer.finished()
    scan = FrameScan(
        scan=SCAN,
        beam=Beam(),
        detector=DETECTOR,
        geometry=GEOMETRY,
        shards=Shards(folder, manifest),
        raster=RASTER,
        encoder_offset_um=SCAN.offsets_um[RASTER % 4],
        encoder_rotation_rad=SCAN.angles_rad[RASTER // 4],
        elapsed_s=np.arange(12) * 0.011,
        monitor=np.full(12, 1e9),
        transmitted=np.full(12, 9e8),
        pixel_mask=(frames[0] < 0).astype(np.uint32),
        clock_start=datetime(2024, 5, 1, tzinfo=UTC),
        title="LiMn₂O₄ at 50 keV",
        saturation=1_000_000,
    )
    write_frame_scan(scan, folder / "scan.h5")
    np.save(folder / "frames.npy", frames)
    return folder


def told(program, folder):
    """Run a program elsewhere than in the folder, and return what it printed as JSON."""
    assert "import xrdct" not in program
    assert "from xrdct" not in program
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_fabio_opens_master_and_shards(folder):
    program = """
import json, sys, fabio, numpy as np
frames = np.load(sys.argv[1] + "/frames.npy")
def same(name, first, n):
    with fabio.open(sys.argv[1] + "/" + name) as image:
        found = [image.getframe(i).data for i in range(image.nframes)]
    return len(found) == n and all(
        (f == g).all() and f.dtype == np.int32 for f, g in zip(found, frames[first:first + n]))
print(json.dumps([same("scan.h5", 0, 12), same("scan.h5::/entry/data/data", 0, 12),
    same("scan_frames/scan_000000.h5", 0, 5), same("scan_frames/scan_000002.h5", 10, 2)]))
"""
    assert told(program, folder) == [True] * 4


def test_silx_finds_the_default_plot(folder):
    program = """
import json, sys, hdf5plugin, numpy as np, silx.io
from silx.io.nxdata import get_default
frames = np.load(sys.argv[1] + "/frames.npy")
def default(name):
    with silx.io.open(sys.argv[1] + "/" + name) as file:
        plot = get_default(file)
        return [plot.is_valid, plot.signal_dataset_name, plot.interpretation,
            list(plot.signal.shape), bool((plot.signal[3] == frames[3]).all())]
print(json.dumps([default("scan.h5"), default("scan_frames/scan_000000.h5")]))
"""
    master, shard = told(program, folder)
    assert master == [True, "data", "image", [12, *SHAPE], True]
    assert shard == [True, "data", "image", [5, *SHAPE], True]


def test_pyfai_loads_the_poni_file(folder):
    # Every number to the last bit: the text holds the shortest decimal that gives it back.
    found = pyFAI.load(str(folder / "scan.poni"))
    assert type(found.detector).__name__ == "Pilatus100k"
    assert found.detector.orientation == 3
    for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"):
        assert getattr(found, name) == PONI[name], name


def test_diffmap_integrates_the_master_unchanged(folder, frames, tmp_path):
    # Truth: pyFAI's integrate1d of the arrays, masked by hand, with the same method. Both are float
    # sums of the same numbers: they agree to the last digits of float32, the output's type. No mask
    # is given to diffmap: it knows −1 and −2 on a Pilatus.
    command = [Path(sys.executable).parent / "pyFAI-diffmap", "--no-gui", "-t", "4", "-r", "3"]
    command += ["--zigzag", "-c", str(N_RADIAL), "-p", folder / "scan.poni"]
    command += ["-o", tmp_path / "map.h5", folder / "scan.h5"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "map.h5") as file:
        entry = file[file.attrs["default"]]
        result = entry[entry.attrs["default"]]
        maps, two_theta = result["intensity"][()], result["2th"][()]
        places = result["map_ptr"][()].ravel()
    assert maps.shape == (3, 4, N_RADIAL)
    np.testing.assert_array_equal(places[RASTER], np.arange(12))
    ai = pyFAI.load(str(folder / "scan.poni"))
    for number, place in enumerate(RASTER):
        one = ai.integrate1d(
            frames[number],
            N_RADIAL,
            unit="2th_deg",
            mask=frames[number] < 0,
            correctSolidAngle=True,
            method=("full", "histogram", "cython"),
        )
        np.testing.assert_allclose(two_theta, one.radial, rtol=1e-6)
        np.testing.assert_allclose(maps.reshape(12, -1)[place], one.intensity, rtol=1e-5, atol=1e-5)


def test_lost_shard_is_seen_as_masked_pixels(folder, frames, tmp_path):
    # HDF5 shows its fill value for what a virtual dataset lacks: ours says "no pixel", not "dark".
    (tmp_path / "scan.h5").write_bytes((folder / "scan.h5").read_bytes())
    with h5py.File(tmp_path / "scan.h5") as file:
        assert (file["entry/data/data"][3] == -1).all()


PATTERNS = RawScan(
    scan=Scan(n_offsets=4, step_um=1.0, n_angles=6),
    beam=Beam(),
    detector=Detector(),
    geometry=Geometry(two_theta_min_deg=1.5, two_theta_max_deg=17.5, n_channels=16),
    counts=np.arange(6 * 4 * 16, dtype=np.int32).reshape(6, 4, 16),
    monitor=1e9 + np.arange(24.0).reshape(6, 4),
    transmitted=np.full((6, 4), 9e8),
    readings=Readings(np.zeros((6, 4)), np.zeros(6), 600.0 + np.arange(24.0).reshape(6, 4)),
    title="LiMn₂O₄ at 50 keV",
    experiment_hash="abc",
)


@pytest.fixture(scope="module")
def patterns(tmp_path_factory):
    """A raw scan of patterns, linked to another that lies beside it."""
    folder = tmp_path_factory.mktemp("my patterns")
    write_raw_scan(PATTERNS, folder / "coarse.h5")
    write_raw_scan(PATTERNS, folder / "scan.h5", linked={"coarse": folder / "coarse.h5"})
    np.savez(folder / "ours.npz", counts=PATTERNS.counts, monitor=PATTERNS.monitor)
    return folder


def test_nxxrdct_loads_patterns(patterns):
    # It finds one entry: the linked scan, in a file of its own, is not another of this file.
    program = """
import json, sys, numpy as np, nxxrdct
name = sys.argv[1] + "/scan.h5"
ours = np.load(sys.argv[1] + "/ours.npz")
scan = nxxrdct.NXxrdct().load(name, "entry")
detector, sample, beam = scan.instrument.detector, scan.sample, scan.beam
def to(quantity, units):
    return np.ravel(quantity.to(units).magnitude).tolist()
print(json.dumps([
    list(nxxrdct.NXxrdct.get_valid_entries(name)),
    [scan.title, str(scan.start_time), str(scan.end_time), scan.control.mode],
    [detector.radial_axis_long_name, str(detector.radial_axis.units)],
    [scan.instrument.source.probe, scan.instrument.source.type],
    [bool((detector.data == ours["counts"].transpose(1, 0, 2)).all()), str(detector.data.dtype),
        bool((scan.control.data == ours["monitor"].T).all())],
    [to(detector.radial_axis, "deg"), to(sample.rotation_angles, "rad"),
        to(sample.translation_values, "m"), to(beam.incident_energy, "eV"),
        to(scan.instrument.monochromator.wavelength, "nm"), to(detector.distance, "mm"),
        to(detector.x_pixel_size, "um"), to(detector.y_pixel_size, "um"),
        to(detector.count_time, "ms")]]))
"""
    entries, texts, axis, source, same, numbers = told(program, patterns)
    assert entries == ["/entry"]
    assert texts == [
        "LiMn₂O₄ at 50 keV",
        "2020-01-01 00:10:00+00:00",
        "2020-01-01 00:10:23.010000+00:00",
        "timer",
    ]
    assert axis == ["2theta", "degree"]
    assert source == ["x-ray", "Synchrotron X-ray Source"]
    assert same == [True, "int32", True]
    wanted = [
        2.0 + np.arange(16),
        np.arange(6) * np.pi / 6.0,
        np.array([-1.5, -0.5, 0.5, 1.5]) * 1e-6,
        [50_000.0],
        [0.02479684],  # hc = 1.2398420 keV nm (CODATA 2018)
        [700.0],
        [172.0],
        [172.0],
        [10.0],
    ]
    for found, number in zip(numbers, wanted, strict=True):
        np.testing.assert_allclose(found, number, rtol=1e-7)


def test_nxxrdct_copies_patterns(patterns, tmp_path):
    # What it loads and saves again has the same counts in its own default plot.
    program = """
import json, sys, h5py, numpy as np
from nxxrdct.application.nxxrdct import copy_nxxrdct_file
counts = np.load(sys.argv[1] + "/ours.npz")["counts"]
copy_nxxrdct_file(sys.argv[1] + "/scan.h5", TARGET, None)
with h5py.File(TARGET) as file:
    print(json.dumps(bool((file["entry/data/intensity"][()] == counts.transpose(1, 0, 2)).all())))
"""
    assert told(f"TARGET = {str(tmp_path / 'copy.h5')!r}" + program, patterns)


def test_silx_plots_patterns(patterns):
    # Each rotation is an image, of offset against 2θ. The viewer loads hdf5plugin itself.
    program = """
import json, sys, hdf5plugin, numpy as np, silx.io
from silx.io.nxdata import get_default
counts = np.load(sys.argv[1] + "/ours.npz")["counts"]
def default(name):
    with silx.io.open(sys.argv[1] + "/" + name) as file:
        plot = get_default(file)
        return [plot.is_valid, list(plot.issues), plot.signal_dataset_name, plot.interpretation,
            plot.is_image, plot.axes_names, bool((plot.signal[()] == counts).all())]
print(json.dumps([default("scan.h5"), default("scan.h5::/entry/other_scans/coarse")]))
"""
    axes = ["rotation (deg)", "offset (um)", "2theta (deg)"]
    assert told(program, patterns) == [[True, [], "intensity", "image", True, axes, True]] * 2
