"""Where an integration that trims leaves nothing to predict.

Of pixels of λ counts a share 1 − e^(−λ) has counted at all. A trimmed mean that leaves out more
than that from above is zero, whatever the ring shows; so is what a refinement finds of it. Channels
of which that is true are *lost*. Where most of the counts fall on lost channels nothing can be
said, and nothing can be measured either. This check takes no time, so that many scans can be asked;
:mod:`validation.predicted_trimming_bias` looks closer and refuses more.

Pixels of a channel are those of the live part of its ring, as
:mod:`forward.pattern_statistics` has them, but weighted with the polarisation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.bounds_optics import Optics
from xrdct.errors import InputError
from xrdct.instrument import ring_acceptance

Floats = NDArray[np.float64]

_MOST_LOST = 0.5


def check_kept(optics: Optics, counts: Floats) -> None:
    """Raise InputError where trimming loses most of the counts, (channel,), of an exposure."""
    upper = optics.recipe.integration.left_out[1]
    total = float(counts.sum())
    if upper <= 0.0 or total <= 0.0:
        return
    pixels = pixels_of(optics)
    hit = -np.expm1(-np.divide(counts, pixels, out=np.zeros_like(counts), where=pixels > 0.0))
    lost = float(counts[hit <= upper].sum()) / total
    if lost > _MOST_LOST:
        raise InputError(
            f"of {100.0 * lost:.0f} % of the counts an integration that leaves out the highest "
            f"{100.0 * upper:g} % of the pixels keeps nothing, since fewer have counted: expose "
            'longer, or take recipe.integration.method = "mean"'
        )


def pixels_of(optics: Optics) -> Floats:
    """Return how many live pixels every channel has, (channel,)."""
    experiment = optics.experiment
    geometry, detector = experiment.geometry, experiment.detector
    two_theta = geometry.two_theta_rad
    seen = ring_acceptance(
        geometry, detector=detector, polarisation=experiment.beam.polarisation
    ) / (0.5 * (1.0 + np.cos(two_theta) ** 2))  # fmt: skip
    radius_m = geometry.distance_m * np.tan(two_theta)
    depth_m = geometry.distance_m * geometry.channel_width_rad / np.cos(two_theta) ** 2
    return np.asarray(seen * 2.0 * np.pi * radius_m * depth_m / (detector.pixel_um * 1e-6) ** 2)
