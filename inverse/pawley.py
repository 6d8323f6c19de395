"""Fitting a whole pattern with free line intensities: Pawley's method.

    y(2θ) = Σ_lines I_l · profile(2θ − 2θ_l) + Σ_structured phases S_p · pattern_p(2θ) + background

All are least-squares parameters. Intensities, scales and background are linear and eliminated,
intensities and scales not below zero (:mod:`inverse.pawley_linear`); cells, distance, zero shift
and widths are searched (:mod:`inverse.pawley_fit`). On normalised patterns (:mod:`inverse.model`)
I is volume fraction times ring power per µm, and S a volume fraction.

Uncertainties are those of least squares with the stated variances, everything refined together.
They do not count how far the model is from the truth: where χ² per degree of freedom exceeds one,
multiply them by its root.

Source: Pawley, J. Appl. Cryst. 14 (1981) 357.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inverse.model import Instrument
from inverse.pawley_fit import pose, search
from inverse.pawley_recipe import Pawley
from inverse.pawley_result import PatternFit, fit_result
from xrdct.compiled import single_threaded_algebra

Floats = NDArray[np.float64]


def fit_pawley(
    pattern: Floats, *, variance: Floats, settings: Pawley, instrument: Instrument
) -> PatternFit:
    """Fit a pattern (channel,); channels with NaN or no variance are ignored.

    Raises InputError where shapes do not agree, a phase has too few lines in the pattern, the
    pattern too few usable channels, or parameters cannot be told apart.
    """
    with single_threaded_algebra():
        problem = pose(pattern, variance=variance, settings=settings, instrument=instrument)
        return fit_result(problem, search(problem))
