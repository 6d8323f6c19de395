"""The normal distribution's width, by the measures in which widths are stated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Full width at half maximum over the standard deviation."""

SIGMA_PER_MAD = 1.4826022185056018
"""Standard deviation over the median absolute deviation, 1/Φ⁻¹(3/4)."""


def spread_about_zero(values: NDArray[np.floating]) -> float:
    """Return the robust standard deviation of values of mean zero, 1.4826 · median |v|.

    NaN of none.
    """
    return float(SIGMA_PER_MAD * np.median(np.abs(values))) if values.size else float("nan")
