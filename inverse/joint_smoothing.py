"""How much to smooth a joint estimate: as projections that were held out are predicted best.

Every twelfth projection of the window's scan is left out of the fit. What its noise is, the others
do not know, so that the misfit r of the image's rays there is the error of the image, and noise.
Seen by pixels, not by rays, that error is filtered by |q|, the wave number along the offsets (as in
back projection), and so is the misfit here, less what the noise of variance v is expected to add:

    M = Σ_held-out projections Σ_q |q|·( |F(w·r)(q)|² − Σ_offsets w²·v ),

with the Fourier transform F and a taper w (Hann) towards the ends of the window. Single rays held
out instead, or no filter, would see coarse waves only, which need no smoothing: without noise they
ask for none, whatever streaks it costs.

Lengths are tried in steps of √2 from one step of the scan on, down as long as that predicts better,
and up as long as it predicts as well; each from the image of the one before, with parallax taken
off by that image. The minimum is flat on its short side, where an image gains streaks that hardly
show in rays. Hence the longest length is taken whose M is as good as the least, to 2 %. No truth
enters. The more noise there is beside the sample's contrast, the longer the length.

Source: leaving out a part is cross-validation (Stone, J. R. Stat. Soc. B 36 (1974) 111); to prefer
the simplest among those that predict as well is usual (Breiman et al., *Classification and
Regression Trees* (1984), ch. 3.4.3).
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
_AS_GOOD = 1.02
"""Times the least M. In six simulated scans of three electrodes larger than their window the length
of the least error was among those within it; the least M itself was at 0.5 to 0.7 of that length
where there was no noise."""
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
    """M of the module's formula, summed over channels, (length,)."""


def smoothing_by_held_out(
    scans: Sequence[RayData],
    *,
    noise: Floats,
    step_um: float,
    parallax_per_um: Floats,
    workers: int | None = None,
    tried: Callable[[], None] = lambda: None,
) -> Smoothing:
    """Return the length that predicts the first scan's held-out projections well.

    ``noise`` is the variance of that scan's rays in every channel, (angle, offset), ``step_um`` its
    step; ``tried`` is called after each length. Raises InputError where that
    scan has fewer than 24 projections, or :func:`inverse.joint.joint_estimate` does.
    """
    out = _held_out(scans[0])
    kept, held = (ray_part(scans[0], ~out), *scans[1:]), ray_part(scans[0], out)
    misfit: dict[float, float] = {}
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
        seen = upright_scans([held], images[length], parallax_per_um, workers=workers)[0]
        apart = seen.values - held.projector.forward(images[length], workers=workers)
        misfit[length] = filtered_misfit(
            np.where(held.weight[..., None] > 0.0, apart, np.float32(0.0)), noise=noise[out]
        )
        tried()

    predict(1.0, None)
    length = 1.0
    while _further(length / _RATIO) and misfit[length] <= min(misfit.values()):
        predict(length / _RATIO, length)
        length /= _RATIO
    length = 1.0
    while _further(length * _RATIO) and misfit[length] <= _AS_GOOD * min(misfit.values()):
        predict(length * _RATIO, length)
        length *= _RATIO
    least = min(misfit.values())
    chosen = max(k for k, value in misfit.items() if value <= max(least, _AS_GOOD * least))
    lengths = sorted(misfit)
    return Smoothing(
        length_um=chosen * step_um,
        image=images[chosen],
        tried_um=step_um * np.array(lengths),
        misfit=np.array([misfit[length] for length in lengths]),
    )


def filtered_misfit(apart: Singles, *, noise: Floats) -> float:
    """Return M of rays (angle, offset, channel) of noise variance (angle, offset)."""
    taper = np.hanning(apart.shape[1] + 2)[1:-1]
    waves = np.fft.rfft(apart * taper[:, None], axis=1)
    wave = np.arange(waves.shape[1])
    total = np.einsum("q,aqk->", wave, np.abs(waves) ** 2)
    expected = wave.sum() * np.sum(noise * taper**2) * apart.shape[2]
    return float(total - expected)


def _further(length: float) -> bool:
    """Return whether a length, in steps, is one to try."""
    return 0.999 * SHORTEST_STEPS < length < 1.001 * LONGEST_STEPS


def _held_out(window: RayData) -> NDArray[np.bool_]:
    """Return which projections are held out, (angle,)."""
    n_angles = window.weight.shape[0]
    if n_angles < 2 * _EVERY:
        raise InputError(
            f"To choose a smoothing, the window needs at least {2 * _EVERY} projections, not "
            f"{n_angles}: give joint.smoothing_um."
        )
    out = np.zeros(n_angles, dtype=np.bool_)
    out[_EVERY // 2 :: _EVERY] = True
    return out
