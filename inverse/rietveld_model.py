"""A Rietveld refinement made ready: lines, slots and limits of all phases on a scan's channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import cell_law
from inverse.model import chebyshev_background
from inverse.profile import SCHERRER_CONSTANT, gaussian_width_squared_deg2
from inverse.recipe import Calibration
from inverse.rietveld_lines import rietveld_lines
from inverse.rietveld_parameters import Parameter, free_parameters, slot_values
from inverse.rietveld_recipe import Rietveld
from inverse.rietveld_shapes import PER_PHASE, Active, Tables, draw_phase
from inverse.rietveld_work import Setup
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]

_SIZE_UNIT_A = 1000.0
"""100 nm, the unit of sizes in the slots."""
_SAME = 1e-9
"""Share of a pattern's square that another must leave to be told from it."""


@dataclass(frozen=True, eq=False)
class RietveldModel:
    """What is refined, ready for patterns of one scan."""

    settings: Rietveld
    parameters: tuple[Parameter, ...]
    """Free in every pattern."""
    shared: tuple[Parameter, ...]
    """Free, with one value for all patterns."""
    slots: Floats
    """Value of every slot at the start, those of shared parameters as they are known."""
    tables: Tables
    n_cell: NDArray[np.int64]
    background: Floats
    """(term, channel)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Scales, free parameters and background terms, in the order of results."""
        scales = (f"{phase.label}.scale" for phase in self.settings.phases)
        terms = (f"background.{k}" for k in range(len(self.background)))
        return (*scales, *(p.name for p in self.parameters), *terms)

    @property
    def start(self) -> Floats:
        """Start values of the free parameters, as numbers of the refinement, (free,)."""
        return np.array([self.slots[p.slots[0]] for p in self.parameters])

    def with_shared(self, numbers: Floats) -> RietveldModel:
        """Return the model with other values of the shared parameters, (shared,)."""
        slots = self.slots.copy()
        for parameter, number in zip(self.shared, numbers, strict=True):
            slots[list(parameter.slots)] = number
        return replace(self, slots=slots)

    def setup(self, *, with_shared: bool = False, min_scale: float = 0.0) -> Setup:
        """Return the arrays of the compiled refinement; shared parameters free if asked."""
        free = (*self.parameters, *self.shared) if with_shared else self.parameters
        column = np.full(self.slots.size, -1, np.int64)
        for j, parameter in enumerate(free):
            column[list(parameter.slots)] = j
        active = _active(column, len(self.settings.phases))
        is_drawn = np.diff(active.first) == 0
        drawn = self.patterns(self.slots)
        return Setup(
            tables=self.tables,
            active=active,
            n_cell=self.n_cell,
            base=self.slots,
            column=column,
            low=np.array([p.low for p in free]),
            high=np.array([p.high for p in free]),
            of_cell=np.array([p.is_of_cell for p in free], np.bool_),
            background=self.background,
            drawn=drawn,
            is_drawn=is_drawn,
            min_scale=min_scale,
        )

    def patterns(self, slots: Floats) -> Floats:
        """Return the patterns of all phases for values of the slots, (phase, channel).

        Per µm of pure phase, 1/µm/rad. Raises InputError for a cell without volume.
        """
        n_channels = self.background.shape[1]
        shapes = np.zeros((len(self.settings.phases), n_channels))
        nothing, buffer = np.zeros((0, n_channels)), np.empty((4, n_channels))
        still = _active(np.full(slots.size, -1, np.int64), len(shapes))
        for p, phase in enumerate(self.settings.phases):
            if not draw_phase(
                p, slots, self.tables, still, int(self.n_cell[p]), shapes[p], nothing, buffer
            ):
                raise InputError(f"the cell of {phase.label} encloses no volume")
        return shapes

    def refuse_copies(self) -> None:
        """Raise InputError where two phases start with the same pattern: nothing would part them.

        A phase that searches for its cell is parted by that from one that does not, and from
        another that does, as each looks for what is left.
        """
        shapes = self.patterns(self.slots)
        length = np.linalg.norm(shapes, axis=1)
        overlap = (shapes @ shapes.T) / np.outer(length, length)
        phases = self.settings.phases
        for one, other in zip(*np.triu_indices(len(phases), 1), strict=True):
            searched = phases[one].search or phases[other].search
            if not searched and 1.0 - overlap[one, other] ** 2 < _SAME:
                raise InputError(
                    f"{phases[one].label} and {phases[other].label} start with the same pattern, "
                    "so that nothing tells them apart: give one another cell_start, size or "
                    "strain, or leave it out"
                )


