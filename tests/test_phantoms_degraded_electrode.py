"""The degraded electrode: three populations, their phases, and where their lattice lies."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from phantoms.degraded_electrode import populations
from phantoms.library import DegradedElectrode, build
from phantoms.particle import law_values
from phantoms.stoichiometry import lattice, mean_lattice_A

SPEC = DegradedElectrode(diameter_um=300.0)
FALSE_ALARM = 1e-8


@pytest.fixture(scope="module")
def sample():
    return build(SPEC, seed=5)


@pytest.fixture(scope="module")
def lattice_A(sample):
    x = np.array([p.x for p in sample.particles])
    return mean_lattice_A(x, y=np.array([p.y for p in sample.particles]))


@pytest.fixture(scope="module")
def kind(sample):
    """Population of each particle, told by its lithium excess."""
    return np.array([SPEC.lithium_excess.index(p.y) for p in sample.particles])


def test_shares_are_those_asked_for(kind):
    # Hoeffding: P(|share − p| > d) ≤ 2 exp(−2 n d²), for each of three.
    largest = np.sqrt(np.log(6.0 / FALSE_ALARM) / (2.0 * kind.size))
    assert largest < 0.11
    found = np.bincount(kind, minlength=3) / kind.size
    assert np.abs(found - SPEC.shares).max() < largest
    assert populations(SPEC, np.array([0.0, 0.199, 0.201, 0.799, 0.801])).tolist() == [
        0,
        0,
        1,
        1,
        2,
    ]


def test_lowest_lattice_has_the_published_fractions_and_the_others_less(sample, kind, lattice_A):
    # Published: 11 wt % Li2MnO3 and 20 wt % LiMnO2 where a is lowest, less elsewhere; most strain
    # there.
    def told(particle):
        return tuple(s.weight_fraction for s in particle.shells), particle.strain

    low, medium, high = ({told(sample.particles[i]) for i in np.flatnonzero(kind == k)}
                         for k in range(3))  # fmt: skip
    assert low == {((0.11, 0.20), 1.2e-3)}
    ((medium_phases, medium_strain),), ((high_phases, high_strain),) = medium, high
    assert all(0.0 < h < m < most for h, m, most in zip(high_phases, medium_phases, (0.11, 0.2),
                                                  strict=True))  # fmt: skip
    assert high_strain < medium_strain < 1.2e-3
    mean = [lattice_A[kind == k].mean() for k in range(3)]
    assert mean == sorted(mean)
    assert {s.phase for s in sample.particles[0].shells} == {"Li2MnO3", "LiMnO2-rocksalt"}


def test_bulk_lies_where_no_stoichiometric_spinel_can_be(sample, kind, lattice_A):
    # Published range. The medium population is 30 mÅ = 7.5 σ inside of it, so that none of some
    # hundred particles is out (7.5 σ: 6e-14 each); all are one phase.
    bulk = lattice_A[kind == 1]
    assert ((bulk > 8.076) & (bulk < 8.145)).all()
    for p in sample.particles:
        assert not lattice(law_values(p.x, 0.5), y=law_values(p.y, 0.5)).in_window


def test_lattices_are_spread_as_asked(kind, lattice_A):
    # The mean of n normal numbers: off by less than 6 σ/√n (2e-9).
    for k in (1, 2):
        chosen = lattice_A[kind == k]
        assert abs(chosen.mean() - SPEC.lattice_A[k]) < 6.0 * 0.004 / np.sqrt(chosen.size)
    # The low one may run into the empty spinel's 8.080 Å.
    assert lattice_A[kind == 0].min() >= 8.080 - 1e-9


def test_cracks_run_from_a_pore_towards_the_surface_of_large_particles(sample):
    # Published: larger particles crack, from the edges of internal pores. Closed form: a plane
    # that holds the direction from centre to mouth; a length that ends inside the sphere.
    spec = SPEC.model_copy(update={"cracked_share": 1.0, "cracked_above_um": 9.0})
    cracked = build(spec, seed=5)
    for old, new in zip(sample.particles, cracked.particles, strict=True):
        assert old == new.model_copy(update={"pores": (), "cracks": ()})
        assert len(new.cracks) == len(new.pores) == (new.diameter_um > 9.0)
        for pore, crack in zip(new.pores, new.cracks, strict=True):
            centre, mouth = np.array(pore.centre_um), np.array(crack.mouth_um)
            normal = np.array(crack.normal)
            assert np.linalg.norm(mouth - centre) == pytest.approx(0.5 * pore.diameter_um)
            assert abs(normal @ mouth) < 1e-12 * new.diameter_um
            assert np.linalg.norm(mouth) + crack.length_um < new.radius_um * (1.0 + 1e-9)


def test_share_of_cracked_particles():
    # Hoeffding's bound again, over those that are large enough.
    spec = SPEC.model_copy(update={"cracked_share": 0.4, "cracked_above_um": 5.0})
    large = [p for p in build(spec, seed=5).particles if p.diameter_um > 5.0]
    largest = np.sqrt(np.log(2.0 / FALSE_ALARM) / (2.0 * len(large)))
    assert abs(np.mean([bool(p.cracks) for p in large]) - 0.4) < largest < 0.12


def test_same_spheres_in_every_plane():
    lower, upper = (
        build(DegradedElectrode(diameter_um=120.0, margin_um=5.0, z_um=z), seed=1)
        for z in (-4.0, 4.0)
    )
    assert lower.particles == upper.particles
    assert (lower.z_um, upper.z_um) == (-4.0, 4.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shares": (0.2, 0.2, 0.2)}, r"shares must add up to 1, got 0\.6"),
        ({"z_um": 3.0}, r"z_um \(3\) must lie within margin_um \(2\)"),
        ({"largest_particle_um": 1.0}, "must increase, got 1.5, 1 and 1000"),
        ({"lattice_A": (8.18, 8.115, 8.088)}, r"lattice_A must rise from low to high, got \(8\.18"),
        ({"lattice_A": (8.088, 8.115, 8.115)}, "lattice_A must rise"),
        # Ends of the law at y = 0.10 and 0.05, of Bianchini and assumed: 8.080 and 8.234 Å.
        ({"lattice_A": (7.5, 8.1, 8.2)}, r"\(7\.5\) must lie between 8\.08 and 8\.223 Å, .* 0\.1 "),
        ({"lattice_A": (8.09, 8.1, 8.24)}, r"\(8\.24\) must lie between 8\.078 and 8\.234 Å"),
    ],
)
def test_impossible_options_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        DegradedElectrode(**options)
