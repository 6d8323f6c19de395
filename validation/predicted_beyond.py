"""What material outside the field of view adds to a voxel, by lattice parameter.

The same as :mod:`validation.predicted_outside`, D p with D = F_cut − F_whole, for the material of
every bin of lattice parameters by itself, so that whatever levers are asked for it is projected and
filtered once. D is taken at the step of the coarse image of the whole slice, or the scan's where
that is wider, between the same outermost offsets: it is smooth but for their nearest neighbours.

A recipe that subtracts what a coarse scan shows outside leaves D p − F_cut c, c the rays of what it
shows there (:mod:`validation.predicted_coarse`). That is taken off up to a sharp circle, so that
F_cut c reaches over the rim of the view by the interpolation between offsets: the outermost voxels
lose material of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from forward.settings import Effects
from inverse.filters import filter_matrix
from phantoms.sample import Sample
from validation.predicted_coarse import shown_beyond
from validation.predicted_scene import Voxels
from validation.predicted_shown import Mixture, between, bins_of
from validation.predicted_slice import raster
from xrdct.compiled import compiled, threaded
from xrdct.instrument import Beam
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

_MOST_PIXELS = 400
_LAYER_UM = 0.5
_ANGLES, _ANGLES_OF_COARSE = 90, 180
_BIN_A = 4e-3
"""A quarter of a narrow line's width: levers are linear over it to a few per cent."""


@dataclass(frozen=True, eq=False)
class Whole:
    """The whole slice as points of material."""

    x_um: Floats
    y_um: Floats
    lower: Ints
    """Bin below the lattice parameter of each point."""
    content: Floats
    """Area of the refined phase in that bin and the next, and of further phases, µm²,
    shape (point, 2 + phase)."""
    a_A: Floats
    """Of the bins."""
    pixel_um: float
    radius_um: float
    """Of the sample."""

    @property
    def n_columns(self) -> int:
        """Bins and further phases."""
        return int(self.a_A.size + self.content.shape[1] - 2)


def whole_of(sample: Sample, *, beam: Beam, effects: Effects, workers: int | None = None) -> Whole:
    """Return the whole slice of a sample, coarsely."""
    pixel_um = max(beam.width_um, sample.diameter_um / _MOST_PIXELS)
    size = int(np.ceil(sample.diameter_um / pixel_um)) + 2
    volume, moment, extra, _ = raster(
        sample, size=size, pixel_um=pixel_um, layer_um=_LAYER_UM,
        height_um=beam.height_um if effects.beam_size else 0.0, workers=workers,
    )  # fmt: skip
    amount = volume.sum(axis=2)
    iy, ix = np.nonzero(amount + extra.sum(axis=2))
    own = amount[iy, ix]
    a_A = np.divide(moment.sum(axis=2)[iy, ix], own, out=np.zeros_like(own), where=own > 0.0)
    bins_A = bins_of(a_A, spacing_A=_BIN_A)
    lower, part = between(a_A, bins_A)
    content = np.column_stack([own * (1.0 - part), own * part, extra[iy, ix]]) * pixel_um**2
    place_um = (np.arange(size, dtype=np.float64) - 0.5 * (size - 1)) * pixel_um
    return Whole(
        place_um[ix], place_um[iy], lower, content, bins_A, pixel_um, 0.5 * sample.diameter_um
    )


def beyond(
    whole: Whole,
    voxels: Voxels,
    *,
    scan: Scan,
    filter_name: str,
    padding: str,
    coarse: Scan | None = None,
) -> Mixture:
    """Return what lies outside the view adds to the mixture that voxels show; may be negative.

    ``coarse`` is a scan that was subtracted. Raises InputError for one that cannot be
    reconstructed.
    """
    extent_um = 2.0 * float(scan.offsets_um[-1])
    n_view = int(extent_um / max(scan.step_um, whole.pixel_um) + 1e-9) + 1
    n_view = max(n_view, 2)
    step_um = extent_um / (n_view - 1)
    table = _filtered(whole, n_view, step_um, filter_name, padding, coarse)
    found = np.zeros((voxels.x_um.size, table.shape[2]))
    for angle, rows in zip(_angles(len(table)), table, strict=True):
        across_um = voxels.x_um * np.cos(angle) + voxels.y_um * np.sin(angle)
        place = np.clip(across_um / step_um + 0.5 * (n_view - 1), 0.0, n_view - 1.0)
        before = np.minimum(np.floor(place).astype(np.int64), n_view - 2)
        part = (place - before)[:, None]
        found += (1.0 - part) * rows[before] + part * rows[before + 1]
    found *= np.pi / len(table)
    n_bins = whole.a_A.size
    return Mixture(whole.a_A, found[:, :n_bins], found[:, n_bins:])


