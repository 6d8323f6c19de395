"""A sample that takes up or gives off lithium while it is scanned.

The current is constant, so the mean filled fraction f of all spinel (:mod:`phantoms.stoichiometry`)
changes at a constant rate until everything is full or empty. Who takes how much:

- Between particles, each has a speed v of its own (log-normal), and a particle's mean filled
  fraction is g(t) = g(0) + v τ. The clock τ is common to all, and runs such that the sum over
  particles, weighted with their capacity, is what the current delivers.
- Within a particle, every radius moves by the same level s:  f(r, t) = f(r, 0) + s,  that is
  x(r, t) = x(r, 0) + s (1 − 3 y(r)).

What is full or empty stays so (0 ≤ f ≤ 1), and its share goes to the rest of the particle, or of
the sample: no lithium is lost. The lithium excess y, and the sizes of particles, do not change.
The capacity of a layer is its volume times (1 − porosity)(1 − weight fraction of shells)(1 − 3y).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phantoms.particle import Law, Particle, RadialLaw, RadialTable, law_values
from phantoms.sample import Sample
from phantoms.stoichiometry import EXCESS_NODES, filled_fraction, mean_lattice_A
from xrdct.errors import InputError
from xrdct.spec import Spec

Array: TypeAlias = NDArray[np.float64]

_SPAWN_KEY = 0x6F7065
_S_PER_H = 3600.0
_BISECTIONS = 60
_N_PARTS = 64
_RADII = np.linspace(0.0, 1.0, _N_PARTS + 1)
_TABLE_NODES = _RADII[::2]
_ROUNDING = 1e-9


def _hat_volumes() -> Array:
    """Return ∫ 3r² hat(r) dr of the linear interpolation between `_RADII`; they add up to 1."""
    h = 1.0 / _N_PARTS
    volumes = 3.0 * _RADII**2 * h + 0.5 * h**3
    volumes[0], volumes[-1] = 0.25 * h**3, 1.5 * h - h**2 + 0.25 * h**3
    return volumes


_VOLUMES = _hat_volumes()


class Operando(Spec):
    """Charge or discharge during the scan, counted from its start."""

    filled_change_per_h: float = Field(0.0, ge=-100.0, le=100.0)
    """Share of the extractable lithium inserted per hour; positive is discharge, negative charge.
    A current of C/n changes 1/n per hour."""
    spread: float = Field(0.0, ge=0.0, le=3.0)
    """Relative standard deviation of the particles' speeds."""
    onset_s: float = Field(0.0, ge=0.0)
    """When the current is switched on."""


@dataclass(frozen=True, eq=False)
class _Charge:
    """What there is to fill, in every particle."""

    filled: Array
    """f at `_RADII` before the current, shape (particle, radius)."""
    share: Array
    """Of the particle's capacity at `_RADII`, shape (particle, radius)."""
    capacity: Array
    """Of the sample's capacity, shape (particle,)."""
    speed: Array
    """Relative speed, shape (particle,)."""


def sample_at(sample: Sample, operando: Operando, *, time_s: float, seed: int) -> Sample:
    """Return the sample as it is at ``time_s``; ``sample`` is what it was before the current.

    Particles keep their number, so a particle has the same speed at all times. Laws that stay
    between empty and full keep their form; others become tables. Where both laws are given by
    numbers, tables or exponents of 1 this is exact, else linear between at least 33 radii.
    """
    change = _filled_change(operando, time_s)
    if change == 0.0 or not sample.particles:
        return sample
    levels = _levels(_charge(sample, operando, seed), change)
    particles = zip(sample.particles, levels, strict=True)
    return replace(sample, particles=tuple(_filled(p, float(s)) for p, s in particles))


