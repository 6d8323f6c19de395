"""Window and surroundings estimated together, then refined: the method ``joint`` of a recipe.

    rays of all scans → coefficients → one image on graded pixels → every pixel's scale and a

1. Patterns become the few coefficients in which the refined phase varies
   (:mod:`inverse.joint_basis`).
2. All rays of the window and of the wider scans are explained by one image out to the sample's
   edge (:mod:`inverse.joint`), with parallax, each ray weighed by its photons and by what wide
   pixels cannot show (:mod:`inverse.joint_scans`). How smooth the image is, projections that are
   held out decide (:mod:`inverse.joint_smoothing`), unless the recipe does.
3. Pixels of the window are refined as patterns are (:mod:`inverse.refine`).

*Noise.* The estimate is linear in the rays, so that photon noise alone, drawn and estimated alike,
shows its variance in every pixel (:mod:`inverse.joint_variance`). It varies slowly over the window,
so that the mean square of a few draws is averaged over neighbourhoods. All coefficients of a pixel
have the same, being the same linear map of rays with unit noise.

*Total.* The estimate is repeated from its end with every other projection of every scan, and with
the others. Half the difference of the two has the scale of all errors that differ between
projections: noise, grains, streaks. Times the amount it is alike in all pixels, and its robust
standard deviation over full ones gives each pixel's. What both halves share (smoothing, a wrong
model) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from inverse.geometry import field_of_view
from inverse.joint import joint_estimate
from inverse.joint_basis import model_in, parallax_per_um, strongest_shapes
from inverse.joint_problem import RayData, upright_scans
from inverse.joint_scans import JointScans, joint_scans
from inverse.joint_settings import Joint
from inverse.joint_smoothing import smoothing_by_held_out
from inverse.joint_variance import noise_variance
from inverse.lanes import LANES
from inverse.maps import Maps
from inverse.refine import LatticeModel, Refinement, refine
from inverse.sinogram import Sinogram
from inverse.sinogram_refinement import additive_results
from xrdct.normal import spread_about_zero

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Mask = NDArray[np.bool_]
Progress = Callable[[float], None]

_STEPS = 10
"""Of conjugate gradients from a start that is no image of these rays."""
_ROUNDS = 2
"""Estimates, each with the parallax of the one before taken off."""
_ROUND_STEPS = 8
_HALF_STEPS = 8
_USUALLY_TRIED = 4
"""Lengths of smoothing, for the progress."""
_AVERAGED = 15
"""Pixels along the side of the neighbourhoods over which variances are averaged."""
_FULL = 0.5
"""Of the median amount, from which a pixel is full of material."""


@dataclass(frozen=True, eq=False)
class JointFit:
    """The refined pixels of the window."""

    refined: Refinement
    """Standard uncertainties are those of photon noise."""
    measured: Mask
    """Which pixels they are of, (iy, ix)."""
    lattice_error_A: float
    """Standard deviation of the lattice parameter of a full pixel, as the halves show it."""
    amount_error: float
    """Likewise of any pixel's amount."""
    smoothing_um: float


@dataclass(frozen=True, eq=False)
class _Task:
    """What all estimates share."""

    scans: JointScans
    model: LatticeModel
    parallax_per_um: Floats
    seen: Mask
    min_scale: float
    workers: int | None

    def refined(self, image: Singles, variance: Floats) -> Refinement:
        """Refine the seen pixels of an image (pixel, coefficient) of a variance (iy, ix)."""
        voxels = self.scans.grid.image(image)[self.seen].astype(np.float32)
        spread = np.broadcast_to(variance[self.seen][:, None], voxels.shape)
        return refine(
            voxels, variance=spread.astype(np.float32), model=self.model,
            min_scale=self.min_scale, workers=self.workers,
        )  # fmt: skip

    def upright(self, rays: Sequence[RayData], image: Singles) -> tuple[RayData, ...]:
        """Return the rays without the parallax of an image."""
        return upright_scans(rays, image, self.parallax_per_um, workers=self.workers)


