"""Pattern mode against frame mode, effect by effect: where they agree, and where by how much not.

docs/equivalence.md has the figures, by benchmarks/equivalence.py.
"""

import csv
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.two_modes import (
    SMOOTH,
    bins_of,
    changed,
    expected_frames,
    experiment,
    frame_model_of,
    in_whole_numbers,
    integrate_by,
    integrated,
    lattice_shift_A,
    pattern,
    pattern_on_pixels,
    pattern_scan,
    per_channel,
    seen_share,
    spotty,
)
from forward.estimators import estimator_table
from forward.frames import expected_photons, line_tables, recorded_counts
from forward.pattern_statistics import PatternStatistics, pattern_statistics
from forward.philox import stream_key
from forward.poisson import draw_poisson
from forward.ring_trimming import kept_fraction, trimmed_counts
from forward.sensor import mean_path_um
from inverse.integrate import integrate_frame
from inverse.integration import Integration
from inverse.pixel_bins import PixelBins
from inverse.recover import recover
from validation.experiment import load_experiment
from validation.laboratory import laboratory
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

BEAM = Beam(flux_per_s=1e12)
CUTS = {"trimmed_5_5": 0.05, "trimmed_10_10": 0.1}
SMALL = Detector(name="Pilatus100k")
SMALL_GEOMETRY = Geometry(
    distance_m=0.2, two_theta_min_deg=2.5, two_theta_max_deg=10.0, n_channels=160
)
AROUND_400 = Geometry(two_theta_min_deg=6.7, two_theta_max_deg=7.1, n_channels=160)
"""Channels of 0.18 pixels about one line: a ring hardly slopes within one."""
EFFECTS = [
    (),
    ("diffuse",),
    ("parallax",),
    ("sensor_parallax",),
    ("attenuation", "exit_path"),
    ("parallax", "grains"),
    ("parallax", "sensor_parallax", "attenuation", "exit_path", "diffuse"),
]


def strong(values, share=1e-2):
    return values > share * values.max()


@pytest.mark.parametrize("on", EFFECTS, ids=lambda on: "+".join(on) or "none")
def test_expected_patterns_agree_on_the_pixels_as_they_lie(on):
    # Law: the modes are two ways to the same photons. Pattern mode is put on the pixels by finer
    # channels. Bound: nodes of frame mode lie h = ⅛ of a pixel apart, and linear interpolation of
    # a single pixel errs by up to h² J″/24, 1e-3 of a line of two pixels FWHM. An integration that
    # corrects for the sensor's depth moves pixels inwards by a share δ of their radius, but leaves
    # their solid angle: less by δ in height and in width of rings, the latter by another δ x²/σ²
    # at x from the middle, 2 δ ln 100 where a hundredth of a Gaussian is left. Grains without noise
    # are as many as on average.
    found = experiment(on, beam=BEAM)
    frame, expected, direct = integrated(found), pattern_on_pixels(found), pattern(found)
    channels = strong(direct)
    ratio = frame[channels] / expected[channels]
    depth_m = 1e-6 * mean_path_um(energy_keV=BEAM.energy_keV, sensor_um=1000.0)
    lost = 2.0 * depth_m / 0.7 if "sensor_parallax" in on else 0.0
    assert np.max(np.abs(ratio - 1.0 + 0.5 * lost)) < 1e-3 + np.log(100.0) * lost
    assert np.average(ratio, weights=direct[channels]) == pytest.approx(1.0 - lost, abs=1e-4)
    assert abs(lattice_shift_A(frame, expected, found.geometry)) < 3e-6
    assert abs(lattice_shift_A(frame, direct, found.geometry)) < 1e-5
    # Single channels: n pixels, each anywhere in the channel (of width 1) as if by chance, give
    # their mean place the variance 1/12n and their mean square 1/180n. About the detector's middle
    # they come in four mirror images, so n/4; 5.3 σ is a false alarm of 1e-7.
    steep = strong(direct, 3e-2)
    ring = direct / per_channel(found)
    first, second = np.gradient(ring), np.gradient(np.gradient(ring))
    n_pixels = np.diff(bins_of(found).start)
    scatter = np.sqrt((first**2 / 12.0 + second**2 / 720.0) * 4.0 / n_pixels)
    z = (frame - direct) / per_channel(found) / scatter
    assert np.max(np.abs(z[steep])) < 5.3


