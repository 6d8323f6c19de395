"""From a sinogram to images of every channel with their variance, by the method of a recipe.

What is returned is a function of values and variances, since patterns can be reconstructed channel
by channel or as a few coefficients each: the geometry is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inverse.backends.registry import find_backend
from inverse.cgls import ConjugateGradients, cgls
from inverse.geometry import field_of_view
from inverse.iteration import Iterated, Rays, scan_rays
from inverse.iterative_variance import linear_variance, redrawn_counts, repeated_variance
from inverse.poisson import poisson_reconstruction
from inverse.recipe import Recipe
from inverse.reconstruct import Reconstruction, filtered_back_projection
from inverse.sinogram import Sinogram
from inverse.sirt import sirt
from inverse.stopping import channel_trial, mixed_trial, ray_weights, stop_at_held_out

Singles = NDArray[np.float32]
Reconstruct = Callable[[Singles, Singles], Reconstruction]
"""From values and variances (angle, offset, k) to images of both (iy, ix, k)."""

MOST_ITERATIONS = {"sirt": 200, "cgls": 40, "poisson": 40}
"""Of a trial run that looks for the best number."""
_SUBSET_ANGLES = 30
"""Projections in a subset of the Poisson method, at least: fewer are too few to see a pixel."""


def volume_of(
    sinogram: Sinogram,
    *,
    recipe: Recipe,
    n_offsets: int,
    beam_fwhm_um: float,
    workers: int | None = None,
) -> Reconstruction:
    """Return the images of a sinogram's channels; see :func:`reconstructor`."""
    reconstruct = reconstructor(
        sinogram, recipe=recipe, n_offsets=n_offsets, beam_fwhm_um=beam_fwhm_um, workers=workers
    )
    return reconstruct(sinogram.values, sinogram.variance)


def reconstructor(
    sinogram: Sinogram,
    *,
    recipe: Recipe,
    n_offsets: int,
    beam_fwhm_um: float,
    workers: int | None = None,
) -> Reconstruct:
    """Return what reconstructs values that have the rays of a sinogram.

    Images have ``n_offsets`` × ``n_offsets`` pixels of the sinogram's step, NaN outside the circle
    that so many offsets see at every angle, also where projections were completed beyond it.
    ``beam_fwhm_um`` is the width of the beam that iterative methods count with.

    Raises InputError for a backend that is not there or lacks the method.
    """
    if recipe.reconstruction.backend != "own":
        return partial(_by_backend, sinogram, recipe, n_offsets, workers)
    if recipe.reconstruction.method in ("fbp", "direct", "joint"):  # the last two start from it
        return partial(_filtered, sinogram, recipe, n_offsets, workers)
    return partial(_iterated, sinogram, recipe, beam_fwhm_um, workers)


def _filtered(
    sinogram: Sinogram,
    recipe: Recipe,
    n_offsets: int,
    workers: int | None,
    values: Singles,
    variance: Singles,
) -> Reconstruction:
    return filtered_back_projection(
        values,
        variance=variance,
        angles_rad=sinogram.angles_rad,
        step_um=sinogram.step_um,
        filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
        size=n_offsets,
        axis_offset_um=sinogram.axis_offset_um,
        mask=_view(sinogram, n_offsets),
        workers=workers,
    )


def _by_backend(
    sinogram: Sinogram,
    recipe: Recipe,
    n_offsets: int,
    workers: int | None,
    values: Singles,
    variance: Singles,
) -> Reconstruction:
    """Reconstruct by another package; the variance is that of our filtered back projection."""
    made = recipe.reconstruction
    backend = find_backend(made.backend)
    # "fbp" is the usual method of a backend, whatever it calls that.
    usual = made.method == "fbp" and made.method not in backend.methods
    own = _filtered(sinogram, recipe, n_offsets, workers, values, variance)
    if recipe.truncation.method != "none":
        # Backends continue projections by their ends, which are to be zero here.
        values = np.pad(values, ((0, 0), (1, 1), (0, 0)))
        values[:, [0, -1]] = np.where(np.isnan(values[:, 1:2]), np.nan, np.float32(0.0))
    images = backend.reconstruct(
        values, angles_rad=sinogram.angles_rad, step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um, method=None if usual else made.method,
        filter_name=made.filter, iterations=made.iterations, size=n_offsets, workers=workers,
    )  # fmt: skip
    images[~_view(sinogram, n_offsets)] = np.nan
    return Reconstruction(values=images, variance=own.variance)


def _iterated(
    sinogram: Sinogram,
    recipe: Recipe,
    beam_fwhm_um: float,
    workers: int | None,
    values: Singles,
    variance: Singles,
) -> Reconstruction:
    """Reconstruct by iterations, as many as the recipe says or held-out rays ask for."""
    made = recipe.reconstruction
    counts = made.method == "poisson"
    # Rays that were brought to their set-points by cubics may undershoot zero.
    lines = np.maximum(values, np.float32(0.0)) if counts else values
    rays = scan_rays(
        lines.shape, angles_rad=sinogram.angles_rad, step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um, beam_fwhm_um=beam_fwhm_um,
        size=_grid_size(sinogram, recipe.truncation.width_um), weights=ray_weights(variance),
    )  # fmt: skip
    run = partial(_run, made.method, workers)
    iterations = made.iterations
    if iterations is None:
        trial = channel_trial if counts else mixed_trial
        iterations = stop_at_held_out(
            run, trial(lines, variance=variance), rays=rays,
            max_iterations=MOST_ITERATIONS[made.method],
        ).iterations  # fmt: skip
    found = run(lines, rays, iterations, None)
    if counts:
        spread = repeated_variance(
            lambda drawn: run(drawn, rays, iterations, None).values,
            redrawn_counts(lines, variance=variance), centre=found.values,
        )  # fmt: skip
        return Reconstruction(values=found.values, variance=spread.values)

    def again(noise: Singles) -> Singles:
        """Apply the same linear operator: other lines would have other conjugate directions."""
        if isinstance(found, ConjugateGradients):
            steps = found.steps
            return cgls(
                noise, rays=rays, iterations=iterations, steps=steps, workers=workers
            ).values
        return run(noise, rays, iterations, None).values

    return Reconstruction(values=found.values, variance=linear_variance(again, variance).values)


def _run(
    method: str,
    workers: int | None,
    values: Singles,
    rays: Rays,
    iterations: int,
    records: Singles | None,
) -> Iterated:
    """Run an iterative method."""
    if method == "sirt":
        return sirt(values, rays=rays, iterations=iterations, records=records, workers=workers)
    if method == "cgls":
        return cgls(values, rays=rays, iterations=iterations, records=records, workers=workers)
    return poisson_reconstruction(
        values, rays=rays, iterations=iterations, records=records, workers=workers,
        n_subsets=max(1, len(rays.weights) // _SUBSET_ANGLES),
    )  # fmt: skip


def _grid_size(sinogram: Sinogram, width_um: float | None) -> int | None:
    """Return the pixels along the grid's side that hold ``width_um`` as well as the window."""
    if width_um is None:
        return None
    n_offsets = sinogram.values.shape[1]
    beyond = max(0, int(np.ceil((width_um / sinogram.step_um - n_offsets) / 2.0)))
    return int(n_offsets + 2 * beyond)


def _view(sinogram: Sinogram, n_offsets: int) -> NDArray[np.bool_]:
    """Return the pixels that ``n_offsets`` about the middle see at every angle, (iy, ix)."""
    return field_of_view(
        n_offsets, n_offsets=n_offsets, step_um=sinogram.step_um,
        axis_offset_um=sinogram.axis_offset_um,
    )  # fmt: skip
