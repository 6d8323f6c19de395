"""Hold pattern mode and frame mode to each other, effect by effect, and print the tables.

docs/equivalence.md holds the last ones. Run from the checkout (about four minutes on two cores):

    python -m benchmarks.equivalence > docs/equivalence.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.equivalence_limits import frame_effects, leftovers, shading, weak_rings
from benchmarks.two_modes import (
    BEAM,
    CUTS,
    METHODS,
    NAMES,
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
    ratios,
    row,
    seen_share,
    spotty,
)
from forward.estimators import estimate, estimator_table
from forward.pattern_statistics import pattern_statistics
from forward.philox import stream_key
from forward.poisson import draw_poisson
from forward.ring_trimming import kept_fraction
from inverse.integrate import integrate_frame
from inverse.integration import Integration
from inverse.pixel_bins import PixelBins
from inverse.recover import recover
from phantoms.particle import Particle
from validation.experiment import Experiment, load_experiment
from validation.laboratory import laboratory
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.instrument import Detector, Geometry
from xrdct.scan import Scan

Floats = NDArray[np.float64]

AROUND_400 = Geometry(two_theta_min_deg=6.5, two_theta_max_deg=7.3, n_channels=64)
NARROW = AROUND_400.model_copy(update={"n_channels": 320})
EXAMPLE = Path(__file__).parent.parent / "examples" / "frames.toml"


def main() -> None:
    """Print the document."""
    sections = (
        smooth_effects, variances, biases, spots, scatter_of_spots, frame_effects, shading,
        weak_rings, leftovers, whole_experiments,
    )  # fmt: skip
    print(HEADER)
    for section in sections:
        for line in section():
            print(line, flush=True)


HEADER = """# Pattern mode and frame mode, held to each other

Pattern mode computes the photons of 2θ channels and imitates what an integration would make of the
pixels; frame mode puts every photon on a pixel and integrates. Both start from one state sinogram.
Measured below is where they agree and where not; `tests/test_forward_equivalence.py` holds them to
it. Made by `python -m benchmarks.equivalence > docs/equivalence.md`. Unless said otherwise: the
2M detector at 0.7 m, 1024 channels of 0.9 pixels over 1.5–14.5°, 1e12 ph/s for 10 ms through a
24 µm particle of 0.30 mm towards the detector; the analysis knows where the detector stands;
channels above 1 % of the strongest. "5/5" leaves out 5 % of a channel's pixels at either end.
"Shift" is the change of lattice parameter that a least-squares fit sees."""


def smooth_effects() -> Iterator[str]:
    yield """
## 1. Mean per channel

Frames without noise against pattern mode: directly, and with pattern mode put on the pixels as they
lie (fine channels, averaged over the angles that pyFAI gives the pixels of each channel). A channel
of n whole pixels samples a sloping ring at n/4 random places (four mirror images), which makes the
scatter of the first columns: slope × width/√(3n), 0.3 to 2 %. It changes the lattice parameter by
less than 0.01 mÅ, nearer to the sample (0.5 m, channels of 0.6 pixels) by 0.1 mÅ, and is the same
in every frame. The last shift is that of a pixel's centre from its mean angle.

| effects | mean − 1 | scatter | shift, mÅ | on pixels: mean − 1 | scatter | largest | shift |
|---|---|---|---|---|---|---|---|"""
    cases = {
        "none": (), "diffuse and air": ("diffuse",), "parallax": ("parallax",),
        "sensor's depth, corrected": ("sensor_parallax",),
        "attenuation, exit path": ("attenuation", "exit_path"),
        "all of these": ("diffuse", "parallax", "sensor_parallax", "attenuation", "exit_path"),
        "attenuation, exit path, cell": ("attenuation", "exit_path", "cell"),
        "all, with cell": SMOOTH,
    }  # fmt: skip
    for name, on in cases.items():
        yield _smooth_row(name, experiment(on, beam=BEAM))
    upright = BEAM.model_copy(update={"polarisation": 0.0})
    yield _smooth_row("none, unpolarised", experiment(beam=upright))
    near = Geometry(distance_m=0.5)
    yield _smooth_row("diffuse, at 0.5 m", experiment(("diffuse",), beam=BEAM, geometry=near))
    tilted = Geometry(rot1_rad=0.05, rot2_rad=-0.03, two_theta_max_deg=12.0)
    yield _smooth_row("none, detector tilted by 3°", experiment(beam=BEAM, geometry=tilted))
    yield """