def test_the_cell_agrees_to_what_its_exit_factors_are_good_for():
    # Documented (forward.attenuation): steel under the slice shades the lower half of rings, and
    # the product over rows and columns is off by 0.2 % in the mean over a ring; pattern mode knows
    # that mean at 24 rings, between which the gaps that a ring crosses change it by up to 1 %.
    found = experiment(SMOOTH, beam=BEAM)
    frame, direct = integrated(found), pattern(found)
    ratio = (frame / pattern_on_pixels(found))[strong(direct)]
    assert np.average(ratio, weights=direct[strong(direct)]) == pytest.approx(1.0, abs=2.5e-3)
    assert np.max(np.abs(ratio - 1.0)) < 1.2e-2
    assert abs(lattice_shift_A(frame, direct, found.geometry)) < 3e-5


def repeated_frames(found, n_frames):
    """Frames of one exposure that differ by their noise alone."""
    model, key = frame_model_of(found), stream_key(3)
    tables = line_tables(
        model, scan=found.scan, conditions=laboratory(found).conditions[0], line=0, seed=3,
        scan_number=0,
    )  # fmt: skip
    mean = expected_photons(model, tables, 0, key=key, frame=0)
    exposure_s = found.scan.exposure_s
    return [
        recorded_counts(model, mean, exposure_s=exposure_s, key=key, frame=k)
        for k in range(n_frames)
    ]


def check_variance(method, table_error):
    """The scatter of a channel over 300 frames against what pattern mode states and draws."""
    quiet_effects = ("parallax", "attenuation", "exit_path", "diffuse", "cell")
    parts = {"beam": BEAM, "detector": SMALL, "geometry": SMALL_GEOMETRY, "method": method}
    noisy = experiment(
        ("noise", *quiet_effects), scan=Scan(n_offsets=300, step_um=1e-6, n_angles=1), **parts
    )
    quiet = pattern_scan(experiment(quiet_effects, **parts))
    stated = quiet.counts if quiet.variance is None else quiet.variance
    stated = np.asarray(stated[0, 0], float)
    frames = integrate_by(repeated_frames(noisy, 300), noisy, [method])[method]
    n_pixels = np.diff(bins_of(noisy).start)
    smooth = pattern_statistics(
        SMALL_GEOMETRY, detector=SMALL, lower=0.0, upper=0.0, grains=noisy.grains
    ).n_pixels
    drawn = pattern_scan(noisy).counts[0].astype(float)
    # A variance from 300 values is known to √(2/299), the mean over 160 channels to 1/√160 of
    # that; 5.3 σ is a false alarm of 1e-7. Fewer pixels than a smooth ring has scatter more.
    error = 5.3 * np.sqrt(2.0 / 299.0 / n_pixels.size)
    of_frames = frames.var(axis=0, ddof=1) / stated * n_pixels / smooth
    assert of_frames.mean() == pytest.approx(1.0, abs=error + table_error)
    assert (drawn.var(axis=0, ddof=1) / stated).mean() == pytest.approx(1.0, abs=error)


def test_variance_of_the_mean():
    # Statistics: 300 noisy frames; the Poisson variance needs no table.
    check_variance("mean", 0.0)


def test_variance_of_the_trimmed_mean():
    # Statistics: 300 noisy frames, and the table's 2 % where nearly every count is above ten.
    check_variance("trimmed_5_5", 0.02)


@pytest.mark.slow
@pytest.mark.share
def test_variance_and_bias_of_the_heavier_trimming():
    # As above, with another table.
    check_variance("trimmed_10_10", 0.02)
    check_bias("trimmed_10_10")


def two_thousands():
    """Channels of 2000 pixels each, whichever they are."""
    pixels = np.flatnonzero(Detector().live)
    n = pixels.size // 2000
    return PixelBins(
        shape=Detector().shape, start=2000 * np.arange(n + 1),
        pixel=pixels[: 2000 * n].astype(np.int32), weight=np.ones(2000 * n, np.float32),
        two_theta_rad=np.full(n, 0.1), channel_width_rad=1e-3,
    )  # fmt: skip


