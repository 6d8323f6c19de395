"""Path lengths of rays through particles that are no layered spheres.

Such a body looks different from every side. Its section by the slice plane, at every height of the
beam, is cut into square cells of edge h; a cell holds the mean of the layers it crosses, times the
share of it inside the outline and outside pores and cracks (:mod:`phantoms.shape_kernel`). Heights
are summed with the beam's weights, once for all rotations.

At each rotation a cell's projection is a trapezoid, whose area in each strip of width δ across the
beam is a closed form: what is projected is exactly the section as cut into cells, of which no area
is lost or gained, and cells leave no pattern, whatever the rotation. Along with the path L of every
state go its first moment Σ s·L about the body's centre. A ray is the strips times the beam's
profile, interpolated between strips like the profiles of spheres (:mod:`forward.chords`). Taking
means over cells, and spreading them over cells, has blurred the section by h²/12 each, in every
direction alike: so much less does the beam's profile.

Parallax moves each state of a ray along the state axis by its mean displacement s̄ = Σ s·L / L,
which is exact in the mean, as for spheres. Errors fall with h² at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.bodies_kernel import cut_section, project_bodies
from forward.chords import (
    StateMixture,
    beam_heights,
    beam_shares,
    beam_taps,
    state_mixture,
    strip_um,
)
from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from forward.states import StateGrid
from phantoms.outline import Shape, shape_of
from phantoms.sample import Layers, Sample
from xrdct.compiled import threaded
from xrdct.instrument import Beam

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_CELLS_ACROSS = 1000


@dataclass(frozen=True, eq=False)
class Bodies:
    """Sections of all bodies, cut into cells.

    Body k is particle ``particle[k]``, owns cells ``cell_start[k] : cell_start[k + 1]``, and cell c
    entries ``entry_start[c] : entry_start[c + 1]``. Columns are laid out in segments as in
    :class:`forward.chords.ChordProfiles`, but counted by body.
    """

    strip_um: float
    taps: Floats
    """The beam's profile on strips, less the blur by each body's cells, shape (body, strip)."""
    particle: Ints
    cell_um: Floats
    """Edge of each body's cells, shape (body,)."""
    reach_um: Floats
    """Furthest distance of its material from its vertical axis, shape (body,)."""
    cell_start: Ints
    x_um: NDArray[np.float32]
    """Middle of each cell from the body's centre, shape (cell,)."""
    y_um: NDArray[np.float32]
    entry_start: Ints
    entry_column: NDArray[np.int32]
    entry_share: NDArray[np.float32]
    """Share of the cell that is solid of the column's state, shape (entry,)."""
    n_columns: Ints
    segment_start: Ints
    segment_state: Ints
    segment_width: Ints

    def add_to(
        self,
        path_um: NDArray[np.float32],
        moment_um2: NDArray[np.float32],
        *,
        centres_um: Floats,
        angle_rad: float,
        offsets_um: Floats,
        states_per_um: float,
    ) -> None:
        """Add all bodies to the rays of one projection, in place, both (offset, state).

        ``centres_um`` are those of all particles of the sample; the rest is as in
        :func:`forward.sinogram.project_angle`.
        """
        x_um, y_um = centres_um[self.particle, 0], centres_um[self.particle, 1]
        cos, sin = float(np.cos(angle_rad)), float(np.sin(angle_rad))
        project_bodies(
            self.strip_um, self.taps, self.cell_um, self.reach_um, self.cell_start, self.x_um,
            self.y_um, self.entry_start, self.entry_column, self.entry_share, self.n_columns,
            self.segment_start, self.segment_state, self.segment_width,
            x_um * cos + y_um * sin, y_um * cos - x_um * sin, cos, sin, offsets_um,
            states_per_um, path_um, moment_um2,
        )  # fmt: skip


def _equally_long(rows: list[Floats]) -> Floats:
    """Return one array of rows, shorter ones filled up with nothing."""
    longest = max(row.size for row in rows)
    return np.array([np.pad(row, (0, longest - row.size)) for row in rows])


_Section = tuple[
    NDArray[np.float32], NDArray[np.float32], Ints, NDArray[np.int32], NDArray[np.float32]
]


