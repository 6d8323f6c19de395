"""Amounts and lattice parameters straight from the rays, without images of channels in between.

Filtered back projection makes an image of every channel and looks for peaks in each pixel's
pattern. Streaks, the beam's blur and the shift by sample parallax are then part of the pattern.
Here every pixel has an amount and a lattice parameter, what it would show in every ray is computed,
beam profile and parallax included, and both are adjusted until all rays are explained
(:mod:`inverse.direct_fit`). Pixels cover the whole sample, so that what lies outside the field of
view explains its own share of the rays. The result of filtered back projection is the start.

Uncertainties: the fit is repeated from its end with every other projection alone, and with the
others alone. Half the difference of the two, times the amount, has the scale of the errors that
differ between projections: noise, countable crystallites, streaks, the discreteness of pixels.
Photon noise has its share of that, by its share of the filtered misfit. What both halves leave
open alike, and the penalties decide, is not in it.

Source: the idea of refining from sinograms is that of Vamvakeros et al., J. Appl. Cryst. 53 (2020)
1531 (direct least-squares reconstruction).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.completion import sample_width_um
from inverse.contrast import line_contrast
from inverse.direct_fit import Problem, State, fit, reweighted
from inverse.direct_settings import Direct
from inverse.direct_shapes import Shapes, shapes_of
from inverse.geometry import field_of_view
from inverse.grids import PixelGrid, graded_grid
from inverse.maps import Maps
from inverse.refine import LatticeModel, Status
from inverse.sinogram import Sinogram
from inverse.strips import strip_projector
from xrdct.errors import InputError
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Progress = Callable[[float], None]

_BEYOND_A = 8e-3
"""How far beyond the lattice parameters of the start a pixel may go."""
_PARALLAX_A = 8e-3
"""How much further parallax may move its pattern."""
_STAGES = (0.3, 0.7)
"""Shares of the steps before and after the shapes are weighed anew."""
_HALF_SHARE = 0.3
"""Of the steps, that the fit of every other projection takes."""
_SUPPORT = 0.05
"""Of the largest mean signal, that still belongs to the sample."""
_SEED = 20_110_531


@dataclass(frozen=True)
class _Scale:
    """Standard deviations that the two halves show."""

    lattice_A: float
    """Of the lattice parameter of a full pixel."""
    amount: float
    noise_share: float
    """Share of photon noise in both."""


def direct(
    sinogram: Sinogram,
    *,
    model: LatticeModel,
    start: Maps,
    settings: Direct,
    beam_fwhm_um: float,
    surroundings: Sinogram | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Maps:
    """Return the maps of ``start`` with amounts and lattice parameters fitted to all rays.

    ``surroundings``, a coarser scan of the whole sample, tells how far it reaches.
    Raises InputError where the start leaves no range of lattice parameters to fit.
    """
    a_range_A = _lattice_range(start)
    shapes = shapes_of(
        model, sinogram=sinogram, n_fixed=len(start.recipe.fixed_phases),
        a_min_A=a_range_A[0] - _PARALLAX_A, a_max_A=a_range_A[1] + _PARALLAX_A,
        n_coefficients=settings.n_coefficients,
    )  # fmt: skip
    radius_um = settings.reach_um or _sample_radius_um(sinogram, surroundings)
    problem = problem_of(
        sinogram, shapes, radius_um=radius_um, beam_fwhm_um=beam_fwhm_um, workers=workers
    )
    taken, expected = [0], settings.n_iterations * (1.0 + 2.0 * _HALF_SHARE)

    def step_taken() -> None:
        taken[0] += 1
        if progress is not None:
            progress(min(1.0, taken[0] / expected))

    def fitted(problem: Problem, state: State, share: float) -> State:
        steps = max(1, round(share * settings.n_iterations))
        return fit(
            problem, start=state, settings=settings, n_iterations=steps, a_range_A=a_range_A,
            progress=step_taken,
        )  # fmt: skip

    state = fitted(problem, _start_state(problem, start), _STAGES[0])
    if settings.reweight:
        problem = reweighted(problem, state)
    state = fitted(problem, state, _STAGES[1])
    scale = _scale(problem, state, sinogram, fitted)
    seen = field_of_view(
        start.scan.n_offsets, n_offsets=start.scan.n_offsets, step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um,
    )  # fmt: skip
    return _maps(start, problem.projector.grid, state, scale, a_range_A, seen)


def _lattice_range(start: Maps) -> tuple[float, float]:
    """Return the range of lattice parameters that a pixel may take."""
    known = np.isfinite(start.a_A)
    if not known.any():
        raise InputError("The direct method needs a start, but no pixel was refined.")
    full = known & (start.volume_fraction > 0.5 * np.median(start.volume_fraction[known]))
    low_A, high_A = np.percentile(start.a_A[full], (0.5, 99.5))
    return float(low_A) - _BEYOND_A, float(high_A) + _BEYOND_A


def _sample_radius_um(sinogram: Sinogram, surroundings: Sinogram | None) -> float:
    """Return how far the sample reaches from the axis, one step more to be sure.

    Without a scan of the surroundings, a sample whose signal ends within the view is all in it, and
    another has the width that its transmission tells.
    """
    view_um = float(0.5 * sinogram.step_um * (sinogram.values.shape[1] + 1))
    if surroundings is None:
        mean = line_contrast(sinogram).mean(axis=0)
        if max(mean[0], mean[-1]) < _SUPPORT * mean.max():
            return view_um
        half_um = 0.5 * float(sample_width_um(sinogram))
        return float(max(view_um, half_um + sinogram.step_um))
    mean = line_contrast(surroundings).mean(axis=0)
    distance_um = np.abs(surroundings.offsets_um - surroundings.axis_offset_um)
    seen = mean > _SUPPORT * mean.max()
    return float(max(view_um, float(distance_um[seen].max()) + surroundings.step_um))


def problem_of(
    sinogram: Sinogram,
    shapes: Shapes,
    *,
    radius_um: float,
    beam_fwhm_um: float,
    workers: int | None,
) -> Problem:
    """Return what the direct fit has to explain, with pixels as far as ``radius_um``."""
    n_offsets = sinogram.values.shape[1]
    grid = graded_grid(n_offsets, step_um=sinogram.step_um, rings=((1, radius_um),))
    margin = max(0, grid.margin)
    side = n_offsets + 2 * margin
    return Problem(
        projector=strip_projector(
            grid, angles_rad=sinogram.angles_rad, n_offsets=n_offsets, step_um=sinogram.step_um,
            beam_fwhm_um=beam_fwhm_um, axis_offset_um=sinogram.axis_offset_um,
        ),
        shapes=shapes,
        measured=shapes.coefficients(sinogram.values),
        parallax_per_um=_parallax_per_um(sinogram, shapes),
        image_index=(grid.low + margin) * side + grid.left + margin,
        side=side,
        workers=workers,
    )  # fmt: skip


def _parallax_per_um(sinogram: Sinogram, shapes: Shapes) -> float:
    """Return δa/a per µm towards the detector: cos²θ·cos2θ/D, the mean over the measured lines.

    Channels count by how much the lattice parameter changes them.
    """
    back = np.linalg.pinv(shapes.from_channels.astype(np.float64))
    answer = np.sum((np.diff(shapes.curve, axis=0).astype(np.float64) @ back) ** 2, axis=0)
    two_theta = sinogram.two_theta_rad
    scaling = np.cos(0.5 * two_theta) ** 2 * np.cos(two_theta)
    return float(np.average(scaling, weights=answer)) * 1e-6 / sinogram.distance_m


def _start_state(problem: Problem, start: Maps) -> State:
    """Return the start's maps in its field of view, and its means outside."""
    grid = problem.projector.grid
    known = np.isfinite(start.a_A)
    mean_A = float(np.median(start.a_A[known]))
    measured = start.status != Status.NOT_MEASURED
    filled = np.clip(np.nan_to_num(start.volume_fraction), 0.0, 1.0)
    mean_amount = float(filled[measured].mean()) if measured.any() else 0.5
    index = grid.index()
    a_A, amount = np.full(grid.x_um.size, mean_A), np.full(grid.x_um.size, mean_amount)
    covered = (index >= 0) & measured
    amount[index[covered]] = filled[covered]
    covered &= known
    a_A[index[covered]] = start.a_A[covered]
    return State(amount, a_A)


