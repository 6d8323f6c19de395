"""The state sinogram: how many µm of each material state every ray crosses.

Each particle's chord profile (:mod:`forward.chords`) is looked up at the ray's distance from the
particle's centre by four-point cubic interpolation, whose error is of fourth order in a grid of a
tenth of the beam's width. Particles that are no spheres are projected anew at every angle
(:mod:`forward.bodies`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.bodies import Bodies
from forward.chords import ChordProfiles, Floats, Ints
from xrdct.compiled import compiled

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rays:
    """State sinogram of one projection."""

    path_um: NDArray[np.float32]
    """µm of solid, shape (offset, state)."""
    moment_um2: NDArray[np.float32]
    """Σ s·path with s the material's position along the beam, shape (offset, state)."""


def project_angle(
    profiles: ChordProfiles,
    *,
    centres_um: NDArray[np.float64],
    angle_rad: float,
    offsets_um: NDArray[np.float64],
    n_states: int,
    states_per_um: float,
    bodies: Bodies | None = None,
) -> Rays:
    """Return the state sinogram at one rotation.

    ``states_per_um`` is how far parallax moves material along the state axis per µm towards the
    detector (zero: no parallax). ``offsets_um``, shape (offset,), are nearly uniform: rays may lie
    a few steps off the straight line through their number. ``bodies`` are the particles that
    ``profiles`` leave out.
    """
    path = np.zeros((offsets_um.size, n_states), np.float32)
    moment = np.zeros_like(path)
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    across_um = centres_um[:, 0] * cos + centres_um[:, 1] * sin
    along_um = centres_um[:, 1] * cos - centres_um[:, 0] * sin
    step_um = float(offsets_um[-1] - offsets_um[0]) / (offsets_um.size - 1)
    number = np.arange(offsets_um.size, dtype=np.float64)
    slack_um = float(np.abs(offsets_um - offsets_um[0] - number * step_um).max())
    _accumulate(
        profiles.step_um, profiles.values, profiles.start, profiles.n_distances,
        profiles.n_columns, profiles.segment_start, profiles.segment_state,
        profiles.segment_width, across_um, along_um, offsets_um, step_um, slack_um,
        states_per_um, path, moment,
    )  # fmt: skip
    if bodies is not None:
        bodies.add_to(
            path, moment, centres_um=centres_um, angle_rad=angle_rad, offsets_um=offsets_um,
            states_per_um=states_per_um,
        )  # fmt: skip
    return Rays(path, moment)


@compiled
def _spread(amounts: Singles, part: float, states: Singles) -> None:
    """Add amounts to states shifted by ``part`` of a state: linear mixing once more."""
    stay, move = np.float32(1.0 - part), np.float32(part)
    n = amounts.size
    states[0] += stay * amounts[0]
    for j in range(1, n):
        states[j] += stay * amounts[j] + move * amounts[j - 1]
    states[n] += move * amounts[n - 1]


@compiled
def _accumulate(
    profile_step_um: float,
    values: NDArray[np.float32],
    start: Ints,
    n_distances: Ints,
    n_columns: Ints,
    segment_start: Ints,
    segment_state: Ints,
    segment_width: Ints,
    across_um: Floats,
    along_um: Floats,
    offsets_um: Floats,
    step_um: float,
    slack_um: float,
    states_per_um: float,
    path: Singles,
    moment: Singles,
) -> None:
    """Add every particle to the rays it meets."""
    n_rays, first_offset_um = path.shape[0], offsets_um[0]
    chord = np.empty(n_columns.max() if n_columns.size else 0, np.float32)
    for p in range(across_um.size):
        n_b, n_col = n_distances[p], n_columns[p]
        table = values[start[p] : start[p + 1]].reshape(n_b, n_col)
        reach_um = (n_b - 3) * profile_step_um + slack_um
        first = max(0, int(np.ceil((across_um[p] - reach_um - first_offset_um) / step_um)))
        last = min(n_rays - 1, int((across_um[p] + reach_um - first_offset_um) / step_um))
        shift = along_um[p] * states_per_um
        whole = int(np.floor(shift))
        along = np.float32(along_um[p])
        part = shift - whole
        for ray in range(first, last + 1):
            b = abs(offsets_um[ray] - across_um[p]) / profile_step_um
            i = int(b)
            if i + 2 >= n_b:
                continue
            f = b - i
            w0 = np.float32(-f * (f - 1.0) * (f - 2.0) / 6.0)
            w1 = np.float32((f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0)
            w2 = np.float32(-(f + 1.0) * f * (f - 2.0) / 2.0)
            w3 = np.float32((f + 1.0) * f * (f - 1.0) / 6.0)
            before = abs(i - 1)
            for j in range(n_col):
                chord[j] = (
                    w0 * table[before, j] + w1 * table[i, j] + w2 * table[i + 1, j]
                    + w3 * table[i + 2, j]
                )  # fmt: skip
            column = 0
            for segment in range(segment_start[p], segment_start[p + 1]):
                first_state = segment_state[segment] + whole
                width = segment_width[segment]
                _spread(chord[column : column + width], part, path[ray, first_state:])
                for j in range(width):
                    chord[column + j] *= along
                _spread(chord[column : column + width], part, moment[ray, first_state:])
                column += width
