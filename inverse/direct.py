"""Amounts and lattice parameters straight from the rays, without images of channels in between.

Filtered back projection makes an image of every channel and looks for peaks in each pixel's
pattern. Streaks, the beam's blur and the shift by sample parallax are then part of the pattern.
Here every pixel has an amount and a lattice parameter, what it would show in every ray is computed,
beam profile and parallax included, and both are adjusted until all rays are explained
(:mod:`inverse.direct_fit`). Pixels cover the whole sample, so that what lies outside the field of
view explains its own share of the rays. The result of filtered back projection is the start.

Uncertainties: what differs between projections, from two halves of the scan
(:mod:`inverse.direct_scale`), and what all have alike, by the penalties and the pixels, from a fit
of the result's own rays (:mod:`inverse.direct_bias`), in quadrature.

Shapes of patterns are weighed by how far countable crystallites make the rings of a ray disagree
(:mod:`inverse.direct_rings`). Between the stages of the fit (:mod:`inverse.direct_course`) the
rotation axis is found anew, the widths of lines are refined from the rays, in a window, and the
structure within pixels is taken off these, in view.

Source: the idea of refining from sinograms is that of Vamvakeros et al., J. Appl. Cryst. 53 (2020)
1531 (direct least-squares reconstruction).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from inverse.direct_bias import bootstrap_bias_A
from inverse.direct_course import BEYOND_SHARE, HALF_SHARE, Course, Reached
from inverse.direct_fit import Problem, State
from inverse.direct_problem import RayShapes, problem_of
from inverse.direct_scale import Scale, scale_of_halves
from inverse.direct_settings import Direct
from inverse.direct_shared import within_limits
from inverse.direct_subpixel import parts_of
from inverse.geometry import field_of_view
from inverse.grids import PixelGrid
from inverse.lattice_model import Build
from inverse.maps import Maps
from inverse.reach import reach_of
from inverse.refine import Status
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Progress = Callable[[float], None]

_BEYOND_A = 8e-3
"""How far beyond the lattice parameters of the start a pixel may go."""
_HALF = 0.5
_LEAST_SHOWN = 3
"""Parts along a pixel's edge of the sample whose rays are fitted again, at least."""


def direct(
    sinogram: Sinogram,
    *,
    build: Build,
    shared: Shared,
    start: Maps,
    settings: Direct,
    beam_fwhm_um: float,
    surroundings: Sinogram | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Maps, float]:
    """Return the maps of ``start`` with amounts and lattice parameters fitted to all rays.

    Beside them, where the rotation axis is seen, in µm on the scale of the offsets.

    ``build`` makes the model of a voxel's pattern from what all have in common, which starts as
    ``shared`` and is refined from the rays, where the recipe of the start refines it and the
    settings have rays tell it.
    ``surroundings``, a coarser scan of the whole sample, tells how far it reaches.
    Warns (:class:`inverse.reach.ReachWarning`) where no scan does. Raises InputError where the
    start leaves no range of lattice parameters to fit.
    """
    a_range_A = _lattice_range(start)
    reach = reach_of(
        sinogram, surroundings, amount=start.volume_fraction, known_um=settings.reach_um
    )
    if _determined(sinogram, reach.radius_um):
        settings = settings.in_view()
    by_rays = start.recipe.refine_shared and settings.widths == "rays"
    if by_rays:
        shared = within_limits(shared)
    rays = RayShapes(
        sinogram, build, len(start.recipe.fixed_phases), a_range_A,
        start.a_A[np.isfinite(start.a_A)], settings,
    )  # fmt: skip
    course = Course(
        settings, a_range_A, finds_axis=_finds_axis(start, settings),
        step_taken=_steps_told(settings, progress),
    )  # fmt: skip
    problem = problem_of(
        rays, shared, radius_um=reach.radius_um, beam_fwhm_um=beam_fwhm_um, workers=workers,
    )  # fmt: skip
    first = _start_state(problem, start)
    parts = parts_of(problem, n=settings.parts, angles_rad=sinogram.angles_rad)
    reached = course.followed(parts, first, shared, rays if by_rays else None)
    scale = scale_of_halves(
        reached.corrected, reached.state, sinogram=sinogram,
        fitted=lambda half, from_state: course.part(half, from_state, share=HALF_SHARE),
    )  # fmt: skip
    bias_A = _bias_A(reached, first, sinogram, course)
    axis_um = reached.parts.projector.axis_offset_um
    seen = field_of_view(
        start.scan.n_offsets, n_offsets=start.scan.n_offsets, step_um=sinogram.step_um,
        axis_offset_um=axis_um,
    )  # fmt: skip
    grid = problem.projector.grid
    return _maps(start, grid, reached.state, scale, bias_A, a_range_A, seen), axis_um