def _scale(
    problem: Problem,
    state: State,
    sinogram: Sinogram,
    fitted: Callable[[Problem, State, float], State],
) -> _Scale:
    """Return how far the results of every other projection, and of the others, lie apart."""
    first, second = (fitted(problem.half(start), state, _HALF_SHARE) for start in (0, 1))
    grid = problem.projector.grid
    seen = np.hypot(grid.x_um, grid.y_um) <= 0.5 * sinogram.step_um * sinogram.values.shape[1]
    full = seen & (state.amount > 0.5)
    change_A = 0.5 * (first.a_A - second.a_A) * state.amount
    change = 0.5 * (first.amount - second.amount)
    misfit = problem.measured - problem.shown(state)
    noise = _noise(problem, sinogram)
    share = np.vdot(problem.filtered(noise), noise) / np.vdot(problem.filtered(misfit), misfit)
    return _Scale(_spread(change_A[full]), _spread(change[seen]), min(1.0, float(np.sqrt(share))))


def _noise(problem: Problem, sinogram: Sinogram) -> Singles:
    """Return one draw of the photon noise of every ray, (angle, offset, shape)."""
    rng = np.random.Generator(np.random.Philox(_SEED))
    noise = np.empty_like(problem.measured)
    for a, variance in enumerate(sinogram.variance):
        spread = np.sqrt(np.maximum(np.nan_to_num(variance), 0.0))
        draw = rng.standard_normal(spread.shape, dtype=np.float32)
        noise[a] = problem.shapes.coefficients(spread * draw)
    return noise


