"""Layers and laws of many particles at once, against one particle at a time and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms.particle import Particle, RadialLaw, RadialTable, Shell, law_values
from phantoms.radial_cuts import layer_edges, shell_weights, values_at
from phantoms.sample import Sample

PHASES = ("Li2MnO3", "LiMnO2-rocksalt")

numbers = st.floats(-1.0, 1.0)
laws = st.one_of(
    numbers,
    st.builds(
        RadialLaw, core=numbers, surface=numbers, exponent=st.sampled_from([0.5, 1.0, 2.0, 3.3])
    ),
    st.builds(
        RadialTable, r_over_R=st.just((0.0, 0.3, 1.0)), value=st.tuples(numbers, numbers, numbers)
    ),
)
shells = st.builds(
    Shell, phase=st.sampled_from(PHASES), thickness_um=st.sampled_from([0.5, 1.0, 9.0]),
    depth_um=st.sampled_from([0.0, 0.25, 0.5, 2.0]),
    weight_fraction=st.one_of(st.floats(0.0, 0.5), st.tuples(st.just(0.1), st.just(0.4))),
)  # fmt: skip
particles = st.builds(
    Particle, centre_um=st.just((0.0, 0.0, 0.0)), diameter_um=st.floats(0.1, 30.0),
    shells=st.lists(shells, max_size=3).map(tuple),
)  # fmt: skip


def flat(parts):
    """Return the owner of each value, and all values in a row."""
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return owner, np.concatenate([np.zeros(0), *parts])


@given(st.lists(particles, max_size=6), st.sampled_from([0.1, 0.5, 3.0]))
def test_edges_are_even_and_at_the_borders_of_shells(several, layer_um):
    # Definition: NumPy's even spacing, and borders that are further than 1e-9 µm from all edges.
    wanted = []
    for particle in several:
        radius = particle.radius_um
        edges = list(np.linspace(0.0, radius, max(4, int(np.ceil(radius / layer_um))) + 1))
        for depth in sorted({d for shell in particle.shells for d in shell.borders_um}):
            border = radius - depth
            if 0.0 < border < radius and min(abs(e - border) for e in edges) > 1e-9:
                edges.append(border)
        wanted.append(np.sort(edges))
    owner, edges_um = layer_edges(several, layer_um=layer_um)
    np.testing.assert_array_equal(owner, flat(wanted)[0])
    np.testing.assert_array_equal(edges_um, flat(wanted)[1])


@given(st.lists(st.tuples(laws, st.lists(st.floats(0.0, 1.0), max_size=5)), max_size=6))
def test_laws_together_say_what_each_says_alone(several):
    # Law: no particle's values depend on the others.
    owner, r_over_R = flat([radii for _, radii in several])
    found = values_at([law for law, _ in several], owner=owner, r_over_R=r_over_R)
    _, wanted = flat([law_values(law, np.array(radii, float)) for law, radii in several])
    # Powers of one array and of a part of it may differ by a rounding.
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=1e-15)


@given(st.lists(st.tuples(particles, st.lists(st.floats(0.0, 1.0), max_size=5)), max_size=6))
def test_weights_of_shells_add_up_particle_by_particle(several):
    # Definition: the sum over a particle's shells of each phase, at the depth (1 − r/R) R.
    owner, r_over_R = flat([sorted(radii) for _, radii in several])
    found = shell_weights([p for p, _ in several], PHASES, owner=owner, r_over_R=r_over_R)
    for column, phase in enumerate(PHASES):
        parts = []
        for particle, radii in several:
            depth = (1.0 - np.array(sorted(radii), float)) * particle.radius_um
            own = [s.weight_fraction_at(depth) for s in particle.shells if s.phase == phase]
            parts.append(sum(own, np.zeros(depth.size)))
        np.testing.assert_array_equal(found[:, column], flat(parts)[1])


def test_a_sample_tells_of_its_particles_and_hands_out_copies():
    # Law: what one caller does to an array is nothing to the next.
    two = (
        Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=4.0),
        Particle(centre_um=(9.0, 0.0, 1.0), diameter_um=2.0),
    )
    sample = Sample(two)
    sample.radii_um[:] = 7.0
    sample.centres_um[:] = 7.0
    np.testing.assert_array_equal(sample.radii_um, [2.0, 1.0])
    np.testing.assert_array_equal(sample.centres_um[1], [9.0, 0.0, 1.0])
    assert sample.diameter_um == pytest.approx(20.0, rel=1e-15)


def test_a_sample_given_other_particles_tells_of_those():
    # Definition: arrays are those of the particles it has now.
    first = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=4.0)
    shell = Shell(phase=PHASES[0], thickness_um=0.5, weight_fraction=0.1)
    sample = Sample((first,))
    assert sample.extra_phases == ()
    object.__setattr__(sample, "particles", (first.model_copy(update={"shells": (shell,)}),))
    assert sample.extra_phases == (PHASES[0],)
