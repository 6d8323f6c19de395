"""Strategies for what is measured: crystals, compositions, particles, electrodes.

Numbers are drawn from short decimal grids, the simplest first, so that a failing example shrinks to
few particles of round numbers and prints as a short file. Everything drawn is admissible: contents
are those of a spinel, shells fit into their particle, particles do not overlap.
"""

from __future__ import annotations

import math

from hypothesis import strategies as st

from phantoms.library import Electrode
from phantoms.particle import Law, Particle, RadialLaw, Shell
from xrdct.crystal import Crystal, crystal_names, load_crystal

_EXCESS = (0.0, 0.05, 0.1)
_SHELL_PHASES = ("Li2MnO3", "LiMnO2-rocksalt")
_GRID_UM = 0.5
_GAP_UM = 0.1


def grid(low: float, high: float, *, step: float, simplest: float) -> st.SearchStrategy[float]:
    """Return numbers low, low + step, … high, which shrink towards ``simplest``."""
    first, last = round((low - simplest) / step), round((high - simplest) / step)
    return st.integers(first, last).map(lambda k: round(simplest + k * step, 9))


def names_of_crystals() -> st.SearchStrategy[str]:
    """Return names of built-in crystals, LiMn2O4 the simplest."""
    names = sorted(crystal_names(), key=lambda name: (name != "LiMn2O4", name))
    return st.sampled_from(names)


def crystals() -> st.SearchStrategy[Crystal]:
    """Return built-in crystals, LiMn2O4 the simplest, with cells of 0.98 to 1.02 their size."""
    scales = grid(0.98, 1.02, step=0.005, simplest=1.0)
    return st.builds(
        lambda name, scale: load_crystal(name).scaled(scale), names_of_crystals(), scales
    )


@st.composite
def compositions(draw: st.DrawFn, *, gradients: bool = True) -> tuple[Law, float]:
    """Return lithium content and excess (x, y) of a spinel, Li1.0Mn2O4 the simplest.

    Contents reach from three quarters full to full. With ``gradients`` x may change along the
    radius.
    """
    y = draw(st.sampled_from(_EXCESS))

    def content() -> float:
        filled = draw(grid(0.75, 1.0, step=0.01, simplest=1.0))
        return round(3.0 * y + filled * (1.0 - 3.0 * y), 6)

    if gradients and draw(st.booleans()):
        return RadialLaw(core=content(), surface=content()), y
    return content(), y


@st.composite
def shells(draw: st.DrawFn, *, radius_um: float) -> Shell:
    """Return a shell of a second phase that lies within a particle of this radius."""
    return Shell(
        phase=draw(st.sampled_from(_SHELL_PHASES)),
        thickness_um=draw(grid(0.5, max(0.5, radius_um), step=0.5, simplest=0.5)),
        weight_fraction=draw(grid(0.02, 0.3, step=0.02, simplest=0.02)),
    )


@st.composite
def particles(
    draw: st.DrawFn,
    *,
    largest_um: float = 16.0,
    centre_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
    grains: bool = True,
) -> Particle:
    """Return one particle, a uniform compact sphere of LiMn2O4 the simplest.

    Diameters reach from 4 µm to ``largest_um``. With ``grains`` its crystallites may be countable.
    """
    diameter_um = draw(grid(4.0, max(4.0, largest_um), step=_GRID_UM, simplest=4.0))
    x, y = draw(compositions())
    coated = draw(st.booleans())
    spots = draw(st.booleans()) if grains else False
    return Particle(
        centre_um=centre_um,
        diameter_um=diameter_um,
        x=x,
        y=y,
        shells=(draw(shells(radius_um=0.5 * diameter_um)),) if coated else (),
        porosity=draw(grid(0.0, 0.3, step=0.05, simplest=0.0)),
        crystallite_size_nm=draw(grid(100.0, 400.0, step=50.0, simplest=200.0)),
        strain=draw(st.sampled_from((0.0, 2.5e-4, 5e-4, 1e-3))),
        grain_um=0.2 if spots else None,
    )


@st.composite
def particle_lists(
    draw: st.DrawFn,
    *,
    reach_um: float = 10.0,
    smallest_number: int = 0,
    largest_number: int = 3,
    grains: bool = True,
) -> tuple[Particle, ...]:
    """Return particles that do not overlap, within ``reach_um`` of the axis in every direction.

    ``reach_um`` is at least 4. Particles that would overlap an earlier one are left out; the first
    always stays.
    """
    count = draw(st.integers(smallest_number, largest_number))
    kept: list[Particle] = []
    for _ in range(count):
        particle = draw(particles(largest_um=min(16.0, 1.5 * reach_um), grains=grains))
        room_um = max(0.0, reach_um - particle.radius_um)
        side_um = math.floor(room_um / math.sqrt(2.0) / _GRID_UM) * _GRID_UM
        across = grid(-side_um, side_um, step=_GRID_UM, simplest=0.0)
        up = grid(-1.0, 1.0, step=_GRID_UM, simplest=0.0)
        placed = particle.model_copy(update={"centre_um": (draw(across), draw(across), draw(up))})
        if all(_apart(placed, other) for other in kept):
            kept.append(placed)
    return tuple(kept)


@st.composite
def electrodes(draw: st.DrawFn, *, largest_um: float = 40.0) -> Electrode:
    """Return options of a random electrode, loosely packed so that there is room for all.

    Its particles are drawn by the seed of the experiment.
    """
    return Electrode(
        diameter_um=draw(grid(20.0, max(20.0, largest_um), step=2.0, simplest=20.0)),
        volume_fraction=draw(grid(0.1, 0.3, step=0.05, simplest=0.2)),
        median_particle_um=draw(grid(3.0, 5.0, step=0.5, simplest=4.0)),
        sigma_log=0.3,
        smallest_particle_um=2.0,
        largest_particle_um=8.0,
        filled_fraction=draw(grid(0.8, 1.0, step=0.05, simplest=0.9)),
        filled_gradient=draw(grid(-0.1, 0.1, step=0.05, simplest=0.0)),
        li_rich_share=draw(st.sampled_from((0.0, 0.2, 1.0))),
        shell_share=draw(st.sampled_from((0.0, 0.2, 1.0))),
        porosity=draw(grid(0.0, 0.2, step=0.05, simplest=0.0)),
    )


def _apart(one: Particle, other: Particle) -> bool:
    distance_um = math.dist(one.centre_um, other.centre_um)
    return distance_um > one.radius_um + other.radius_um + _GAP_UM
