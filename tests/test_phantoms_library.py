"""The library by name, and the study's two particles at its five scans."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from phantoms.discharge import SCAN_NUMBERS, Discharge
from phantoms.library import (
    Nothing,
    Particle1,
    Particle2,
    build,
    library_names,
    library_spec,
)
from phantoms.particle import RadialLaw, law_values
from phantoms.particle_states import PARTICLE_1, PARTICLE_2, li_rich_filling, li_rich_particle
from phantoms.stoichiometry import FILLED_NODES, mean_lattice_A
from xrdct.errors import InputError

RHO = np.linspace(0.0, 1.0, 101)
FORBIDDEN_A = (8.076, 8.145)
"""Between them there is no spinel LiMn2O4 (published)."""


def particle(spec):
    (only,) = build(spec, seed=0).particles
    return only


def lattice_A(spec) -> np.ndarray:
    """a over the radius, core first."""
    made = particle(spec)
    return mean_lattice_A(law_values(made.x, RHO), y=law_values(made.y, RHO))


def weight_fraction(made, phase: str, depth_um: np.ndarray) -> np.ndarray:
    of_phase = [s.weight_fraction_at(depth_um) for s in made.shells if s.phase == phase]
    return sum(of_phase, np.zeros(depth_um.size))


@pytest.mark.parametrize("name", [n for n in library_names() if "electrode" not in n])
def test_samples_are_built_by_name(name):
    spec = library_spec({"library": name})
    sample = build(spec, seed=0)
    assert spec.library == name
    assert spec.diameter_um == pytest.approx(sample.diameter_um)
    assert spec.in_plane == bool(sample.particles)
    assert spec.z_um == sample.z_um
    assert library_spec(spec.model_dump()) == spec


@pytest.mark.parametrize("name", [n for n in library_names() if "electrode" in n])
def test_electrodes_say_how_wide_they_are(name):
    spec = library_spec({"library": name, "diameter_um": 170.0})
    sample = build(spec, seed=1)
    assert spec.in_plane
    assert spec.z_um == sample.z_um
    assert 0.9 * spec.diameter_um < sample.diameter_um <= spec.diameter_um
    assert library_spec(spec.model_dump()) == spec


def test_nothing_is_empty():
    sample = build(Nothing(z_um=2.0), seed=0)
    assert sample.particles == ()
    assert sample.z_um == 2.0


def test_particles_that_the_plane_misses_are_told():
    # Closed form: a sphere is cut by planes nearer than its radius.
    assert Particle1(z_um=8.9).in_plane
    assert not Particle1(z_um=-9.0).in_plane
    assert Particle2(z_um=3.0).z_um == 3.0


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="no sample named 'gold' in the library, which has part"):
        library_spec({"library": "gold"})


def test_particle_1_is_as_published():
    # Published: Li1.10 at the surface, Li1.05 in the core; 3 to 4 % Li2MnO3 at the surface and
    # below, none deeper; Li0.5Mn2O4 throughout.
    depth_um = np.linspace(0.0, 8.9, 90)
    for scan in SCAN_NUMBERS:
        made = particle(Particle1(scan=scan))
        assert isinstance(made.y, RadialLaw)
        assert (made.y.core, made.y.surface) == (0.05, 0.10)
        shell = weight_fraction(made, "Li2MnO3", depth_um)
        outer = depth_um < 1.99
        assert ((shell[outer] >= 0.03) & (shell[outer] <= 0.04)).all()
        assert (shell[depth_um > 2.01] == 0.0).all()
        assert (weight_fraction(made, "Li0.5Mn2O4", depth_um) > 0.0).all()


def test_particle_1_has_a_core_of_higher_a_the_more_so_the_fuller():
    # Published: the gradient grows with lithiation, a highest in the core; a inside the forbidden
    # range at first, voxels above 8.223 Å at the end, and none above 8.25 Å.
    profiles = [lattice_A(Particle1(scan=scan)) for scan in SCAN_NUMBERS]
    rise = [profile[0] - profile[-1] for profile in profiles]
    assert (np.diff(rise) > 1e-3).all()
    assert rise[0] > -2e-4
    for profile in profiles[1:]:
        assert (np.diff(profile) < 0.0).all()
    for profile in profiles[:2]:
        assert FORBIDDEN_A[0] < profile.min() <= profile.max() < FORBIDDEN_A[1]
    assert profiles[-1].max() > 8.223
    assert profiles[-1].max() < 8.25


def test_particle_2_is_as_published():
    # Published: uniform; across window I between two scans; rock salt rising to 26 %; Li0.5Mn2O4
    # in scan 2 only, at each depth; strain rising.
    made = [particle(Particle2(scan=scan)) for scan in SCAN_NUMBERS]
    profiles = [lattice_A(Particle2(scan=scan)) for scan in SCAN_NUMBERS]
    assert all(np.ptp(profile) == 0.0 for profile in profiles)
    assert profiles[0][0] < FORBIDDEN_A[0] < FORBIDDEN_A[1] < profiles[1][0]
    assert (np.diff([profile[0] for profile in profiles]) > 0.0).all()
    depth_um = np.array([0.1, 4.0, 7.9])
    rock_salt = np.array([weight_fraction(p, "LiMnO2-rocksalt", depth_um) for p in made])
    assert (rock_salt == rock_salt[:, :1]).all()
    assert (np.diff(rock_salt[:, 0]) > 0.0).all()
    assert rock_salt[-1, 0] == 0.26
    intermediate = np.array([weight_fraction(p, "Li0.5Mn2O4", depth_um) for p in made])
    np.testing.assert_array_equal((intermediate > 0.0).all(axis=1), [False, True] + 3 * [False])
    assert (np.diff([p.strain for p in made]) > 0.0).all()


def test_particle_2_rests_in_no_window_and_is_like_the_bulk():
    # The edges of windows, and the mean of charge counting, from which it differs by 0.11 at most.
    for scan, state in zip(SCAN_NUMBERS, PARTICLE_2, strict=True):
        inside = np.searchsorted(FILLED_NODES, state.filled)
        assert inside not in (2, 4)
        assert abs(state.filled - Discharge().scan_x(scan)) < 0.12


@pytest.mark.parametrize("radius_um", [0.8, 2.0, 9.0])
@pytest.mark.parametrize("mean", [0.0, 0.004, 0.5, 0.999, 1.0])
def test_li_rich_lead_is_reduced_at_the_limits(mean, radius_um):
    # Limits: nothing is emptier than empty or fuller than full, and the lead is never turned.
    filling = li_rich_filling(PARTICLE_1[-1], filled=mean, radius_um=radius_um)
    assert -1e-15 <= filling.surface <= mean + 1e-15
    assert mean - 1e-15 <= filling.core <= 1.0 + 1e-15
    made = li_rich_particle(
        PARTICLE_1[-1], diameter_um=2.0 * radius_um, filled=mean, centre_um=(0.0, 0.0, 0.0)
    )
    assert made.diameter_um == 2.0 * radius_um


def test_scan_and_the_options_that_it_decides_exclude_each_other():
    with pytest.raises(ValidationError, match="scan decides filled_fraction: give one of them"):
        Particle1(scan=2, filled_fraction=0.5)
    with pytest.raises(ValidationError, match="scan decides strain: give one of them"):
        Particle2(scan=2, strain=1e-3)
