"""The signal of a phase whose cell is not known: z for every cell, of every pattern.

Every pattern is first matched with the whole grid of cells under one weight per channel, that of
the mean variance: one matrix product for all patterns with nearly the same columns. Where that
comes near the threshold the pattern is decided exactly, with its own weights and columns. All that
takes is inner products of templates beyond the columns, F W Fᵀ for neighbours on the grid and F W r
for the residual, again matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.phase_decision_bound import global_threshold
from inverse.phase_decision_null import (
    UNDECIDED,
    Floats,
    Ints,
    Null,
    Weighted,
    members,
    orthonormal,
    weighted,
)
from inverse.starting_values import typical_weight
from xrdct.compiled import single_threaded_algebra, threaded

Bools = NDArray[np.bool_]

RESOLVED = 1e-6
"""Share of a pattern's ⟨f, f⟩ left beyond the columns, below which it says nothing of its own: what
interpolation leaves of the known phases is as large."""
MARGIN = 1.0
"""Patterns whose match under the mean variance is that far below the threshold are not examined."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Where each pattern answers best to a further lattice; NaN where undecided."""

    z: Floats
    """The largest excess of an amount over what does not count, over its esd, (pattern,)."""
    best: Ints
    """The template that gives it, (pattern,)."""
    amount: Floats
    """Amount of that template, (pattern,)."""
    amount_esd: Floats
    path_rad: Floats
    """Length of the path of all templates on the unit sphere, (pattern,)."""
    pieces: Ints
    """Pieces of that path, (pattern,)."""
    examined: Bools
    """With the pattern's own weights; others under those of the mean variance, (pattern,)."""


@dataclass(frozen=True, eq=False)
class Templates:
    """Patterns of pure phase on a grid of cells, and products that need computing only once."""

    patterns: Floats
    """Shape (template, channel)."""
    squares: Floats
    """Of each, (template, channel)."""
    products: Floats
    """Of each with the next, (template − 1, channel)."""


@dataclass(frozen=True, eq=False)
class _Path:
    """Lengths and directions of templates beyond the columns."""

    norm: Floats
    """√⟨f, f⟩, 0 where not resolved, (…, template)."""
    usable: Bools
    path_rad: Floats
    pieces: Ints


def templates_of(patterns: Floats) -> Templates:
    """Return what a scan needs of the patterns on a grid of cells, (template, channel)."""
    patterns = np.ascontiguousarray(patterns, dtype=np.float64)
    return Templates(patterns, patterns**2, patterns[:-1] * patterns[1:])


def path_of(templates: Floats, *, columns: Floats, variance: Floats) -> float:
    """Return the length of the path of templates (template, channel) beyond columns, rad.

    columns (column, channel): what else is refined; variance (channel,).
    """
    weight = typical_weight(np.asarray(variance)[None])
    part = orthonormal(weight[None], np.zeros((1, weight.size)), columns)
    path, _ = _path(part, templates_of(templates), np.ones(len(templates), bool))
    return float(path.path_rad[0])


def scan(
    null: Null,
    *,
    templates: Templates,
    allowed: Bools,
    false_alarm: float,
    least: Floats,
    inflation: Floats,
    workers: int | None = None,
) -> Scan:
    """Return the best match of every pattern among the templates that its group allows.

    allowed: (group, template). Amounts up to ``least`` (pattern,) do not count, and errors are
    ``inflation`` (pattern,) times those of the variance.
    """
    n = len(null.residuals)
    found = Scan(
        z=np.full(n, np.nan), best=np.zeros(n, np.int64), amount=np.full(n, np.nan),
        amount_esd=np.full(n, np.nan), path_rad=np.full(n, np.nan),
        pieces=np.zeros(n, np.int64), examined=np.zeros(n, bool),
    )  # fmt: skip
    weight = typical_weight(null.variance)
    parts = members(null.group)
    near = np.zeros(n, bool)

    def screen(first: int, last: int) -> None:
        for rows in parts[first:last]:
            _screen(null, rows, templates, weight, allowed, least, inflation, found)
            limit = global_threshold(
                false_alarm, path_rad=found.path_rad[rows[0]], pieces=found.pieces[rows[0]]
            )
            near[rows] = found.z[rows] > limit - MARGIN

    with single_threaded_algebra():
        threaded(screen, len(parts), workers=workers)
    chosen = members(np.where(near, null.group, UNDECIDED))

    def examine(first: int, last: int) -> None:
        for rows in chosen[first:last]:
            _examine(null, rows, templates, allowed, least, inflation, found)

    with single_threaded_algebra():
        threaded(examine, len(chosen), workers=workers)
    return found


