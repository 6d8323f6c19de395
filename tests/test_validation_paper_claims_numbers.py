"""What claims of the study are told from: sums, means and differences of what was found, by hand.

Fits that take long are replaced by their results; maps are those of a small scan, made perfect.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from inverse.particle_spread import ParticleMeans
from inverse.quantify_strain import StrainRange
from tests.paper_slice import small_slice
from validation.metrics import scored_voxels
from validation.paper import (
    claims_degraded,
    claims_gradient,
    claims_phases,
    claims_planes,
    claims_point,
    claims_segregation,
    claims_spread,
    claims_strain,
    claims_window,
)
from validation.paper.claims_errors import error_claims
from validation.paper.depths import Profiles, TrueProfile
from validation.paper.fractions import DepthFractions
from validation.paper.particles import found_particle
from validation.paper.populations import Population

PHASES = ("LiMn2O4", "Li2MnO3", "LiMnO2-rocksalt")
ROCK_SALT = 2
SIGMA_PER_MAD = 1.4826
SLICE = SimpleNamespace(experiment=SimpleNamespace(seed=3))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a small slice that holds Particle 1 only."""
    return small_slice(tmp_path_factory.mktemp("scans"))


def refined(fractions, esd, label=((0,),)):
    """Return regions as they are analysed."""
    fractions = np.asarray(fractions, float)
    return SimpleNamespace(
        phases=PHASES, weight_fraction=fractions, esd_total=np.broadcast_to(esd, fractions.shape),
        n_voxels=np.ones(len(fractions), int), label=np.asarray(label),
    )  # fmt: skip


def hidden(monkeypatch, found, true):
    """Return the claims of what single voxels hide, of fractions that are given."""
    monkeypatch.setattr(claims_degraded, "_true", lambda *_: 1e2 * true)
    return claims_degraded._hidden(SLICE, found, "plain")


def test_what_one_voxel_hides(monkeypatch):
    """Truth: by hand; 3·5 over 10 % as stated, and by errors of 4 % 1.4826 times 3·4 over 10 %."""
    true = np.tile([0.8, 0.1, 0.1], (4, 1))
    error = 0.04 * np.array([1.0, -1.0, 1.0, -1.0])[:, None] * [0.0, 1.0, 1.0]
    claims = hidden(monkeypatch, refined(true + error, 0.05), true)
    assert len(claims) == 2
    for claim in claims:
        assert claim.recovered == pytest.approx(1.5)
        assert claim.truth == pytest.approx(1.2 * SIGMA_PER_MAD, rel=1e-4)
        assert claim.note.startswith("of 4 voxels")


def test_what_is_not_there_is_not_hidden(monkeypatch):
    """Truth: of a phase of which voxels hold nothing there is no ratio; of the other there is."""
    true = np.tile([0.9, 0.0, 0.1], (4, 1))
    (claim,) = hidden(monkeypatch, refined(true, 0.05), true)
    assert "rock salt" in claim.claim


def test_the_largest_error_of_a_region(monkeypatch):
    """Truth: by hand, of either sign, in percent; a phase without value is none."""
    true = np.full((3, 3), 1.0 / 3.0)
    error = np.array([[0.01, -0.02, 0.01], [0.0, 0.003, -0.003], [np.nan, 0.004, -0.001]])
    monkeypatch.setattr(claims_degraded, "_true", lambda *_: 1e2 * true)
    found = refined(true + error, [0.01, 0.02, 0.03])
    claims = claims_degraded._stated_errors(SLICE, found, "plain")
    assert [claim.recovered for claim in claims] == pytest.approx([2.0, 0.3, 0.4])
    assert [claim.supported for claim in claims] == ["yes", "no", "no"]
    assert all("stated here: 2.00" in claim.note for claim in claims)


def rising(rise_A, true_A):
    """Return profiles by their core less surface, None where there is none."""
    true = TrueProfile(np.zeros(1, np.int64), np.ones(1), 8.2, true_A)
    recovered = rise_A and SimpleNamespace(
        core_minus_surface=rise_A, core_minus_surface_esd_total=1e-3
    )
    return Profiles(recovered, true)


def test_a_scan_without_particle_does_not_count():
    """Truth: straight lines of 2 and 3 mÅ by scan, of which one scan is not known at all."""
    found = [rising(2e-3 * k, 3e-3 * k) for k in range(1, 6)]
    found[2] = rising(None, float("nan"))
    claim = claims_gradient._growth(found, 0, kind="amount")
    assert claim.recovered == pytest.approx(2.0)
    assert claim.truth == pytest.approx(3.0)


