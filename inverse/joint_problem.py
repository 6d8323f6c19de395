"""The rays of several scans and their normal equations, in the metric of the grid.

Unknown is u = x·edge, value times edge of its pixel, so that Σ u² = ∫ x² dx dy whatever the sizes:

    N·u = E⁻¹·(Σ_scans Aᵀ W A + λ·L)·E⁻¹·u

with A a scan's projector, W the weights of its rays, L the roughness (:mod:`inverse.neighbours`)
and E the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sparse
from numpy.typing import ArrayLike, NDArray

from inverse.strips import StripProjector
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RayData:
    """One scan's part in a joint estimate."""

    projector: StripProjector
    values: Singles
    """Line integrals, (angle, offset, channel); not read where the weight is zero."""
    weight: Singles
    """1/variance of each ray, the same for all channels, (angle, offset); zero leaves it out."""

    def __post_init__(self) -> None:
        shape = self.projector.shape
        if self.values.ndim != 3 or self.values.shape[:2] != shape or self.weight.shape != shape:
            raise InputError(
                f"values must be (angle, offset, channel) and weight (angle, offset) on the rays "
                f"{shape}, not {self.values.shape} and {self.weight.shape}."
            )
        if not (np.all(np.isfinite(self.weight)) and np.all(self.weight >= 0.0)):
            raise InputError("weight must be finite and not negative in every ray.")
        if not np.all(np.isfinite(self.values[self.weight > 0.0])):
            raise InputError("values must be numbers in every ray of positive weight.")


@dataclass(frozen=True, eq=False)
class JointProblem:
    """What the steps of one joint estimate share."""

    scans: tuple[RayData, ...]
    laplacian: sparse.csr_matrix
    """λ·L, (pixel, pixel)."""
    workers: int | None

    @property
    def edge_um(self) -> Singles:
        """Edge of each pixel, (pixel, 1)."""
        return self.scans[0].projector.grid.edge_um.astype(np.float32)[:, None]

    def rays(self, image: Singles) -> list[Singles]:
        """Return what every scan would see of an image x, (angle, offset, channel) each."""
        return [scan.projector.forward(image, workers=self.workers) for scan in self.scans]

    def gradient(self, lines: Sequence[Singles], image: Singles) -> Singles:
        """Return E⁻¹·(Σ Aᵀ W·lines − λ·L·image), (pixel, channel), of residuals at an image."""
        rough: Singles = np.asarray(self.laplacian @ image, dtype=np.float32)
        return self._returned(lines) - rough / self.edge_um

    def curvature(self, lines: Sequence[Singles], change: Singles) -> Singles:
        """Return N·u, (pixel, channel), for a change x = u/edge and its rays."""
        rough: Singles = np.asarray(self.laplacian @ change, dtype=np.float32)
        return self._returned(lines) + rough / self.edge_um

    def _returned(self, lines: Sequence[Singles]) -> Singles:
        """Return E⁻¹·Σ Aᵀ W·lines, (pixel, channel)."""
        total = np.zeros((self.edge_um.size, lines[0].shape[2]), np.float32)
        for scan, values in zip(self.scans, lines, strict=True):
            weighted = scan.weight[..., None] * values
            total += scan.projector.adjoint(weighted, workers=self.workers)
        return np.asarray(total / self.edge_um)


def split_rays(
    scans: Sequence[RayData], share: float, seed: int
) -> tuple[tuple[RayData, ...], list[Singles]]:
    """Return the scans with a random share of their rays left out, and the weights of those.

    Whole projections are not held out: a ray's neighbours stay in the fit. What a ray without
    weight holds, such as NaN, becomes zero.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    held = [rng.random(scan.weight.shape) < share for scan in scans]
    kept = tuple(
        RayData(
            scan.projector,
            np.where(scan.weight[..., None] > 0.0, scan.values, 0.0).astype(np.float32),
            np.where(out, 0.0, scan.weight).astype(np.float32),
        )
        for scan, out in zip(scans, held, strict=True)
    )
    left_out = [
        np.where(out, scan.weight, 0.0).astype(np.float32)
        for scan, out in zip(scans, held, strict=True)
    ]
    return kept, left_out


def ray_part(scan: RayData, angles: slice | NDArray[np.bool_]) -> RayData:
    """Return some projections of a scan."""
    projector = replace(
        scan.projector,
        rays=tuple(np.ascontiguousarray(rays[angles]) for rays in scan.projector.rays),
        tables=tuple(np.ascontiguousarray(table[angles]) for table in scan.projector.tables),
    )
    return RayData(projector, scan.values[angles], scan.weight[angles])


def ray_density(scans: Sequence[RayData], *, workers: int | None = None) -> Floats:
    """Return Σ_rays w·path/edge² of every pixel, in weight per µm, (pixel,)."""
    edge_um = scans[0].projector.grid.edge_um
    total = np.zeros(edge_um.size)
    for scan in scans:
        total += scan.projector.adjoint(scan.weight[..., None], workers=workers)[:, 0]
    return np.asarray(total / edge_um**2)


def upright_scans(
    scans: Sequence[RayData],
    image: Singles,
    parallax_per_um: ArrayLike,
    *,
    workers: int | None = None,
) -> tuple[RayData, ...]:
    """Return the scans whose values lack what parallax P adds to the rays of ``image``.

    Raises InputError where P is not (channel, channel).
    """
    turn, n_channels = np.asarray(parallax_per_um, dtype=np.float32), image.shape[1]
    if turn.shape != (n_channels, n_channels):
        raise InputError(
            f"parallax_per_um must be (channel, channel), {(n_channels, n_channels)}, "
            f"not of shape {turn.shape}."
        )
    turned = image @ turn
    upright = []
    for scan in scans:
        added = scan.projector.moment().forward(turned, workers=workers)
        upright.append(replace(scan, values=scan.values - added))
    return tuple(upright)
