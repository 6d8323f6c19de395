"""What all pixels share, from the rays: the widths of lines, and how rings weaken with angle.

Voxels of back projection tell both with a bias where rings fluctuate, by noise, streaks or few
crystallites: each has an amount of its own, so that rings which scatter most draw it to themselves,
and those voxels seem full whose rings happen to be strong. Rays need no choice of voxels. At a
state of the direct fit, what the pixels show changes with the parameters p_k of
:mod:`inverse.shared` by

    J_k = Σ_pixels (path)·φ·∂C(a)/∂p_k,

and the misfit r of all rays tells the change of p by one step of weighed least squares within the
limits of p,

    min ‖J·δ − r‖²_F,

F being the filter of :mod:`inverse.direct_fit`. A common factor of all amounts and a common change
of all lattice parameters are unknown beside p, as the state has adapted to p so far. The step is
repeated between the stages of the fit. What is found holds for this fit alone: it makes good what
else its patterns lack, such as the lines of other phases, which a refinement of all phases has.

Source: Björck, Numerical Methods for Least Squares Problems (1996), ch. 9, for the Gauss–Newton
method, and ch. 5 for limits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from inverse.direct_fit import Problem, State
from inverse.direct_shapes import Shapes
from inverse.lattice_model import Build
from inverse.refine import LatticeModel
from inverse.shared import (
    DIFFERENCE,
    INSIDE,
    LOWER,
    UPPER,
    Shared,
    as_parameters,
    from_parameters,
)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_UPPER = np.array([*UPPER[:2], 4.0])
"""B_iso up to 4 Å² larger: trimming takes most of faint rings."""
_RIDGE = 1e-4
"""Added to the squared lengths of the J_k, as 1: size and strain widen lines nearly alike."""


def within_limits(shared: Shared) -> Shared:
    """Return what pixels share, moved to between the limits from which the rays refine it."""
    return from_parameters(as_parameters(shared, upper=_UPPER))


def shared_by_rays(problem: Problem, state: State, *, build: Build, shared: Shared) -> Shared:
    """Return what pixels share, one step from ``shared``, by which the problem's shapes are made.

    Where pixels show nothing, or rays are not numbers, it stays. ``shared`` lies within the limits.
    """
    here = as_parameters(shared, upper=_UPPER)
    shapes = problem.shapes
    curve = curve_of(build(from_parameters(here)), shapes)
    changes = [
        (curve_of(build(from_parameters(here + step)), shapes) - curve) / DIFFERENCE
        for step in DIFFERENCE * np.eye(here.size)
    ]
    common = [curve, np.gradient(curve, axis=0)]
    misfit = problem.measured - problem.shown(state)
    parts = [_shown(problem, state, change) for change in changes + common]
    free = np.full(len(common), np.inf)
    step = _least_squares(
        problem, misfit, parts,
        ridge=np.repeat([_RIDGE, 0.0], [len(changes), len(common)]),
        lower=np.concatenate([LOWER + INSIDE - here, -free]),
        upper=np.concatenate([_UPPER - INSIDE - here, free]),
    )  # fmt: skip
    return shared if step is None else from_parameters(here + step[: here.size])


def curve_of(model: LatticeModel, shapes: Shapes) -> Floats:
    """Return a model's patterns by given shapes, (node, shape), at the shapes' own nodes.

    The model must have these among its lattice parameters.
    """
    first = int(np.argmin(np.abs(model.a_A - shapes.a_A[0])))
    templates = model.templates[first : first + shapes.a_A.size]
    return np.asarray(templates @ shapes.from_channels.astype(np.float64))


def _shown(problem: Problem, state: State, curve: Floats) -> Singles:
    """Return what the pixels would show if their patterns were ``curve``."""
    single = np.ascontiguousarray(curve, dtype=np.float32)
    return replace(problem, shapes=replace(problem.shapes, curve=single)).shown(state)


def _least_squares(
    problem: Problem,
    misfit: Singles,
    parts: list[Singles],
    *,
    ridge: Floats,
    lower: Floats,
    upper: Floats,
) -> Floats | None:
    """Return the factors of the parts whose sum is nearest to the misfit, (part,), within limits.

    None where no part is there, or the misfit is no number. lower and upper hold zero.
    """
    filtered = [problem.filtered(part) for part in parts]
    normal = np.array([[float(np.vdot(row, part)) for part in parts] for row in filtered])
    right = np.array([float(np.vdot(row, misfit)) for row in filtered])
    length = np.sqrt(np.diag(normal))
    if not (np.isfinite(right).all() and length.any()):
        return None
    unit = np.where(length > 0.0, length, 1.0)
    scaled = normal / np.outer(unit, unit) + np.diag(np.where(length > 0.0, ridge, 1.0))
    # A root of the normal matrix makes a problem of so few rows that has the same solution.
    size, directions = np.linalg.eigh(scaled)
    root = np.sqrt(np.maximum(size, np.finfo(float).eps))[:, None] * directions.T
    target = np.linalg.solve(root.T, right / unit)
    found = lsq_linear(root, target, bounds=(lower * unit, upper * unit), method="bvls")
    return np.asarray(found.x / unit)