def check_bias(method):
    """Flat frames, drawn and integrated, against pattern mode and against the published bias."""
    with (Path(__file__).parent / "data" / "trimmed_mean_bias.csv").open() as lines:
        published = {float(row["mean_counts_per_pixel"]): row for row in csv.DictReader(lines)}
    bins, cut, key = two_thousands(), CUTS[method], stream_key(5)
    integration = Integration(method=method)
    statistics = PatternStatistics(
        lower=cut, upper=cut, table=estimator_table(cut, cut),
        n_pixels=np.full(bins.n_channels, 2000.0), spot_fwhm_px=1.5,
    )  # fmt: skip
    for mean in (0.2, 1.0, 5.0, 20.0):
        flat = np.full(bins.shape, mean, np.float32)
        frames = [draw_poisson(flat, key=key, frame=k) for k in range(8)]
        values = np.array([integrate_frame(frame, bins, integration)[0] for frame in frames])
        values /= bins.ring_factor * mean
        expected, variance = statistics.measured(
            np.full((1, bins.n_channels), 2000.0 * mean, np.float32), noise=False, key=key,
            first_ray=0,
        )  # fmt: skip
        value, deviation = (
            x[0, 0] / 2000.0 / mean for x in (expected.astype(float), np.sqrt(variance))
        )
        error = values.std() / np.sqrt(values.size)
        noise = np.sqrt(1.0 / mean / 2000.0)
        # 5.3 standard errors, and the table's 3 % of the plain mean's noise
        assert values.mean() == pytest.approx(value, abs=5.3 * error + 0.03 * noise)
        assert values.std() == pytest.approx(
            deviation, abs=(0.04 + 5.3 / np.sqrt(2.0 * values.size)) * noise
        )
        # The published deviations scatter by 1 % about the truth, as those of 5000 trials do.
        row, name = published[mean], method.removeprefix("trimmed_")
        error = np.hypot(error, float(row[f"sd_{name}"]) / np.sqrt(5000.0))
        assert values.mean() - 1.0 == pytest.approx(float(row[f"bias_{name}"]), abs=5.3 * error)


def test_bias_of_the_trimmed_mean():
    # Published: PHYSICS 7, reference/trimmed_mean_bias.csv.
    check_bias("trimmed_5_5")


@lru_cache(maxsize=4)
def spotty_rings(spots_per_pixel):
    """Patterns by each method, (exposure, channel) over the line's core; spots, but no counting."""
    found = spotty(spots_per_pixel, geometry=AROUND_400, exposures=40)
    patterns = integrate_by(
        in_whole_numbers(expected_frames(found), 64), found, ["mean", *CUTS]
    )  # fmt: skip
    core = strong(patterns["mean"].mean(axis=0), 0.2)
    return {method: values[:, core] / 64.0 for method, values in patterns.items()}


@pytest.mark.parametrize("spots_per_pixel", [0.04, 0.13, 0.38, 3.8])
def test_rings_of_spots_lose_by_trimming_what_pattern_mode_takes(spots_per_pixel):
    # Statistics: 40 exposures of the 2M detector, 6 standard errors (Student's t of 39 degrees:
    # 5e-7). Trimmed means of n pixels are biased by the order of their variance, 1/(n · spots), for
    # n = 2800 on the ring; 3e-3 for the slope within a channel of 0.18 pixels, which is a
    # twenty-fifth of what docs/equivalence.md has for channels of 0.9.
    rings = spotty_rings(spots_per_pixel)
    plain = rings["mean"].sum(axis=1)
    for method, cut in CUTS.items():
        kept = kept_fraction(spots_per_pixel, lower=cut, upper=cut, fwhm_px=1.5)
        trimmed = rings[method].sum(axis=1)
        left = trimmed.mean() - kept * plain.mean()
        error = (trimmed - kept * plain).std(ddof=1) / np.sqrt(40.0)
        bound = 6.0 * error + (3e-3 + 1.0 / (2800.0 * spots_per_pixel)) * plain.mean()
        assert abs(left) < bound


@pytest.mark.parametrize("spots_per_pixel", [0.13, 3.8])
def test_pattern_mode_takes_it_from_lines(spots_per_pixel):
    # Statistics: the line in 400 exposures of pattern mode, over the same without trimming, each to
    # 5.3 standard errors; and its scatter, of 400 exposures known to √(2/399).
    trimmed, plain = (
        pattern_scan(
            changed(spotty(spots_per_pixel, geometry=AROUND_400, exposures=400), method=method)
        ).counts[0]
        for method in ("trimmed_5_5", "mean")
    )
    core = strong(plain.mean(axis=0, dtype=float), 0.2)
    lines = [values[:, core].sum(axis=1, dtype=float) for values in (trimmed, plain)]
    kept = kept_fraction(spots_per_pixel, lower=0.05, upper=0.05, fwhm_px=1.5)
    difference = lines[0] - kept * lines[1]
    bound = 5.3 * difference.std() / 20.0 + 3e-3 * lines[1].mean()
    assert abs(difference.mean()) < bound
    # Truth of the scatter: Poisson numbers of spots on the whole ring of 3096 pixels.
    spread = lines[1].std() / lines[1].mean() * np.sqrt(3096.0 * spots_per_pixel)
    assert spread == pytest.approx(1.0, abs=5.3 / np.sqrt(2.0 * 399.0))