def test_stated_errors_against_actual_ones(small):
    """Truth: maps that are off by 3 mÅ everywhere, of which counting says 1 and the total 3."""
    truth, shape = small.truth, small.truth.a_A.shape
    wrong = replace(
        small.maps, a_A=truth.a_A + 0.003, a_esd_noise_A=np.full(shape, 0.001),
        a_esd_total_A=np.full(shape, 0.003),
    )  # fmt: skip
    outside = ~scored_voxels(truth, truth.interior)
    wrong.a_A[outside] = 9.0  # no voxel that counts
    slices = [replace(small, maps=wrong)] * 2
    counting, every = error_claims(SimpleNamespace(all_operando=lambda: slices))
    assert (counting.recovered, every.recovered) == (pytest.approx(1.0), pytest.approx(3.0))
    assert counting.truth == every.truth == pytest.approx(3.0)
    assert (counting.supported, every.supported) == ("no", "yes")
    nothing = replace(small, maps=replace(wrong, a_A=np.full(shape, np.nan)))
    claims = error_claims(SimpleNamespace(all_operando=lambda: [nothing]))
    assert [claim.supported for claim in claims] == ["not found", "not found"]


def depths(recovered, esd, true):
    """Return four depths, of which the columns of rock salt are given, in percent."""
    columns = []
    for given in (recovered, esd, true):
        column = np.zeros((4, 3))
        column[:, ROCK_SALT] = given
        columns.append(column)
    return DepthFractions(PHASES, *columns, np.zeros((1, 1), int), np.zeros((1, 1), int))


def test_means_over_depths_and_scans():
    """Truth: by hand; the depth that was not refined counts in none, also not in the truth."""
    found = [
        depths([1, 2, 3, np.nan], [0.3, 0.4, 0.0, np.nan], [2, 2, 2, 50]),
        depths([4, 5, 6, 7], 1.2, [3, 3, 3, 3]),
    ]
    mean = claims_phases.mean_over(found[:1], PHASES[ROCK_SALT])
    assert (mean.recovered, mean.true) == (pytest.approx(2.0), pytest.approx(2.0))
    assert mean.esd == pytest.approx(0.5 / 3.0)
    both = claims_phases.mean_over(found, PHASES[ROCK_SALT], depths=(0, 3))
    assert both.recovered == pytest.approx((1 + 4 + 7) / 3.0)
    assert both.true == pytest.approx((2 + 3 + 3) / 3.0)
    less = both.less(mean)
    assert less.recovered == pytest.approx(2.0)
    assert less.true == pytest.approx(8.0 / 3.0 - 2.0)
    assert less.esd == pytest.approx(np.hypot(both.esd, mean.esd))
    nothing = claims_phases.mean_over([depths(np.nan, np.nan, 1.0)], PHASES[ROCK_SALT])
    assert np.isnan(nothing.recovered)


def test_depths_with_a_phase_and_the_largest():
    """Truth: by hand; more than 3 esd recovered, more than 0.5 % in truth."""
    one = depths([1.0, 4.0, 2.9, np.nan], [1.0, 1.0, 1.0, np.nan], [0.6, 0.4, 0.6, 0.6])
    claim = claims_phases._depths_with(one, 1, "plain")
    assert (claim.recovered, claim.truth) == (1.0, 2.0)
    assert claim.note == "of 3 that were refined"
    largest = claims_phases._largest([one, depths(3.5, 0.7, [0, 0, 9, 0])], "plain")
    assert (largest.recovered, largest.esd, largest.truth) == (4.0, 1.0, 9.0)


def regions(monkeypatch, module, true, **columns):
    """Return a slice of three regions of two particles, all true fractions given."""
    table = SimpleNamespace(
        phases=PHASES, label=np.array([[0, 1, 2, 2, -1]]), particle=np.array([1, 1, 4]),
        n_voxels=np.array([1, 3, 2]), **columns,
    )  # fmt: skip
    monkeypatch.setattr(module, "true_weight_fractions", lambda *_: np.asarray(true))
    truth = SimpleNamespace(a_A=np.array([[8.1, 8.2, 8.0, 8.1, 9.0]]))
    return SimpleNamespace(maps=SimpleNamespace(regions=table), truth=truth)


