"""A user's own maps in one call."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.depth_profiles import depth_profiles
from inverse.lattice_histogram import lattice_histograms
from inverse.particle_analysis import analyse_particles
from inverse.region_settings import Regions
from inverse.segment import particles_of
from xrdct.errors import InputError

N = 51
LINE = np.arange(N) - 0.5 * (N - 1)


def maps():
    amount, a_A = np.zeros((N, N)), np.full((N, N), np.nan)
    for x, radius, base in ((-11.0, 8.0, 8.15), (10.0, 9.5, 8.22)):
        depth = radius - np.hypot(LINE - x, LINE[:, None])
        amount = np.maximum(amount, 0.9 * np.clip(depth + 0.5, 0.0, 1.0))
        a_A = np.where(depth > -0.5, base + 0.001 * depth, a_A)
    return a_A, amount


def test_one_call_is_the_sum_of_its_parts():
    # Identity with the functions it calls.
    a_A, amount = maps()
    esd = np.full(a_A.shape, 1e-3)
    found = analyse_particles(a_A, amount, step_um=1.0, esd_A=esd)
    own = particles_of(amount, measured=np.ones(a_A.shape, bool), step_um=1.0, settings=Regions())
    np.testing.assert_array_equal(found.particles.label, own.label)
    profiles = depth_profiles(a_A, particles=own, step_um=1.0, amount=amount, esd=esd)
    for one, other in zip(found.profiles, profiles, strict=True):
        np.testing.assert_array_equal(one.ratio, other.ratio)
        np.testing.assert_array_equal(one.ratio_esd, other.ratio_esd)
    first, *others = lattice_histograms(a_A, amount=amount, step_um=1.0, esd_A=esd, particles=own)
    np.testing.assert_array_equal(found.slice_histogram.area_um2, first.area_um2)
    assert len(found.histograms) == len(others) == 2


def test_particles_are_found_by_place():
    a_A, amount = maps()
    found = analyse_particles(a_A, amount, step_um=1.0)
    left, right = (found.particle_at(x, 0.0, step_um=1.0) for x in (-11.0, 10.0))
    assert found.profile_of(left).mean < 8.17 < found.profile_of(right).mean
    with pytest.raises(InputError, match="no particle at"):
        found.particle_at(0.0, 24.0, step_um=1.0)
    with pytest.raises(InputError, match="no particle at"):
        found.particle_at(1e4, 0.0, step_um=1.0)
    with pytest.raises(InputError, match="has no profile"):
        found.profile_of(99)


def test_hostile_inputs_are_refused():
    a_A, amount = maps()
    with pytest.raises(InputError, match="maps of one shape"):
        analyse_particles(a_A, amount[1:], step_um=1.0)
    with pytest.raises(InputError, match="step_um must be"):
        analyse_particles(a_A, amount, step_um=0.0)
    with pytest.raises(InputError, match="no voxel has both"):
        analyse_particles(a_A, 0.0 * amount, step_um=1.0)
