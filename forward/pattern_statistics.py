"""What an integration would make of a channel's pixels, imitated in pattern mode.

Trimming shifts the value of a channel and changes its variance, by how many counts a pixel has and
how the profile slopes (:mod:`forward.estimators`), and takes from rings that are made of spots
(:mod:`forward.ring_trimming`). Both are computed for a smooth detector: a channel has as many
pixels as fit into the live part of its ring.

Where this holds: channels about a pixel wide, of many pixels, on rings whose spots stand out of
the counting noise. What it leaves out: faults of the detector, which trimming is there to remove;
charge sharing; the scatter of pixel numbers from channel to channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.estimators import EstimatorTable, draw_estimate, estimate, estimator_table
from forward.grains import Grains
from forward.philox import Words
from forward.ring_trimming import kept_fraction, trimmed_variance
from xrdct.instrument import Detector, Geometry, ring_acceptance

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
_MOST_OF_ONE_SIDE = 0.49
"""Trimming of rings for which tables hold: the median stands for this."""
_FEWEST_SPOTS = 1e-3


@dataclass(frozen=True, eq=False)
class PatternStatistics:
    """The estimator of an integration, ready to be applied to expected patterns."""

    lower: float
    upper: float
    """Fractions of the pixels left out below and above."""
    table: EstimatorTable
    n_pixels: Floats
    """Pixels of each channel, shape (channel,)."""
    spot_fwhm_px: float

    def ring(self, spots_per_pixel: Floats) -> tuple[Floats, Floats]:
        """Return what is kept of rings' mean, and the spread of their trimmed over plain means.

        The latter is the standard deviation between exposures, one where nothing is trimmed.
        """
        spots = np.maximum(spots_per_pixel, _FEWEST_SPOTS)
        given = ring_trimming(self.lower, self.upper) | {"fwhm_px": self.spot_fwhm_px}
        return kept_fraction(spots, **given), np.sqrt(spots * trimmed_variance(spots, **given))

    def measured(
        self, expected: Singles, *, noise: bool, key: Words, first_ray: int
    ) -> tuple[Singles, Singles]:
        """Return what would be recorded of ``expected`` counts, and its variance, (ray, channel).

        The variance is the one that an analysis would state: it goes with the recorded value.
        """
        mean, variance = estimate(expected, n_pixels=self.n_pixels, table=self.table, workers=1)
        if not noise:
            return mean, variance
        drawn = draw_estimate(mean, variance, key=key, first_ray=first_ray, workers=1)
        ratio = np.divide(variance, mean, out=np.ones_like(mean), where=mean > 0.0)
        return drawn, ratio * drawn


def ring_trimming(lower: float, upper: float) -> dict[str, float]:
    """Return ``lower`` and ``upper`` as tables of rings take them, which know no median."""
    return {"lower": min(lower, _MOST_OF_ONE_SIDE), "upper": min(upper, _MOST_OF_ONE_SIDE)}


def pattern_statistics(
    geometry: Geometry, *, detector: Detector, lower: float, upper: float, grains: Grains
) -> PatternStatistics:
    """Return the statistics of the mean without the fractions ``lower`` and ``upper`` of pixels.

    Both ½ are the median.
    """
    two_theta = geometry.two_theta_rad
    seen = ring_acceptance(geometry, detector=detector, polarisation=0.0)
    live = seen / (0.5 * (1.0 + np.cos(two_theta) ** 2))
    radius_m = geometry.distance_m * np.tan(two_theta)
    depth_m = geometry.distance_m * geometry.channel_width_rad / np.cos(two_theta) ** 2
    pixel_m = detector.pixel_um * 1e-6
    return PatternStatistics(
        lower=lower,
        upper=upper,
        table=estimator_table(lower, upper),
        n_pixels=live * 2.0 * np.pi * radius_m * depth_m / pixel_m**2,
        spot_fwhm_px=grains.spot_fwhm_px,
    )