The sensor's depth: an integration moves pixels inwards by δ = cos α/(µD) = 2.2e-4 of their radius
and leaves their solid angle as it is; rings are less by δ in height and in width, all of them. The
cell: its steel shades the lower half of rings (see 5); the product over rows and columns that
frames use is off by 0.2 % in the mean over a ring, and pattern mode's mean, known at 24 rings, by
up to 0.7 % where gaps begin or end. Lines more than 2° beyond the last
channel are left out: where the detector reaches further (at 0.5 m), their tails are missing from
pattern mode, 0.1 % of a pattern with diffuse scattering at 14°, below 0.05 % elsewhere."""


def _smooth_row(name: str, own: Experiment) -> str:
    frame, direct, placed = integrated(own), pattern(own), pattern_on_pixels(own)
    cells = [name]
    for expected in (direct, placed):
        ratio, weight = ratios(frame, expected)
        mean = np.average(ratio - 1.0, weights=weight)
        cells += [f"{mean:+.1e}", f"{np.std(ratio):.1e}"]
        if expected is placed:
            cells.append(f"{np.abs(ratio - 1.0).max():.1e}")
        cells.append(f"{1e3 * lattice_shift_A(frame, expected, own.geometry):+.4f}")
    return row(*cells)


def variances() -> Iterator[str]:
    yield """
## 2. Variance per channel

400 noisy frames of one exposure (Pilatus 100k at 0.2 m, 160 channels of 312–592 pixels, 170 counts
to a pixel on average) against the variance that pattern mode states, and the scatter of 400
exposures drawn by it. Channels of fewer pixels than a smooth ring has are allowed for.

| estimator | frames | drawn | ± | stated by the integration of frames |
|---|---|---|---|---|"""
    on = ("parallax", "attenuation", "exit_path", "diffuse", "cell")
    small: dict[str, Any] = {
        "beam": BEAM,
        "detector": Detector(name="Pilatus100k"),
        "geometry": Geometry(
            distance_m=0.2, two_theta_min_deg=2.5, two_theta_max_deg=10.0, n_channels=160
        ),
    }
    repeats = Scan(n_offsets=400, step_um=1e-6, n_angles=1)
    noisy = experiment(("noise", *on), scan=repeats, **small)
    scanner = laboratory(noisy).scanner(frame_model_of(noisy), 0)
    frames = [scanner.frame(k) for k in range(400)]
    n_pixels = np.diff(bins_of(noisy).start)
    for method in METHODS:
        yield _variance_row(method, frames, noisy, experiment(on, method=method, **small), n_pixels)
    yield """
For trimmed means the variance that an integration states is an upper bound (`inverse/trimmed.py`):
frames state an esd larger by 3 and 5 % than pattern mode, which states the true one."""


def _variance_row(
    method: str, frames: list[NDArray[np.int32]], noisy: Experiment, quiet: Experiment,
    n_pixels: NDArray[np.int64],
) -> str:  # fmt: skip
    scan = pattern_scan(quiet)
    variance = scan.counts if scan.variance is None else scan.variance
    stated = np.asarray(variance[0, 0], float)
    smooth = pattern_statistics(
        quiet.geometry, detector=quiet.detector, lower=0.0, upper=0.0, grains=quiet.grains
    ).n_pixels / n_pixels  # fmt: skip
    values = integrate_by(frames, noisy, [method])[method].var(axis=0, ddof=1)
    drawn = pattern_scan(changed(noisy, method=method)).counts[0].var(axis=0, ddof=1, dtype=float)
    integration = noisy.recipe.integration.model_copy(update={"method": method})
    bins = bins_of(noisy)
    told = np.mean([integrate_frame(f, bins, integration)[1] for f in frames[:20]], axis=0)
    scatter = [np.mean(v) for v in (values / stated / smooth, drawn / stated)]
    error = np.sqrt(2.0 / (len(frames) - 1) / n_pixels.size)
    told_ratio = np.mean(told * per_channel(noisy) ** 2 / stated / smooth)
    return row(NAMES[method], *(f"{r:.3f}" for r in scatter), f"{error:.3f}", f"{told_ratio:.3f}")


def biases() -> Iterator[str]:
    yield """
