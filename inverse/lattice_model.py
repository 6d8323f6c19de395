"""The model of a voxel's pattern that a recipe says, and what all voxels share of it.

The refined phase is drawn once for every lattice parameter that the recipe allows,
`TEMPLATE_SPACING_A` apart; patterns of the fixed phases and the background terms are linear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inverse.model import (
    TEMPLATE_SPACING_A,
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.recipe import Calibration, Recipe
from inverse.refine import LatticeModel
from inverse.shared import Shared, refine_shared
from xrdct.crystal import Crystal
from xrdct.crystal_source import find_crystal
from xrdct.instrument import Beam, Geometry

Build = Callable[[Shared], LatticeModel]
Singles = NDArray[np.float32]


def calibrated_instrument(recipe: Recipe, *, beam: Beam, geometry: Geometry) -> Instrument:
    """Return the instrument as it was calibrated, or as it is said to be."""
    calibration = recipe.calibration or Calibration(distance_m=geometry.distance_m)
    return Instrument(beam, geometry, calibration)


def lattice_model_builder(
    recipe: Recipe, *, beam: Beam, geometry: Geometry, crystal: Crystal | None = None
) -> Build:
    """Return what makes the model from the parameters all voxels share.

    ``crystal`` takes the place of the refined phase that the recipe names.
    """
    phase = recipe.phase
    instrument = calibrated_instrument(recipe, beam=beam, geometry=geometry)
    n_templates = round((phase.a_max_A - phase.a_min_A) / TEMPLATE_SPACING_A) + 1
    a_A = phase.a_min_A + TEMPLATE_SPACING_A * np.arange(n_templates, dtype=np.float64)
    lines = lattice_lines(crystal or find_crystal(phase.crystal), a_A, beam=beam, geometry=geometry)
    fixed = [
        draw_patterns(
            phase_lines([find_crystal(p.crystal)], beam=beam, geometry=geometry),
            instrument=instrument,
            crystallite_size_nm=p.crystallite_size_nm,
            strain=p.strain,
        )[0]
        for p in recipe.fixed_phases
    ]
    background = chebyshev_background(geometry.n_channels, n_terms=recipe.n_background)
    linear = np.array([*fixed, *background])

    def build(shared: Shared) -> LatticeModel:
        templates = draw_patterns(
            lines,
            instrument=instrument,
            crystallite_size_nm=shared.crystallite_size_nm,
            strain=shared.strain,
            b_iso_change_A2=shared.b_iso_change_A2,
        )
        return LatticeModel(a_A=a_A, templates=templates, linear=linear)

    return build


def shared_start(given: Shared | Mapping[str, float] | None = None, *, recipe: Recipe) -> Shared:
    """Return what all voxels share as it is given, or as far as it is not, as the recipe has it."""
    start = Shared(recipe.phase.crystallite_size_nm, recipe.phase.strain)
    if given is None:
        return start
    return given if isinstance(given, Shared) else replace(start, **dict(given))


def shared_of_voxels(
    patterns: Singles,
    *,
    variance: Singles,
    build: Build,
    recipe: Recipe,
    workers: int | None = None,
) -> Shared:
    """Return what all voxels share, refined from their patterns where the recipe wants it."""
    start = shared_start(recipe=recipe)
    if not recipe.refine_shared:
        return start
    return refine_shared(patterns, variance=variance, build=build, start=start, workers=workers)
