"""The electrode of the operando cell at one of the study's five scans, with two known particles.

The first two particles of the sample are Particle 1 and Particle 2 of the study (Finegan et al.,
Nat. Commun. 11 (2020) 631), at given places inside the region of interest and in their state of the
scan (:mod:`phantoms.particle_states`). They stand before the others are packed around them.

How full. 166 g/m² of active material fill 0.484 of 80 µm (:mod:`phantoms.coating`); spheres with
fine pores, a share p of their volume, take up 0.484/(1 − p) of it, 0.51 at p = 0.05, which random
placement reaches. Carbon and binder, 5.8 wt %, have no diffraction lines: they are in the cell
(:func:`micro_cell`).

How much lithium. The mean filled fraction of all spinel, weighted with capacity, is set to that of
charge counting (:mod:`phantoms.discharge`), with f = x of stoichiometric spinel. The lithium that
further phases bring and take is then not in the count, so that amounts are not conserved; how far,
and the option that conserves them, is told in :mod:`phantoms.operando_counting`. Li-rich particles
follow Particle 1; what is left, the bulk takes up (:mod:`phantoms.charge_sharing`). Rock salt and
Li0.5Mn2O4 of the bulk are those of Particle 2, whatever a bulk particle's own state. Places, sizes,
start and speed of every particle depend on the seed only, and not on the scan.

Where in the particle. Bulk particles have a prescribed gradient, or one from spherical diffusion
(:mod:`phantoms.diffusion`), with the mean content unchanged. Li-rich particles are as Particle 1.

Planes. Spheres are drawn for all planes within ``margin_um`` of z = 0; ``z_um`` picks one, and the
sample holds what reaches within ``reach_um`` of it, and the two known particles in any case.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.cell import Cell
from phantoms.cell_materials import substance
from phantoms.operando_counting import check_uptake
from phantoms.operando_filling import bulk_laws, filled_fractions
from phantoms.operando_options import OperandoElectrode
from phantoms.operando_population import N_KNOWN, Population, draw_population
from phantoms.particle import Particle
from phantoms.particle_states import PARTICLE_1, PARTICLE_2, li_rich_particle, spinel_particle
from phantoms.sample import Sample
from xrdct.scan import SCAN_PRESETS, Scan

Array: TypeAlias = NDArray[np.float64]


def build_operando_electrode(spec: OperandoElectrode, *, seed: int) -> Sample:
    """Return the electrode; ``seed`` draws places, sizes, start, speed and who is Li-rich.

    Raises InputError where particles find no room, or the bulk cannot hold what is left for it.
    """
    population = draw_population(spec, seed)
    check_uptake(spec, population)
    filled = filled_fractions(spec, population, scan=spec.scan)
    near = np.ones(population.radius_um.size, dtype=np.bool_)
    if spec.reach_um is not None:
        height_um = np.abs(population.centres_um[:, 2] - spec.z_um)
        near = height_um < population.radius_um + spec.reach_um
    near[:N_KNOWN] = True
    return Sample(_particles(spec, population, filled, near), z_um=spec.z_um)


def volume_planes(
    spec: OperandoElectrode, *, scan: Scan = SCAN_PRESETS["volume"]
) -> tuple[OperandoElectrode, ...]:
    """Return the electrode once for every plane of a scan of several, lowest first.

    Planes lie symmetrically about z = 0. With the same seed all are planes of the same spheres.
    """
    middle = 0.5 * (scan.n_planes - 1)
    heights_um = [(i - middle) * scan.plane_step_um for i in range(scan.n_planes)]
    fields = spec.model_dump()
    return tuple(OperandoElectrode.model_validate(fields | {"z_um": z}) for z in heights_um)


def micro_cell(spec: OperandoElectrode, *, tilt_mrad: float = 0.0) -> Cell:
    """Return the micro-cell around the electrode, carbon and binder by weight, cut at its z_um.

    ``tilt_mrad`` is that of the cell's layers. Raises a ValueError where the electrode does not
    fit into the cell.
    """
    solid_um = spec.areal_g_per_m2 * (1.0 / spec.active_weight_fraction - 1.0)  # at 1 g/cm³
    default = Cell()
    carbon, binder = (substance(name).density_g_per_cm3 for name in ("carbon", "PVDF"))
    density = default.carbon_fraction * carbon + (1.0 - default.carbon_fraction) * binder
    between_um = (1.0 - spec.volume_fraction) * spec.coating_um
    return Cell(
        electrode_um=spec.diameter_um,
        electrode_thickness_um=spec.coating_um,
        slice_height_um=0.5 * spec.coating_um + spec.z_um,
        tilt_mrad=tilt_mrad,
        additive_fraction=min(1.0, solid_um / density / between_um),
    )


def _particles(
    spec: OperandoElectrode, population: Population, filled: Array, near: NDArray[np.bool_]
) -> tuple[Particle, ...]:
    """Return the particles that are kept, the two known ones first."""
    rich_state, spinel_state = PARTICLE_1[spec.scan - 1], PARTICLE_2[spec.scan - 1]
    bulk = np.flatnonzero(near & ~population.rich)[1:]
    laws = dict(zip(bulk.tolist(), bulk_laws(spec, population, filled, bulk), strict=True))
    made = []
    for i in np.flatnonzero(near).tolist():
        more: dict[str, Any] = {
            "centre_um": tuple(population.centres_um[i].tolist()),
            "diameter_um": 2.0 * float(population.radius_um[i]),
            "porosity": spec.porosity,
            "crystallite_size_nm": spec.crystallite_size_nm,
            "grain_um": spec.grain_um,
        }
        if population.rich[i]:
            made.append(li_rich_particle(rich_state, filled=float(filled[i]), **more))
        elif i in laws:
            factor = spec.secondary_factor
            made.append(spinel_particle(spinel_state, x=laws[i], secondary_factor=factor, **more))
        else:
            made.append(spinel_particle(spinel_state, **more))
    return tuple(made)
