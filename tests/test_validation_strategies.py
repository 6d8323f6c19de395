"""What strategies draw can be simulated, is small, and shrinks to something simple."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st

from inverse.refine import Status
from phantoms.library import build
from phantoms.particle import Particle, law_values
from phantoms.sample import Sample
from phantoms.stoichiometry import filled_fraction
from validation.experiment import Experiment, load_experiment
from validation.properties import NAMED, experiment_toml, own_pipeline
from validation.steps import simulate
from validation.strategies import (
    compositions,
    crystals,
    electrodes,
    experiments,
    instruments,
    integrations,
    particle_lists,
    particles,
    recipes,
    scans,
    shells,
)
from xrdct.instrument import Beam, ring_acceptance

FEW = settings(max_examples=3, phases=(Phase.generate,))


def simplest(strategy, condition=lambda _: True):
    return find(strategy, condition, settings=settings(max_examples=200, database=None))


@given(crystals())
def test_crystals_are_of_the_built_in_size_to_two_per_cent(crystal):
    assert crystal.volume_A3 > 0.0
    assert crystal.density_g_per_cm3 > 0.4  # lithium's 0.53 at 1.02³ of its volume is 0.50


def test_simplest_crystal_is_the_spinel():
    crystal = simplest(crystals())
    assert crystal.name.startswith("LiMn2O4")


@given(compositions())
def test_compositions_are_those_of_spinels_three_quarters_full(composition):
    x, y = composition
    radii = np.linspace(0.0, 1.0, 11)
    assert (filled_fraction(law_values(x, radii), y=y) >= 0.75 - 1e-6).all()


@given(st.floats(0.5, 20.0).flatmap(lambda r: st.tuples(st.just(r), shells(radius_um=r))))
def test_shells_lie_within_their_particle(given_shell):
    radius_um, shell = given_shell
    assert shell.depth_um < radius_um
    Sample((Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=2.0 * radius_um, shells=(shell,)),))


@given(particle_lists(reach_um=10.0, smallest_number=1))
def test_lists_of_particles_fit_and_stay_within_reach(drawn):
    sample = Sample(drawn)  # refuses overlaps, and contents and shells that cannot be
    assert 1 <= len(drawn) <= 3
    assert sample.diameter_um <= 20.0 + 1e-9


@settings(max_examples=10)
@given(electrodes(), st.integers(0, 2**31 - 1))
def test_electrodes_have_room_for_their_particles(options, seed):
    try:
        sample = build(options, seed=seed)
    except ValueError as error:
        pytest.fail(f"{options!r} with seed {seed}: {error}")
    assert len(sample.particles) >= 1


@given(scans(width_um=15.0))
def test_scans_are_wide_enough_with_angles_for_no_streaks(scan):
    assert scan.width_um >= 15.0
    assert scan.alias_free_diameter_um >= scan.width_um - 1e-9
    if scan.interlaced and scan.angle_range_deg == 360.0:
        assert scan.n_angles // 2 % 2 == 1  # or opposite projections lie at the same offsets


@given(scans(width_um=15.0, enough_angles=False))
def test_scans_may_have_a_third_of_the_angles(scan):
    assert scan.alias_free_diameter_um >= (scan.width_um - 1e-9) / 3.0


@given(instruments())
def test_patterns_of_instruments_meet_the_detector(instrument):
    acceptance = ring_acceptance(
        instrument.geometry, detector=instrument.detector, polarisation=instrument.beam.polarisation
    )
    assert acceptance.min() > 0.02  # below, a channel is left out (validation.check)
    assert instrument.beam.flux_per_s >= 1e10


@given(recipes(trimming=True))
def test_recipes_are_plain(recipe):
    assert recipe.is_plain


@settings(max_examples=8)
@given(experiment=experiments(in_view=False))
def test_experiments_pass_their_check_and_are_small(experiment):
    experiment.check()
    experiment.build_sample()
    assert experiment.scan.n_points <= 15_000
    assert experiment.geometry.n_channels <= 400


@settings(max_examples=8)
@given(experiment=experiments())
def test_whole_samples_are_in_view(experiment):
    assert experiment.build_sample().diameter_um <= experiment.scan.width_um


@given(experiment=experiments(random_samples=False))
@settings(max_examples=8)
def test_experiment_survives_its_toml(tmp_path_factory, experiment):
    path = tmp_path_factory.mktemp("toml") / "again.toml"
    path.write_text(experiment_toml(experiment))
    assert load_experiment(path).config_json() == experiment.config_json()


@given(experiment=experiments(), name=st.text(min_size=1, max_size=30))
@settings(max_examples=5)
def test_any_name_and_electrodes_survive_toml(tmp_path_factory, experiment, name):
    assume(name.encode("utf-8", "ignore").decode() == name)
    named = experiment.model_copy(update={"name": name})
    path = tmp_path_factory.mktemp("toml") / "again.toml"
    path.write_bytes(experiment_toml(named).encode())
    assert load_experiment(path).config_json() == named.config_json()


@pytest.mark.parametrize("name", NAMED)
def test_named_experiments_are_admissible(name):
    NAMED[name](3).check()


@FEW
@given(experiment=experiments(in_view=False))
def test_drawn_experiments_can_be_simulated_and_recovered(experiment):
    simulated = simulate(experiment)
    maps = own_pipeline(simulated.raw, simulated.others)
    assert np.isin(maps.status, list(Status)).all()


@pytest.mark.slow
def test_experiments_shrink_to_one_small_sphere_and_the_default_instrument():
    found = simplest(experiments(smallest_number=1))
    (particle,) = found.sample.particles
    assert particle == Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=4.0, x=1.0)
    assert found.seed == 0
    assert found.beam == Beam()
    assert found.recipe == Experiment.model_fields["recipe"].default


def test_what_does_not_matter_shrinks_away():
    # A condition on one thing leaves all others at their simplest.
    found = simplest(particles(), lambda particle: particle.porosity > 0.12)
    assert found == Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=4.0, porosity=0.15)


def test_same_seed_draws_the_same_experiments():
    drawn = []

    def collect():
        seen = []

        @settings(
            max_examples=5, derandomize=True, database=None, phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(experiments())
        def test(experiment):
            seen.append(experiment.config_sha256())

        test()
        drawn.append(seen)

    collect()
    collect()
    assert drawn[0] == drawn[1]


def test_integrations_shrink_to_the_mean():
    assert simplest(integrations()).method == "mean"
    trimmed = simplest(integrations(), lambda one: any(one.left_out))
    assert trimmed.method == "trimmed_5_5"
    assert math.isclose(sum(trimmed.left_out), 0.1)
