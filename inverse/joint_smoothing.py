"""How much to smooth a joint estimate: as projections that were held out are predicted best.

Every twelfth projection of the window's scan is left out of the fit. What its noise is, the others
do not know, so that the misfit r of the image's rays there is, but for a constant, the error of the
image. Seen by pixels, not by rays, that error is filtered by |q|, the wave number along the offsets
(as in back projection), and so is the misfit here:

    Σ_held-out projections Σ_q |q|·|F(w·r)(q)|²,

with the Fourier transform F and a taper w (Hann) towards the ends of the window. Single rays held
out instead, or no filter, would see coarse waves only, which need no smoothing: without noise they
ask for none, whatever streaks it costs.

Lengths are tried in steps of √2 from one step of the scan on, down as long as that predicts better,
and up as long as it predicts as well; each from the image of the one before, with parallax taken
off by that image. The minimum is flat on its short side, where an image gains streaks that hardly
show in rays. Hence the longest length is taken whose misfit is not significantly above the least:
by no more than two standard errors of the mean difference, projection by projection. No truth
enters. The more noise there is beside the sample's contrast, the longer the length.

Sources: leaving out a part is cross-validation (Stone, J. R. Stat. Soc. B 36 (1974) 111); the
simplest among those as good as the best is the rule of Breiman et al., *Classification and
Regression Trees* (1984), ch. 3.4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.joint import joint_estimate
from inverse.joint_problem import RayData, ray_part, upright_scans
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

SHORTEST_STEPS, LONGEST_STEPS = 0.25, 8.0
"""Lengths that are tried, in steps of the window's scan."""
_RATIO = 2.0**0.5
_STANDARD_ERRORS = 2.0
_EVERY = 12
"""Projections of which one is held out: the gap it leaves must not be much of the sample."""
_TRIAL_STEPS = 6
"""Of conjugate gradients for each length, which the image of the one before starts."""


@dataclass(frozen=True, eq=False)
class Smoothing:
    """The length, and what it was read from."""

    length_um: float
    image: Singles
    """Estimate with that length, without the held-out projections, (pixel, channel)."""
    tried_um: Floats
    """Ascending, (length,)."""
    misfit: Floats
    """The sum of the module's formula over q and channels, (length, held-out projection)."""


def smoothing_by_held_out(
    scans: Sequence[RayData],
    *,
    step_um: float,
    parallax_per_um: Floats,
    workers: int | None = None,
    tried: Callable[[], None] = lambda: None,
) -> Smoothing:
    """Return the length that predicts the first scan's held-out projections well.

    ``step_um`` is that scan's; ``tried`` is called after each length. Raises InputError where that
    scan has fewer than 24 projections, or :func:`inverse.joint.joint_estimate` does.
    """
    kept, held = _split(scans)
    misfit: dict[float, Floats] = {}
    images: dict[float, Singles] = {}

    def predict(length: float, start: float | None) -> None:
        image = None if start is None else images[start]
        upright = kept
        if image is not None:
            upright = upright_scans(kept, image, parallax_per_um, workers=workers)
        images[length] = joint_estimate(
            upright, smoothing_um=length * step_um, start=image, held_out_share=0.0,
            max_steps=_TRIAL_STEPS, workers=workers,
        ).values  # fmt: skip
        misfit[length] = _filtered_misfit(held, images[length], parallax_per_um, workers)
        tried()

    predict(1.0, None)
    shortest = 1.0
    while _further(shortest / _RATIO) and misfit[shortest].sum() <= _least(misfit).sum():
        predict(shortest / _RATIO, shortest)
        shortest /= _RATIO
    longest = 1.0
    while _further(longest * _RATIO) and _as_good(misfit[longest], _least(misfit)):
        predict(longest * _RATIO, longest)
        longest *= _RATIO
    best = _least(misfit)
    chosen = max(length for length, values in misfit.items() if _as_good(values, best))
    lengths = sorted(misfit)
    return Smoothing(
        length_um=chosen * step_um,
        image=images[chosen],
        tried_um=step_um * np.array(lengths),
        misfit=np.array([misfit[length] for length in lengths]),
    )


def _further(length: float) -> bool:
    """Return whether a length, in steps, is one to try."""
    return 0.999 * SHORTEST_STEPS < length < 1.001 * LONGEST_STEPS


def _least(misfit: dict[float, Floats]) -> Floats:
    return min(misfit.values(), key=lambda values: float(values.sum()))


def _as_good(misfit: Floats, best: Floats) -> bool:
    """Return whether a misfit, (projection,), is not significantly above the best one."""
    more = misfit - best
    error = float(more.std(ddof=1)) / np.sqrt(more.size)
    return bool(more.mean() <= _STANDARD_ERRORS * error)


def _split(scans: Sequence[RayData]) -> tuple[tuple[RayData, ...], RayData]:
    """Return the scans without some projections of the first, and these."""
    first = scans[0]
    n_angles = first.weight.shape[0]
    if n_angles < 2 * _EVERY:
        raise InputError(
            f"To choose a smoothing, the window needs at least {2 * _EVERY} projections, not "
            f"{n_angles}: give joint.smoothing_um."
        )
    out = np.zeros(n_angles, dtype=np.bool_)
    out[_EVERY // 2 :: _EVERY] = True
    return (ray_part(first, ~out), *scans[1:]), ray_part(first, out)


def _filtered_misfit(
    held: RayData, image: Singles, parallax_per_um: Floats, workers: int | None
) -> Floats:
    """Return the sum of the module's formula over q and all channels, (projection,)."""
    upright = upright_scans([held], image, parallax_per_um, workers=workers)[0]
    apart = upright.values - held.projector.forward(image, workers=workers)
    apart = np.where(held.weight[..., None] > 0.0, apart, np.float32(0.0))
    taper = np.hanning(apart.shape[1] + 2)[1:-1, None]
    waves = np.fft.rfft(apart * taper, axis=1)
    return np.asarray(np.einsum("q,aqk->a", np.arange(waves.shape[1]), np.abs(waves) ** 2))
