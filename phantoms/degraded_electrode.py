"""The electrode after 150 cycles, discharged to 3 V and taken out of its cell: three populations.

The study (Finegan et al., Nat. Commun. 11 (2020) 631, figure 6) finds particles of low, medium and
high lattice parameter, the bulk inside 8.076 to 8.145 Å, where stoichiometric spinel cannot be;
11 wt % Li2MnO3 and 20 wt % LiMnO2 where a is lowest, the less of both the higher a; and the most
strain where there is most of them. Its further, unknown phases are not in here.

How the spinel gets there. Manganese dissolves; what stays is richer in lithium, Li1+yMn2−yO4. From
y = 0.05 on a(x) has no two-phase window (:mod:`phantoms.stoichiometry`), so that any a above 8.08 Å
is that of one phase. That a is not at the full end, 8.22 to 8.23 Å, although the cell was
discharged, takes lithium that is missing, consumed at the graphite: the three populations are
filled to f of about 0.06, 0.24 and 0.65. Each particle's a is drawn; its x follows from a and y.

All numbers but the two weight fractions are assumptions: the shares of the populations, their a, y,
strains, and the fractions in the medium and high one. Cracks (:mod:`phantoms.cracking`) are off
unless asked for: they make the simulation slower.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from phantoms.coating import Coating
from phantoms.cracking import Damage, crack_from_pore
from phantoms.packing import Packing, pack_slice, told_as_options
from phantoms.particle import Coordinate, Fraction, Particle, Shell
from phantoms.sample import Sample
from phantoms.stoichiometry import mean_lattice_A, x_from_lattice

Array: TypeAlias = NDArray[np.float64]
Fractions: TypeAlias = tuple[Fraction, Fraction, Fraction]
"""Of the populations of low, medium and high lattice parameter."""
Excess = Annotated[float, Field(ge=0.0, le=0.1)]
LatticeA = Annotated[float, Field(gt=7.0, lt=9.0)]
Strain = Annotated[float, Field(ge=0.0, le=0.02)]

_KEY = (0xDE6,)
_ROUNDING = 1e-9


class DegradedElectrode(Coating):
    """Options of ``degraded_electrode``; triples are for low, medium and high a."""

    library: Literal["degraded_electrode"] = "degraded_electrode"
    z_um: Coordinate = 0.0
    """Height of the measured plane among the spheres."""
    margin_um: float = Field(2.0, ge=0.0, le=200.0)
    """Spheres are drawn for planes up to this far from z = 0."""
    shares: Fractions = (0.2, 0.6, 0.2)
    """By number of particles; they add up to 1."""
    lattice_A: tuple[LatticeA, LatticeA, LatticeA] = (8.088, 8.115, 8.180)
    lattice_spread_A: float = Field(0.004, ge=0.0, le=0.1)
    """Standard deviation between the particles of a population; what is drawn beyond an empty or
    full spinel becomes that."""
    lithium_excess: tuple[Excess, Excess, Excess] = (0.10, 0.08, 0.05)
    li2mno3: Fractions = (0.11, 0.04, 0.01)
    """Weight fraction, the same at every depth."""
    rock_salt: Fractions = (0.20, 0.08, 0.03)
    """Weight fraction of LiMnO2, the same at every depth."""
    strain: tuple[Strain, Strain, Strain] = (1.2e-3, 8e-4, 5e-4)
    cracked_share: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the particles above ``cracked_above_um`` that have a crack."""
    cracked_above_um: float = Field(12.0, gt=0.0)
    crack_opening_um: float = Field(0.3, gt=0.0, le=10.0)
    """Width of a crack at the pore where it begins."""
    crystallite_size_nm: float = Field(150.0, gt=1.0, le=1e5)
    grain_um: float | None = Field(None, gt=0.001, le=100.0)

    @model_validator(mode="after")
    def _possible(self) -> DegradedElectrode:
        if abs(sum(self.shares) - 1.0) > _ROUNDING:
            raise ValueError(f"shares must add up to 1, got {sum(self.shares):g}")
        if abs(self.z_um) > self.margin_um:
            raise ValueError(
                f"z_um ({self.z_um:g}) must lie within margin_um ({self.margin_um:g}), for which "
                "spheres are drawn"
            )
        return self

    @model_validator(mode="after")
    def _lattices_possible(self) -> DegradedElectrode:
        low_A, medium_A, high_A = self.lattice_A
        if not low_A < medium_A < high_A:
            raise ValueError(f"lattice_A must rise from low to high, got {self.lattice_A}")
        for a_A, y in zip(self.lattice_A, self.lithium_excess, strict=True):
            empty_A, full_A = mean_lattice_A([3.0 * y, 1.0], y=y).tolist()
            if not empty_A <= a_A <= full_A:
                raise ValueError(
                    f"lattice_A ({a_A:g}) must lie between {empty_A:.4g} and {full_A:.4g} Å, what "
                    f"spinel of lithium_excess {y:g} has when empty and full"
                )
        return self