## 3. Bias of the trimmed mean

Flat frames of Poisson counts, drawn and integrated (5600 channels of 2000 pixels), against pattern
mode and `reference/trimmed_mean_bias.csv`.

| counts per pixel | estimator | frames | ± | pattern mode | reference |
|---|---|---|---|---|---|"""
    reference = {
        "trimmed_5_5": (-0.27009, -0.081797, -0.012745, -0.0031567),
        "trimmed_10_10": (-0.49135, -0.12978, -0.018858, -0.0045689),
    }
    bins, key = _channels_of_2000(), stream_key(5)
    for k, mean in enumerate((0.2, 1.0, 5.0, 20.0)):
        flat = np.full(bins.shape, mean, np.float32)
        frames = [draw_poisson(flat, key=key, frame=n) for n in range(8)]
        for method, cut in CUTS.items():
            integration = Integration(method=method)
            values = np.array([integrate_frame(f, bins, integration)[0] for f in frames])
            values = values / bins.ring_factor / mean - 1.0
            error = values.std() / np.sqrt(values.size)
            yield row(
                f"{mean:g}", NAMES[method], f"{values.mean():+.5f}", f"{error:.5f}",
                f"{_smooth_counts(mean, cut) / mean - 1.0:+.5f}", f"{reference[method][k]:+.5f}",
            )  # fmt: skip


def _channels_of_2000() -> PixelBins:
    detector = Detector()
    pixels = np.flatnonzero(detector.live)
    n = pixels.size // 2000
    return PixelBins(
        shape=detector.shape, start=2000 * np.arange(n + 1),
        pixel=pixels[: 2000 * n].astype(np.int32), weight=np.ones(2000 * n, np.float32),
        two_theta_rad=np.full(n, 0.1), channel_width_rad=1e-3,
    )  # fmt: skip


def _smooth_counts(mean: float, cut: float) -> float:
    """Return pattern mode's estimate for 2000 pixels of equal mean."""
    value, _ = estimate(
        np.array([[2000.0 * mean]], np.float32), n_pixels=np.array([2000.0]),
        table=estimator_table(cut, cut), slope=np.zeros((1, 1), np.float32),
    )  # fmt: skip
    return float(value[0, 0]) / 2000.0


def spots() -> Iterator[str]:
    yield """
## 4. Rings of spots

What trimming keeps of the (400) ring, 3096 pixels around, 60 exposures of the 2M detector with
spots stamped and photons not counted; spots of 1.5 pixels FWHM along the ring before the pixel
blurs them; channels of 0.18 and of 0.9 pixels. PHYSICS 5 has the figures of a prototype of unstated
spot shape.

| spots per pixel | estimator | frames, 0.18 px | frames, 0.9 px | ± | pattern mode | PHYSICS 5 |
|---|---|---|---|---|---|---|"""
    prototype = {"trimmed_5_5": (28, 67, 85, 99), "trimmed_10_10": (8, 49, 77, 98)}
    for k, density in enumerate((0.04, 0.13, 0.38, 3.8)):
        own = spotty(density, geometry=NARROW, exposures=60)
        frames = list(in_whole_numbers(expected_frames(own), 64))
        found = [
            integrate_by(frames, at, METHODS)
            for at in (own, own.model_copy(update={"geometry": AROUND_400}))
        ]
        for method, cut in CUTS.items():
            kept = [_kept(patterns, method) for patterns in found]
            theory = float(kept_fraction(density, lower=cut, upper=cut, fwhm_px=1.5))
            yield row(
                f"{density:g}", NAMES[method], *(f"{100.0 * mean:.1f} %" for mean, _ in kept),
                f"{100.0 * kept[1][1]:.1f}", f"{100.0 * theory:.1f} %",
                f"{prototype[method][k]} %",
            )  # fmt: skip
    yield """
Pattern mode takes a ring's pixels to be alike but for spots. Where the ring slopes within a channel
they are not, and more is lost. Without spots, trimming makes rings of 0.9-pixel channels narrower;
pattern mode has no part of this. Trimmed over plain mean of the smooth ring, channel by channel
from a fifth of the peak up, and in sum, frames without noise:

| estimator | channels | sum |
|---|---|---|"""
    particle = Particle(
        centre_um=(0.0, 0.0, 0.0), diameter_um=60.0, x=1.0, crystallite_size_nm=100.0, strain=5e-4
    )
    smooth = experiment(beam=BEAM, geometry=AROUND_400, particle=particle)
    plain = integrated(smooth)
    core = plain > 0.2 * plain.max()
    for method in CUTS:
        trimmed = integrated(changed(smooth, method=method))[core]
        each = ", ".join(f"{100.0 * r:+.2f} %" for r in trimmed / plain[core] - 1.0)
        yield row(
            NAMES[method], each, f"{100.0 * (trimmed.sum() / plain[core].sum() - 1.0):+.2f} %"
        )