def test_weak_rings_keep_more_than_pattern_mode_thinks():
    # Theory: forward.ring_trimming.trimmed_counts, for spots that counting noise hides. Statistics:
    # 40 exposures, 6 standard errors (Student's t of 39 degrees, 5e-7), and 1 % for channels of
    # 500 pixels. Pattern mode takes from the line as if nothing was hidden: 5 % too much here.
    spots_per_pixel, background, top = 0.38, 5.0, 3.0
    found = spotty(spots_per_pixel, geometry=AROUND_400, exposures=40)
    bins = bins_of(found)
    own = [slice(*ends) for ends in zip(bins.start[:-1], bins.start[1:], strict=True)]
    bins = replace(bins, weight=np.ones_like(bins.weight))
    seen = np.array([frame.ravel()[bins.pixel] for frame in expected_frames(found)])
    rings = np.array([seen[:, pixels].mean() for pixels in own])
    core = strong(rings, 0.2)
    seen *= np.float32(top / rings.max())
    rings *= top / rings.max()
    frame, key = np.zeros(bins.shape, np.int32), stream_key(8)
    left = []
    for number, mean in enumerate(seen):
        drawn = draw_poisson(mean[None] + np.float32(background), key=key, frame=number)
        frame.reshape(-1)[bins.pixel] = drawn[0]
        value, _ = integrate_frame(frame, bins, Integration(method="trimmed_10_10"))
        plain = np.array([mean[pixels].mean() for pixels in own])
        left.append((value / bins.ring_factor - plain)[core].sum())

    def counted(ring, spots=spots_per_pixel):
        return trimmed_counts(
            spots, lower=0.1, upper=0.1, fwhm_px=1.5, ring_counts=ring,
            background_counts=background,
        )  # fmt: skip

    theory = sum(counted(ring) - ring for ring in rings[core])
    error = np.std(left, ddof=1) / np.sqrt(len(left))
    assert abs(np.mean(left) - theory) < 6.0 * error + 0.01 * rings[core].sum()
    smooth = 1e5  # spots to a pixel
    kept = float(kept_fraction(spots_per_pixel, lower=0.1, upper=0.1, fwhm_px=1.5))
    excess = counted(kept * top, smooth) - counted(top)
    assert excess / top == pytest.approx(-0.056, abs=0.005)


def test_spots_on_the_seen_part_of_a_ring_alone_make_its_scatter():
    # Law: Poisson numbers of spots on the part that live pixels see, 400 exposures. A sample
    # variance is known to √(2/399); 5.3 σ. The whole ring would scatter half as much.
    geometry = AROUND_400.model_copy(update={"distance_m": 0.2, "poni1_m": 0.0, "n_channels": 40})
    found = spotty(0.38, geometry=geometry, exposures=400, detector=SMALL)
    patterns = integrate_by(in_whole_numbers(expected_frames(found), 64), found, ["mean"])["mean"]
    mean = patterns.mean(axis=0)
    core = strong(mean, 0.2)
    share = seen_share(found)[core].mean()
    assert 0.3 < share < 0.6
    radius_px = 0.2 * np.tan(found.geometry.two_theta_rad[core].mean()) / 172e-6
    spots = 0.38 * 2.0 * np.pi * radius_px * share
    rings = patterns[:, core].sum(axis=1) / mean[core].sum()
    assert rings.var(ddof=1) * spots == pytest.approx(1.0, abs=5.3 * np.sqrt(2.0 / 399.0))


@pytest.mark.slow
def test_whole_experiments_come_out_alike():
    # Both modes of the example, on fewer points: the same sample, instrument and motion, but other
    # photons, other grains and a calibrant of its own, which make maps of 60 voxels differ by
    # 0.2 mÅ (docs/equivalence.md), where undersampling alone errs by 0.8. Streaks over a few voxels
    # leave some 15 independent ones: the bias is known to 0.05 mÅ, 3 σ; so is the RMS, in the worst
    # case of differences along its errors.
    example = load_experiment(Path(__file__).parent.parent / "examples" / "frames.toml")
    scan = example.scan.model_copy(update={"n_offsets": 21, "n_angles": 21, "step_um": 3.0})
    figures = {}
    for mode in ("patterns", "frames"):
        simulated = simulate(example.model_copy(update={"scan": scan, "mode": mode}))
        figures[mode] = lattice_metrics(recover(simulated.raw), simulated.truth)["interior"]
    assert figures["patterns"]["n_voxels"] == figures["frames"]["n_voxels"] > 50
    rms = [figure["rms_A"] for figure in figures.values()]
    bias = [figure["bias_A"] for figure in figures.values()]
    assert rms[1] == pytest.approx(rms[0], rel=0.2)
    assert bias[1] == pytest.approx(bias[0], abs=0.15e-3)
