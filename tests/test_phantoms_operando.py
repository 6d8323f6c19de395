"""A sample that changes while it is scanned: lithium is conserved, laws within their limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms.operando import Operando, knot_times_s, sample_at
from phantoms.particle import Particle, RadialLaw, RadialTable, Shell, law_values
from phantoms.sample import Sample, radial_layers
from phantoms.stoichiometry import FILLED_NODES, LATTICE_NODES_A, filled_fraction, mean_lattice_A
from xrdct.errors import InputError

LAWS = {
    "number": {"x": 0.6, "y": 0.0},
    "law": {"x": RadialLaw(core=0.7, surface=0.5)},
    "law on law": {"x": RadialLaw(core=0.7, surface=0.5), "y": RadialLaw(core=0.05, surface=0.1)},
    "two exponents": {
        "x": RadialLaw(core=0.7, surface=0.5, exponent=3.0),
        "y": RadialLaw(core=0.05, surface=0.1, exponent=0.5),
    },
    "table": {"x": RadialTable(r_over_R=(0.0, 0.3, 1.0), value=(0.9, 0.7, 0.4)), "y": 0.03},
    "shell": {
        "x": 0.6,
        "shells": (Shell(phase="Li2MnO3", thickness_um=2.0, weight_fraction=(0.6, 0.0)),),
    },
}
R = np.linspace(0.0, 1.0, 2001)


def row(*particles):
    """Particles of 8, 9, 10, … µm side by side."""
    return Sample(
        tuple(
            Particle(centre_um=(20.0 * i, 0.0, 0.0), diameter_um=8.0 + i, **laws)
            for i, laws in enumerate(particles)
        )
    )


def mean_filled(sample):
    """Mean filled fraction of every particle by the trapezoid, and its capacity (µm³)."""
    means, capacities = [], []
    for p in sample.particles:
        x, y = law_values(p.x, R), law_values(p.y, R)
        others = sum(s.weight_fraction_at((1.0 - R) * p.radius_um) for s in p.shells)
        density = R**2 * (1.0 - 3.0 * y) * (1.0 - p.porosity) * (1.0 - others)
        capacities.append(4.0 * np.pi * p.radius_um**3 * np.trapezoid(density, R))
        filled = np.trapezoid(density * filled_fraction(x, y=y), R)
        means.append(filled / np.trapezoid(density, R))
    return np.array(means), np.array(capacities)


def later(sample, change, *, spread=0.0, seed=1):
    """The sample an hour on, when the current has inserted ``change`` of all that fits."""
    operando = Operando(filled_change_per_h=change, spread=spread)
    return sample_at(sample, operando, time_s=3600.0, seed=seed)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("change", [-0.05, 0.1])
def test_every_radius_moves_alike_while_there_is_room(name, change):
    # Closed form: f rises by the change everywhere. Between the 33 radii of the tables that two
    # exponents need, x and y are linear: where √r is steepest, y errs by up to 0.05 (1/32)/4, and
    # f by 3/(1 − 3y) times that; x with exponent 3 by ⅛ h² |x″| ≤ 6 · 0.2/(8 · 32²).
    before = row(LAWS[name]).particles[0]
    after = later(row(LAWS[name]), change).particles[0]
    f_before, f_after = (
        filled_fraction(law_values(p.x, R), y=law_values(p.y, R)) for p in (before, after)
    )
    tolerance, y_tolerance = (2e-3, 0.05 / 128) if name == "two exponents" else (1e-9, 1e-12)
    np.testing.assert_allclose(f_after - f_before, change, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        law_values(after.y, R), law_values(before.y, R), rtol=0, atol=y_tolerance
    )


@pytest.mark.parametrize("name", ["number", "law", "law on law"])
def test_laws_keep_their_form_while_there_is_room(name):
    # Law: x + s (1 − 3y) is linear in what x and y are linear in.
    before, after = row(LAWS[name]).particles[0], later(row(LAWS[name]), 0.1).particles[0]
    assert type(after.x) is type(before.x)
    assert after.y == before.y


@pytest.mark.parametrize("spread", [0.0, 0.5])
@given(change=st.floats(-0.9, 0.9))
def test_lithium_is_conserved(spread, change):
    # Law: the current delivers what it delivers until all is full or empty, whoever saturates.
    # Between 65 radii everything is taken as linear: a bend costs ⅛ h² of a slope of order 1, 3e-5,
    # and so does the curvature of the power laws; 2e-4 allows for several. √r costs y h^1.5/4.
    sample = row(*LAWS.values())
    before, capacity = mean_filled(sample)
    after, _ = mean_filled(later(sample, change, spread=spread))
    total = capacity @ before / capacity.sum()
    expected = np.clip(total + change, 0.0, 1.0)
    assert capacity @ after / capacity.sum() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("change", "filled"), [(5.0, 1.0), (-5.0, 0.0)])
def test_in_the_end_everything_is_full_or_empty(change, filled):
    # Limit.
    for p in later(row(*LAWS.values()), change, spread=0.3).particles:
        f = filled_fraction(law_values(p.x, R), y=law_values(p.y, R))
        np.testing.assert_allclose(f, filled, rtol=0, atol=1e-9)


def test_a_full_surface_leaves_its_share_to_the_core():
    # Closed form: f = ½ + ½ r/R, mean 7/8, level s: full beyond ρ = 1 − 2s, so the mean rises by
    # s − ∫_ρ^1 3r² (f + s − 1) dr = s − ½ ∫_ρ^1 3r² (r − ρ) dr.
    s = 0.1
    rho = 1.0 - 2.0 * s
    lost = 0.5 * ((3.0 / 4.0) * (1.0 - rho**4) - rho * (1.0 - rho**3))
    after = later(row({"x": RadialLaw(core=0.5, surface=1.0)}), s - lost).particles[0]
    expected = np.minimum(0.5 + 0.5 * R + s, 1.0)
    # the bend is cut off between two of 65 radii: ⅛ h² of the slope ½, and a mean of half that
    np.testing.assert_allclose(law_values(after.x, R), expected, rtol=0, atol=0.5 / 64**2)


def test_the_two_phase_window_is_jumped_not_crossed():
    # Law (phase rule): a stoichiometric particle on its way through window I shows its two edges,
    # never a lattice between them, while its mean content rises steadily.
    sample = row({"x": 0.15})
    edges = LATTICE_NODES_A[1:3]
    seen = []
    for time_s in np.linspace(0.0, 3600.0, 41):
        moved = sample_at(sample, Operando(filled_change_per_h=0.4), time_s=time_s, seed=1)
        layers = radial_layers(moved, layer_um=1.0)
        lattices = np.concatenate(
            [layers.a_low_A[layers.fraction_low > 0], layers.a_high_A[layers.fraction_high > 0]]
        )
        assert not np.any((lattices > edges[0] + 1e-9) & (lattices < edges[1] - 1e-9))
        seen.append(layers.fraction_high.max())
    f = 0.15 + 0.4 * np.linspace(0.0, 1.0, 41)
    inside = (f > FILLED_NODES[1] + 1e-6) & (f < FILLED_NODES[2] - 1e-6)
    assert np.all(np.diff(np.array(seen)[inside]) > 0)
    assert np.ptp(np.array(seen)[inside]) > 0.8


def test_speeds_differ_by_the_stated_spread():
    # Law: relative spread of n log-normal speeds within 5 standard errors of σ/√(2n), 1.6 times
    # that for the log-normal's tails at σ = 0.2 (kurtosis 3.7 instead of 3); false alarm < 1e-6.
    n = 2000
    particles = tuple(
        Particle(centre_um=(3.0 * i, 0.0, 0.0), diameter_um=2.0, x=0.5) for i in range(n)
    )
    gained = mean_filled(later(Sample(particles), 0.1, spread=0.2))[0] - 0.5
    assert gained.mean() == pytest.approx(0.1, abs=1e-9)
    assert gained.std() / gained.mean() == pytest.approx(0.2, rel=8.0 / np.sqrt(2.0 * n))


def test_a_particle_keeps_its_speed():
    # Law: what each gains is proportional to time while nobody is full.
    sample = row(*[{"x": 0.3}] * 5)
    operando = Operando(filled_change_per_h=0.1, spread=0.5)
    early, late = (
        mean_filled(sample_at(sample, operando, time_s=t, seed=3))[0] - 0.3 for t in (900.0, 1800.0)
    )
    np.testing.assert_allclose(late, 2.0 * early, rtol=1e-9)
    other = mean_filled(sample_at(sample, operando, time_s=900.0, seed=4))[0] - 0.3
    assert not np.allclose(other, early, rtol=1e-3)


def test_before_the_onset_nothing_happens():
    sample = row(*LAWS.values())
    operando = Operando(filled_change_per_h=1.0, onset_s=60.0)
    assert sample_at(sample, operando, time_s=60.0, seed=1) is sample
    assert sample_at(Sample(()), operando, time_s=90.0, seed=1).particles == ()


@given(change=st.floats(-1.5, 1.5), spread=st.floats(0.0, 0.6), onset_s=st.floats(0.0, 5000.0))
def test_between_knots_no_particle_changes_by_more_than_the_step(change, spread, onset_s):
    # Definition, with the law's steepest piece taken from finite differences: 0.28 Å per f. Means
    # here and there differ by the quadrature, 2e-4 of f.
    sample = row(*LAWS.values())
    operando = Operando(filled_change_per_h=change, spread=spread, onset_s=onset_s)
    times_s = knot_times_s(sample, operando, duration_s=3600.0, max_lattice_step_A=0.03, seed=2)
    assert times_s[0] == 0.0
    assert times_s[-1] == 3600.0
    assert np.all(np.diff(times_s) > 0)
    moved = [sample_at(sample, operando, time_s=float(t), seed=2) for t in times_s]
    steps = np.abs(np.diff([mean_filled(one)[0] for one in moved], axis=0))
    f = np.linspace(0.0, 1.0, 101)
    steepest_A = np.diff(mean_lattice_A(f, y=0.0)).max() / 0.01
    assert steepest_A == pytest.approx(0.28, abs=0.02)
    assert steps.max() * steepest_A < 0.03 + 2e-4 * 0.28


@pytest.mark.parametrize("change", [-0.3, 0.3])
def test_between_knots_no_radius_changes_by_more_than_the_step(change):
    # Definition: with room everywhere a(r) itself moves by less than the step.
    sample = row(LAWS["number"], LAWS["law"], LAWS["law on law"])
    operando = Operando(filled_change_per_h=change, spread=0.2)
    times_s = knot_times_s(sample, operando, duration_s=3600.0, max_lattice_step_A=0.002, seed=2)
    r = np.linspace(0.0, 1.0, 21)
    lattices_A = []
    for time_s in times_s:
        moved = sample_at(sample, operando, time_s=float(time_s), seed=2).particles
        x, y = (np.array([law_values(law, r) for law in laws]) for laws in
                ([p.x for p in moved], [p.y for p in moved]))  # fmt: skip
        lattices_A.append(mean_lattice_A(x, y=y))
    steps_A = np.abs(np.diff(lattices_A, axis=0))
    assert 0.001 < steps_A.max() < 0.002


def test_a_steady_discharge_needs_equally_spaced_knots():
    # Closed form: at C/4 for 20 min f changes by 1/12; the steepest piece of the law lies in window
    # I, where the mean lattice parameter rises by 0.069 Å over 0.26 (4 % more where the richer
    # phase's cells begin): 0.0833 · 0.27/0.0012 ≈ 19 steps.
    operando = Operando(filled_change_per_h=0.25)
    times_s = knot_times_s(
        row({"x": 0.3}), operando, duration_s=1200.0, max_lattice_step_A=0.0012, seed=1
    )
    np.testing.assert_allclose(np.diff(times_s), 1200.0 / (len(times_s) - 1), rtol=1e-12)
    assert len(times_s) - 1 in (19, 20)


def test_a_duration_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"must be positive, got 0 s and 0.001 Å"):
        knot_times_s(row(), Operando(), duration_s=0.0, max_lattice_step_A=1e-3, seed=1)