def knot_times_s(
    sample: Sample,
    operando: Operando,
    *,
    duration_s: float,
    max_lattice_step_A: float,
    seed: int,
) -> Array:
    """Return times from 0 to ``duration_s`` at which the sample is to be rebuilt.

    Mixed linearly between them, no particle's mean lattice parameter moves by more than the step
    at a time: the fastest particle's mean filled fraction, times the steepest part of the law a(f),
    is the bound. It holds at every radius as long as nothing in a particle is full or empty; the
    last part of a particle to fill up or run out may be faster. The onset is one of the times.

    Raises InputError unless the duration and the step are positive.
    """
    if duration_s <= 0.0 or max_lattice_step_A <= 0.0:
        raise InputError(
            "duration_s and max_lattice_step_A must be positive, "
            f"got {duration_s:g} s and {max_lattice_step_A:g} Å"
        )
    ends_s = np.unique([0.0, min(operando.onset_s, duration_s), duration_s])
    if not sample.particles or operando.filled_change_per_h == 0.0:
        return ends_s
    charge = _charge(sample, operando, seed)
    max_shift = max_lattice_step_A / _steepest_lattice_A()

    def filled(time_s: float) -> Array:
        return _mean_filled(charge, _filled_change(operando, time_s))

    times_s = [0.0]
    for start_s, stop_s in pairwise(ends_s):
        times_s += _divided(filled, start_s, stop_s, max_shift)
    return np.array(times_s)


def _divided(
    filled: Callable[[float], Array], start_s: float, stop_s: float, max_shift: float
) -> list[float]:
    """Return times after ``start_s``, the last ``stop_s``, between which no particle moves too far.

    Particles only ever fill or only empty: what happens between two times, their ends bound.
    """
    shift = float(np.abs(filled(stop_s) - filled(start_s)).max())
    n_parts = int(np.ceil(shift / max_shift - _ROUNDING))
    if n_parts <= 1:
        return [stop_s]
    times_s = np.linspace(start_s, stop_s, n_parts + 1).tolist()
    return [t for a, b in pairwise(times_s) for t in _divided(filled, a, b, max_shift)]


def _steepest_lattice_A() -> float:
    """Return the largest change of the mean lattice parameter with f, Å, of any y."""
    f = np.linspace(0.0, 1.0, 2001)[:, None]
    y = np.linspace(0.0, EXCESS_NODES[-1], 11)
    lattice_A = mean_lattice_A(3.0 * y + f * (1.0 - 3.0 * y), y=y)
    return float((np.diff(lattice_A, axis=0) / np.diff(f, axis=0)).max())


def _filled_change(operando: Operando, time_s: float) -> float:
    """Return how much the current has changed the mean filled fraction, unless it hit its end."""
    return operando.filled_change_per_h * max(0.0, time_s - operando.onset_s) / _S_PER_H


def _charge(sample: Sample, operando: Operando, seed: int) -> _Charge:
    particles = sample.particles
    x = np.array([law_values(p.x, _RADII) for p in particles])
    y = np.array([law_values(p.y, _RADII) for p in particles])
    capacity = (1.0 - 3.0 * y) * _VOLUMES * np.array([_spinel_share(p) for p in particles])
    total = capacity.sum(axis=1)
    amount = total * sample.radii_um**3
    whole = max(amount.sum(), np.finfo(float).tiny)
    variance = np.log1p(operando.spread**2)  # of the logarithm
    sequence = np.random.SeedSequence(seed, spawn_key=(_SPAWN_KEY,))
    normal = np.random.Generator(np.random.Philox(sequence)).standard_normal(len(particles))
    spinel = total[:, None] > 0.0  # shells may leave none
    return _Charge(
        filled=filled_fraction(x, y=y),
        share=np.divide(capacity, total[:, None], out=np.tile(_VOLUMES, (len(x), 1)), where=spinel),
        capacity=amount / whole,
        speed=np.exp(np.sqrt(variance) * normal),
    )


def _spinel_share(particle: Particle) -> Array:
    """Return how much of a particle is spinel at `_RADII`."""
    depth_um = (1.0 - _RADII) * particle.radius_um
    others = sum((s.weight_fraction_at(depth_um) for s in particle.shells), np.zeros(_RADII.size))
    return np.asarray((1.0 - particle.porosity) * np.maximum(0.0, 1.0 - others))


def _mean_filled(charge: _Charge, change: float) -> Array:
    """Return the mean filled fraction of every particle when that of all has changed so much."""
    mean, speed = (charge.share * charge.filled).sum(axis=1), charge.speed
    wanted = np.clip(charge.capacity @ mean + change, 0.0, 1.0)

    def total(clock: Array) -> Array:
        return np.asarray(np.clip(mean + speed * clock, 0.0, 1.0) @ charge.capacity)

    clock = _bisected(total, wanted, low=-(mean / speed).max(), high=((1.0 - mean) / speed).max())
    return np.asarray(np.clip(mean + speed * clock, 0.0, 1.0))


