"""How far a joint estimate can be trusted: what its pixels cannot show, and what noise does to it.

*Model error.* Inside a pixel of several steps the sample varies, and a thin ray sees it. Over
pixels of edge p the integral of what they leave out has a variance that grows with the path,

    var = Σ_p path_p · v(p),    v(p) = ⟨(∫ (f − mean of f over its pixel) dl)²⟩ / length,

if what two pixels leave out is unrelated. v(p) is measured where the sample is known finely: in a
first image of the middle, which stands for the rest.

*Noise.* The estimate is linear in the rays, so that noise alone, drawn with the rays' variances and
estimated like them, shows the variance of every pixel: of ``n_probes`` draws the mean square, with
a relative standard error of √(2/n_probes).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inverse.joint import joint_estimate
from inverse.joint_problem import RayData
from inverse.strips import StripProjector
from xrdct.errors import InputError

Floats = NDArray[np.float64]


def left_out_per_um(image: ArrayLike, *, factor: int, step_um: float) -> Floats:
    """Return v(p), (channel,), for pixels of ``factor`` steps, from an image of single steps.

    image (iy, ix, channel); whole pixels without NaN count. v is that of lines along rows and
    columns, piece by piece of a pixel's length.

    Raises InputError where no whole pixel is free of NaN.
    """
    fine = np.asarray(image, dtype=np.float64)
    n_y, n_x = fine.shape[0] // factor, fine.shape[1] // factor
    blocks = fine[: n_y * factor, : n_x * factor].reshape(n_y, factor, n_x, factor, -1)
    blocks = blocks.transpose(0, 2, 1, 3, 4)
    whole = np.all(np.isfinite(blocks), axis=(2, 3, 4))
    if not whole.any():
        raise InputError(f"image has no pixel of {factor} × {factor} without NaN.")
    apart = blocks[whole] - blocks[whole].mean(axis=(1, 2), keepdims=True)
    lines = np.concatenate([apart.sum(axis=1), apart.sum(axis=2)], axis=1) * step_um
    return np.asarray((lines**2).mean(axis=(0, 1)) / (factor * step_um))


def model_error_variance(projector: StripProjector, per_um: ArrayLike) -> Floats:
    """Return the variance of each ray for v(p) of every pixel size of the grid, (angle, offset).

    Raises InputError where ``per_um`` is not one number per size.
    """
    grid, variance = projector.grid, np.asarray(per_um, dtype=np.float64)
    if variance.shape != grid.sizes_um.shape:
        raise InputError(
            f"per_um must be one number per pixel size, {grid.sizes_um.shape}, "
            f"not of shape {variance.shape}."
        )
    image = np.repeat(variance, np.diff(grid.first))[:, None]
    return projector.forward(image)[..., 0].astype(np.float64)


def noise_variance(
    scans: Sequence[RayData],
    *,
    smoothing_um: float,
    variances: Sequence[ArrayLike] | None = None,
    n_probes: int = 16,
    max_steps: int = 20,
    seed: int = 0,
    workers: int | None = None,
) -> Floats:
    """Return the variance of each pixel, (pixel,), of the estimate of a channel.

    ``variances`` are those of the rays, (angle, offset) for each scan, by default 1/weight; they
    may be smaller where the weights account for more than noise. Raises InputError as
    :func:`inverse.joint.joint_estimate` does.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    drawn = []
    for number, scan in enumerate(scans):
        used = scan.weight > 0.0
        inverse = np.where(used, 1.0 / np.where(used, scan.weight, 1.0), 0.0)
        variance = inverse if variances is None else np.asarray(variances[number])
        draws = rng.standard_normal((*used.shape, n_probes))
        noise = draws * np.sqrt(np.where(used, variance, 0.0))[..., None]
        drawn.append(RayData(scan.projector, noise.astype(np.float32), scan.weight))
    start = np.zeros((scans[0].projector.grid.x_um.size, n_probes))
    estimate = joint_estimate(
        drawn, smoothing_um=smoothing_um, start=start, held_out_share=0.0, max_steps=max_steps,
        workers=workers,
    )  # fmt: skip
    return np.asarray(np.mean(estimate.values.astype(np.float64) ** 2, axis=1))