def _finds_axis(start: Maps, settings: Direct) -> bool:
    return settings.axis == "rays" and start.recipe.sinogram.rotation_axis == "find"


def _steps_told(settings: Direct, progress: Progress | None) -> Callable[[], None]:
    """Return what counts steps and tells which share of all is done."""
    taken = count(1)
    n_fits = 2 if settings.bias == "bootstrap" else 1
    expected = settings.n_iterations * (n_fits * (1.0 + BEYOND_SHARE) + 2.0 * HALF_SHARE)

    def step_taken() -> None:
        number = next(taken)
        if progress is not None:
            progress(min(1.0, number / expected))

    return step_taken


def _bias_A(reached: Reached, first: State, sinogram: Sinogram, course: Course) -> Floats:
    """Return the scale of what all projections share, in Å, (pixel,); zero if not asked for."""
    state = reached.state
    if course.settings.bias == "none":
        return np.zeros_like(state.a_A)
    own, problem = reached.parts, reached.parts.problem

    known = replace(course, finds_axis=False)

    def again(measured: Singles) -> State:
        shown = replace(own, problem=replace(problem, measured=measured))
        return known.followed(shown, first, reached.shared, None).state

    n = max(_LEAST_SHOWN, course.settings.parts)
    finer = parts_of(problem, n=n, angles_rad=sinogram.angles_rad)
    return bootstrap_bias_A(finer, state, again=again)


def _determined(sinogram: Sinogram, radius_um: float) -> bool:
    """Return whether all of the sample is in view, and angles suffice for its width."""
    n_angles, n_offsets = sinogram.values.shape[:2]
    width = 2.0 * radius_um / sinogram.step_um
    return bool(width <= n_offsets + 1 and n_angles >= 0.5 * np.pi * width)


def _lattice_range(start: Maps) -> tuple[float, float]:
    """Return the range of lattice parameters that a pixel may take."""
    known = np.isfinite(start.a_A)
    if not known.any():
        raise InputError("The direct method needs a start, but no pixel was refined.")
    full = known & (start.volume_fraction > 0.5 * np.median(start.volume_fraction[known]))
    low_A, high_A = np.percentile(start.a_A[full], (0.5, 99.5))
    return float(low_A) - _BEYOND_A, float(high_A) + _BEYOND_A


def _start_state(problem: Problem, start: Maps) -> State:
    """Return the start's maps in its field of view, and its means outside.

    An amount outside is no more than half, or all of it would be taken for one large particle.
    """
    grid = problem.projector.grid
    known = np.isfinite(start.a_A)
    mean_A = float(np.median(start.a_A[known]))
    measured = start.status != Status.NOT_MEASURED
    filled = np.clip(np.nan_to_num(start.volume_fraction), 0.0, 1.0)
    mean_amount = float(filled[measured].mean()) if measured.any() else _HALF
    index = grid.index()
    a_A, amount = np.full(grid.x_um.size, mean_A), np.full(grid.x_um.size, min(mean_amount, _HALF))
    covered = (index >= 0) & measured
    amount[index[covered]] = filled[covered]
    covered &= known
    a_A[index[covered]] = start.a_A[covered]
    return State(amount, a_A)


def _maps(
    start: Maps,
    grid: PixelGrid,
    state: State,
    scale: Scale,
    bias_A: Floats,
    a_range_A: tuple[float, float],
    seen: NDArray[np.bool_],
) -> Maps:
    """Return the state as maps; pixels with too little material carry no lattice parameter."""
    amount, a_A = grid.image(state.amount), grid.image(state.a_A)
    amount[~seen] = np.nan
    status = np.where(seen, float(Status.CONVERGED), float(Status.NOT_MEASURED))
    # Nothing has no lattice parameter, even where the recipe sets no least amount.
    filled = (amount >= start.recipe.min_volume_fraction) & (amount > 0.0)
    status[seen & ~filled] = Status.NO_MATERIAL
    status[(status == Status.CONVERGED) & ((a_A <= a_range_A[0]) | (a_A >= a_range_A[1]))] = (
        Status.AT_LIMIT
    )
    refined = status == Status.CONVERGED
    a_A[~refined] = np.nan
    kept = np.where(refined, amount, np.nan)
    scatter_A = grid.image(scale.lattice_A) / kept
    total = np.where(refined, scale.amount, np.nan)
    return replace(
        start,
        a_A=a_A,
        a_esd_noise_A=scale.noise_share * scatter_A,
        a_esd_total_A=np.hypot(scatter_A, grid.image(bias_A)),
        volume_fraction=kept,
        volume_fraction_esd_noise=scale.noise_share * total,
        volume_fraction_esd_total=total,
        chi2_reduced=np.where(refined, 1.0 / max(scale.noise_share, 1e-6) ** 2, np.nan),
        status=status,
        example=None,
    )
