"""What the rays of one projection would show on average.

    photons per node = N0 · T · ( state sinogram @ pattern library + cell + air )

with N0 the photons of the exposure and T the sample's transmission straight on; what scattered
photons lose more or less than the beam on their other way out is a factor still to be applied,
over rings (:func:`exit_corrected`) or over frames. Lines that are made of spots
are left out here: how many crystallites reflect is drawn later (:mod:`forward.grains`), from the
path through every state that stands beside the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.conditions import Conditions
from forward.sinogram import Rays, project_angle
from forward.virtual import Knot, Virtual
from xrdct.scan import Scan

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expectation:
    """What one projection would give on average."""

    counts: NDArray[np.float32]
    """Photons of each node, shape (offset, node); without lines that are made of spots."""
    transmitted: Floats
    """Photons behind the sample, shape (offset,)."""
    path_um: NDArray[np.float32]
    """µm of solid of each state, shape (offset, state)."""
    moment_um2: NDArray[np.float32]
    """The same times its displacement along the beam."""


def expected_projection(
    virtual: Virtual,
    *,
    scan: Scan,
    angle_rad: float,
    offsets_um: Floats | None = None,
    photons: Floats | None = None,
    time_s: float = 0.0,
) -> Expectation:
    """Return the expected photons of one projection of a scan.

    ``offsets_um`` and ``photons`` (incident ones of each exposure), shape (offset,), are those that
    the scan asks for unless given.
    """
    offsets_um = scan.offsets_um if offsets_um is None else offsets_um
    if photons is None:
        photons = np.full(scan.n_offsets, virtual.beam.flux_per_s * scan.exposure_s)
    library, around = virtual.library, virtual.surroundings
    rays = _rays(virtual, offsets_um=offsets_um, angle_rad=angle_rad, time_s=time_s)
    counts = rays.path_um @ library.pattern_per_um
    if virtual.effects.parallax:
        counts += rays.moment_um2 @ library.derivative_per_um2
    np.maximum(counts, 0.0, out=counts)
    path_um, moment_um2 = rays.path_um, rays.moment_um2
    depth = path_um @ library.attenuation_per_um
    of_cell = around.patterns(offsets_um, angle_rad, path_um.sum(axis=1, dtype=float))
    if of_cell is not None:
        share = of_cell.electrode_share[:, None].astype(np.float32)
        counts, path_um, moment_um2 = counts * share, path_um * share, moment_um2 * share
        counts += of_cell.pattern * around.gain
        depth = depth * of_cell.electrode_share + of_cell.optical_depth
    transmitted = photons * np.exp(-depth) if virtual.effects.attenuation else photons.copy()
    counts += virtual.air.astype(np.float32)
    counts *= transmitted[:, None].astype(np.float32)
    return Expectation(counts, transmitted, path_um, moment_um2)


def expected_line(
    virtual: Virtual, *, scan: Scan, conditions: Conditions, line: int
) -> Expectation:
    """Return the expected photons of a scan's projection under its conditions."""
    return expected_projection(
        virtual, scan=scan, angle_rad=float(conditions.positions.true_rotation_rad[line]),
        offsets_um=conditions.positions.true_offset_um[line], photons=conditions.photons[line],
        time_s=float(conditions.times_s[line].mean()) + 0.5 * scan.exposure_s,
    )  # fmt: skip


def exit_corrected(
    virtual: Virtual, counts: NDArray[np.float32], *, offsets_um: Floats, angle_rad: float
) -> None:
    """Multiply patterns (offset, node) by the exit factor averaged over each ring, in place."""
    counts *= virtual.surroundings.ring_factor(offsets_um, angle_rad)


def _rays(virtual: Virtual, *, offsets_um: Floats, angle_rad: float, time_s: float) -> Rays:
    """Return the state sinogram, between two knots a mixture of both."""
    knots = virtual.knots
    times_s = np.array([knot.time_s for knot in knots])
    later = int(np.clip(np.searchsorted(times_s, time_s), 1, max(1, len(knots) - 1)))
    if len(knots) == 1 or time_s <= times_s[0]:
        return _of_knot(virtual, knots[0], offsets_um, angle_rad)
    share = min((time_s - times_s[later - 1]) / (times_s[later] - times_s[later - 1]), 1.0)
    before, after = (_of_knot(virtual, knots[k], offsets_um, angle_rad) for k in (later - 1, later))
    mixed = (
        np.float32(1.0 - share) * getattr(before, name) + np.float32(share) * getattr(after, name)
        for name in ("path_um", "moment_um2")
    )
    return Rays(*mixed)


def _of_knot(virtual: Virtual, knot: Knot, offsets_um: Floats, angle_rad: float) -> Rays:
    return project_angle(
        knot.profiles, centres_um=knot.centres_um, angle_rad=angle_rad, offsets_um=offsets_um,
        n_states=virtual.grid.n_states, states_per_um=virtual.states_per_um, bodies=knot.bodies,
    )  # fmt: skip