def _screen(
    null: Null,
    rows: Ints,
    templates: Templates,
    weight: Floats,
    allowed: Bools,
    least: Floats,
    inflation: Floats,
    found: Scan,
) -> None:
    """Match patterns of a group under the weight of the mean variance."""
    group = int(null.group[rows[0]])
    mean = orthonormal(weight[None], np.zeros((1, weight.size)), null.columns(group))
    path, along = _path(mean, templates, allowed[group])
    unit = np.divide(1.0, path.norm[0], out=np.zeros_like(path.norm[0]), where=path.usable[0])
    beyond = templates.patterns - (along[0].T @ mean.mixing[0]) @ mean.columns
    filters = (beyond * (weight * unit[:, None])).astype(np.float32)
    residual = null.residuals[rows]
    ratio = null.variance[rows] * weight.astype(np.float32)
    counted = np.isfinite(residual) & (ratio > 0.0)
    louder = np.where(counted, ratio, 0.0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    scatter = np.sqrt(np.where(louder > 0.0, louder, np.nan)) * inflation[rows]
    z = (np.where(counted, residual, np.float32(0.0)) @ filters.T) / scatter[:, None]
    _store_best(found, rows, z, scatter[:, None] * unit, path.usable, least)
    found.path_rad[rows], found.pieces[rows] = path.path_rad[0], path.pieces[0]


def _examine(
    null: Null,
    rows: Ints,
    templates: Templates,
    allowed: Bools,
    least: Floats,
    inflation: Floats,
    found: Scan,
) -> None:
    """Match patterns of a group with their own weights."""
    part = weighted(null, rows)
    path, along = _path(part, templates, allowed[null.group[rows[0]]])
    overlap = (part.weight * part.residual) @ templates.patterns.T
    overlap -= np.einsum("nkt,nk->nt", along, part.explained())
    unit = np.divide(1.0, path.norm, out=np.zeros_like(path.norm), where=path.usable)
    z = overlap * unit / inflation[rows, None]
    _store_best(found, rows, z, inflation[rows, None] * unit, path.usable, least)
    found.path_rad[rows], found.pieces[rows] = path.path_rad, path.pieces
    found.examined[rows] = True


def _store_best(
    found: Scan, rows: Ints, z: Floats, esd: Floats, usable: Bools, least: Floats
) -> None:
    """Keep the template of largest excess; z, esd and usable are (pattern, template)."""
    excess = least[rows, None] / np.where(usable, esd, 1.0)
    above = np.where(usable & np.isfinite(z), z - excess, -np.inf)
    best = np.argmax(above, axis=1)
    here = np.arange(rows.size), best
    known = np.isfinite(above[here])
    found.best[rows] = best
    found.z[rows] = np.where(known, above[here], np.nan)
    found.amount_esd[rows] = np.where(known, esd[here], np.nan)
    found.amount[rows] = np.where(known, z[here] * esd[here], np.nan)


def _path(part: Weighted, templates: Templates, mask: Bools) -> tuple[_Path, Floats]:
    """Return the path of the templates, and their components along the columns.

    The components are (pattern, column, template); the mask, (template,), cuts the path.
    """
    along = part.along(templates.patterns)
    whole = part.weight @ templates.squares.T
    squares = whole - np.einsum("nkt,nkt->nt", along, along)
    usable = mask & (squares > RESOLVED * whole)
    norm = np.sqrt(np.where(usable, squares, 0.0))
    both = usable[:, :-1] & usable[:, 1:]
    cross = part.weight @ templates.products.T
    cross -= np.einsum("nkt,nkt->nt", along[:, :, :-1], along[:, :, 1:])
    lengths = norm[:, :-1] * norm[:, 1:]
    cosine = np.divide(cross, lengths, out=np.ones_like(cross), where=both)
    angles = np.arccos(np.clip(cosine, -1.0, 1.0))
    return _Path(
        norm=norm,
        usable=usable,
        path_rad=np.where(both, angles, 0.0).sum(axis=1),
        pieces=usable.sum(axis=1) - both.sum(axis=1),
    ), along