def _levels(charge: _Charge, change: float) -> Array:
    """Return the level s of every particle when the mean filled fraction has changed so much."""
    filled = charge.filled

    def mean(level: Array) -> Array:
        moved = np.clip(filled + level[:, None], 0.0, 1.0)
        return np.asarray(np.einsum("pr,pr->p", charge.share, moved))

    wanted = _mean_filled(charge, change)
    return _bisected(mean, wanted, low=-filled.max(axis=1), high=1.0 - filled.min(axis=1))


def _bisected(
    function: Callable[[Array], Array], wanted: Array, *, low: Array, high: Array
) -> Array:
    """Solve the increasing ``function(z) = wanted`` for z between low and high, all at once."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = function(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


def _filled(particle: Particle, level: float) -> Particle:
    """Return the particle with its filled fraction moved by ``level``, where there is room."""
    power = _common_exponent(particle.x, particle.y)
    if power is None:
        return _tabulated(particle, level)
    ends = np.array([0.0, 1.0])
    moved, empty = _moved(particle, ends, level), _empty(particle, ends)
    n_over, n_under = int((moved > 1.0).sum()), int((moved < empty).sum())
    if n_over == 1 or n_under == 1:  # between core and surface something becomes full or empty
        return _tabulated(particle, level)
    core, surface = (float(value) for value in np.clip(moved, empty, 1.0))
    law = core if core == surface else RadialLaw(core=core, surface=surface, exponent=power)
    return particle.model_copy(update={"x": law})


def _common_exponent(*laws: Law) -> float | None:
    """Return the power of r in which all laws are linear; None if there is no such power."""
    if any(isinstance(law, RadialTable) for law in laws):
        return None
    exponents = {law.exponent for law in laws if isinstance(law, RadialLaw)}
    return None if len(exponents) > 1 else next(iter(exponents), 1.0)


def _tabulated(particle: Particle, level: float) -> Particle:
    """Return the particle with its moved content as a table, bent where it fills up or runs out."""
    nodes = _nodes(particle)
    moved, empty = _moved(particle, nodes, level), _empty(particle, nodes)
    bends = [_zeros(nodes, moved - empty), _zeros(nodes, 1.0 - moved)]
    nodes = np.unique(np.concatenate([nodes, *bends]))
    empty = _empty(particle, nodes)
    x = np.clip(_moved(particle, nodes, level), empty, 1.0)
    update: dict[str, Law] = {"x": _table(nodes, x)}
    if isinstance(particle.y, RadialLaw) and particle.y.exponent != 1.0:
        update["y"] = _table(nodes, empty / 3.0)  # or x would fall below 3y between the nodes
    return particle.model_copy(update=update)


def _nodes(particle: Particle) -> Array:
    """Return radii between which the laws are nearly linear, and those at which tables bend."""
    nodes = [_TABLE_NODES]
    for law in (particle.x, particle.y):
        if isinstance(law, RadialTable):
            nodes.append(np.array(law.r_over_R))
        elif isinstance(law, RadialLaw):
            nodes.append(_TABLE_NODES ** (1.0 / law.exponent))
    return np.unique(np.concatenate(nodes))


def _moved(particle: Particle, r_over_R: Array, level: float) -> Array:
    """Return x moved by the level, as if there were no limits."""
    return law_values(particle.x, r_over_R) + level * (1.0 - _empty(particle, r_over_R))


def _empty(particle: Particle, r_over_R: Array) -> Array:
    """Return the least lithium content 3y."""
    return 3.0 * law_values(particle.y, r_over_R)


def _zeros(nodes: Array, values: Array) -> Array:
    """Return where a broken line through ``values`` changes sign."""
    i = np.flatnonzero(values[:-1] * values[1:] < 0.0)
    part = values[i] / (values[i] - values[i + 1])
    return np.asarray(nodes[i] + part * (nodes[i + 1] - nodes[i]))


def _table(nodes: Array, values: Array) -> RadialTable:
    return RadialTable(r_over_R=tuple(nodes.tolist()), value=tuple(values.tolist()))
