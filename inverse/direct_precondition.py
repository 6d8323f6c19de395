"""Unknowns in which the direct fit's objective bends about as much in every direction.

What enough rays tell of a/α of a pixel weighs φ², whatever the wavelength, as misfits are weighed
with the ramp filter (:mod:`inverse.direct_fit`). The penalty on bends adds λ·BᵀKB, K being the
stiffness that :func:`inverse.direct_prior.lattice_stiffness` tells at the start: nothing for slow
changes, and a hundred times as much from pixel to pixel. With L the sum of squared differences
between neighbours, weighed with √(λK),

    M = max(φ, ¼) + L,      ⅓ ≲ (φ² + λ·BᵀKB) / MᵀM ≲ 1

inside of full material, for all wavelengths, so that the unknowns v = M·(a/α) are about equally
well determined and a quasi-Newton method needs fewer steps. Where few rays meet a pixel, at edges,
and as K changes on the way this is rough, which costs steps, not truth. M is symmetric, sparse, and
links only pixels whose material touches, so that its factors are small. They are of single
precision, as is what the rays tell.

Source: Nocedal & Wright, Numerical Optimization (2006), 5.1, on preconditioning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags
from scipy.sparse.linalg import splu

from inverse.neighbours import laplacian

Floats = NDArray[np.float64]

_LEAST_AMOUNT = 0.25
_LEAST_LINK = 0.02
"""Of a full pixel's share: fainter links are left out."""


class Unknowns:
    """The change of unknowns v = M·(a/α), of the module's formula."""

    def __init__(
        self,
        amount: Floats,
        stiffness: tuple[Floats, Floats],
        *,
        index: NDArray[np.int64],
        side: int,
    ) -> None:
        """Factorise M.

        ``amount`` (pixel,); ``stiffness`` λK of bends along y, (side − 2, side), and along x;
        ``index`` (pixel,) the place of each pixel in a flattened square image of that ``side``.
        """
        number = np.full(side * side, -1, np.int64)
        number[index] = np.arange(index.size)
        first, second, link = _links(stiffness, number.reshape(side, side))
        linked = laplacian(first, second, link, n_pixels=index.size)
        self.matrix = (diags(np.maximum(amount, _LEAST_AMOUNT)) + linked).tocsc()
        self._factors: Any = splu(
            self.matrix.astype(np.float32), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )  # fmt: skip

    def of_lattice(self, lattice: Floats) -> Floats:
        """Return v of a/α, (pixel,)."""
        return np.asarray(self.matrix @ lattice)

    def solved(self, values: Floats) -> Floats:
        """Return M⁻¹·values, (pixel,): a/α of v, or a gradient by v of one by a/α."""
        return np.asarray(self._factors.solve(values.astype(np.float32)), dtype=np.float64)


def _links(
    stiffness: tuple[Floats, Floats], number: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return pairs of neighbouring pixels by number, and √(λK) between them."""
    first, second, link = [], [], []
    for axis, stiff in enumerate(stiffness):
        numbered = np.swapaxes(number, 0, axis)
        root = np.pad(np.sqrt(np.swapaxes(stiff, 0, axis)), ((1, 1), (0, 0)))
        between = 0.5 * (root[:-1] + root[1:])
        one, other = numbered[:-1], numbered[1:]
        kept = (between > _LEAST_LINK) & (one >= 0) & (other >= 0)
        first.append(one[kept])
        second.append(other[kept])
        link.append(between[kept])
    return np.concatenate(first), np.concatenate(second), np.concatenate(link)