def test_particles_with_a_phase(monkeypatch):
    """Truth: by hand; 8 % in one voxel and none in three are 2 ± 0.8 %, 4 ± 1 % are there."""
    value, esd = np.zeros((3, 3)), np.zeros((3, 3))
    value[:, ROCK_SALT], esd[:, ROCK_SALT] = (0.08, 0.0, 0.04), (0.032, 0.0, 0.01)
    true = np.zeros((3, 3))
    true[:, ROCK_SALT] = (0.0, 0.008, 0.004)  # 0.6 and 0.4 %
    each = regions(
        monkeypatch, claims_phases, true, weight_fraction=value, weight_fraction_esd_total=esd
    )
    found, there = claims_phases.particles_with(each, PHASES[ROCK_SALT])
    assert found.tolist() == [False, True]
    assert there.tolist() == [True, False]


def test_segregated_phases_of_particles(monkeypatch):
    """Truth: by hand, of two phases, over depths by voxels; the truth's a over its own voxels."""
    value = np.array([[0.7, 0.1, 0.2], [0.9, 0.1, 0.0], [0.5, 0.2, 0.3]])
    each = regions(
        monkeypatch, claims_segregation, value + np.array([0.0, 0.01, 0.01]), weight_fraction=value,
        weight_fraction_esd_total=np.full((3, 3), 0.01), a_A=np.array([8.0, 8.4, 8.1]),
    )  # fmt: skip
    found = claims_segregation.segregation(each)
    assert found.percent == pytest.approx([(30 + 3 * 10) / 4, 50.0])
    assert found.true_percent == pytest.approx(found.percent + 2.0)
    assert found.esd == pytest.approx(np.sqrt(2.0) * np.array([np.sqrt(10.0) / 4.0, 1.0]))
    assert found.a_A == pytest.approx([8.3, 8.1])
    assert found.true_a_A == pytest.approx([(8.1 + 3 * 8.2) / 4, 8.05])


def people(mean_A, true_A, esd_A=1e-5, n_voxels=(10, 30)):
    """Return two particles of a slice."""
    two = np.arange(2)
    means = ParticleMeans(two, np.array(n_voxels), np.array(mean_A), np.full(2, esd_A))
    return Population(means, two, np.array(true_A))


def test_spread_between_particles_by_scan(monkeypatch):
    """Truth: of two values the standard deviation is their difference over √2."""
    apart = [0.010, 0.030, 0.004, 0.016, 0.009]
    monkeypatch.setattr(
        claims_spread, "population", lambda d: people((8.1, 8.1 + d), (8.1, 8.1 + 1.1 * d))
    )
    claims = claims_spread.spread_claims(SimpleNamespace(all_operando=lambda: apart))
    expected = [*apart, 0.020, 0.021]  # and scan 2 less scans 1 and 5
    for claim, distance in zip(claims, expected, strict=True):
        assert claim.recovered == pytest.approx(1e3 * distance / np.sqrt(2.0), rel=1e-4)
        assert claim.truth == pytest.approx(1.1e3 * distance / np.sqrt(2.0))
    (amount, direction) = claims_spread.degraded_spread_claims(
        SimpleNamespace(degraded=lambda: 0.03)
    )
    assert amount.recovered == direction.recovered
    assert direction.supported == "yes"


def test_spread_between_planes(monkeypatch):
    """Truth: means by voxels, ¼ and ¾; planes without particles are left out."""
    planes = {0: people((8.1, 8.2), (8.1, 8.1)), 1: people((8.2, 8.2), (8.1, 8.2)), 2: None}
    nobody = people((8.1, 8.1), ())
    monkeypatch.setattr(claims_planes, "population", lambda n: planes[n] or nobody)
    (claim,) = claims_planes.plane_claims(SimpleNamespace(planes=lambda: [0, 1, 2]))
    assert "2 planes" in claim.claim
    assert claim.recovered == pytest.approx(25.0 / np.sqrt(2.0), rel=1e-4)
    assert claim.truth == pytest.approx(75.0 / np.sqrt(2.0))
    assert claims_planes.plane_claims(SimpleNamespace(planes=lambda: [0, 2])) == []


