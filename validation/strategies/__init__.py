"""Hypothesis strategies for everything an experiment is made of (extra ``testing``).

    from hypothesis import given
    from validation.strategies import experiments

    @given(experiment=experiments(smallest_number=1))
    def test_mine(experiment): ...

They draw specifications and a seed, never arrays, and only what can be simulated. Examples shrink
towards few, round, uniform particles and the default instrument.
"""

from validation.strategies.experiments import (
    effects,
    experiments,
    integrations,
    recipes,
)
from validation.strategies.instruments import (
    Instrument,
    beams,
    fluxes,
    geometries,
    instruments,
    motions,
    scans,
    unknowns,
)
from validation.strategies.samples import (
    compositions,
    crystals,
    electrodes,
    names_of_crystals,
    particle_lists,
    particles,
    shells,
)

__all__ = [
    "Instrument",
    "beams",
    "compositions",
    "crystals",
    "effects",
    "electrodes",
    "experiments",
    "fluxes",
    "geometries",
    "instruments",
    "integrations",
    "motions",
    "names_of_crystals",
    "particle_lists",
    "particles",
    "recipes",
    "scans",
    "shells",
    "unknowns",
]
