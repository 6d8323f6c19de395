"""The inverse chain, from a raw scan to maps: normalise, reconstruct, refine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from itertools import pairwise
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from inverse.maps import ExampleFit, Maps
from inverse.model import (
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.recipe import Calibration, Recipe
from inverse.reconstruct import Reconstruction, reconstruct_counts
from inverse.refine import LatticeModel, Refinement, Status, refine
from inverse.roughness import amount_error, lattice_error_A
from inverse.shared import Shared, fitted_patterns, refine_shared
from xrdct.crystal_source import find_crystal
from xrdct.instrument import ring_acceptance
from xrdct.rawfile import RawScan

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

TEMPLATE_SPACING_A = 1e-3
"""A sixteenth of the standard deviation of a narrow peak, in lattice parameter."""

_SMALLEST_ACCEPTANCE = 0.02
"""Channels of which less of the ring is seen are left out: corners of the detector."""


def recover(
    raw: RawScan,
    *,
    recipe: Recipe | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Maps:
    """Return maps of the refined phase, by ``recipe`` or by the one stored with the scan."""
    tell = progress or (lambda _step, _fraction: None)
    recipe = recipe or Recipe.model_validate(raw.recipe)
    clock = {"start": perf_counter()}
    ray_gain, channel_gain = gains(raw)
    clock["correct"] = perf_counter()
    tell("reconstruct", 0.0)
    volume = reconstruct_counts(
        raw.counts,
        ray_gain=ray_gain,
        channel_gain=channel_gain,
        angles_rad=raw.scan.angles_rad,
        step_um=raw.scan.step_um,
        filter_name=recipe.reconstruction.filter,
        padding=recipe.reconstruction.padding,
        variance=raw.variance,
        workers=workers,
    )
    clock["reconstruct"] = perf_counter()
    tell("refine", 0.0)
    measured = np.isfinite(volume.values[..., _first_used(channel_gain)])
    patterns, variance = volume.values[measured], _variance_of(volume)[measured]
    del volume
    patterns[:, channel_gain == 0.0] = np.nan
    build = model_builder(raw, recipe)
    shared = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    if recipe.refine_shared:
        shared = refine_shared(
            patterns, variance=variance, build=build, start=shared, workers=workers
        )
    model = build(shared)
    refined = refine(
        patterns, variance=variance, model=model, min_scale=recipe.min_volume_fraction,
        workers=workers,
    )  # fmt: skip
    example = _example(raw, model, measured, refined, patterns, variance)
    clock["refine"] = perf_counter()
    tell("refine", 1.0)
    return replace(
        _maps(raw, recipe, measured, refined, example),
        shared=asdict(shared),
        timing_s=_durations(clock),
    )


def gains(raw: RawScan) -> tuple[Floats, Floats]:
    """Return what turns counts into normalised intensity, per ray and per channel.

    A ray's counts are divided by the photons behind the sample (incident photons times
    transmission, shape (angle, offset)); a channel's by efficiency, acceptance and width (shape
    (channel,), zero where too little of the ring is seen or nothing was measured). The result is
    Σ φ·path·pattern of :mod:`inverse.model`.
    """
    acceptance = ring_acceptance(
        raw.geometry, detector=raw.detector, polarisation=raw.beam.polarisation
    )
    seen = (acceptance > _SMALLEST_ACCEPTANCE) & np.isfinite(raw.counts[0, 0])
    width = raw.geometry.channel_width_rad
    scale = np.where(seen, raw.detector.efficiency * acceptance * width, 1.0)
    return 1.0 / np.maximum(raw.transmitted, 1.0), np.where(seen, 1.0 / scale, 0.0)


def model_builder(raw: RawScan, recipe: Recipe) -> Callable[[Shared], LatticeModel]:
    """Return what makes the model of a voxel's pattern from the parameters all voxels share."""
    beam, geometry, phase = raw.beam, raw.geometry, recipe.phase
    calibration = recipe.calibration or Calibration(distance_m=geometry.distance_m)
    instrument = Instrument(beam, geometry, calibration)
    n_templates = round((phase.a_max_A - phase.a_min_A) / TEMPLATE_SPACING_A) + 1
    a_A = phase.a_min_A + TEMPLATE_SPACING_A * np.arange(n_templates, dtype=np.float64)
    lines = lattice_lines(find_crystal(phase.crystal), a_A, beam=beam, geometry=geometry)
    fixed = [
        draw_patterns(
            phase_lines([find_crystal(p.crystal)], beam=beam, geometry=geometry),
            instrument=instrument,
            crystallite_size_nm=p.crystallite_size_nm,
            strain=p.strain,
        )[0]
        for p in recipe.fixed_phases
    ]
    background = chebyshev_background(geometry.n_channels, n_terms=recipe.n_background)
    linear = np.array([*fixed, *background])

    def build(shared: Shared) -> LatticeModel:
        templates = draw_patterns(
            lines,
            instrument=instrument,
            crystallite_size_nm=shared.crystallite_size_nm,
            strain=shared.strain,
            b_iso_change_A2=shared.b_iso_change_A2,
        )
        return LatticeModel(a_A=a_A, templates=templates, linear=linear)

    return build


