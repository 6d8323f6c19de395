"""Fisher information of a pattern's parameters, and what an error of the pattern does to them.

With the slopes J (parameter, channel) of the expected pattern and independent channels of variance
v, the Fisher information of normal errors is I = J v⁻¹ Jᵀ, and the covariance of every unbiased
estimator is at least I⁻¹ (Rao, Bull. Calcutta Math. Soc. 37 (1945) 81; Cramér 1946; Kay,
*Fundamentals of Statistical Signal Processing*, ch. 3). Nuisance parameters are rows of J like any
other, so that what they cost is in the inverse.

Least squares with the weights 1/v reaches this bound. To first order it answers an error e of the
pattern (a streak, a neighbour's lines) with the change

    δp = R e,     R = I⁻¹ J v⁻¹

of its parameters. R is the *lever* through which every systematic error acts.

Where this fails: too few counts for stated variances to be those of expected counts, and errors so
large that the slopes change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

Floats = NDArray[np.float64]


def information(slopes: Floats, *, variance: Floats) -> Floats:
    """Return J v⁻¹ Jᵀ, shape (pattern, parameter, parameter).

    ``slopes`` (pattern, parameter, channel) are in the pattern's unit per unit of parameter,
    ``variance`` (pattern, channel) in its square; channels of zero or no variance tell nothing.
    """
    weight = _weights(slopes, variance)
    return np.asarray((slopes * weight[:, None, :]) @ np.swapaxes(slopes, 1, 2))


def bound(slopes: Floats, *, variance: Floats) -> Floats:
    """Return the least covariance of the parameters, shape (pattern, parameter, parameter).

    Raises InputError where shapes do not agree, or parameters cannot be told apart.
    """
    return _inverted(information(slopes, variance=variance))


def levers(slopes: Floats, *, variance: Floats) -> Floats:
    """Return R (see the module's text), shape (pattern, parameter, channel).

    Raises InputError as :func:`bound` does.
    """
    weight = _weights(slopes, variance)
    return np.asarray(bound(slopes, variance=variance) @ (slopes * weight[:, None, :]))


def _weights(slopes: Floats, variance: Floats) -> Floats:
    if slopes.ndim != 3 or slopes.shape[::2] != variance.shape:
        raise InputError(
            "slopes must be (pattern, parameter, channel) and variance (pattern, channel), "
            f"not {slopes.shape} and {variance.shape}"
        )
    usable = np.isfinite(variance) & (variance > 0.0)
    return np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0)


def _inverted(matrices: Floats) -> Floats:
    """Return the inverses of positive matrices, scaled so that units do not matter."""
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    if not np.all(diagonal > 0.0):
        raise InputError("a parameter does not change the pattern in any channel that was measured")
    unit = 1.0 / np.sqrt(diagonal)
    scaled = matrices * unit[:, :, None] * unit[:, None, :]
    if np.linalg.eigvalsh(scaled).min(initial=1.0) < 1e-10:
        raise InputError("parameters of the pattern cannot be told apart")
    return np.asarray(np.linalg.inv(scaled) * unit[:, :, None] * unit[:, None, :])
