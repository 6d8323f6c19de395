"""Samples by name: those of the reproduced study, and simpler ones.

``particle_1``, ``particle_2``  the study's two particles, alone (:mod:`phantoms.particle_samples`)
``operando_electrode``          its electrode at five scans (:mod:`phantoms.operando_electrode`)
``degraded_electrode``          the same after 150 cycles (:mod:`phantoms.degraded_electrode`)
``electrode``                   a random slice with free options (:mod:`phantoms.electrode`)
``calibrant_disc``, ``resolution_star``, ``two_phase_wedge``  test objects
                                (:mod:`phantoms.test_objects`)
``nothing``                     no particle at all: whatever is found in it is not there

Figures follow the study where it gives any (Finegan et al., Nat. Commun. 11 (2020) 631); the rest
are assumptions, each an option with its default or written down where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from phantoms.degraded_electrode import DegradedElectrode, build_degraded_electrode
from phantoms.electrode import Electrode, build_electrode
from phantoms.operando_electrode import build_operando_electrode
from phantoms.operando_options import OperandoElectrode
from phantoms.particle import Coordinate
from phantoms.particle_samples import (
    Particle1,
    Particle2,
    build_particle_1,
    build_particle_2,
)
from phantoms.sample import Sample
from phantoms.test_objects import (
    CalibrantDisc,
    ResolutionStar,
    TwoPhaseWedge,
    build_test_object,
)
from xrdct.errors import InputError
from xrdct.spec import Spec

__all__ = [
    "CalibrantDisc",
    "DegradedElectrode",
    "Electrode",
    "LibrarySpec",
    "Nothing",
    "OperandoElectrode",
    "Particle1",
    "Particle2",
    "ResolutionStar",
    "TwoPhaseWedge",
    "build",
    "library_names",
    "library_spec",
]


class Nothing(Spec):
    """Options of ``nothing``."""

    library: Literal["nothing"] = "nothing"
    z_um: Coordinate = 0.0

    @property
    def diameter_um(self) -> float:
        """Width of the sample: none."""
        return 0.0

    @property
    def in_plane(self) -> bool:
        """Whether any of it reaches the measured plane."""
        return False


LibrarySpec = (
    Particle1
    | Particle2
    | Electrode
    | OperandoElectrode
    | DegradedElectrode
    | CalibrantDisc
    | ResolutionStar
    | TwoPhaseWedge
    | Nothing
)
_SPECS: dict[str, type[LibrarySpec]] = {
    "particle_1": Particle1,
    "particle_2": Particle2,
    "electrode": Electrode,
    "operando_electrode": OperandoElectrode,
    "degraded_electrode": DegradedElectrode,
    "calibrant_disc": CalibrantDisc,
    "resolution_star": ResolutionStar,
    "two_phase_wedge": TwoPhaseWedge,
    "nothing": Nothing,
}


def library_names() -> tuple[str, ...]:
    """Return the names of the samples that can be asked for."""
    return tuple(_SPECS)


def library_spec(options: Mapping[str, Any]) -> LibrarySpec:
    """Return the options of a library sample; ``options["library"]`` is its name.

    Raises InputError for an unknown name; pydantic.ValidationError for unknown or bad options.
    """
    name = options.get("library")
    if not isinstance(name, str) or name not in _SPECS:
        raise InputError(f"no sample named {name!r} in the library, which has {', '.join(_SPECS)}")
    return _SPECS[name].model_validate(dict(options))


def build(spec: LibrarySpec, *, seed: int) -> Sample:
    """Return the sample; ``seed`` draws packing and composition where they are random."""
    match spec:
        case Particle1():
            return build_particle_1(spec)
        case Particle2():
            return build_particle_2(spec)
        case Electrode():
            return build_electrode(spec, seed=seed)
        case OperandoElectrode():
            return build_operando_electrode(spec, seed=seed)
        case DegradedElectrode():
            return build_degraded_electrode(spec, seed=seed)
        case Nothing():
            return Sample((), z_um=spec.z_um)
        case _:
            return build_test_object(spec)