def rietveld_model(
    settings: Rietveld, *, beam: Beam, geometry: Geometry, calibration: Calibration
) -> RietveldModel:
    """Return the model of patterns of a scan, with the instrument as it was calibrated.

    Raises InputError for phases without lines in the pattern, ties that cannot be, unknown
    crystals, or an instrument whose Gaussian width is not positive at some line.
    """
    stretch = calibration.distance_m / geometry.distance_m
    slots = slot_values(settings, stretch=stretch)
    own = {
        freedom: tuple(
            free_parameters(settings, slots, freedom=freedom, distance_m=geometry.distance_m)
        )
        for freedom in ("voxel", "shared")
    }
    for parameter in (*own["voxel"], *own["shared"]):
        slots[list(parameter.slots)] = np.clip(parameter.start, parameter.low, parameter.high)
    laws = [cell_law(find_crystal(phase.crystal)) for phase in settings.phases]
    return RietveldModel(
        settings=settings,
        parameters=own["voxel"],
        shared=own["shared"],
        slots=slots,
        tables=_tables(settings, beam=beam, geometry=geometry, calibration=calibration),
        n_cell=np.array([len(law.names) for law in laws], dtype=np.int64),
        background=chebyshev_background(geometry.n_channels, n_terms=settings.n_background),
    )


def _tables(
    settings: Rietveld, *, beam: Beam, geometry: Geometry, calibration: Calibration
) -> Tables:
    lines = [rietveld_lines(phase, beam=beam, geometry=geometry) for phase in settings.phases]
    laws = [cell_law(find_crystal(phase.crystal)) for phase in settings.phases]
    matrices = np.zeros((len(laws), 6, 6))
    for matrix, law in zip(matrices, laws, strict=True):
        matrix[:, : len(law.names)] = law.matrix
    profile, degree = calibration.profile, float(np.deg2rad(1.0))
    s_squared = np.concatenate([of.s_squared_per_A2 for of in lines])
    # Refuses an instrument whose width is not positive at some line.
    gaussian_width_squared_deg2(2.0 * np.arcsin(beam.wavelength_A * np.sqrt(s_squared)), profile)
    return Tables(
        first_line=np.cumsum([0, *(len(of.s_squared_per_A2) for of in lines)]),
        hkl_products=np.concatenate([of.hkl_products for of in lines]),
        log_power=np.concatenate([of.log_power for of in lines]),
        s_squared=s_squared,
        occupancy=np.concatenate([of.occupancy for of in lines]),
        volume_A3=np.array([of.volume_A3 for of in lines]),
        cell_constant=np.stack([law.constant for law in laws]),
        cell_matrix=matrices,
        gaussian=np.array(
            [[p.size_shape == "gaussian", p.strain_shape == "gaussian"] for p in settings.phases]
        ),
        instrument=np.array(
            [
                beam.wavelength_A,
                profile.U_deg2 * degree**2,
                profile.V_deg2 * degree**2,
                profile.W_deg2 * degree**2,
                profile.X_deg * degree,
                profile.Y_deg * degree,
                float(geometry.two_theta_rad[0]),
                geometry.channel_width_rad,
                SCHERRER_CONSTANT * beam.wavelength_A / _SIZE_UNIT_A,
            ]
        ),
    )


def _active(column: NDArray[np.int64], n_phases: int) -> Active:
    """List the slots that are free by phase; what is common to all phases comes with each."""
    kinds: list[int] = []
    columns: list[int] = []
    phases: list[int] = []
    first = [0]
    common: Sequence[int] = range(PER_PHASE * n_phases, column.size)
    for p in range(n_phases):
        own: Sequence[int] = range(PER_PHASE * p, PER_PHASE * (p + 1))
        for kind, slot in enumerate((*own, *common)):
            if column[slot] >= 0:
                kinds.append(kind)
                columns.append(int(column[slot]))
                phases.append(p)
        first.append(len(kinds))
    return Active(*(np.array(each, np.int64) for each in (first, kinds, columns, phases)))
