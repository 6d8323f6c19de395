"""Where pattern mode and frame mode do not agree, and by how much: section 5 of the document.

Printed by :mod:`benchmarks.equivalence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.two_modes import (
    BEAM,
    CUTS,
    METHODS,
    NAMES,
    SMOOTH,
    changed,
    experiment,
    frame_model_of,
    integrate_by,
    integrated,
    lattice_shift_A,
    pattern,
    ratios,
    row,
)
from forward.faults import DetectorFaults
from forward.instrument import Unknowns, true_instrument
from forward.ring_trimming import kept_fraction, trimmed_counts
from inverse.frame_patterns import calibrated_geometry
from validation.calibration import with_calibration
from validation.experiment import load_experiment
from validation.laboratory import laboratory
from xrdct.instrument import Detector, Geometry, detector_plane
from xrdct.plane import place_m
from xrdct.scan import Scan

Floats = NDArray[np.float64]

EXAMPLE = Path(__file__).parent.parent / "examples" / "frames.toml"
MANY_SPOTS = 1e5
"""Spots per pixel of a ring as good as smooth."""


def frame_effects() -> Iterator[str]:
    yield """
## 5. Where they do not agree

What frames have and pattern mode does not: frames with the effect against frames without, noise
off, all smooth effects on; 40 counts to a pixel on the strongest ring. "Worst" is the largest
change of a channel but for the mean.

| effect | estimator | mean | rms | worst | strongest peak | shift, mÅ |
|---|---|---|---|---|---|---|"""
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "charge sharing, 25 keV threshold": ("charge_sharing", {}),
        "flat field unknown to 0.3 %": ("flat_field", {"flat_residual_rms": 0.003}),
        "dead time 160 ns, 150 corrected": (
            "dead_time", {"dead_time_ns": 160.0, "corrected_dead_time_ns": 150.0},
        ),
        "20 hot pixels of 1e4/s": ("bad_pixels", {"n_hot": 20, "hot_per_s": 1e4}),
        "5 unknown dead pixels": ("bad_pixels", {"n_unknown_dead": 5}),
        "5 zingers/s": ("zingers", {"zinger_per_s": 5.0}),
    }  # fmt: skip
    for method in ("mean", "trimmed_5_5"):
        without = integrated(experiment(SMOOTH, beam=BEAM, method=method))
        for name, (effect, given) in cases.items():
            own = experiment(
                (*SMOOTH, effect), beam=BEAM, method=method, faults=DetectorFaults(**given)
            )
            yield row(name, NAMES[method], *limit_cells(integrated(own), without, own.geometry))
    uncorrected = changed(experiment((), beam=BEAM), sensor_parallax=True)
    found, expected = integrated(uncorrected), pattern(uncorrected)
    cells = limit_cells(found, expected, uncorrected.geometry)
    yield row("depth corrected that is not there", "mean", *cells)
    yield """
Charge sharing blurs: the strongest peak loses, its foot gains. With `effects.sensor_parallax` off
and `recipe.integration.sensor_parallax` on (last row) frames are corrected for a depth that is not
there, pattern mode is not: switch both."""


def limit_cells(found: Floats, without: Floats, geometry: Geometry) -> list[str]:
    """Return mean, rms, worst, strongest peak and shift of one pattern against another."""
    ratio, weight = ratios(found, without)
    mean = float(np.average(ratio, weights=weight))
    rest = ratio / mean - 1.0
    shift = 1e3 * lattice_shift_A(np.where(np.isfinite(found), found, 0.0), without, geometry)
    return [
        f"{mean - 1.0:+.1e}", f"{rest.std():.1e}", f"{np.abs(rest).max():.1e}",
        f"{rest[np.argmax(weight)]:+.1e}", f"{shift:+.4f}",
    ]  # fmt: skip


def shading() -> Iterator[str]:
    yield """
Rings half shaded by the cell's steel, trimmed: the mean of 30 noisy frames over the plain mean of
the same frames, and pattern mode's. And the trimmed over the plain mean with noise off, which are
two things: pattern mode gives what the estimator makes of counts on average, frames the trimmed
mean of pixels without noise.