@lru_cache(maxsize=8)
def _filtered(
    whole: Whole,
    n_view: int,
    step_um: float,
    filter_name: str,
    padding: str,
    coarse: Scan | None,
) -> Floats:
    """Return D p of every column, (angle, offset of the view, column)."""
    around = int(np.ceil(whole.radius_um / step_um)) + 2
    beyond_view = max(0, around - n_view // 2)
    n_all = n_view + 2 * beyond_view
    angles = _angles(_ANGLES if coarse is None else _ANGLES_OF_COARSE)
    projected = _projected(whole, angles, n_all=n_all, step_um=step_um)
    cut = filter_matrix(n_view, step_um=step_um, filter_name=filter_name, padding=padding)
    all_of_it = filter_matrix(n_all, step_um=step_um, filter_name=filter_name, padding="zero")
    difference = -all_of_it[beyond_view : beyond_view + n_view]
    difference[:, beyond_view : beyond_view + n_view] += cut
    found = np.asarray(difference @ projected)
    if coarse is not None:
        offsets_um = np.asarray((np.arange(n_view) - 0.5 * (n_view - 1)) * step_um, float)
        found -= cut @ shown_beyond(
            _lines_of(whole, coarse), coarse=coarse, inner_um=float(offsets_um[-1]),
            filter_name=filter_name, angles_rad=angles, offsets_um=offsets_um,
        )  # fmt: skip
    return found


def _lines_of(whole: Whole, scan: Scan) -> Singles:
    """Return the line integrals of a wide scan, (angle, offset, column).

    Points are spread over two offsets about a pixel apart, which with their own width stands for
    the beam, and read at the scan's own, coarser ones.
    """
    per_step = max(1, round(scan.step_um / whole.pixel_um))
    fine_um = scan.step_um / per_step
    n_fine = (scan.n_offsets - 1) * per_step + 1
    spare = max(0, int(np.ceil((whole.radius_um - scan.offsets_um[-1]) / fine_um))) + 2
    lines = _projected(whole, scan.angles_rad, n_all=n_fine + 2 * spare, step_um=fine_um)
    return lines[:, spare : spare + n_fine : per_step].astype(np.float32)


def _projected(whole: Whole, angles: Floats, *, n_all: int, step_um: float) -> Floats:
    """Return line integrals of every column, (angle, offset, column), on offsets about the axis."""
    projected = np.zeros((angles.size, n_all, whole.n_columns))

    def project(first: int, last: int) -> None:
        _project(
            whole.x_um / step_um, whole.y_um / step_um, whole.lower, whole.content / step_um,
            np.cos(angles[first:last]), np.sin(angles[first:last]), whole.a_A.size,
            projected[first:last],
        )  # fmt: skip

    threaded(project, angles.size, workers=None)
    return projected


def _angles(count: int) -> Floats:
    return np.pi * np.arange(count) / count


@compiled
def _project(
    x: Floats,
    y: Floats,
    lower: Ints,
    content: Floats,
    cosines: Floats,
    sines: Floats,
    n_bins: int,
    projected: Floats,
) -> None:
    """Add the content of points to two offsets of every projection, by linear shares."""
    middle = 0.5 * (projected.shape[1] - 1)
    for angle in range(cosines.size):
        table = projected[angle]
        for i in range(x.size):
            row = x[i] * cosines[angle] + y[i] * sines[angle] + middle
            before = int(np.floor(row))
            part = row - before
            for side in range(2):
                share = part if side else 1.0 - part
                into = table[before + side]
                into[lower[i]] += share * content[i, 0]
                into[lower[i] + 1] += share * content[i, 1]
                for phase in range(content.shape[1] - 2):
                    into[n_bins + phase] += share * content[i, 2 + phase]