def _spread(values: Floats) -> float:
    """Return the robust standard deviation, NaN of nothing."""
    if values.size == 0:
        return float("nan")
    return float(SIGMA_PER_MAD * np.median(np.abs(values)))


def _maps(
    start: Maps,
    grid: PixelGrid,
    state: State,
    scale: _Scale,
    a_range_A: tuple[float, float],
    seen: NDArray[np.bool_],
) -> Maps:
    """Return the state as maps; pixels with too little material carry no lattice parameter."""
    amount, a_A = grid.image(state.amount), grid.image(state.a_A)
    amount[~seen] = np.nan
    status = np.where(seen, float(Status.CONVERGED), float(Status.NOT_MEASURED))
    status[seen & ~(amount >= start.recipe.min_volume_fraction)] = Status.NO_MATERIAL
    status[(status == Status.CONVERGED) & ((a_A <= a_range_A[0]) | (a_A >= a_range_A[1]))] = (
        Status.AT_LIMIT
    )
    refined = status == Status.CONVERGED
    a_A[~refined] = np.nan
    kept = np.where(refined, amount, np.nan)
    total_A = scale.lattice_A / kept
    total = np.where(refined, scale.amount, np.nan)
    return replace(
        start,
        a_A=a_A,
        a_esd_noise_A=scale.noise_share * total_A,
        a_esd_total_A=total_A,
        volume_fraction=kept,
        volume_fraction_esd_noise=scale.noise_share * total,
        volume_fraction_esd_total=total,
        chi2_reduced=np.where(refined, 1.0 / max(scale.noise_share, 1e-6) ** 2, np.nan),
        status=status,
        example=None,
    )
