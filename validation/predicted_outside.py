"""What material outside the field of view adds inside it, particle by particle.

A projection p that the scan cuts off is filtered as if it went on as the padding says. The error of
the filtered projection inside the view is linear in what lies outside,

    D p,     D = F_cut − F_whole   (rows of the view),

F_whole being the filter on offsets that reach over the whole sample. Back projected, D p is smooth
but near the rim of the view, where the kernel −1/(π² k²) is steep. p is that of a coarse image of
the whole slice, at some of the angles: the rays in view, and with them the streaks, drop out.

Source: Natterer, *The Mathematics of Computerized Tomography*, ch. VI, on the interior problem;
derived here for the discrete filter. Where this fails: where the recipe completes projections or
subtracts what a coarse scan shows, it is taken for mended; what such a correction leaves of single
particles outside is in the streaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.settings import Effects
from inverse.filters import filter_matrix
from inverse.recipe import Recipe
from phantoms.sample import Sample
from validation.predicted_slice import raster
from xrdct.instrument import Beam
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_MOST_PIXELS = 400
"""Along an edge of the image of the whole slice."""
_ANGLES = 90


@dataclass(frozen=True, eq=False)
class Outside:
    """The whole slice, coarsely, and how it is cut off; images are (y, x)."""

    amount: Floats
    """Volume fraction of the spinel."""
    a_A: Floats
    """Its mean lattice parameter; 0 where there is none."""
    extra: Floats
    """Volume fractions of further phases, (phase, y, x)."""
    pixel_um: float
    step_um: float
    difference: Floats
    """D, shape (offset of the view, offset of all), in 1/µm."""

    def added(self, field: Floats, *, x_um: Floats, y_um: Floats) -> Floats:
        """Return what a field of the whole slice, (y, x), adds at places in view, (voxel,)."""
        n, (n_view, n_all) = field.shape[0], self.difference.shape
        iy, ix = np.nonzero(field)
        content = field[iy, ix] * self.pixel_um**2 / self.step_um
        x, y = ((i - 0.5 * (n - 1)) * self.pixel_um for i in (ix, iy))
        total = np.zeros(x_um.size)
        angles = np.pi * np.arange(_ANGLES) / _ANGLES
        for cosine, sine in zip(np.cos(angles), np.sin(angles), strict=True):
            row = (x * cosine + y * sine) / self.step_um + 0.5 * (n_all - 1)
            before = np.floor(row).astype(np.int64)
            part = content * (row - before)
            projected = np.bincount(before, content - part, n_all)
            projected += np.bincount(before + 1, part, n_all)
            place = (x_um * cosine + y_um * sine) / self.step_um + 0.5 * (n_view - 1)
            total += np.interp(place, np.arange(n_view), self.difference @ projected)
        return np.asarray(total * np.pi / _ANGLES)


def outside_of(
    sample: Sample, *, scan: Scan, beam: Beam, effects: Effects, recipe: Recipe
) -> Outside | None:
    """Return what lies outside; None for a sample in view, or where the recipe mends it."""
    if 0.5 * sample.diameter_um <= scan.offsets_um[-1] or recipe.truncation.method != "none":
        return None
    pixel_um = max(scan.step_um, sample.diameter_um / _MOST_PIXELS)
    size = int(np.ceil(sample.diameter_um / pixel_um)) + 2
    volume, moment, extra, _ = raster(
        sample, size=size, pixel_um=pixel_um,
        height_um=beam.height_um if effects.beam_size else 0.0, workers=None,
    )  # fmt: skip
    total = volume.sum(axis=2)
    beyond = int(np.ceil(0.5 * np.sqrt(2.0) * size * pixel_um / scan.step_um)) + 2
    beyond = max(0, beyond - scan.n_offsets // 2)
    name = recipe.reconstruction.filter
    cut = filter_matrix(
        scan.n_offsets, step_um=scan.step_um, filter_name=name, padding=recipe.padding
    )
    whole = filter_matrix(
        scan.n_offsets + 2 * beyond, step_um=scan.step_um, filter_name=name, padding="zero"
    )
    difference = -whole[beyond : beyond + scan.n_offsets]
    difference[:, beyond : beyond + scan.n_offsets] += cut
    return Outside(
        amount=total,
        a_A=np.divide(moment.sum(axis=2), total, out=np.zeros_like(total), where=total > 0.0),
        extra=np.moveaxis(extra, 2, 0),
        pixel_um=pixel_um,
        step_um=scan.step_um,
        difference=difference,
    )
