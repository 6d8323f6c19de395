"""What all pixels share, from the rays: the widths of lines, and how rings weaken with angle.

Voxels of back projection tell both with a bias where rings fluctuate, by noise, streaks or few
crystallites: each has an amount of its own, so that rings which scatter most draw it to themselves,
and those voxels seem full whose rings happen to be strong. Rays need no choice of voxels. At a
state of the direct fit, what the pixels show changes with the parameters p_k of
:mod:`inverse.shared` by

    J_k = Σ_pixels (path)·φ·∂C(a)/∂p_k,

and the misfit r of all rays tells the change of p by one step of weighed least squares,

    (JᵀFJ)·δ = JᵀFr,

F being the filter of :mod:`inverse.direct_fit`. A common factor of all amounts and a common change
of all lattice parameters are unknown beside p, as the state has adapted to p so far. The step is
repeated between the stages of the fit. What is found holds for this fit alone: it makes good what
else its patterns lack, such as the lines of other phases, which a refinement of all phases has.

Source: Björck, Numerical Methods for Least Squares Problems (1996), ch. 9, for the Gauss–Newton
method.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inverse.direct_fit import Problem, State
from inverse.direct_shapes import Shapes
from inverse.lattice_model import Build
from inverse.refine import LatticeModel
from inverse.shared import DIFFERENCE, LOWER, UPPER, Shared, as_parameters, from_parameters

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_RIDGE = 1e-4
"""Added to the squared lengths of the J_k, as 1: size and strain widen lines nearly alike."""
_INSIDE = 1e-3
"""How far parameters stay from their limits."""


def shared_by_rays(problem: Problem, state: State, *, build: Build, shared: Shared) -> Shared:
    """Return what pixels share, one step from ``shared``, by which the problem's shapes are made.

    Without material, or where no pattern answers to a parameter, what cannot be told stays.
    """
    here = as_parameters(shared)
    shapes = problem.shapes
    curve = curve_of(build(shared), shapes)
    changes = [
        (curve_of(build(from_parameters(here + step)), shapes) - curve) / DIFFERENCE
        for step in DIFFERENCE * np.eye(here.size)
    ]
    common = [curve, np.gradient(curve, axis=0)]
    misfit = problem.measured - problem.shown(state)
    ridge = np.repeat([_RIDGE, 0.0], [len(changes), len(common)])
    parts = [_shown(problem, state, change) for change in changes + common]
    step = _least_squares(problem, misfit, parts, ridge)[: here.size]
    return from_parameters(np.clip(here + step, LOWER + _INSIDE, UPPER - _INSIDE))


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
    problem: Problem, misfit: Singles, parts: list[Singles], ridge: Floats
) -> Floats:
    """Return the factors of the parts whose sum is nearest to the misfit, (part,)."""
    filtered = [problem.filtered(part) for part in parts]
    normal = np.array([[float(np.vdot(row, part)) for part in parts] for row in filtered])
    right = np.array([float(np.vdot(row, misfit)) for row in filtered])
    length = np.sqrt(np.diag(normal))
    known = length > 0.0
    unit = np.where(known, length, 1.0)
    scaled = normal / np.outer(unit, unit) + np.diag(np.where(known, ridge, 1.0))
    return np.where(known, np.linalg.solve(scaled, right / unit) / unit, 0.0)
