"""Ramp filters of filtered back projection, as matrices that act on the offsets of a projection.

With f in cycles per step, the band-limited ramp |f|, |f| ≤ ½, has the kernel

    r(k) = ∫ |f| exp(2πi f k) df = sin(πk)/(2πk) + (cos(πk) − 1)/(2π²k²),   r(0) = 1/4,

which is 1/4 at zero, 0 at even k and −1/(π²k²) at odd k (Ramachandran and Lakshminarayanan, PNAS 68
(1971) 2236; Kak and Slaney, *Principles of Computerized Tomographic Imaging*, ch. 3). A window
a + (1 − a)·cos(2πf) is a shift by one step to either side, cos(πf) by half a step, so every filter
has its kernel in closed form and no frequency grid enters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import cosdg, sindg

from inverse.interpolation import CHANNEL_BLOCK
from xrdct.compiled import compiled_fast
from xrdct.errors import InputError

COLUMNS = 8
"""Columns of a matrix applied together; a stored matrix has a multiple of twice as many."""

_ZERO = np.uint64(0)
_ROW = np.uint64(CHANNEL_BLOCK)

PADDINGS = ("zero", "edge")
"""What a projection is taken to be beyond its outermost offsets."""

FloatArray = NDArray[np.float64]


def ramp_kernel(position: FloatArray) -> FloatArray:
    """Return r at a position in steps, which need not be a whole number; without unit."""
    x = np.where(position == 0.0, 1.0, position)
    # In degrees, because these are exact at whole and half turns: the zeros of r must be zeros.
    sin, cos = sindg(180.0 * x), cosdg(180.0 * x)
    kernel = sin / (2 * np.pi * x) + (cos - 1.0) / (2 * (np.pi * x) ** 2)
    return np.where(position == 0.0, 0.25, kernel)


def shepp_logan_kernel(position: FloatArray) -> FloatArray:
    """Return the kernel of |f|·sin(πf)/(πf), 2/(π²(1 − 4k²)) at whole k (Shepp and Logan 1974)."""
    return 2.0 / (np.pi**2 * (1.0 - 4.0 * position**2))


def cosine_kernel(position: FloatArray) -> FloatArray:
    """Return the kernel of |f|·cos(πf)."""
    return 0.5 * (ramp_kernel(position - 0.5) + ramp_kernel(position + 0.5))


def _raised_cosine(a: float) -> Callable[[FloatArray], FloatArray]:
    """Return the kernel of |f|·(a + (1 − a)·cos(2πf)), as a function of the position in steps."""

    def kernel(position: FloatArray) -> FloatArray:
        shifted = ramp_kernel(position - 1.0) + ramp_kernel(position + 1.0)
        return a * ramp_kernel(position) + 0.5 * (1.0 - a) * shifted

    return kernel


KERNELS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {
        "ramp": ramp_kernel,
        "shepp-logan": shepp_logan_kernel,
        "cosine": cosine_kernel,
        "hamming": _raised_cosine(0.54),
        "hann": _raised_cosine(0.5),
    }
)
"""The kernel of each filter, by name, as a function of the distance in steps."""


def filter_matrix(
    n_offsets: int, *, step_um: float, filter_name: str = "ramp", padding: str = "edge"
) -> FloatArray:
    """Return the matrix, (offset, offset), in 1/µm, that filters one projection.

    ``"zero"`` takes the projection to be zero beyond its ends, however far: the convolution with
    the kernel is exact, nothing wraps around. ``"edge"`` continues it by its edge values over
    another ``n_offsets`` steps to each side, which keeps a sample wider than the scan from
    gathering a bright rim; the continuation is folded into the first and the last column.

    Raises InputError for a filter or a padding that does not exist.
    """
    if filter_name not in KERNELS:
        raise InputError(f"filter_name must be one of {', '.join(KERNELS)}, not {filter_name!r}.")
    if padding not in PADDINGS:
        raise InputError(f"padding must be one of {', '.join(PADDINGS)}, not {padding!r}.")
    offset = np.arange(n_offsets)
    kernel = KERNELS[filter_name](np.arange(2 * n_offsets, dtype=np.float64))
    matrix = kernel[np.abs(offset[:, None] - offset[None, :])]
    if padding == "edge":
        before = kernel[offset[:, None] + 1 + offset[None, :]].sum(axis=1)
        matrix[:, 0] += before
        matrix[:, -1] += before[::-1]
    return np.asarray(matrix / step_um)


def variance_filter_matrix(matrix: FloatArray) -> FloatArray:
    """Return the matrix, (2·offset, offset), in 1/µm², that filters the variances of a projection.

    Interpolation at the fraction f between the filtered offsets i and i + 1 has the weights
    (1 − f)·F_i + f·F_{i+1} on the projection; their squares, which act on independent variances,
    are (1 − f)²·F_i² + f²·F_{i+1}² + 2f(1 − f)·F_i·F_{i+1}, all taken element by element. Row 2i
    holds F_i², row 2i + 1 holds F_i·F_{i+1}, and zero where there is no offset i + 1.
    """
    n_offsets = matrix.shape[0]
    squares = np.zeros((n_offsets, 2, n_offsets))
    squares[:, 0] = matrix**2
    squares[:-1, 1] = matrix[:-1] * matrix[1:]
    return squares.reshape(2 * n_offsets, n_offsets)


def stored_matrix(matrix: FloatArray) -> NDArray[np.float32]:
    """Return ``matrix`` in single precision, filled up with columns of zeros for the kernel."""
    spare = -matrix.shape[1] % (2 * COLUMNS)
    return np.ascontiguousarray(np.pad(matrix, ((0, 0), (0, spare))), dtype=np.float32)


@compiled_fast
def _apply_matrix(
    matrix: NDArray[np.float32], rows: NDArray[np.float32], result: NDArray[np.float32]
) -> None:
    """Add ``matrix``, (m, n), times ``rows``, flat (n, CHANNEL_BLOCK), to ``result``, flat.

    Takes eight columns at a time, so that the rows they multiply stay in the first level of cache;
    every second one, so that of the ramp, which is zero at even distances, half is left out.
    """
    step = _ROW + _ROW
    for k in range(0, matrix.shape[1], 2 * COLUMNS):
        for odd in range(2):
            i = np.uint64(k + odd) * _ROW
            for m in range(matrix.shape[0]):
                w = matrix[m, k + odd : k + odd + 2 * COLUMNS : 2]
                w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
                if not (w0 or w1 or w2 or w3 or w4 or w5 or w6 or w7):
                    continue
                q = np.uint64(m) * _ROW
                for c in range(_ZERO, _ROW):
                    i0 = i + c
                    i1 = i0 + step
                    i2 = i1 + step
                    i3 = i2 + step
                    i4 = i3 + step
                    i5 = i4 + step
                    i6 = i5 + step
                    i7 = i6 + step
                    result[q + c] += (
                        (w0 * rows[i0] + w1 * rows[i1])
                        + (w2 * rows[i2] + w3 * rows[i3])
                        + (w4 * rows[i4] + w5 * rows[i5])
                        + (w6 * rows[i6] + w7 * rows[i7])
                    )


def filter_projections(
    part: NDArray[np.float32], matrix: NDArray[np.float32], filtered: NDArray[np.float32]
) -> None:
    """Overwrite ``filtered`` with the product of ``matrix`` and every projection of ``part``.

    part (angle, offset, channel) with no more channels than a block; matrix as stored; filtered
    (angle, row, CHANNEL_BLOCK), whose rows before and after the product are left alone.
    """
    _, n_offsets, n_channels = part.shape
    rows = np.zeros((matrix.shape[1], CHANNEL_BLOCK), np.float32)
    margin = (filtered.shape[1] - matrix.shape[0]) // 2
    for projection, result in zip(part, filtered, strict=False):
        rows[:n_offsets, :n_channels] = projection
        product = result[margin : margin + matrix.shape[0]]
        product.fill(0.0)
        _apply_matrix(matrix, rows.reshape(-1), product.reshape(-1))
