"""Which phases are there? Likelihood-ratio decisions with a stated false-alarm probability.

Everything starts from a null hypothesis, patterns explained without the phase in question
(:mod:`inverse.phase_decision_null`), and asks how much better they are explained with some of it:

    u = χ²(absent) − χ²(present) = max(z, 0)²,     z = amount/esd, all else refined along.

- :func:`phases_present`: cells are known. P(u > c²) = 1 − Φ(c) under the null, exactly.
- :func:`phase_with_free_cell`: the cell may be anywhere on a grid, u is the largest on it, and the
  chance of that is bounded by the number of up-crossings (:mod:`inverse.phase_decision_bound`).
- :func:`inverse.phase_decision_pair.second_lattice`: the same phase again with another lattice
  parameter, as in a voxel that the border of two phases crosses.

Chance is counting noise of the stated variance. What else makes a reconstructed pattern differ from
its model (streaks from other particles, parallax, intensities that are not quite the crystal's) is
taken for a phase as soon as noise is small enough. Two arguments allow for it:

- ``least``: an amount that does not count, such as the error of a map of amounts that
  :func:`inverse.roughness.amount_error` finds. Then z = (amount − least)/esd, and the false-alarm
  probability is that of any true amount up to it; exact at a known cell, and where the cell is free
  as far as templates are equally strong.
- ``inflation`` multiplies all standard uncertainties; √χ² of the null, where above 1, is usual.

As an alternative, ``bic`` is max(z, 0)² − k ln n with k parameters more and n channels: positive
where the Bayesian information criterion prefers the phase; beyond 10 that is called very strong
evidence. Its false-alarm probability is not stated: 1 − Φ(√(ln n)) for one phase of known cell.

Source: Self & Liang, J. Am. Stat. Assoc. 82 (1987) 605; Schwarz, Ann. Stat. 6 (1978) 461;
Kass & Raftery, J. Am. Stat. Assoc. 90 (1995) 773.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision_bound import (
    checked_false_alarm,
    global_p_value,
    local_p_value,
)
from inverse.phase_decision_null import Floats, Ints, Null, members, weighted
from inverse.phase_decision_scan import RESOLVED, Scan, scan, templates_of
from xrdct.compiled import single_threaded_algebra, threaded
from xrdct.errors import InputError

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Presence:
    """Phases of known cells, tested with all others among them free; all (pattern, phase).

    NaN where a pattern is undecided or other patterns can stand for the phase.
    """

    amount: Floats
    """Volume fraction, which may come out negative."""
    esd: Floats
    z: Floats
    p_value: Floats
    """Chance of such an amount or more where no more than the least is there."""
    present: Bools
    """p_value is at most the false-alarm probability."""
    bic: Floats


@dataclass(frozen=True, eq=False)
class FreeCell:
    """A phase looked for with any cell of a grid; all (pattern,), NaN where undecided."""

    place: Ints
    """The cell on the grid that answers best."""
    amount: Floats
    """Volume fraction with that cell."""
    esd: Floats
    """Of the amount, for that cell."""
    z: Floats
    p_value: Floats
    """Chance of such a z or more anywhere on the grid where no more than the least is there."""
    present: Bools
    """p_value is at most the false-alarm probability."""
    bic: Floats
    """With the cell as a second parameter."""
    examined: Bools
    """With the pattern's own weights. The others are far from being detected, and their values,
    under weights of the mean variance, are good to some 0.1 in z."""


def phases_present(
    null: Null,
    *,
    candidates: Floats,
    false_alarm: float = 1e-3,
    least: float = 0.0,
    inflation: Floats | None = None,
    workers: int | None = None,
) -> Presence:
    """Decide in every pattern which of the phases with patterns ``candidates`` are present.

    candidates: (phase, channel), as :func:`inverse.model.draw_patterns` makes them. Each is tested
    with free amounts of all the others, so that none is taken for another, and the false-alarm
    probability of each holds whatever else is there.

    Raises InputError for candidates of other channels, an impossible false-alarm probability or
    ``least``, or an ``inflation`` that is not one positive number for each pattern.
    """
    checked_false_alarm(false_alarm)
    _checked_least(np.array(least))
    candidates = _checked_candidates(candidates, null)
    errors = _checked_inflation(inflation, null)
    shape = len(null.residuals), len(candidates)
    amount, esd = np.full(shape, np.nan), np.full(shape, np.nan)
    parts = members(null.group)

    def test(first: int, last: int) -> None:
        for rows in parts[first:last]:
            amount[rows], esd[rows] = _amounts(null, rows, candidates)

    with single_threaded_algebra():
        threaded(test, len(parts), workers=workers)
    esd *= errors[:, None]
    z = (amount - least) / esd
    p_value = local_p_value(z)
    return Presence(
        amount=amount, esd=esd, z=z, p_value=p_value, present=p_value <= false_alarm,
        bic=np.maximum(z, 0.0) ** 2 - _log_channels(null)[:, None],
    )  # fmt: skip


def phase_with_free_cell(
    null: Null,
    *,
    templates: Floats,
    false_alarm: float = 1e-3,
    least: float = 0.0,
    inflation: Floats | None = None,
    workers: int | None = None,
) -> FreeCell:
    """Decide in every pattern whether a phase is there, with any of the cells of a grid.

    templates: its patterns along one path of cells, such as those of one shape that grow,
    (template, channel), so close to each other that one in between is found: a tenth of a peak's
    width. Templates that the known phases and background can stand for are left out.

    Raises InputError as :func:`phases_present`.
    """
    templates = _checked_candidates(templates, null)
    n_groups = int(null.group.max(initial=0)) + 1
    everywhere = np.ones((n_groups, len(templates)), bool)
    return decided(
        null, templates=templates, allowed=everywhere, false_alarm=false_alarm,
        least=np.full(len(null.residuals), least), inflation=inflation, workers=workers,
    )  # fmt: skip


def decided(
    null: Null,
    *,
    templates: Floats,
    allowed: Bools,
    false_alarm: float,
    least: Floats,
    inflation: Floats | None,
    workers: int | None,
) -> FreeCell:
    """Decide as :func:`phase_with_free_cell` with the templates allowed to each group.

    allowed: (group, template); least: (pattern,).
    """
    checked_false_alarm(false_alarm)
    _checked_least(least)
    errors = _checked_inflation(inflation, null)
    found: Scan = scan(
        null, templates=templates_of(templates), allowed=allowed, false_alarm=false_alarm,
        least=least, inflation=errors, workers=workers,
    )  # fmt: skip
    p_value = global_p_value(found.z, path_rad=found.path_rad, pieces=found.pieces)
    return FreeCell(
        place=found.best, amount=found.amount, esd=found.amount_esd, z=found.z, p_value=p_value,
        present=found.examined & (p_value <= false_alarm),
        bic=np.maximum(found.z, 0.0) ** 2 - 2.0 * _log_channels(null), examined=found.examined,
    )  # fmt: skip


def _amounts(null: Null, rows: Ints, candidates: Floats) -> tuple[Floats, Floats]:
    """Return amounts and their esd of all candidates refined together, (pattern, phase) each."""
    part = weighted(null, rows)
    along = part.along(candidates)
    pairs = (candidates[:, None] * candidates[None]).reshape(-1, candidates.shape[1])
    normal = (part.weight @ pairs.T).reshape(len(rows), len(candidates), len(candidates))
    length = np.sqrt(np.diagonal(normal, axis1=1, axis2=2))
    normal -= np.swapaxes(along, 1, 2) @ along
    overlap = (part.weight * part.residual) @ candidates.T
    overlap -= np.einsum("nkp,nk->np", along, part.explained())
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)
    values, vectors = np.linalg.eigh(normal * unit[:, :, None] * unit[:, None, :])
    told_apart = values > RESOLVED
    inverse = np.where(told_apart, 1.0 / np.where(told_apart, values, 1.0), 0.0)
    turned = vectors * unit[:, :, None]
    amount = np.einsum("npk,nk,nqk,nq->np", turned, inverse, turned, overlap)
    variance = np.einsum("npk,nk->np", turned**2, inverse)
    blurred = np.einsum("npk,nk->np", vectors**2, (~told_apart).astype(float)) > RESOLVED
    unknown = blurred | (unit == 0.0)
    return np.where(unknown, np.nan, amount), np.where(unknown, np.nan, np.sqrt(variance))


def _log_channels(null: Null) -> Floats:
    counted = (null.variance > 0.0) & np.isfinite(null.residuals)
    return np.asarray(np.log(np.maximum(np.count_nonzero(counted, axis=1), 1)))


def _checked_candidates(candidates: Floats, null: Null) -> Floats:
    candidates = np.ascontiguousarray(candidates, dtype=np.float64)
    if candidates.ndim != 2 or candidates.shape[1] != null.residuals.shape[1]:
        raise InputError(
            f"patterns of phases must have {null.residuals.shape[1]} channels, not the shape "
            f"{candidates.shape}"
        )
    return candidates


def _checked_least(least: Floats) -> None:
    if np.any(least < 0.0):
        raise InputError(f"the least amount that counts must not be negative: {np.min(least):g}")


def _checked_inflation(inflation: Floats | None, null: Null) -> Floats:
    n = len(null.residuals)
    if inflation is None:
        return np.ones(n)
    errors = np.asarray(inflation, dtype=np.float64)
    if errors.shape != (n,) or np.any(errors <= 0.0):
        raise InputError(f"inflation must be {n} positive numbers, one for each pattern")
    return errors
