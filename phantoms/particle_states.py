"""What the study's two particles are made of at each of its five scans.

The study (Finegan et al., Nat. Commun. 11 (2020) 631, figures 3 to 5) says of Particle 1: spinel
Li1.10Mn1.90O4 at the surface to Li1.05Mn1.95O4 in the core; 3 to 4 wt % Li2MnO3 at the surface and
below, none deeper; an abnormally high fraction of Li0.5Mn2O4 throughout; some rock-salt LiMnO2; a
highest in the core, the more so the more lithium. Of Particle 2: uniform in depth; across the first
two-phase window between two scans; rock salt at every depth, up to 26 wt %; Li0.5Mn2O4 in scan 2
only, at each depth; strain rising with lithiation. All other numbers here are assumptions:

- Filled fractions f: Particle 1's such that a lies inside the first window of LiMn2O4 in scans 1, 2
  and above 8.223 Å in the core in scan 5; Particle 2's within 0.12 of the mean of the electrode,
  outside both windows.
- Particle 1's core is ahead of its surface by up to 0.03 in f. With the two ends of the law a(f)
  for y = 0.05 and 0.10 this makes a rise towards the core by 0, 4, 8, 13 and 15 mÅ.
- How much Li0.5Mn2O4 there is, and how Particle 1's changes with depth and scan.
- Particle 2's rock salt before scan 5, strains, and that Li2MnO3 falls from 4 to 3 wt % over 2 µm.

Filled fractions are those of the spinel. The lithium of LiMnO2 (2 per Mn2O4) is not in them: 26
wt % formed from Li0.174Mn2O4 would take up 0.6 of all that the discharge delivers to the particle,
which a spinel that is nearly full beside it leaves no room for (:mod:`phantoms.operando_counting`).

Lithium is counted per O4, which is Mn2O4 in all phases but those rich in lithium, and weight
fractions are taken for shares of O4: weights per O4, 174 to 188, differ by 4 % from their middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phantoms.particle import Law, Particle, RadialLaw, Shell

Array: TypeAlias = NDArray[np.float64]
Pair: TypeAlias = tuple[float, float]
"""At the surface, in the core."""

CORE_Y, SURFACE_Y = 0.05, 0.10
LI2MNO3_UM = 2.0
"""How deep the Li2MnO3 of Li-rich particles reaches."""
LI2MNO3: Pair = (0.04, 0.03)

_ROCK_SALT = "LiMnO2-rocksalt"
_INTERMEDIATE = "Li0.5Mn2O4"
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)  # exact to degree 7; the integrands have 4


@dataclass(frozen=True)
class LiRichState:
    """Particle 1, and the Li-rich particles of the electrode, at one scan."""

    filled: float
    """Mean filled fraction of the spinel, weighted with capacity."""
    core_lead: float
    """Filled fraction of the core less that of the surface."""
    intermediate: Pair
    """Weight fraction of Li0.5Mn2O4, linear in depth."""
    rock_salt: float
    """Weight fraction of LiMnO2, the same at every depth."""
    strain: float


@dataclass(frozen=True)
class SpinelState:
    """Particle 2, and the bulk of the electrode, at one scan; the same at every depth."""

    filled: float
    rock_salt: float
    """Weight fraction of LiMnO2."""
    intermediate: float
    """Weight fraction of Li0.5Mn2O4."""
    strain: float


PARTICLE_1: tuple[LiRichState, ...] = (
    LiRichState(0.15, core_lead=0.0, intermediate=(0.10, 0.06), rock_salt=0.01, strain=4e-4),
    LiRichState(0.32, core_lead=0.01, intermediate=(0.16, 0.12), rock_salt=0.02, strain=4e-4),
    LiRichState(0.52, core_lead=0.02, intermediate=(0.20, 0.15), rock_salt=0.02, strain=5e-4),
    LiRichState(0.78, core_lead=0.03, intermediate=(0.16, 0.12), rock_salt=0.03, strain=5e-4),
    LiRichState(0.97, core_lead=0.03, intermediate=(0.12, 0.08), rock_salt=0.04, strain=6e-4),
)
"""By scan, 1 to 5."""

PARTICLE_2: tuple[SpinelState, ...] = (
    SpinelState(0.174, rock_salt=0.03, intermediate=0.0, strain=3e-4),
    SpinelState(0.470, rock_salt=0.10, intermediate=0.2, strain=4e-4),
    SpinelState(0.560, rock_salt=0.16, intermediate=0.0, strain=5e-4),
    SpinelState(0.790, rock_salt=0.21, intermediate=0.0, strain=6.5e-4),
    SpinelState(0.930, rock_salt=0.26, intermediate=0.0, strain=8e-4),
)
"""By scan, 1 to 5."""


@dataclass(frozen=True, eq=False)
class LiRichFilling:
    """How the lithium of Li-rich particles is spread over their depth; fields of shape of R."""

    capacity: Array
    """Extractable lithium over that of a solid sphere of LiMn2O4 of the same size."""
    core: Array
    """Filled fraction at the centre."""
    surface: Array
    locked: Array
    """Lithium per O4 of the whole particle that does not come and go: 3y + y of the spinel, and
    that of Li0.5Mn2O4 and LiMnO2. That of Li2MnO3, the same at all scans, is left out."""


def lithium_content(filled: float, y: float) -> float:
    """Lithium content x of the filled fraction f: x = 3y + f (1 − 3y)."""
    return 3.0 * y + filled * (1.0 - 3.0 * y)


def li_rich_filling(
    state: LiRichState, *, filled: ArrayLike, radius_um: ArrayLike
) -> LiRichFilling:
    """Return core and surface such that the mean filled fraction is ``filled``, exactly.

    x and y are linear in r, so the lithium x − 3y at relative radius ρ is the linear interpolation
    of f (1 − 3y) at both ends. With moments m of the spinel's share u = 1 − weight fractions,

        m_core = 3 ∫ (1 − ρ) u ρ² dρ,   m_surface = 3 ∫ ρ u ρ² dρ,

    f is the mean of both ends with weights m (1 − 3y). The lead of the core is reduced where an
    end would be emptier than empty or fuller than full.
    """
    radius, mean = np.broadcast_arrays(
        np.asarray(radius_um, dtype=np.float64), np.asarray(filled, dtype=np.float64)
    )
    border = np.maximum(0.0, 1.0 - LI2MNO3_UM / radius)
    core, surface = np.zeros(radius.shape), np.zeros(radius.shape)
    for low, high in ((np.zeros(radius.shape), border), (border, np.ones(radius.shape))):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            rho = 0.5 * (low + high) + 0.5 * (high - low) * node
            share = 3.0 * rho**2 * _li_rich_share(state, rho, radius)
            measure = 0.5 * (high - low) * weight
            core += measure * (1.0 - rho) * share
            surface += measure * rho * share
    outer, inner = state.intermediate
    locked = 4.0 * (core * CORE_Y + surface * SURFACE_Y) + _secondary_lithium(
        rock_salt=state.rock_salt,
        intermediate=0.75 * outer + 0.25 * inner,  # ∫ 3ρ³ dρ = 3/4
    )
    core, surface = core * (1.0 - 3.0 * CORE_Y), surface * (1.0 - 3.0 * SURFACE_Y)
    capacity = core + surface
    of_core = core / capacity
    lead = np.minimum(state.core_lead, np.minimum((1.0 - mean) / (1.0 - of_core), mean / of_core))
    return LiRichFilling(
        capacity=capacity,
        core=mean + (1.0 - of_core) * lead,
        surface=mean - of_core * lead,
        locked=locked,
    )


def li_rich_particle(
    state: LiRichState, *, diameter_um: float, filled: float | None = None, **more: Any
) -> Particle:
    """Return a particle like Particle 1; ``more`` are further fields of `Particle`.

    ``filled`` takes the place of the state's mean filled fraction.
    """
    radius_um = 0.5 * diameter_um
    mean = state.filled if filled is None else filled
    filling = li_rich_filling(state, filled=mean, radius_um=radius_um)
    inside = [("Li2MnO3", LI2MNO3_UM, LI2MNO3), (_INTERMEDIATE, radius_um, state.intermediate)]
    inside.append((_ROCK_SALT, radius_um, (state.rock_salt, state.rock_salt)))
    return Particle(
        diameter_um=diameter_um,
        x=RadialLaw(
            core=lithium_content(float(filling.core), CORE_Y),
            surface=lithium_content(float(filling.surface), SURFACE_Y),
        ),
        y=RadialLaw(core=CORE_Y, surface=SURFACE_Y),
        shells=tuple(Shell(phase=p, thickness_um=t, weight_fraction=w) for p, t, w in inside),
        strain=state.strain,
        **more,
    )


def spinel_particle(
    state: SpinelState,
    *,
    diameter_um: float,
    x: Law | None = None,
    secondary_factor: float = 1.0,
    **more: Any,
) -> Particle:
    """Return a particle like Particle 2; ``x`` takes the place of the state's lithium content.

    ``secondary_factor`` multiplies what is no Fd-3m spinel.
    """
    inside = ((_ROCK_SALT, state.rock_salt), (_INTERMEDIATE, state.intermediate))
    return Particle(
        diameter_um=diameter_um,
        x=state.filled if x is None else x,
        shells=tuple(
            Shell(
                phase=phase,
                thickness_um=0.5 * diameter_um,
                weight_fraction=secondary_factor * weight_fraction,
            )
            for phase, weight_fraction in inside
            if secondary_factor * weight_fraction > 0.0
        ),
        strain=state.strain,
        **more,
    )


def spinel_capacity(state: SpinelState, *, secondary_factor: float = 1.0) -> float:
    """Return the extractable lithium over that of a solid sphere of LiMn2O4 of the same size."""
    return 1.0 - secondary_factor * (state.rock_salt + state.intermediate)


def locked_lithium(state: SpinelState, *, secondary_factor: float = 1.0) -> float:
    """Return the lithium per O4 of the whole particle that is in Li0.5Mn2O4 and LiMnO2."""
    return secondary_factor * _secondary_lithium(
        rock_salt=state.rock_salt, intermediate=state.intermediate
    )


def _secondary_lithium(*, rock_salt: float, intermediate: float) -> float:
    """Return lithium per O4 from weight fractions: 2 in Li2Mn2O4, 0.5 in Li0.5Mn2O4."""
    return 2.0 * rock_salt + 0.5 * intermediate


def _li_rich_share(state: LiRichState, rho: Array, radius_um: Array) -> Array:
    """Return what part of the solid's weight is spinel at relative radius ρ."""
    outer, inner = state.intermediate
    depth_um = (1.0 - rho) * radius_um
    li2mno3 = LI2MNO3[0] + (LI2MNO3[1] - LI2MNO3[0]) * depth_um / LI2MNO3_UM
    coating = np.where(depth_um <= LI2MNO3_UM, li2mno3, 0.0)
    return np.asarray(1.0 - state.rock_salt - (outer + (inner - outer) * (1.0 - rho)) - coating)
