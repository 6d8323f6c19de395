"""How rough values on a grid of pixels are: squared differences of all that share a side.

    roughness = Σ_ij c_ij (x_i − x_j)² ≈ ∫ |∇x|² dx dy,   c_ij = shared side / distance of centres,

the two-point flux of finite volumes (Eymard, Gallouët and Herbin, Handbook of Numerical Analysis 7
(2000) 713). For lattices that meet, the distance is half the sum of the edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from inverse.grids import PixelGrid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of pixels that share a side, each once."""

    first: Ints
    """The pair's smaller number, (pair,)."""
    second: Ints
    """Its larger number, (pair,)."""
    conductance: Floats
    """Shared side over the distance of the centres, (pair,)."""
    n_pixels: int

    def matrix(self) -> sparse.csr_matrix:
        """Return the symmetric matrix L with xᵀL x = Σ c·(x_i − x_j)², in single precision."""
        weight = self.conductance
        exact = laplacian(self.first, self.second, weight, n_pixels=self.n_pixels)
        return exact.astype(np.float32)


def laplacian(first: Ints, second: Ints, weight: Floats, *, n_pixels: int) -> sparse.csr_matrix:
    """Return the symmetric matrix L with xᵀL x = Σ weight·(x_i − x_j)² over pairs, each once."""
    both = np.concatenate([weight] * 2)
    rows = np.concatenate([first, second])
    columns = np.concatenate([second, first])
    joined = sparse.coo_matrix((both, (rows, columns)), shape=(n_pixels, n_pixels)).tocsr()
    total = sparse.diags(np.asarray(joined.sum(axis=1)).ravel())
    difference: sparse.csr_matrix = (total - joined).tocsr()
    return difference


def neighbours(grid: PixelGrid) -> Neighbours:
    """Return all pairs of pixels of a grid that share a side."""
    index = grid.index(margin=grid.margin + 1)
    low, high = [], []
    for here, there in ((index[:, 1:], index[:, :-1]), (index[1:], index[:-1])):
        meet = (here != there) & (here >= 0) & (there >= 0)
        low.append(np.minimum(here[meet], there[meet]))
        high.append(np.maximum(here[meet], there[meet]))
    n_pixels = grid.x_um.size
    pairs, n_cells = np.unique(
        np.concatenate(low) * n_pixels + np.concatenate(high), return_counts=True
    )
    first, second = pairs // n_pixels, pairs % n_pixels
    distance_um = 0.5 * (grid.edge_um[first] + grid.edge_um[second])
    return Neighbours(first, second, n_cells * grid.sizes_um[0] / distance_um, n_pixels)
