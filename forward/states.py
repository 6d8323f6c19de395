"""Material states: the axis on which the sample's composition is discretised.

A *family* is a phase with fixed atomic content and microstructure: for the spinel one of the
lithium-excess nodes y = 0, 0.05, 0.10, for another phase the phase itself. Along a family the
states differ by isotropic scaling of the cell, uniform in ln(cell). A material between two states
(or two excess nodes) is a linear mixture of them: its mean lattice parameter is then exact, and
the second moment is wrong by at most a quarter of the squared spacing.

Because states are uniform in ln(cell), the ring shift of a particle displaced along the beam is a
shift along the same axis (:mod:`forward.parallax`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.sample import SPINEL, Layers, Sample

REFERENCE_A = 8.2
"""Cell of the spinel at which its state coordinate is zero; other phases use their own cell."""

EXCESS_NODES = (0.0, 0.05, 0.10)
"""Lithium excess y of the spinel families; a(x, y) itself is linear in y between them."""


@dataclass(frozen=True)
class Family:
    """States of one phase, atomic content and microstructure."""

    phase: str
    y: float
    """Lithium excess of a spinel family (0 for other phases)."""
    crystallite_size_nm: float
    strain: float
    grain_um: float | None
    """Size of single crystals; None where there are too many to count."""
    first_state: int
    """Position of the family's first state among all states."""
    first_node: int
    """State coordinate of that first state, in units of the spacing."""
    n_states: int


@dataclass(frozen=True, eq=False)
class Entries:
    """Which material sits in which layer, each field of shape (entry,)."""

    layer: NDArray[np.int64]
    family: NDArray[np.int64]
    coordinate: NDArray[np.float64]
    """ln(cell / reference cell) in units of the spacing."""
    fraction: NDArray[np.float64]
    """Volume fraction of the layer."""
    lattice: NDArray[np.int64]
    """Tells apart lattices of one family far from each other (branches of the spinel)."""


@dataclass(frozen=True, eq=False)
class StateGrid:
    """All states of a sample, and its layers expressed in them."""

    spacing: float
    families: tuple[Family, ...]
    entries: Entries

    @property
    def n_states(self) -> int:
        """Number of states over all families."""
        return sum(f.n_states for f in self.families)


def state_grid(sample: Sample, *, layers: Layers, spacing: float, margin: float) -> StateGrid:
    """Express ``layers`` in states ``spacing`` apart; ``margin`` in ln(cell) is left at the ends.

    The margin makes room for parallax, which moves material along the axis.
    """
    rows = [*_spinel_entries(layers, spacing), *_extra_entries(layers, sample)]
    columns = [np.concatenate([row[i] for row in rows]) for i in range(6)]
    keep = columns[3] > 0.0
    layer, kind, coordinate, fraction, lattice, phase = (column[keep] for column in columns)
    layer = layer.astype(np.int64)
    micro, micro_of = _microstructures(sample)
    keys = (phase * len(EXCESS_NODES) + kind) * len(micro) + micro_of[layers.particle[layer]]
    unique, family = np.unique(keys.astype(np.int64), return_inverse=True)
    names = (SPINEL, *sample.extra_phases)
    families: list[Family] = []
    first_state = 0
    for number, key in enumerate(unique):
        rest, micro_number = divmod(int(key), len(micro))
        phase_number, kind_number = divmod(rest, len(EXCESS_NODES))
        of_family = coordinate[family == number]
        first_node = int(np.floor(of_family.min() - margin / spacing)) - 1
        n_states = int(np.ceil(of_family.max() + margin / spacing)) + 2 - first_node
        size_nm, strain, grain_um = micro[micro_number]
        families.append(
            Family(
                names[phase_number], EXCESS_NODES[kind_number], size_nm, strain,
                grain_um or None, first_state, first_node, n_states,
            )
        )  # fmt: skip
        first_state += n_states
    entries = Entries(
        layer=layer,
        family=family.astype(np.int64),
        coordinate=coordinate,
        fraction=fraction,
        lattice=lattice.astype(np.int64),
    )
    return StateGrid(spacing=spacing, families=tuple(families), entries=entries)


def _microstructures(
    sample: Sample,
) -> tuple[list[tuple[float, float, float]], NDArray[np.int64]]:
    """Return the distinct (size in nm, strain, grains in µm), and which each particle has.

    Grains of zero stand for those that are too many to count.
    """
    own = [(p.crystallite_size_nm, p.strain, p.grain_um or 0.0) for p in sample.particles]
    distinct = sorted(set(own))
    number = {micro: i for i, micro in enumerate(distinct)}
    return distinct, np.array([number[micro] for micro in own], dtype=np.int64)


_Rows = list[tuple[NDArray[np.float64], ...]]


def _spinel_entries(layers: Layers, spacing: float) -> _Rows:
    """Rows of the spinel: layer, excess node, coordinate, fraction, branch, phase number."""
    number = np.arange(layers.y.size, dtype=float)
    weights = _excess_weights(layers.y)
    lattices = (
        (layers.a_low_A, layers.fraction_low, layers.branch),
        (layers.a_high_A, layers.fraction_high, layers.branch + 1),
    )
    rows: _Rows = []
    for a_A, fraction, branch in lattices:
        coordinate = np.log(a_A / REFERENCE_A) / spacing
        for node, weight in enumerate(weights.T):
            excess = np.full(number.shape, float(node))
            zero = np.zeros(number.shape)
            rows.append((number, excess, coordinate, fraction * weight, branch.astype(float), zero))
    return rows


def _excess_weights(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear weights of the excess nodes, shape (layer, node)."""
    nodes = np.array(EXCESS_NODES)
    unit = np.eye(nodes.size)
    return np.column_stack([np.interp(y, nodes, unit[i]) for i in range(nodes.size)])


def _extra_entries(layers: Layers, sample: Sample) -> _Rows:
    number = np.arange(layers.y.size, dtype=float)
    zero = np.zeros(number.shape)
    fractions = layers.extra_fraction.T[: len(sample.extra_phases)]
    return [
        (number, zero, zero, fraction, zero, np.full(zero.shape, phase_number))
        for phase_number, fraction in enumerate(fractions, start=1)
    ]
