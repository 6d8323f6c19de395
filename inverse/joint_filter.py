"""A fast approximate inverse of the normal equations of rays and roughness on a grid.

Rays that cross a point from all sides, ρ of them per µm of offset and summed over the angles
(weights included), and a roughness λ act on a wave of wave number k like

    H(k) = 2ρ/k · exp(−(kσ)²) + λ·k²

with σ the standard deviation of the beam's profile (Natterer, *The Mathematics of Computerized
Tomography*, ch. V: the transform followed by its adjoint is a filter 1/k). Dividing by H, a wave at
a time, is what filtered back projection does; here it only makes conjugate gradients converge in
few steps (a preconditioner), whatever the grid.

For every size of pixels, values of these and of all smaller ones are carried to the lattice of that
size, filtered there by Fourier transform, and carried back; the results are added (additive
Schwarz). Where rays are sparser, values are scaled to suit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.sparse as sparse
from numpy.typing import NDArray

from inverse.grids import PixelGrid
from xrdct.compiled import worker_count
from xrdct.normal import FWHM_PER_SIGMA

_LEAST_DENSITY = 0.02
"""Of rays, relative to the usual one: what is hardly seen must not be scaled without limit."""

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class JointFilter:
    """Divides by H in the metric of the grid: values times the edge of their pixel."""

    scale: Singles
    """1/√(density of rays), (pixel, 1)."""
    lattices: tuple[tuple[sparse.csr_matrix, sparse.csr_matrix, Singles], ...]
    """For each lattice the matrix that carries values to its cells, its transpose, and 1/H on the
    frequencies of the half plane, (ky, kx, 1)."""

    def apply(self, values: Singles, *, workers: int | None = None) -> Singles:
        """Return the filtered values, (pixel, channel); symmetric and positive definite."""
        scaled, total = values * self.scale, np.zeros_like(values)
        threads = worker_count(workers)
        for spread, collect, inverse in self.lattices:
            side = inverse.shape[0]
            cells = np.asarray(spread @ scaled).reshape(side, side, -1)
            waves = scipy.fft.rfft2(cells, axes=(0, 1), workers=threads) * inverse
            cells = scipy.fft.irfft2(waves, s=(side, side), axes=(0, 1), workers=threads)
            total += collect @ cells.reshape(side * side, -1)
        return np.asarray(total * self.scale, dtype=np.float32)


def joint_filter(
    grid: PixelGrid,
    *,
    density: Floats,
    usual_density: float,
    roughness: float,
    beam_fwhm_um: float,
) -> JointFilter:
    """Return the filter for weighted rays of this density, (pixel,) in 1/µm, and roughness λ.

    ``usual_density`` is that of the finest pixels, for which the filter is made.
    """
    sigma_um = beam_fwhm_um / FWHM_PER_SIGMA
    lattices = []
    index = grid.index(margin=grid.margin)
    for level in range(grid.sizes_um.size):
        spread, side = _lattice(grid, index, level=level)
        step_um = float(grid.sizes_um[level])
        wave = (
            2.0
            * np.pi
            * np.hypot(scipy.fft.fftfreq(side, step_um)[:, None], scipy.fft.rfftfreq(side, step_um))
        )
        longest = 2.0 * np.pi / (side * step_um)
        rays = (
            2.0
            * usual_density
            / np.maximum(wave, 0.5 * longest)
            * np.exp(-((wave * sigma_um) ** 2))
        )
        inverse = (1.0 / (rays + roughness * wave**2)).astype(np.float32)[..., None]
        lattices.append((spread, spread.T.tocsr(), inverse))
    scale = 1.0 / np.sqrt(np.clip(density / usual_density, _LEAST_DENSITY, 1.0))
    return JointFilter(scale.astype(np.float32)[:, None], tuple(lattices))


def _lattice(
    grid: PixelGrid, index: NDArray[np.int64], *, level: int
) -> tuple[sparse.csr_matrix, int]:
    """Return the matrix from the pixels up to a size to the lattice of that size, and its side.

    Its elements are overlap/(edge·step), so that equal pixels and cells carry over unchanged.
    """
    step = round(float(grid.sizes_um[level] / grid.sizes_um[0]))
    iy, ix = np.nonzero((index >= 0) & (index < int(grid.first[level + 1])))
    pixel = index[iy, ix]
    # Lattices of all sizes meet where a pixel of the largest size begins.
    low, left = grid.low[-1] + grid.margin, grid.left[-1] + grid.margin
    row, column = (iy - low) // step, (ix - left) // step
    row, column = row - row.min(), column - column.min()
    side = int(scipy.fft.next_fast_len(int(max(row.max(), column.max())) + 1, real=True))
    share = grid.sizes_um[0] ** 2 / (grid.edge_um[pixel] * grid.sizes_um[level])
    shape = (side * side, grid.x_um.size)
    spread = sparse.coo_matrix((share.astype(np.float32), (row * side + column, pixel)), shape)
    return spread.tocsr(), side