def cut_bodies(
    sample: Sample,
    *,
    layers: Layers,
    grid: StateGrid,
    truth: TrueInstrument,
    effects: Effects,
    accuracy: Accuracy,
    workers: int | None = None,
) -> Bodies | None:
    """Cut the sections of all particles that are no layered spheres; None if all are."""
    numbers = sample.bodies
    if not numbers.size:
        return None
    shapes = [shape_of(sample.particles[i]) for i in numbers]
    mixture = state_mixture(grid, layers, len(sample.particles))
    step_um = strip_um(truth.beam, accuracy)
    shares = beam_shares(truth, effects)
    heights = beam_heights([(w, beam.height_um) for w, beam in shares], accuracy)
    dz_um = sample.z_um - sample.centres_um[numbers, 2]
    cells_um = np.array([_cell_um(shape, truth.beam, accuracy) for shape in shapes])
    layer_start = np.searchsorted(layers.particle, np.arange(len(sample.particles) + 1))
    sections: list[_Section | None] = [None] * numbers.size

    def cut(first: int, last: int) -> None:
        for k in range(first, last):
            own = slice(layer_start[numbers[k]], layer_start[numbers[k] + 1])
            sections[k] = _section(
                shapes[k], float(cells_um[k]), heights[0] + dz_um[k], heights[1],
                r_outer_um=layers.r_outer_um[own], mixture=mixture, first_layer=int(own.start),
                n_columns=int(mixture.n_columns[numbers[k]]),
            )  # fmt: skip

    threaded(cut, numbers.size, workers=workers)
    done = [section for section in sections if section is not None]
    widths = [(w, beam.width_um) for w, beam in shares]
    taps = _equally_long([beam_taps(widths, step_um=step_um, also_um2=h**2 / 6) for h in cells_um])
    return _joined(
        done, numbers, mixture, strip=step_um, taps=taps, cells_um=cells_um, shapes=shapes
    )


def _cell_um(shape: Shape, beam: Beam, accuracy: Accuracy) -> float:
    finest = 2.0 * shape.reach_xy_um / _MOST_CELLS_ACROSS
    return max(min(accuracy.body_step_um, beam.width_um / 5.0), finest)


def _section(
    shape: Shape,
    cell_um: float,
    heights_um: Floats,
    weights: Floats,
    *,
    r_outer_um: Floats,
    mixture: StateMixture,
    first_layer: int,
    n_columns: int,
) -> _Section:
    """Return one body's cells: x, y, where their entries begin, columns, shares."""
    n_across = 2 * (int(np.ceil(shape.reach_xy_um / cell_um)) + 1)
    start = mixture.start[first_layer : first_layer + r_outer_um.size + 1]
    section: _Section = cut_section(
        n_across, cell_um, heights_um, weights, shape.kind, shape.size, shape.waves, shape.pores,
        shape.cracks, r_outer_um, start, mixture.column, mixture.weight, n_columns,
    )  # fmt: skip
    return section


def _joined(
    sections: list[_Section],
    numbers: Ints,
    mixture: StateMixture,
    *,
    strip: float,
    taps: Floats,
    cells_um: Floats,
    shapes: list[Shape],
) -> Bodies:
    """Put the sections of all bodies one after the other."""
    n_entries = np.cumsum([0, *(section[3].size for section in sections)])
    starts = [s[2][:-1] + first for s, first in zip(sections, n_entries, strict=False)]
    first, last = mixture.segment_start[numbers], mixture.segment_start[numbers + 1]
    owned = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    return Bodies(
        strip_um=strip,
        taps=taps,
        particle=numbers,
        cell_um=cells_um,
        reach_um=np.array([shape.reach_xy_um for shape in shapes]),
        cell_start=np.cumsum([0, *(section[0].size for section in sections)]).astype(np.int64),
        x_um=np.concatenate([section[0] for section in sections]),
        y_um=np.concatenate([section[1] for section in sections]),
        entry_start=np.concatenate([*starts, n_entries[-1:]]).astype(np.int64),
        entry_column=np.concatenate([section[3] for section in sections]),
        entry_share=np.concatenate([section[4] for section in sections]),
        n_columns=mixture.n_columns[numbers],
        segment_start=np.cumsum([0, *(last - first)]).astype(np.int64),
        segment_state=mixture.segment_state[owned],
        segment_width=mixture.segment_width[owned],
    )