def _durations(clock: dict[str, float]) -> dict[str, float]:
    names = list(clock)
    return {b: clock[b] - clock[a] for a, b in pairwise(names)}


def _variance_of(volume: Reconstruction) -> NDArray[np.float32]:
    if volume.variance is None:
        raise ValueError("refinement needs the variance of the reconstruction")
    return volume.variance


def _first_used(channel_gain: Floats) -> int:
    return int(np.argmax(channel_gain > 0.0))


def _spread(values: Floats, measured: NDArray[np.bool_]) -> Floats:
    image = np.full(measured.shape, np.nan)
    image[measured] = values
    return image


def _maps(
    raw: RawScan,
    recipe: Recipe,
    measured: NDArray[np.bool_],
    refined: Refinement,
    example: ExampleFit | None,
) -> Maps:
    a_A, amount = _spread(refined.a_A, measured), _spread(refined.scale, measured)
    inflation = np.sqrt(np.maximum(refined.chi2_reduced, 1.0))
    a_misfit_A = _spread(refined.a_esd_A * inflation, measured)
    amount_misfit = _spread(refined.scale_esd * inflation, measured)
    status = np.where(measured, 0.0, float(Status.NOT_MEASURED))
    status[measured] = refined.status
    return Maps(
        phase=recipe.phase.crystal,
        scan=raw.scan,
        a_A=a_A,
        a_esd_noise_A=_spread(refined.a_esd_A, measured),
        a_esd_total_A=np.maximum(a_misfit_A, lattice_error_A(a_A, amount=amount)),
        volume_fraction=amount,
        volume_fraction_esd_noise=_spread(refined.scale_esd, measured),
        volume_fraction_esd_total=np.maximum(amount_misfit, amount_error(amount)),
        chi2_reduced=_spread(refined.chi2_reduced, measured),
        status=status,
        example=example,
        recipe=recipe,
        experiment_hash=raw.experiment_hash,
        versions=raw.versions,
    )


def _example(
    raw: RawScan,
    model: LatticeModel,
    measured: NDArray[np.bool_],
    refined: Refinement,
    patterns: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> ExampleFit | None:
    """Return the fit of the voxel of median χ² among the converged ones."""
    converged = np.flatnonzero(refined.status == Status.CONVERGED)
    if converged.size == 0:
        return None
    order = np.argsort(refined.chi2_reduced[converged], kind="stable")
    voxel = int(converged[order[converged.size // 2]])
    iy, ix = (int(axis[voxel]) for axis in np.nonzero(measured))
    only = Refinement(*(getattr(refined, f.name)[voxel : voxel + 1] for f in fields(refined)))
    return ExampleFit(
        pixel=(iy, ix),
        two_theta_deg=np.rad2deg(raw.geometry.two_theta_rad),
        observed=patterns[voxel].astype(float),
        esd=np.sqrt(variance[voxel].astype(float)),
        fitted=fitted_patterns(model, only)[0],
        background=refined.linear[voxel] @ model.linear,
    )
