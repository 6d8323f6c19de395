"""The lattice of lithium-manganese spinels as a function of what lithium is in them.

A formula unit is Li(x)[Li_y Mn_{2−y}]O4: x lithium on the tetrahedral 8a sites, which comes and
goes, and an excess y on the octahedral 16d sites, which stays. Manganese is all Mn4+ at x = 3y,
so the lithium that can be extracted is 1 − 3y and the law is written in its filled fraction

    f = (x − 3y) / (1 − 3y),   0 ≤ f ≤ 1.

At y = 0 a(f) is piecewise linear with two windows in which two lattices coexist. They close
linearly in y and are gone at y = 0.05, from where on a is linear in f. Between the tabulated y
everything is linear in y.

Sources of the figures: Finegan et al., Nat. Commun. 11 (2020) 631, and the work of Bianchini et
al. quoted there, for the lattice parameters; where in f the windows lie, the values at y = 0.05
and how the windows close with y are assumptions, since published phase limits differ.

Arguments may be numbers or arrays that broadcast together; results have the broadcast shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xrdct.crystal import Crystal, load_crystal
from xrdct.errors import InputError

Array: TypeAlias = NDArray[np.float64]

FILLED_NODES = np.array([0.0, 0.20, 0.46, 0.66, 0.78, 1.0])
"""f at the ends of the law and at the edges of windows I and II, for y = 0 (assumed)."""

LATTICE_NODES_A = np.array([8.03, 8.076, 8.145, 8.183, 8.205, 8.245])
"""a in Å at `FILLED_NODES` for y = 0 (the edges: Finegan 2020, p. 4 and refs 24, 46 there)."""

EXCESS_NODES = np.array([0.05, 0.10])
"""y from which on the spinel is a single phase, and the largest y covered."""

EMPTY_LATTICE_A = np.array([8.078, 8.080])
"""a in Å at f = 0 for the `EXCESS_NODES` (8.080: Bianchini; 8.078 assumed)."""

FILLED_LATTICE_A = np.array([8.234, 8.223])
"""a in Å at f = 1 for the `EXCESS_NODES` (8.223: Bianchini; 8.234 interpolated)."""

LEAST_GAP_A = 1e-3
"""Two lattices closer than this, in Å, are one: no diffraction experiment parts them."""

OCV_RANGE = (0.17, 0.995)
"""x between which the open-circuit voltage formula holds (exclusive)."""

_CLOSING = np.array([0.0, 0.33, 0.33, 0.72, 0.72, 1.0])  # f where each node ends up at y = 0.05
_WINDOWS = (1, 3)  # node at which each window begins
_ROUNDING = 1e-9  # by which x and y may miss their limits, as 3 · 0.1 misses 0.3


@dataclass(frozen=True, eq=False)
class Lattices:
    """The one or two lattices of a material, every field of the broadcast shape of x and y.

    A single phase has ``a_low_A`` = ``a_high_A`` and ``volume_fraction_high`` = 0.
    """

    a_low_A: Array
    """Lattice parameter, of the phase poorer in lithium if there are two; Å."""
    a_high_A: Array
    """Lattice parameter, of the phase richer in lithium if there are two; Å."""
    volume_fraction_high: Array
    """Share of the volume that the richer phase takes."""
    in_window: NDArray[np.bool_]
    """Whether two phases coexist."""
    branch: NDArray[np.int64]
    """Number of windows below ``a_low_A`` (0, 1, 2); in a window ``a_high_A`` has one more.

    Windows whose gap is below `LEAST_GAP_A` are not counted.
    """


@dataclass(frozen=True, eq=False)
class _Piece:
    """The straight piece of the law that a material lies on."""

    f_low: Array
    f_high: Array
    a_low_A: Array
    a_high_A: Array
    window: NDArray[np.bool_]


def filled_fraction(x: ArrayLike, *, y: ArrayLike) -> Array:
    """Return f = (x − 3y)/(1 − 3y), the share of the extractable lithium that is in place.

    Raises InputError unless 0 ≤ y ≤ 0.10 and 3y ≤ x ≤ 1.
    """
    excess = _checked_excess(y)
    content, excess = np.broadcast_arrays(np.asarray(x, dtype=np.float64), excess)
    allowed = (content >= 3 * excess - _ROUNDING) & (content <= 1 + _ROUNDING)
    if not allowed.all():
        raise InputError(
            "x must lie between 3y, where all manganese is Mn4+, and 1; "
            f"got x = {content[~allowed][0]:g} at y = {excess[~allowed][0]:g}"
        )
    return np.clip((content - 3 * excess) / (1 - 3 * excess), 0.0, 1.0)


def lattice(x: ArrayLike, *, y: ArrayLike) -> Lattices:
    """Return the lattice or lattices of a material of composition (x, y) in equilibrium.

    Inside a window the two edges of the window coexist. The lever rule in f shares out the
    formula units; equal numbers of them per cell turn shares of amount m into shares of volume
    by m_high a_high³ / (m_high a_high³ + m_low a_low³).

    Raises InputError unless 0 ≤ y ≤ 0.10 and 3y ≤ x ≤ 1.
    """
    f = filled_fraction(x, y=y)
    nodes_f, nodes_a = _nodes(np.broadcast_to(_checked_excess(y), f.shape))
    piece = _piece(f, nodes_f, nodes_f, nodes_a)
    high = _high_share(f, piece)
    mean = piece.a_low_A + high * (piece.a_high_A - piece.a_low_A)
    open_gap = piece.a_high_A - piece.a_low_A >= LEAST_GAP_A
    in_window = piece.window & open_gap & (f > piece.f_low)
    branch = np.zeros(f.shape, dtype=np.int64)
    for begin in _WINDOWS:
        counts = nodes_a[..., begin + 1] - nodes_a[..., begin] >= LEAST_GAP_A
        branch += counts & (f >= nodes_f[..., begin + 1])
    return Lattices(
        a_low_A=np.where(in_window, piece.a_low_A, mean),
        a_high_A=np.where(in_window, piece.a_high_A, mean),
        volume_fraction_high=np.where(in_window, high, 0.0),
        in_window=np.asarray(in_window),
        branch=branch,
    )


def mean_lattice_A(x: ArrayLike, *, y: ArrayLike) -> Array:
    """Return the lattice parameter averaged over the volume, Å: continuous and increasing in x.

    Raises InputError unless 0 ≤ y ≤ 0.10 and 3y ≤ x ≤ 1.
    """
    lattices = lattice(x, y=y)
    step = lattices.a_high_A - lattices.a_low_A
    return np.asarray(lattices.a_low_A + lattices.volume_fraction_high * step)


def x_from_lattice(a_A: ArrayLike, *, y: ArrayLike) -> Array:
    """Return the x at which `mean_lattice_A` is ``a_A``: its inverse, through the windows too.

    Below and above the range of the law, where only strain or an error can lead, x stays at its
    limits 3y and 1.

    Raises InputError unless 0 ≤ y ≤ 0.10 and a is a positive number.
    """
    excess = _checked_excess(y)
    a, excess = np.broadcast_arrays(np.asarray(a_A, dtype=np.float64), excess)
    allowed = (a > 0) & np.isfinite(a)
    if not allowed.all():
        raise InputError(f"a_A must be a positive number of Å, got {a[~allowed][0]:g}")
    nodes_f, nodes_a = _nodes(excess)
    piece = _piece(a, nodes_a, nodes_f, nodes_a)
    share = (a - piece.a_low_A) / (piece.a_high_A - piece.a_low_A)
    per_volume_high, per_volume_low = piece.a_high_A**-3, piece.a_low_A**-3
    amount = share * per_volume_high / (share * per_volume_high + (1 - share) * per_volume_low)
    share = np.where(piece.window, amount, share)
    f = piece.f_low + share * (piece.f_high - piece.f_low)
    x: Array = 3 * excess + f * (1 - 3 * excess)
    return x.clip(3 * excess, 1.0)


def spinel_crystal(*, x: float, y: float, a_A: float) -> Crystal:
    """Return the crystal Li(x)[Li_y Mn_{2−y}]O4 with cell edge ``a_A`` in Å, in Fd-3m:2.

    8a holds x lithium, 16d (2 − y)/2 manganese and y/2 lithium; the oxygen position and the
    displacement parameters stay those of LiMn2O4.

    Raises InputError unless 0 ≤ y ≤ 0.10, 3y ≤ x ≤ 1 and a is a believable cell edge.
    """
    filled_fraction(x, y=y)
    on_16d = (("Mn", (2 - y) / 2), ("Li", y / 2)) if y > 0 else (("Mn", 1.0),)
    contents = {8: (("Li", min(max(x, 0.0), 1.0)),), 16: on_16d, 32: (("O", 1.0),)}
    base = load_crystal("LiMn2O4")
    return replace(
        base,
        name=f"Li({x:.4g})[Li{y:.4g}Mn{2 - y:.4g}]O4",
        cell_A_deg=(a_A, a_A, a_A, 90.0, 90.0, 90.0),
        sites=tuple(replace(s, occupancies=contents[s.multiplicity]) for s in base.sites),
    )


def open_circuit_voltage_V(x: ArrayLike) -> Array:
    """Return the open-circuit voltage of Li(x)Mn2O4 against lithium metal, V.

    Fit of Doyle, Newman, Gozdz, Schmutz and Tarascon, J. Electrochem. Soc. 143 (1996) 1890.

    Raises InputError unless 0.17 < x < 0.995.
    """
    content = np.asarray(x, dtype=np.float64)
    low, high = OCV_RANGE
    allowed = (content > low) & (content < high)
    if not allowed.all():
        raise InputError(
            f"the open-circuit voltage is known for {low:g} < x < {high:g}, "
            f"got x = {content[~allowed][0]:g}"
        )
    return np.asarray(
        4.19829
        + 0.0565661 * np.tanh(-14.5546 * content + 8.60942)
        - 0.0275479 * ((0.998432 - content) ** -0.492465 - 1.90111)
        - 0.157123 * np.exp(-0.04738 * content**8)
        + 0.810239 * np.exp(-40 * (content - 0.133875))
    )


def _checked_excess(y: ArrayLike) -> Array:
    """Return y as an array; InputError unless it lies between 0 and 0.10."""
    excess = np.asarray(y, dtype=np.float64)
    allowed = (excess >= -_ROUNDING) & (excess <= EXCESS_NODES[-1] + _ROUNDING)
    if not allowed.all():
        raise InputError(f"y must lie between 0 and 0.10, got y = {excess[~allowed][0]:g}")
    return np.clip(excess, 0.0, EXCESS_NODES[-1])


def _nodes(excess: Array) -> tuple[Array, Array]:
    """Return f and a (Å) of the nodes of the law, shape (*shape of excess, node).

    Every node of the y = 0 law travels towards the straight line that holds from y = 0.05 on:
    the two edges of a window towards one point, the window's centre.
    """
    empty = np.interp(excess, EXCESS_NODES, EMPTY_LATTICE_A)[..., None]
    filled = np.interp(excess, EXCESS_NODES, FILLED_LATTICE_A)[..., None]
    line = empty + _CLOSING * (filled - empty)
    left = np.maximum(0.0, 1 - excess / EXCESS_NODES[0])[..., None]  # of the way at y = 0
    nodes_f = _CLOSING + left * (FILLED_NODES - _CLOSING)
    nodes_a = line + left * (LATTICE_NODES_A - line)
    return nodes_f, nodes_a


def _piece(value: Array, nodes: Array, nodes_f: Array, nodes_a: Array) -> _Piece:
    """Return the piece whose ``nodes`` (f or a) enclose ``value``; closed windows are skipped."""
    number = (value[..., None] >= nodes[..., 1:-1]).sum(axis=-1)

    def node(values: Array, offset: int) -> Array:
        picked: Array = np.take_along_axis(values, (number + offset)[..., None], axis=-1)
        return picked[..., 0]

    return _Piece(
        f_low=node(nodes_f, 0),
        f_high=node(nodes_f, 1),
        a_low_A=node(nodes_a, 0),
        a_high_A=node(nodes_a, 1),
        window=np.isin(number, _WINDOWS),
    )


def _high_share(f: Array, piece: _Piece) -> Array:
    """Return the share of the piece's upper end: of volume inside a window, of f outside."""
    amount = (f - piece.f_low) / (piece.f_high - piece.f_low)
    volume_high, volume_low = piece.a_high_A**3, piece.a_low_A**3
    by_volume = amount * volume_high / (amount * volume_high + (1 - amount) * volume_low)
    return np.where(piece.window, by_volume, amount)
