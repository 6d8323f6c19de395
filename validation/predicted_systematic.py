"""Errors of lattice parameters that repeat: blur, parallax, truncation, and the RMS of streaks.

For every class a_k of :mod:`validation.predicted_levers` the fields

    m = φ u(a(x); a_k),    w = φ v(a(x); a_k)

(further phases added with their own levers) are blurred by the transfer function; what a voxel is
found at, to first order, is

    g(â) = ( m̃ + parallax + m_outside ) / ( w̃ + w_outside ),     g = u/v

with what lies outside the view as :mod:`validation.predicted_outside` has it; g(a) is what material
of a alone gives, a − a_k but for the curvature of the levers. The denominator is the amount that
the reconstruction shows. A voxel between two classes has the mean of what both say. Streaks are the
square root of the variance that m's spectrum gives, over the same amount.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.parallax import mean_scaling
from validation.bounds_optics import Optics
from validation.predicted_images import Waves, waves
from validation.predicted_levers import Levers
from validation.predicted_outside import Outside, outside_of
from validation.predicted_slice import Slice
from validation.predicted_streaks import spectrum_of, streak_variance
from validation.predicted_transfer import Transfer, transfer_of
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HALF_TURN_DEG = 180.0


@dataclass(frozen=True, eq=False)
class Systematic:
    """Of voxels, each of shape (voxel,); in Å unless said."""

    blur_A: Floats
    parallax_A: Floats
    truncation_A: Floats
    streaks_A: Floats
    """Standard deviation."""
    amount: Floats
    """Volume fraction that the reconstruction shows."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """Which voxels, and what they have in common."""

    view: Slice
    scan: Scan
    row: Ints
    column: Ints
    waves: Waves
    transfer: Transfer
    radius_um: Floats
    """Distance of each voxel from the axis."""
    outside: Outside | None
    """What lies outside the view; None where that does not matter."""
    sample_radius_um: float
    area_um2: float
    """Of the sample in the image."""

    def at(self, image: Floats) -> Floats:
        return self.view.at_voxels(image)[self.row, self.column]


def systematic_errors(
    optics: Optics, view: Slice, levers: Levers, *, scan: Scan, row: Ints, column: Ints
) -> Systematic:
    """Return the systematic errors of the voxels at ``row`` and ``column`` of the map."""
    asked = _asked(optics, view, scan=scan, row=row, column=column)
    a_A = view.view_a_A[row, column]
    lower, share = levers.between(a_A)
    total = np.zeros((5, row.size))
    for k in range(levers.class_a_A.size):
        weight = share * (lower == k) + (1.0 - share) * (lower == k - 1)
        if not np.any(weight):
            continue
        total += weight * np.stack(_of_class(optics, asked, levers, k, a_A))
    return Systematic(*total)


def _asked(optics: Optics, view: Slice, *, scan: Scan, row: Ints, column: Ints) -> _Asked:
    recipe, size = optics.recipe, view.amount.shape[0]
    transfer = transfer_of(
        optics.virtual.truth, effects=optics.virtual.effects, step_um=scan.step_um,
        filter_name=recipe.reconstruction.filter,
    )  # fmt: skip
    place_um = (np.arange(size) - 0.5 * (size - 1)) * view.pixel_um
    sample_radius_um = 0.5 * optics.lab.sample.diameter_um
    inside = np.hypot(place_um[:, None], place_um[None, :]) <= sample_radius_um
    radius_um = np.hypot(scan.offsets_um[row], scan.offsets_um[column])
    return _Asked(
        view=view,
        scan=scan,
        row=row,
        column=column,
        waves=waves(n=size, pixel_um=view.pixel_um, transfer=transfer),
        transfer=transfer,
        radius_um=radius_um,
        outside=outside_of(
            optics.lab.sample,
            scan=scan,
            beam=optics.experiment.beam,
            effects=optics.virtual.effects,
            recipe=recipe,
        ),
        sample_radius_um=sample_radius_um,
        area_um2=float(inside.sum()) * view.pixel_um**2,
    )


def _of_class(
    optics: Optics, asked: _Asked, levers: Levers, k: int, a_A: Floats
) -> tuple[Floats, ...]:
    """Return blur, parallax, truncation, streaks and amount as the class ``k`` has them."""
    view = asked.view
    shift, shown = _fields(levers, k, view)
    moved, amount = asked.at(asked.waves.blurred(shift)), asked.at(asked.waves.blurred(shown))
    more, shown_more = _added(asked, levers, k)
    curve = levers.shift_A[k] / levers.amount[k]
    own, rate = levers.of(curve, a_A), levers.of(np.gradient(curve, levers.a_A), a_A)
    found = amount + shown_more
    parallax = _parallax(optics, asked, levers, k) / (found * rate)
    full = ((moved + more) / found - own) / rate
    blur = (moved / amount - own) / rate
    share = found / levers.of(levers.amount[k], a_A)
    spectrum = spectrum_of(asked.waves.power(shift), waves=asked.waves, area_um2=asked.area_um2)
    variance = streak_variance(
        spectrum, transfer=asked.transfer, scan=asked.scan,
        sample_radius_um=asked.sample_radius_um, radius_um=asked.radius_um,
    )  # fmt: skip
    return blur, parallax, full - blur, np.sqrt(variance) / (found * rate), share


def _fields(levers: Levers, k: int, image: Slice | Outside) -> tuple[Floats, Floats]:
    """Return m and w of the class ``k``, (y, x)."""
    shift = image.amount * levers.of(levers.shift_A[k], image.a_A)
    shown = image.amount * levers.of(levers.amount[k], image.a_A)
    shift += np.tensordot(levers.extra_shift_A[k], image.extra, axes=1)
    shown += np.tensordot(levers.extra_amount[k], image.extra, axes=1)
    return shift, shown


def _added(asked: _Asked, levers: Levers, k: int) -> tuple[Floats, Floats]:
    """Return what m and w gain by what lies outside the view, (voxel,) both."""
    nothing = np.zeros(asked.row.size)
    if asked.outside is None:
        return nothing, nothing
    offsets_um = asked.scan.offsets_um
    x_um, y_um = offsets_um[asked.column], offsets_um[asked.row]
    shift, shown = (
        asked.outside.added(field, x_um=x_um, y_um=y_um)
        for field in _fields(levers, k, asked.outside)
    )
    return shift, shown


def _parallax(optics: Optics, asked: _Asked, levers: Levers, k: int) -> Floats:
    """Return what parallax adds to the field of a class, in Å, (voxel,)."""
    if not optics.virtual.effects.parallax or asked.scan.angle_range_deg > _HALF_TURN_DEG:
        return np.zeros(asked.row.size)
    angles = optics.virtual.angles
    per_um = mean_scaling(angles.two_theta_rad) * 1e-6 / angles.distance_m
    slope = np.gradient(levers.shift_A[k], levers.a_A)
    view = asked.view
    field = view.amount * levers.of(slope, view.a_A) * view.a_A * per_um
    return asked.at(asked.waves.displaced(field))
