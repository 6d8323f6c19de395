"""What a voxel shows: the mixture of material, by lattice parameter, that the scan gathers there.

A perfect scan shows the sample convolved with its point spread p, the transform of the transfer
function T (:mod:`validation.predicted_transfer`),

    p(r) = 2π ∫₀^∞ T(ν)/T_pixel(ν) J₀(2πνr) ν dν,      T_pixel(ν) = exp(−(πν·pixel)²/6)

with the image's own pixel divided out to second order. Of the image about a voxel, p keeps the
amounts φ of every lattice parameter, sorted into bins between which material is shared linearly. A
mixture does not depend on any lever: whatever is linear in material follows from it as a product.

The profile of an edge has the derivative l(t) = 2∫₀^∞ T(ν) cos(2πνt) dν; its full width at half
maximum is the *resolution*.

Source: Bracewell, *The Fourier Transform and Its Applications*, ch. 13. Where this fails: beam
tails beyond 12 µm are taken to be nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0

from validation.predicted_scene import MARGIN_UM, Scene, Voxels
from validation.predicted_transfer import Transfer
from xrdct.compiled import compiled

Floats = NDArray[np.float64]

_FREQUENCIES = 1500
_RADII = 400
_CORE_UM = 2.5
"""How far beyond the beam's and the step's widths a scan without tails is followed."""
_NOTHING = 1e-4


@dataclass(frozen=True, eq=False)
class Mixture:
    """Material that voxels show."""

    a_A: Floats
    """Lattice parameters of the bins, shape (bin,)."""
    amount: Floats
    """Volume fraction of the refined phase in every bin, (voxel, bin)."""
    extra: Floats
    """Volume fractions of further phases, (voxel, phase)."""

    def sum(self, of_bins: Floats, of_extra: Floats) -> Floats:
        """Return Σ φ f over the material, (voxel,), of f at the bins and for further phases."""
        return np.asarray(self.amount @ of_bins + self.extra @ of_extra)


@dataclass(frozen=True, eq=False)
class Spread:
    """The point spread about every voxel, over the pixels of a square about it."""

    row: NDArray[np.int64]
    """Rows of the image, (voxel, row)."""
    column: NDArray[np.int64]
    weight: Floats
    """Sum to one, (voxel, row, column)."""

    def of(self, image: Floats) -> Floats:
        """Return what the voxels show of an image, (voxel,)."""
        return np.asarray(np.einsum("vyx,vyx->v", self.weight, image[self._where]))

    def mixture(self, scene: Scene, a_A: Floats) -> Mixture:
        """Return the mixture that the voxels show, in bins evenly spaced at ``a_A``."""
        table = np.zeros((self.row.shape[0], a_A.size))
        _mix(
            self.row, self.column, self.weight, scene.amount, scene.a_A, float(a_A[0]),
            float(a_A[1] - a_A[0]), table,
        )  # fmt: skip
        extra = (
            np.stack([self.of(phase) for phase in scene.extra], axis=1)
            if len(scene.extra)
            else np.zeros((table.shape[0], 0))
        )
        return Mixture(a_A, table, extra)

    @property
    def _where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.row[:, :, None], self.column[:, None, :]


def spread_of(scene: Scene, voxels: Voxels, *, transfer: Transfer) -> Spread:
    """Return the point spread of a scan about voxels."""
    reach_um = _reach_um(transfer)
    reach = int(np.ceil(reach_um / scene.pixel_um))
    near = np.arange(-reach, reach + 1)
    radii_um = np.linspace(0.0, 1.5 * (reach + 1) * scene.pixel_um, _RADII)
    height = point_spread(radii_um, transfer=transfer, pixel_um=scene.pixel_um)

    def pixels(place_um: Floats) -> tuple[NDArray[np.int64], Floats]:
        middle = scene.at(place_um)
        pixel = np.round(middle).astype(np.int64)[:, None] + near
        return np.clip(pixel, 0, scene.size - 1), (pixel - middle[:, None]) * scene.pixel_um

    (row, down), (column, across) = pixels(voxels.y_um), pixels(voxels.x_um)
    distance = np.sqrt(down[:, :, None] ** 2 + across[:, None, :] ** 2)
    weight = np.interp(distance, radii_um, height)
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    return Spread(row, column, weight)


def point_spread(radius_um: Floats, *, transfer: Transfer, pixel_um: float = 0.0) -> Floats:
    """Return p at radii of shape (r,), in 1/µm²."""
    per_um, shown = _transfer_table(transfer, pixel_um)
    width = per_um[1] - per_um[0]
    waves = j0(2.0 * np.pi * radius_um[:, None] * per_um)
    return np.asarray(2.0 * np.pi * width * waves @ (shown * per_um))


def resolution_um(transfer: Transfer) -> float:
    """Return the full width at half maximum of an edge's derivative."""
    per_um, shown = _transfer_table(transfer, 0.0)
    place_um = np.linspace(0.0, 4.0 * (transfer.step_um + _beam_um(transfer)), _RADII)
    line = np.cos(2.0 * np.pi * place_um[:, None] * per_um) @ shown - 0.5 * shown[0]
    below = int(np.argmax(line < 0.5 * line[0]))
    high, low = line[below - 1] / line[0], line[below] / line[0]
    part = (high - 0.5) / (high - low)
    return float(2.0 * (place_um[below - 1] + part * (place_um[1] - place_um[0])))