| estimator | 2θ | frames | pattern mode | frames, noise off |
|---|---|---|---|---|"""
    on = ("attenuation", "exit_path", "cell", "diffuse")
    noisy = experiment(("noise", *on), beam=BEAM, scan=Scan(n_offsets=30, step_um=1e-6, n_angles=1))
    scanner = laboratory(noisy).scanner(frame_model_of(noisy), 0)
    frames = integrate_by((scanner.frame(k) for k in range(30)), noisy, METHODS)
    quiet = experiment(on, beam=BEAM)
    still, expected = (
        {method: make(changed(quiet, method=method)) for method in METHODS}
        for make in (integrated, pattern)
    )
    angle = np.rad2deg(quiet.geometry.two_theta_rad)
    for method in CUTS:
        for low, high in ((2.0, 3.0), (6.0, 7.0), (9.0, 10.0), (13.0, 14.0)):
            part = (angle > low) & (angle < high)
            changes = [
                of[method][..., part].sum() / of["mean"][..., part].sum() - 1.0
                for of in (frames, expected, still)
            ]
            yield row(
                NAMES[method], f"{low:g}–{high:g}°", *(f"{100.0 * r:+.2f} %" for r in changes)
            )


def weak_rings() -> Iterator[str]:
    yield """
Weak rings of spots over a background: single spots no longer stand out of counting noise, so that
less is trimmed than pattern mode takes from the line; it errs by −(1 − k) of the line at most, k
the fraction kept of strong rings. Counts per pixel of the ring, on average, up to which pattern
mode's line is off by more than 1 % and 5 % of the whole line (truth:
`forward.ring_trimming.trimmed_counts`, which the frames of the tests follow).

| spots per pixel | estimator | 1 − k | background 0.2: 1 %, 5 % | 1 | 5 | 20 | 100 |
|---|---|---|---|---|---|---|---|"""
    for density in (0.13, 0.38, 3.8):
        for method, cut in CUTS.items():
            kept = float(kept_fraction(density, lower=cut, upper=cut, fwhm_px=1.5))
            cells = [
                _off_up_to(density, cut, kept, background)
                for background in (0.2, 1.0, 5.0, 20.0, 100.0)
            ]
            yield row(f"{density:g}", NAMES[method], f"{100.0 * (1.0 - kept):.1f} %", *cells)


def _off_up_to(density: float, cut: float, kept: float, background: float) -> str:
    given = {"lower": cut, "upper": cut, "fwhm_px": 1.5, "background_counts": background}
    rings = np.geomspace(0.1, 3000.0, 28)
    error = np.array(
        [
            (
                trimmed_counts(MANY_SPOTS, ring_counts=kept * ring, **given)
                - trimmed_counts(density, ring_counts=ring, **given)
            ) / ring
            for ring in rings
        ]
    )  # fmt: skip
    limits = (rings[np.abs(error) > limit].max(initial=0.0) for limit in (0.01, 0.05))
    return ", ".join(f"{limit:.2g}" if limit > 0.0 else "–" for limit in limits)


def leftovers() -> Iterator[str]:
    """Yield what a detector does that does not stand where the analysis believes."""
    yield """
The detector does not stand where the analysis believes, distance apart (frames, noise off, all
smooth effects on, against frames integrated where it stands): given errors, and what a calibrant
leaves in `examples/frames.toml` with three seeds.

| error | centre, px | tilt, mrad | rms | worst | strongest peak | shift, mÅ |
|---|---|---|---|---|---|---|"""
    nominal, detector = Geometry(), Detector()
    cases: dict[str, tuple[Geometry, Geometry]] = {}
    for name, value in (("centre1_px", 0.1), ("centre1_px", 1.0), ("tilt1_mrad", 1.0)):
        given = Unknowns(**{name: (value, value)})
        true = true_instrument(given, beam=BEAM, detector=detector, geometry=nominal, seed=0)
        cases[f"{name} {value:g}"] = true.geometry, nominal
    example = load_experiment(EXAMPLE)
    for seed in (11, 12, 13):
        lab = laboratory(example.model_copy(update={"seed": seed}))
        found = calibrated_geometry(nominal, with_calibration(lab.experiment, lab.instrument))
        true_place = lab.instrument.geometry
        cases[f"calibrated, seed {seed}"] = (
            true_place, found.model_copy(update={"distance_m": true_place.distance_m}),
        )  # fmt: skip
    for name, (true_place, believed) in cases.items():
        yield _place_row(name, true_place, believed)


def _place_row(name: str, true: Geometry, believed: Geometry) -> str:
    planes = [detector_plane(geometry, Detector()) for geometry in (true, believed)]
    (row1, column1), (row2, column2) = (place_m(plane, 0.0, 0.0) for plane in planes)
    centre_px = np.hypot(row1 - row2, column1 - column2) / (Detector().pixel_um * 1e-6)
    tilt_mrad = 1e3 * np.hypot(true.rot1_rad - believed.rot1_rad, true.rot2_rad - believed.rot2_rad)
    own = experiment(SMOOTH, beam=BEAM, geometry=true)
    cells = limit_cells(integrated(own, believed), integrated(own), true)[1:]
    return row(name, f"{centre_px:.3f}", f"{tilt_mrad:.3f}", *cells)
