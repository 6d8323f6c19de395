"""The crystals that an experiment or a recipe names: are they there, and where their files lie.

A crystal is named by a built-in name or by the path of a CIF file, relative to the file that names
it. What leaves the experiment, the recipe in a raw scan, carries whole paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from inverse.recipe import FixedPhase, Recipe, RefinedPhase
from inverse.rietveld_recipe import RietveldPhase
from xrdct.conversion import two_theta_rad
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.reflections import powder_reflections

PhaseT = TypeVar("PhaseT", RefinedPhase, FixedPhase, RietveldPhase)

_SUFFIX = ".cif"
_FARTHEST = 0.1
"""Share by which a refined lattice parameter may differ from that of the structure."""
_NARROWEST_A = 0.01
"""Range of lattice parameters that can be searched: ten templates."""


def check_crystal(source: str, *, key: str, folder: Path) -> None:
    """Raise InputError, naming ``key``, where there is no such crystal or its file is refused."""
    try:
        find_crystal(source, folder=folder)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def check_recipe(recipe: Recipe, *, folder: Path, key: str = "") -> None:
    """Raise InputError for a crystal of the recipe that is missing, or cannot be refined."""
    check_crystal(recipe.phase.crystal, key=f"{key}phase.crystal", folder=folder)
    _check_refined(recipe.phase, key=f"{key}phase", folder=folder)
    for i, phase in enumerate(recipe.fixed_phases):
        check_crystal(phase.crystal, key=f"{key}fixed_phases[{i}].crystal", folder=folder)
        if phase.crystal in {other.crystal for other in recipe.fixed_phases[:i]}:
            raise InputError(f"{key}fixed_phases[{i}].crystal: {phase.crystal} is listed twice")
    for i, looked_for in enumerate(recipe.regions.phases):
        check_crystal(looked_for.crystal, key=f"{key}regions.phases[{i}].crystal", folder=folder)
    for i, refined in enumerate(recipe.rietveld.phases if recipe.rietveld else ()):
        check_crystal(refined.crystal, key=f"{key}rietveld.phases[{i}].crystal", folder=folder)


def _check_refined(phase: RefinedPhase, *, key: str, folder: Path) -> None:
    """Only a cubic phase is refined, at lattice parameters that its structure may have."""
    a, b, c, *angles = find_crystal(phase.crystal, folder=folder).cell_A_deg
    if not (a == b == c and np.all(np.array(angles) == 90.0)):
        raise InputError(f"{key}.crystal: {phase.crystal} is not cubic, so cannot be refined")
    if phase.a_max_A - phase.a_min_A < _NARROWEST_A:
        raise InputError(
            f"{key}: a_max_A ({phase.a_max_A:g}) must exceed a_min_A ({phase.a_min_A:g}) by at "
            f"least {_NARROWEST_A:g} Å"
        )
    low_A, high_A = (1.0 - _FARTHEST) * a, (1.0 + _FARTHEST) * a
    if not low_A <= phase.a_min_A < phase.a_max_A <= high_A:
        raise InputError(
            f"{key}: a_min_A ({phase.a_min_A:g}) and a_max_A ({phase.a_max_A:g}) must lie within "
            f"{_FARTHEST:.0%} of a = {a:g} Å of {phase.crystal}"
        )


def check_lines(
    source: str, *, key: str, folder: Path, least: int, beam: Beam, geometry: Geometry
) -> None:
    """Raise InputError unless at least ``least`` lines of a crystal fall inside the pattern."""
    lines = powder_reflections(
        find_crystal(source, folder=folder),
        energy_keV=beam.energy_keV,
        two_theta_max_rad=float(np.deg2rad(geometry.two_theta_max_deg)),
    )
    angle_deg = np.rad2deg(two_theta_rad(lines.d_A, wavelength_A=beam.wavelength_A))
    inside = int(np.sum(angle_deg > geometry.two_theta_min_deg))
    if inside < least:
        raise InputError(
            f"{key}: at least {least} of the lines of {source} must lie between "
            f"{geometry.two_theta_min_deg:g}° and {geometry.two_theta_max_deg:g}° of 2θ (see "
            f"geometry), but {inside} do"
        )


def placed(source: str, *, folder: Path) -> str:
    """Return the whole path of a CIF file, which holds from anywhere; other names as they are."""
    return str((folder / source).resolve()) if source.lower().endswith(_SUFFIX) else source


def placed_recipe(recipe: Recipe, *, folder: Path) -> Recipe:
    """Return the recipe with whole paths to its CIF files; phases keep their names."""

    def at(phase: PhaseT, **more: str) -> PhaseT:
        return phase.model_copy(update={"crystal": placed(phase.crystal, folder=folder)} | more)

    looked_for = (at(p, name=p.name or phase_name(p.crystal)) for p in recipe.regions.phases)
    update: dict[str, object] = {
        "phase": at(recipe.phase),
        "fixed_phases": tuple(at(phase) for phase in recipe.fixed_phases),
        "regions": recipe.regions.model_copy(update={"phases": tuple(looked_for)}),
    }
    if recipe.rietveld is not None:
        refined = tuple(at(p, name=p.label) for p in recipe.rietveld.phases)
        update["rietveld"] = recipe.rietveld.model_copy(update={"phases": refined})
    return recipe.model_copy(update=update)


def phase_name(source: str) -> str:
    """Return what to call a phase: the name of its crystal, not the folder of its file."""
    return Path(source).stem if source.lower().endswith(_SUFFIX) else source