def test_the_jump_over_the_window(small):
    """Truth: perfect maps jump as the truth does, also where the gradient triples meanwhile."""
    slices = []
    for factor, higher_A in ((1.0, 0.0), (3.0, 0.06)):
        a_A = 8.1 + higher_A + factor * (small.truth.a_A - np.nanmean(small.truth.a_A))
        esd_A = np.full_like(a_A, 1e-4)
        slices.append(
            replace(
                small, truth=replace(small.truth, a_A=a_A),
                maps=replace(small.maps, a_A=a_A, a_esd_total_A=esd_A),
            )
        )  # fmt: skip
    found = [found_particle(each, 0) for each in slices]
    claim = claims_window._jump(slices, found)
    assert claim.error == pytest.approx(0.0, abs=1e-6)
    assert claim.recovered == pytest.approx(60.0, abs=5.0)  # inside it is higher by some mÅ
    nowhere = [replace(each, recovered=np.zeros_like(each.recovered)) for each in found]
    assert claims_window._jump(slices, nowhere).supported == "not found"


def test_growth_of_one_point(monkeypatch):
    """Truth: by hand; uncertainties grow by the root of χ², if above one, and add as squares."""
    found = {
        1: SimpleNamespace(a_A=[8.10], a_esd_A=[0.001], chi2_reduced=[9.0]),
        5: SimpleNamespace(a_A=[8.25], a_esd_A=[0.004], chi2_reduced=[0.5]),
    }
    monkeypatch.setattr(claims_point, "first_point", lambda each: found[each.scan])

    def scan(number):
        a_A = np.array([[np.nan, 8.0 + 0.02 * number, 8.0]])
        truth = SimpleNamespace(volume_fraction=np.array([[0.9, 0.3, 0.1]]))
        return SimpleNamespace(scan=number, true_a_A=a_A, truth=truth)

    direction, amount = claims_point.point_claims(SimpleNamespace(operando=scan))
    assert direction.recovered == amount.recovered == pytest.approx(150.0)
    assert amount.esd == pytest.approx(5.0)
    assert amount.truth == pytest.approx(0.75 * 80.0)


def test_strain_of_both_particles(monkeypatch):
    """Truth: by hand, in 1e-4; a strain that is not known rises by nothing that is known."""
    strains = {
        1: StrainRange(np.array([1e-4, 2e-4]), np.array([3e-5, 3e-5]), np.ones(2)),
        5: StrainRange(np.array([np.nan, 8e-4]), np.array([np.nan, 4e-5]), np.ones(2)),
    }
    monkeypatch.setattr(claims_strain, "particle_strains", lambda each: strains[each.scan])

    def scan(number, *, trimmed):
        assert not trimmed
        both = [SimpleNamespace(strain=1e-4 * number), SimpleNamespace(strain=2e-4 * number)]
        sample = SimpleNamespace(particles=both)
        return SimpleNamespace(scan=number, sample=sample)

    study = SimpleNamespace(integrations={"plain": False}, operando=scan)
    first, first_rise, second, second_rise = claims_strain.strain_claims(study)
    assert (first.supported, first_rise.supported) == ("not found", "not found")
    assert (second.recovered, second.truth) == (pytest.approx(8.0), pytest.approx(10.0))
    assert second_rise.recovered == pytest.approx(6.0)
    assert second_rise.truth == pytest.approx(8.0)
    assert second_rise.esd == pytest.approx(0.5)


def test_strain_of_no_particle(monkeypatch):
    """Truth: what is analysed, in the row of the particle that was found; none in the other."""
    inside = np.eye(3, dtype=bool)
    outlines = [np.zeros((3, 3), bool), inside]
    monkeypatch.setattr(
        claims_strain, "found_particle", lambda _, n: SimpleNamespace(recovered=outlines[n])
    )

    def analysed(_raw, *, label, **_):
        np.testing.assert_array_equal(label, np.where(inside, 0, -1))
        found = StrainRange(np.array([0.0]), np.array([7.0]), np.array([4.0]))
        return SimpleNamespace(strain=found)

    maps = SimpleNamespace(a_A=np.ones((3, 3)), a_esd_total_A=None, recipe=None, shared=None)
    each = SimpleNamespace(maps=maps, raw=lambda: None, others=dict, workers=1)
    monkeypatch.setattr(claims_strain, "analyse_regions", analysed)
    found = claims_strain.particle_strains(each)
    assert np.isnan([found.strain[0], found.esd[0]]).all()
    assert found.strain[1] == 0.0
    assert found.esd[1] == 7.0
