"""The normal distribution's width, by the measures in which widths are stated."""

from __future__ import annotations

import numpy as np

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Full width at half maximum over the standard deviation."""

SIGMA_PER_MAD = 1.4826022185056018
"""Standard deviation over the median absolute deviation, 1/Φ⁻¹(3/4)."""
