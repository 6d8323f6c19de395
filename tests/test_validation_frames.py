"""Frame mode from experiment to maps: streamed, on disk, interrupted, and what the files say."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyFAI.diffmap import DiffMap

from inverse.frame_patterns import patterns_of_frames
from inverse.integrate import integrate_frame, integrator
from inverse.integration import Integration
from inverse.recipe import Calibration, Profile
from validation.experiment import load_experiment
from validation.frame_files import write_frames
from validation.laboratory import laboratory
from validation.outputs import other_scan_path
from validation.run import RunFiles, run
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.framefile import read_frame_scan
from xrdct.rawfile import read_raw_scan

TOML = Path(__file__).parent / "data" / "tiny_frames.toml"


@lru_cache(maxsize=1)
def calibrated():
    """The tiny experiment, its calibration given: the calibrant has tests of its own."""
    experiment = load_experiment(TOML)
    truth = laboratory(experiment).instrument.geometry
    calibration = Calibration(profile=Profile(), distance_m=truth.distance_m, geometry=truth)
    recipe = experiment.recipe.model_copy(update={"calibration": calibration})
    return experiment.model_copy(update={"recipe": recipe})


@pytest.fixture(scope="module")
def streamed():
    return simulate(calibrated())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("frames")
    write_frames(calibrated(), path / "scan.h5")
    return path


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in {".h5", ".json", ".poni"}
    }


def test_frames_on_disk_integrate_to_what_streaming_gives(streamed, folder):
    # Law: the same frames, in raster order though measured in zigzag, bit for bit.
    raw = patterns_of_frames(read_frame_scan(folder / "scan.h5"))
    for name in ("counts", "variance", "monitor", "transmitted"):
        np.testing.assert_array_equal(getattr(raw, name), getattr(streamed.raw, name))
    for name in ("encoder_offset_um", "encoder_rotation_rad", "time_s"):
        np.testing.assert_array_equal(
            getattr(raw.readings, name), getattr(streamed.raw.readings, name)
        )
    assert raw.geometry == streamed.raw.geometry
    coarse = patterns_of_frames(read_frame_scan(other_scan_path(folder / "scan.h5", "coarse")))
    np.testing.assert_array_equal(coarse.counts, streamed.others["coarse"].counts)


@pytest.mark.parametrize("workers", [1, 3])
def test_frames_do_not_depend_on_threads(streamed, workers):
    again = simulate(calibrated(), workers=workers)
    np.testing.assert_array_equal(again.raw.counts, streamed.raw.counts)
    np.testing.assert_array_equal(again.raw.transmitted, streamed.raw.transmitted)


def test_points_are_measured_in_the_order_of_the_scan(folder):
    # Truth: zigzag; every second line of the raster backwards in time.
    frames = read_frame_scan(folder / "scan.h5")
    raster = np.arange(130).reshape(10, 13)
    raster[1::2] = raster[1::2, ::-1]
    np.testing.assert_array_equal(frames.raster, raster.ravel())
    assert (np.diff(frames.elapsed_s) > 0.0).all()


def test_frames_tell_nothing_of_the_truth(folder):
    # The nominal instrument, not the drawn one, in every byte of every file.
    experiment = calibrated()
    nominal = read_frame_scan(folder / "scan.h5")
    assert nominal.geometry == experiment.geometry
    lab = laboratory(experiment)
    hidden = [
        lab.instrument.tail_fraction, lab.instrument.b_iso_factor,
        *lab.conditions[0].positions.true_offset_um[0, :3], *lab.conditions[0].photons[0, :3],
    ]  # fmt: skip
    for content in contents(folder).values():
        for number in hidden:
            assert np.float64(number).tobytes() not in content
            assert repr(float(number)).encode() not in content
    for word in ("particle", "unknowns", "effects", "seed"):
        for name, content in contents(folder).items():
            assert f'"{word}"'.encode() not in content, name


def test_noise_free_frames_average_the_noisy_ones(streamed):
    # Statistics: the mean over channels and points of (noisy − mean)/σ; grains and outliers off.
    # Trimming skews single values, so the mean estimator is used. 1300 channels, 5.5 σ.
    experiment = calibrated()
    effects = experiment.effects.model_copy(
        update={"grains": False, "zingers": False, "bad_pixels": False}
    )
    integration = experiment.recipe.integration.model_copy(update={"method": "mean"})
    recipe = experiment.recipe.model_copy(update={"integration": integration})
    plain = experiment.model_copy(update={"effects": effects, "recipe": recipe, "scans": {}})
    quiet = plain.model_copy(update={"effects": effects.model_copy(update={"noise": False})})
    noisy, mean = simulate(plain).raw, simulate(quiet).raw
    z = (noisy.counts - mean.counts) / np.sqrt(mean.variance)
    z = z[np.isfinite(z)]
    assert z.size > 10_000
    assert abs(z.mean()) < 5.5 / np.sqrt(z.size)
    assert 0.95 < z.std() < 1.05


def test_frames_without_noise_are_not_written(tmp_path):
    experiment = calibrated()
    quiet = experiment.model_copy(
        update={"effects": experiment.effects.model_copy(update={"noise": False})}
    )
    with pytest.raises(InputError, match=r"effects\.noise must be true"):
        write_frames(quiet, tmp_path / "scan.h5")


def test_patterns_have_no_frames_to_keep(tmp_path):
    patterns = calibrated().model_copy(update={"mode": "patterns"})
    with pytest.raises(InputError, match="only frame mode has frames to keep"):
        run(patterns, tmp_path, keep_frames=True)


def test_run_keeps_frames_if_asked(tmp_path, streamed):
    files = RunFiles(tmp_path)
    metrics = run(calibrated(), tmp_path, keep_frames=True)
    assert metrics["scan"]["mode"] == "frames"
    assert read_frame_scan(files.frames).scan == calibrated().scan
    np.testing.assert_array_equal(read_raw_scan(files.scan).counts, streamed.raw.counts)
    coarse = read_raw_scan(files.scan, name="coarse")
    np.testing.assert_array_equal(coarse.counts, streamed.others["coarse"].counts)


@pytest.mark.slow
@pytest.mark.share
def test_killed_at_any_moment_it_resumes_to_the_same_bytes(tmp_path):
    # The command itself, ended by SIGKILL at random times, then left to finish; against a run
    # that was not disturbed. The calibrant is measured too.
    command = [sys.executable, "-m", "validation.cli", "simulate", str(TOML), "-q", "-o"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start = time.monotonic()
    subprocess.run([*command, str(whole / "scan.h5")], check=True)
    duration_s = time.monotonic() - start
    dice = random.Random(5)
    for _ in range(4):
        process = subprocess.Popen([*command, str(broken / "scan.h5")])
        time.sleep(dice.uniform(0.3, 0.95) * duration_s)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if (broken / "scan.h5").exists():
            break
    if not (broken / "scan.h5").exists():
        subprocess.run([*command, str(broken / "scan.h5")], check=True)
    assert contents(broken) == contents(whole)


def test_diffmap_integrates_our_frames_to_our_patterns(folder, tmp_path):
    # Independent program: pyFAI-diffmap, headless, on the files as they are; pixels not split, the
    # plain mean, pyFAI's corrections only. Float32 sums. Into its first channel pyFAI also counts
    # pixels just below it, so that one is left out.
    frames = read_frame_scan(folder / "scan.h5")
    scan, geometry = frames.scan, frames.geometry
    arguments = ["--no-gui", "-t", str(scan.n_offsets), "-r", str(scan.n_angles), "--zigzag"]
    arguments += ["-c", str(geometry.n_channels), "-p", str(folder / "scan.poni")]
    arguments += ["-o", str(tmp_path / "map.h5")]
    _, config = DiffMap().parse([*arguments, str(folder / "scan.h5")], with_config=True)
    config.ai.method = ["no", "csr", "cython"]
    config.ai.radial_range = [geometry.two_theta_min_deg, geometry.two_theta_max_deg]
    config.ai.polarization_description = [frames.beam.polarisation, 0.0]
    (tmp_path / "diffmap.json").write_text(json.dumps(config.as_dict(), default=str))
    command = [Path(sys.executable).parent / "pyFAI-diffmap", *arguments]
    subprocess.run(
        [*command, "--config", tmp_path / "diffmap.json"], check=True, cwd=tmp_path, timeout=120,
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path)},
    )  # fmt: skip
    with h5py.File(tmp_path / "map.h5") as file:
        entry = file[file.attrs["default"]]
        theirs = entry[entry.attrs["default"]]["intensity"][()]
    integration = Integration(method="mean", sensor_parallax=False, sensor_absorption=False)
    bins = integrator(geometry, detector=frames.detector, beam=frames.beam, integration=integration)
    pixel_sr = (frames.detector.pixel_um * 1e-6 / geometry.distance_m) ** 2
    for number in (0, 20, 129):
        value, _ = integrate_frame(frames.frames(number, number + 1)[0], bins, integration)
        line, offset = divmod(int(frames.raster[number]), scan.n_offsets)
        ours = value / bins.ring_factor * pixel_sr
        assert np.isfinite(ours).sum() > 100
        seen = np.isfinite(ours)
        seen[0] = False
        np.testing.assert_allclose(theirs[line, offset][seen], ours[seen], rtol=1e-6)