def joint_fit(
    window: Sinogram,
    *,
    others: Sequence[Sinogram],
    model: LatticeModel,
    settings: Joint,
    beam_fwhm_um: float,
    width_um: float | None = None,
    min_scale: float = 0.0,
    workers: int | None = None,
    progress: Progress = lambda _: None,
) -> JointFit:
    """Return amount and lattice parameter of every pixel that the window sees at every angle.

    ``others`` are wider scans of the same sample, as many as there are; ``width_um`` is the
    sample's diameter, by default told by the widest scan.

    Raises InputError as :func:`inverse.joint_scans.joint_scans` does.
    """
    found = additive_results(window, model=model)
    shapes = strongest_shapes(found, n_linear=len(model.linear))
    del found
    scans = joint_scans(
        window, others=others, shapes=shapes, outer_pixel_steps=settings.outer_pixel_steps,
        width_um=width_um, beam_fwhm_um=beam_fwhm_um, workers=workers,
    )  # fmt: skip
    turn = parallax_per_um(shapes, two_theta_rad=window.two_theta_rad, distance_m=window.distance_m)
    n_offsets = window.values.shape[1]
    seen = field_of_view(
        n_offsets, n_offsets=n_offsets, step_um=window.step_um,
        axis_offset_um=window.axis_offset_um,
    )  # fmt: skip
    task = _Task(scans, model_in(shapes, model), turn, seen, min_scale, workers)
    smoothing_um, start = _smoothing(task, settings, window.step_um, progress)
    image = _estimate(task, smoothing_um, start)
    progress(0.6)
    variance = _noise(task, smoothing_um)
    progress(0.75)
    refined = task.refined(image, variance)
    progress(0.8)
    lattice_A, amount = _halves(task, smoothing_um, image, variance, refined)
    return JointFit(refined, seen, lattice_A, amount, smoothing_um)


def with_joint_errors(maps: Maps, fit: JointFit) -> Maps:
    """Return the maps with total uncertainties that are no less than what the halves show."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a_A = np.maximum(maps.a_esd_total_A, fit.lattice_error_A / maps.volume_fraction)
    amount = np.maximum(maps.volume_fraction_esd_total, fit.amount_error)
    return replace(maps, a_esd_total_A=a_A, volume_fraction_esd_total=amount)


def _smoothing(
    task: _Task, settings: Joint, step_um: float, progress: Progress
) -> tuple[float, Singles | None]:
    """Return the length, and an image from which to start."""
    if settings.smoothing_um is not None:
        return settings.smoothing_um, None
    n_tried = [0]

    def tried() -> None:
        n_tried[0] += 1
        progress(0.5 * min(1.0, n_tried[0] / _USUALLY_TRIED))

    found = smoothing_by_held_out(
        task.scans.rays, noise=task.scans.noise[0], step_um=step_um,
        parallax_per_um=task.parallax_per_um, workers=task.workers, tried=tried,
    )  # fmt: skip
    return found.length_um, found.image


def _estimate(task: _Task, smoothing_um: float, start: Singles | None) -> Singles:
    """Return the image of all rays, (pixel, coefficient)."""
    image = start
    if image is None:
        image = _steps(task, task.scans.rays, smoothing_um, None, _STEPS)
    for _ in range(_ROUNDS):
        upright = task.upright(task.scans.rays, image)
        image = _steps(task, upright, smoothing_um, image, _ROUND_STEPS)
    return image


def _steps(
    task: _Task,
    rays: Sequence[RayData],
    smoothing_um: float,
    start: Singles | None,
    n_steps: int,
) -> Singles:
    return joint_estimate(
        rays, smoothing_um=smoothing_um, start=start, held_out_share=0.0, max_steps=n_steps,
        workers=task.workers,
    ).values  # fmt: skip


def _noise(task: _Task, smoothing_um: float) -> Floats:
    """Return the variance of each pixel's coefficients by photon noise, (iy, ix)."""
    variance = noise_variance(
        task.scans.rays, smoothing_um=smoothing_um, variances=task.scans.noise, n_probes=LANES,
        max_steps=_STEPS, workers=task.workers,
    )  # fmt: skip
    image = np.where(task.seen, task.scans.grid.image(variance), 0.0)
    total, share = (
        uniform_filter(values, _AVERAGED, mode="constant")
        for values in (image, task.seen.astype(np.float64))
    )
    return np.asarray(total / np.maximum(share, 1.0 / _AVERAGED**2))


def _halves(
    task: _Task, smoothing_um: float, image: Singles, variance: Floats, refined: Refinement
) -> tuple[float, float]:
    """Return the standard deviations that half the difference of both halves shows."""
    halves = [task.upright(task.scans.half(start), image) for start in (0, 1)]
    first, second = (
        task.refined(_steps(task, rays, smoothing_um, image, _HALF_STEPS), variance)
        for rays in halves
    )
    full = refined.scale > _FULL * np.nanmedian(refined.scale)
    change_A = 0.5 * (first.a_A - second.a_A) * refined.scale
    return _spread(change_A[full]), _spread(0.5 * (first.scale - second.scale))


def _spread(values: Floats) -> float:
    """Return the robust standard deviation about zero, 0 of nothing."""
    known = values[np.isfinite(values)]
    return spread_about_zero(known) if known.size else 0.0
