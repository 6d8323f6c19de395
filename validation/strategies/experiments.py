"""Strategies for how it is analysed, and for whole experiments."""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from forward.settings import Effects
from inverse.integration import Integration
from inverse.recipe import FixedPhase, Recipe
from phantoms.library import Electrode
from validation.experiment import Experiment, ParticleList
from validation.strategies.instruments import fluxes, instruments, motions, scans
from validation.strategies.samples import electrodes, particle_lists
from xrdct.errors import InputError

_MARGIN_UM = 2.0
_SEEDS = st.integers(0, 2**31 - 1)


def integrations() -> st.SearchStrategy[Integration]:
    """Return what pattern mode imitates of an integration; the simplest is the mean."""
    methods = ("mean", "trimmed_5_5", "trimmed_10_10", "median")
    return st.sampled_from(methods).map(lambda method: Integration(method=method))


@st.composite
def recipes(draw: st.DrawFn, *, trimming: bool = False) -> Recipe:
    """Return recipes of filtered back projection; the simplest is the default one.

    They refine the widths that samples differ in. With ``trimming`` the integration may leave out
    pixels.
    """
    phases = draw(st.sampled_from(((), (FixedPhase(crystal="Li2MnO3"),))))
    return Recipe(
        fixed_phases=phases,
        n_background=draw(st.sampled_from((5, 8))),
        integration=draw(integrations()) if trimming else Integration(),
    )


def effects() -> st.SearchStrategy[Effects]:
    """Return which effects there are; the simplest is all of them, as by default."""
    names = ("parallax", "attenuation", "exit_path", "diffuse", "beam_tails")
    off = st.lists(st.sampled_from(names), max_size=2, unique=True)
    return off.map(lambda given: Effects(**dict.fromkeys(given, False)))


@st.composite
def experiments(
    draw: st.DrawFn,
    *,
    in_view: bool = True,
    smallest_number: int = 0,
    random_samples: bool = True,
    grains: bool = True,
    least_flux_per_s: float = 1e10,
) -> Experiment:
    """Return whole experiments in pattern mode, simulated and recovered in a second or less.

    They shrink towards a scan of nothing (``smallest_number`` 1: of one small sphere of LiMn2O4)
    with default instrument and recipe. ``in_view`` False: some samples reach out of the view.
    ``random_samples``: some are electrodes, drawn by the experiment's seed. ``grains``: some
    crystallites are countable. Every one passes :meth:`Experiment.check`.
    """
    sample: ParticleList | Electrode = ParticleList(
        particles=draw(
            particle_lists(smallest_number=smallest_number, grains=grains)
        )
    )  # fmt: skip
    if random_samples and draw(st.booleans()):
        sample = draw(electrodes(largest_um=24.0))
    reach_um = sample.diameter_um if isinstance(sample, Electrode) else 20.0
    hidden = not in_view and draw(st.booleans())
    instrument = draw(instruments(least_flux_per_s=least_flux_per_s))
    given: dict[str, Any] = {
        "name": "drawn",
        "seed": draw(_SEEDS),
        "sample": sample,
        "scan": draw(scans(width_um=0.6 * reach_um if hidden else reach_um + _MARGIN_UM)),
        "motion": draw(motions()),
        "flux": draw(fluxes()),
        "effects": draw(effects()),
        "recipe": draw(recipes()),
    }
    experiment = Experiment(**given, **instrument._asdict())
    assume(_is_admissible(experiment))
    return experiment


def _is_admissible(experiment: Experiment) -> bool:
    """Return whether the experiment can be simulated: a random packing may find no room."""
    try:
        experiment.check()
        experiment.build_sample()
    except InputError:
        return False
    return True