def build_degraded_electrode(spec: DegradedElectrode, *, seed: int) -> Sample:
    """Return the electrode; ``seed`` draws places, sizes, populations and lattice parameters.

    Raises InputError where the packing fails.
    """
    packing = _packed(spec, seed)
    n = packing.diameters_um.size
    sequence = np.random.SeedSequence(seed, spawn_key=_KEY)
    rng = np.random.Generator(np.random.Philox(sequence))
    population = populations(spec, rng.random(n))
    lattice_A = np.array(spec.lattice_A)[population]
    lattice_A = lattice_A + spec.lattice_spread_A * rng.standard_normal(n)
    x = x_from_lattice(lattice_A, y=np.array(spec.lithium_excess)[population])
    damage = _damage(spec, packing.diameters_um, rng)
    particles = tuple(
        Particle(
            centre_um=tuple(packing.centres_um[i].tolist()),
            diameter_um=float(packing.diameters_um[i]),
            x=float(x[i]),
            y=spec.lithium_excess[k],
            shells=_phases(spec, k, float(packing.diameters_um[i])),
            porosity=spec.porosity,
            crystallite_size_nm=spec.crystallite_size_nm,
            strain=spec.strain[k],
            grain_um=spec.grain_um,
            pores=damage[i].pores if i in damage else (),
            cracks=damage[i].cracks if i in damage else (),
        )
        for i, k in enumerate(population.tolist())
    )
    return Sample(particles, z_um=spec.z_um)


def populations(spec: DegradedElectrode, uniform: Array) -> NDArray[np.int64]:
    """Return the population, 0 low to 2 high, of particles given uniform random numbers."""
    borders = np.cumsum(spec.shares)[:2]
    return np.asarray((uniform[:, None] >= borders).sum(axis=1))


def _damage(
    spec: DegradedElectrode, diameters_um: Array, rng: np.random.Generator
) -> dict[int, Damage]:
    """Return the cracks of the particles that have any, by their number."""
    cracks = rng.random(diameters_um.size) < spec.cracked_share
    directions = rng.standard_normal((diameters_um.size, 2, 3))
    return {
        i: crack_from_pore(
            diameter_um=float(diameters_um[i]),
            opening_um=spec.crack_opening_um,
            directions=directions[i],
        )
        for i in np.flatnonzero(cracks & (diameters_um > spec.cracked_above_um)).tolist()
    }


def _phases(spec: DegradedElectrode, population: int, diameter_um: float) -> tuple[Shell, ...]:
    inside = (("Li2MnO3", spec.li2mno3), ("LiMnO2-rocksalt", spec.rock_salt))
    return tuple(
        Shell(phase=phase, thickness_um=0.5 * diameter_um, weight_fraction=fractions[population])
        for phase, fractions in inside
        if fractions[population] > 0.0
    )


def _packed(spec: DegradedElectrode, seed: int) -> Packing:
    with told_as_options():
        return pack_slice(
            electrode_diameter_um=spec.diameter_um,
            volume_fraction=spec.volume_fraction,
            median_diameter_um=spec.median_particle_um,
            sigma_log=spec.sigma_log,
            min_diameter_um=spec.smallest_particle_um,
            max_diameter_um=spec.largest_particle_um,
            margin_um=spec.margin_um,
            seed=seed,
        )