def between(a_A: Floats, bins_A: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the bin below each lattice parameter, and the next one's share of it."""
    place = np.clip((a_A - bins_A[0]) / (bins_A[1] - bins_A[0]), 0.0, bins_A.size - 1.0)
    lower = np.minimum(np.floor(place).astype(np.int64), bins_A.size - 2)
    return lower, place - lower


def bins_of(a_A: Sequence[float] | Floats, *, spacing_A: float) -> Floats:
    """Return evenly spaced bins that reach over all lattice parameters above zero."""
    known = np.asarray(a_A, float)
    known = known[known > 0.0]
    low, high = (float(known.min()), float(known.max())) if known.size else (8.0, 8.0)
    count = int(np.ceil((high - low) / spacing_A)) + 2
    middle, half = 0.5 * (low + high), 0.5 * spacing_A * (count - 1)
    return np.linspace(middle - half, middle + half, count)


def _transfer_table(transfer: Transfer, pixel_um: float) -> tuple[Floats, Floats]:
    """Return frequencies and T over the pixel's own, as far as it is not nothing."""
    widest = 2.0 / max(pixel_um, 0.3 * max(_beam_um(transfer), 0.5 * transfer.step_um))
    per_um = np.linspace(0.0, widest, _FREQUENCIES)
    shown = transfer.coherent(per_um)
    last = int(np.flatnonzero(np.abs(shown) > _NOTHING)[-1]) + 1
    per_um = np.linspace(0.0, per_um[min(last, _FREQUENCIES - 1)], _FREQUENCIES)
    own = np.exp(-((np.pi * np.minimum(per_um, 1.0 / max(pixel_um, 1e-9)) * pixel_um) ** 2) / 6.0)
    return per_um, transfer.coherent(per_um) / own


def _reach_um(transfer: Transfer) -> float:
    core = _CORE_UM + 1.5 * (transfer.step_um + min((w for _, w in transfer.beam), default=0.0))
    return MARGIN_UM if len(transfer.beam) > 1 else min(core, MARGIN_UM)


def _beam_um(transfer: Transfer) -> float:
    """Return the width of the beam's core."""
    return min((width for _, width in transfer.beam), default=0.0)


@compiled
def _mix(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    weight: Floats,
    amount: Floats,
    a_A: Floats,
    first_A: float,
    bin_A: float,
    table: Floats,
) -> None:
    """Add the weighted amounts of pixels to voxels' bins, shared between two, as `between` does."""
    last = table.shape[1] - 1
    for voxel in range(row.shape[0]):
        for i in range(row.shape[1]):
            for j in range(column.shape[1]):
                iy, ix = row[voxel, i], column[voxel, j]
                solid = amount[iy, ix] * weight[voxel, i, j]
                if solid == 0.0:
                    continue
                place = min(max((a_A[iy, ix] - first_A) / bin_A, 0.0), float(last))
                lower = min(int(place), last - 1)
                part = place - lower
                table[voxel, lower] += solid * (1.0 - part)
                table[voxel, lower + 1] += solid * part
