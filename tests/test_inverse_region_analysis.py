"""Regions of a user's own: the chain's own regions come back, and planted phases with them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from inverse.chain import prepared_sinogram
from inverse.lattice_regions import depth_parts, lattice_regions
from inverse.recipe import FixedPhase, Recipe
from inverse.recover import recover
from inverse.refine import Status
from inverse.region_analysis import analyse_regions
from inverse.region_settings import Regions
from inverse.regions import rays_of_counts, region_patterns
from inverse.rietveld_recipe import RietveldPhase
from inverse.segment import particles_of
from phantoms.particle import Particle, RadialLaw, Shell
from tests.gradient_particle import small
from validation.experiment import ParticleList
from validation.steps import simulate
from validation.truth import with_masses
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

ROCK_SALT, MONOCLINIC = "LiMnO2-rocksalt", "Li2MnO3"
SIGMA_1E8 = 5.73


@lru_cache(maxsize=1)
def case():
    """A particle of 16 µm: 12 wt % rock salt in the outer 4 µm, spinel with a gradient."""
    particle = Particle(
        centre_um=(1.0, -0.5, 0.0), diameter_um=16.0, x=RadialLaw(core=0.98, surface=0.94),
        shells=(Shell(phase=ROCK_SALT, thickness_um=4.0, weight_fraction=0.12),), strain=1e-3,
    )  # fmt: skip
    experiment = small(
        sample=ParticleList(particles=(particle,)),
        scan=Scan(n_offsets=25, step_um=1.0, n_angles=60), beam=Beam(flux_per_s=1e10),
        geometry=Geometry(n_channels=700, two_theta_min_deg=2.5, two_theta_max_deg=10.5),
        recipe=Recipe(fixed_phases=(FixedPhase(crystal=MONOCLINIC),)),
    )  # fmt: skip
    simulated = simulate(experiment)
    return simulated, recover(simulated.raw)


def planted_fraction(truth, label, phase, *, n_regions):
    """Share of a phase in the mass of all, by region, from the truth."""
    masses = with_masses(truth, folder=None).mass_g_per_cm3
    total = sum(np.nan_to_num(m) for m in masses.values())
    inside = label >= 0
    sums = [
        np.bincount(label[inside], np.nan_to_num(m)[inside], minlength=n_regions)
        for m in (masses[phase], total)
    ]
    return sums[0] / sums[1]


def test_the_chains_own_regions_come_back():
    # Identity: the same labels, phases and shared parameters give what the chain has told.
    simulated, maps = case()
    found = analyse_regions(
        simulated.raw, label=maps.regions.label, shared=maps.shared, refine_shared=False
    )
    assert found.phases == maps.regions.phases
    np.testing.assert_allclose(found.weight_fraction, maps.regions.weight_fraction, atol=1e-12)
    np.testing.assert_allclose(found.esd_noise, maps.regions.weight_fraction_esd_noise, rtol=1e-9)
    np.testing.assert_array_equal(found.n_voxels, maps.regions.n_voxels)


def test_a_planted_phase_is_found_by_depth():
    # Truth: the simulated masses. Within 5.73 total esds.
    simulated, maps = case()
    particles = particles_of(
        maps.volume_fraction, measured=maps.status != Status.NOT_MEASURED,
        step_um=1.0, settings=Regions(),
    )  # fmt: skip
    parts = depth_parts(particles, n_parts=4)
    assert len(parts.n_voxels) == 4
    found = analyse_regions(
        simulated.raw, label=parts, shared=maps.shared,
        phases=(RietveldPhase(crystal=ROCK_SALT, cell="fixed"),),
    )  # fmt: skip
    for phase in (ROCK_SALT,):
        column = found.phases.index(phase)
        true = planted_fraction(simulated.truth, parts.label, phase, n_regions=4)
        error = found.weight_fraction[:, column] - true
        assert np.all(np.abs(error) < SIGMA_1E8 * found.esd_total[:, column]), (error, true)
    assert found.weight_fraction[0, found.phases.index(ROCK_SALT)] > 0.05
    np.testing.assert_allclose(found.weight_fraction.sum(axis=1), 1.0)


def test_shared_parameters_are_mended_by_a_phase_the_maps_did_not_know():
    # Law: lines of a phase that is not in the model bias what all voxels share, and that biases
    # weight fractions; with the phase in the model, a wrong start must not matter.
    simulated, maps = case()
    label = np.where(np.nan_to_num(maps.volume_fraction) > 0.6, 0, -1)
    true = planted_fraction(simulated.truth, label, ROCK_SALT, n_regions=1)[0]
    wrong = dict(maps.shared) | {"b_iso_change_A2": 1.0}
    errors = {}
    for refine in (False, True):
        found = analyse_regions(
            simulated.raw, label=label, shared=wrong, refine_shared=refine,
            phases=(RietveldPhase(crystal=ROCK_SALT, cell="fixed", strain_value=1e-3),),
        )  # fmt: skip
        errors[refine] = abs(found.weight_fraction[0, found.phases.index(ROCK_SALT)] - true)
    assert errors[True] < 0.01
    assert errors[False] > 2.0 * errors[True]


def test_steps_of_the_recipe_are_followed():
    # Identity: the sinogram that the recipe's steps make, and that it is asked for, are the same.
    simulated, maps = case()
    label = np.where(np.nan_to_num(maps.volume_fraction) > 0.6, 0, -1)
    recipe = Recipe.model_validate(
        dict(simulated.raw.recipe) | {"sinogram": {"rotation_axis": 0.1}}
    )
    one = analyse_regions(simulated.raw, label=label, recipe=recipe)
    sinogram = prepared_sinogram(simulated.raw, others={}, recipe=recipe)
    two = analyse_regions(simulated.raw, label=label, recipe=recipe, sinogram=sinogram)
    np.testing.assert_array_equal(one.patterns.values, two.patterns.values)
    plain = analyse_regions(simulated.raw, label=label)
    assert np.any(plain.patterns.values != one.patterns.values)


def test_strain_comes_back_without_the_spread_of_the_region():
    # Law: the spread of the lattice parameter in a region broadens its lines; taking it off leaves
    # less. Truth: the particle's strain, within 30 %: the profile of a mixture is not Gaussian.
    simulated, maps = case()
    full = np.nan_to_num(maps.volume_fraction) > 0.6
    label = np.where(full, 0, -1)
    mixed = analyse_regions(simulated.raw, label=label, shared=maps.shared)
    clean = analyse_regions(
        simulated.raw, label=label, shared=maps.shared, a_A=maps.a_A, a_esd_A=maps.a_esd_noise_A
    )
    assert 0.0 < clean.strain.strain[0] < mixed.strain.strain[0]
    assert clean.strain.strain[0] == pytest.approx(1e-3, rel=0.3)
    assert clean.strain.upper[0] > clean.strain.strain[0] > clean.strain.esd[0] > 0.0


def test_labels_by_lattice_parameter_are_refined():
    # Law: regions of rising lattice parameter have rising refined ones, near the maps' means.
    simulated, maps = case()
    full = np.nan_to_num(maps.volume_fraction) > 0.6
    regions = lattice_regions(maps.a_A, amount=maps.volume_fraction, used=full)
    found = analyse_regions(simulated.raw, label=regions.label, shared=maps.shared)
    assert np.all(np.diff(found.a_A) > 0.0)
    np.testing.assert_allclose(found.a_A, regions.mean_A, atol=1e-3)
    patterns = region_patterns(
        rays_of_counts(simulated.raw, recipe=Recipe.model_validate(simulated.raw.recipe)),
        label=regions.label,
    )
    np.testing.assert_array_equal(found.patterns.values, patterns.values)


def test_hostile_inputs_are_refused():
    simulated, maps = case()
    label = np.full(maps.a_A.shape, -1)
    with pytest.raises(InputError, match="at least one region"):
        analyse_regions(simulated.raw, label=label)
    label[12, 12] = 0
    with pytest.raises(InputError, match="among the recipe's phases"):
        analyse_regions(
            simulated.raw, label=label, phases=(RietveldPhase(crystal=MONOCLINIC, cell="fixed"),)
        )
    with pytest.raises(InputError, match="a_A must have the shape"):
        analyse_regions(simulated.raw, label=label, a_A=np.zeros((3, 3)))
    label[12, 12] = 1
    with pytest.raises(InputError, match="every region"):
        analyse_regions(simulated.raw, label=label)