def _kept(patterns: dict[str, Floats], method: str) -> tuple[float, float]:
    """Return what is left of the line, and its standard error."""
    plain = patterns["mean"].mean(axis=0)
    core = plain > 0.2 * plain.max()
    line, whole = (patterns[name][:, core].sum(axis=1) for name in (method, "mean"))
    kept = float(line.mean() / whole.mean())
    return kept, float((line - kept * whole).std(ddof=1) / np.sqrt(line.size) / whole.mean())


def scatter_of_spots() -> Iterator[str]:
    yield """
Scatter of the line from exposure to exposure, 400 of them: the relative variance times the number
of spots on the whole ring. In frames, spots on live pixels alone count, so for the plain mean it is
one over the seen share, and so it is in pattern mode.

| detector, seen share of the ring | estimator | frames | pattern mode | ± |
|---|---|---|---|---|"""
    half = NARROW.model_copy(update={"distance_m": 0.2, "poni1_m": 0.0, "n_channels": 40})
    for name, geometry, detector in (
        ("Pilatus 100k, upper half", half, Detector(name="Pilatus100k")),
        ("2M, whole ring", NARROW, Detector()),
    ):
        own = spotty(0.38, geometry=geometry, exposures=400, detector=detector)
        frames = integrate_by(in_whole_numbers(expected_frames(own), 64), own, METHODS)
        core = frames["mean"].mean(axis=0) > 0.2 * frames["mean"].mean(axis=0).max()
        share = seen_share(own)[core].mean()
        total = 0.38 * 2.0 * np.pi * geometry.distance_m * np.tan(0.12040) / 172e-6
        for method in ("mean", "trimmed_5_5"):
            drawn = pattern_scan(changed(own, method=method)).counts[0].astype(float)
            lines = [p[:, core].sum(axis=1) for p in (frames[method], drawn)]
            spread = [line.var(ddof=1) / line.mean() ** 2 * total for line in lines]
            yield row(
                f"{name}: {share:.2f}", NAMES[method], *(f"{s:.2f}" for s in spread),
                f"{np.sqrt(2.0 / 399.0) * spread[0]:.2f}",
            )  # fmt: skip


def whole_experiments() -> Iterator[str]:
    yield """
## 6. End to end

`examples/frames.toml` with 21 × 21 points 3 µm apart, all its effects and unknowns, in both modes:
errors of the recovered lattice parameter, mÅ, over interior voxels.

| seed | mode | voxels | bias | RMS | robust σ | esd of noise, median | maps differ by (RMS) |
|---|---|---|---|---|---|---|---|"""
    example = load_experiment(EXAMPLE)
    scan = example.scan.model_copy(update={"n_offsets": 21, "n_angles": 21, "step_um": 3.0})
    for seed in (1, 2):
        maps = {}
        for mode in ("patterns", "frames"):
            own = example.model_copy(update={"scan": scan, "mode": mode, "seed": seed})
            simulated = simulate(own)
            maps[mode] = recover(simulated.raw)
            figures = lattice_metrics(maps[mode], simulated.truth)["interior"]
            inside = simulated.truth.interior & np.isfinite(maps[mode].a_A)
            apart = maps[mode].a_A[inside] - maps["patterns"].a_A[inside]
            yield row(
                str(seed), mode, str(figures["n_voxels"]),
                *(f"{1e3 * figures[n]:+.3f}" for n in ("bias_A", "rms_A", "robust_sigma_A")),
                f"{1e3 * np.median(maps[mode].a_esd_noise_A[inside]):.3f}",
                f"{1e3 * np.sqrt(np.nanmean(apart**2)):.3f}" if mode == "frames" else "",
            )  # fmt: skip


if __name__ == "__main__":
    main()
