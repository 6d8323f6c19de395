"""A recipe with a Rietveld refinement of every voxel: what it makes of a scan, what it refuses."""

from functools import lru_cache

import numpy as np
import pytest
from pydantic import ValidationError

from forward.settings import Effects
from inverse.maps import read_maps, write_maps
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.refine import Status
from phantoms.particle import Particle, Shell
from validation.experiment import Experiment, ParticleList, load_recipe
from validation.metrics import lattice_metrics
from validation.metrics_voxels import second_lattice_metrics, voxel_fraction_metrics
from validation.steps import simulate
from xrdct.instrument import Geometry
from xrdct.scan import Scan

SPINEL, LAYERED = "LiMn2O4", "Li2MnO3"
MAIN = {"crystal": SPINEL, "cell_start": 0.987, "cell_range": 0.02, "search": True}
ALONE = {"phases": (MAIN,)}
BOTH = {"phases": (MAIN, {"crystal": LAYERED, "cell": "fixed"})}


@lru_cache(maxsize=1)
def measured():
    """A coated particle and one inside a two-phase window; 31 × 60 points, 400 channels."""
    shell = Shell(phase=LAYERED, thickness_um=4.0, weight_fraction=0.1)
    particles = (
        Particle(centre_um=(-5.0, -4.0, 0.0), diameter_um=15.0, x=0.9, shells=(shell,)),
        Particle(centre_um=(7.0, 7.0, 0.0), diameter_um=9.0, x=0.35),
    )
    return simulate(
        Experiment(
            sample=ParticleList(particles=particles),
            scan=Scan(n_offsets=31, step_um=1.0, n_angles=60),
            geometry=Geometry(n_channels=400, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
            effects=Effects(),
            seed=5,
        )
    )


def recipe(**sections):
    return Recipe.model_validate(dict(measured().raw.recipe) | sections)


def recovered(**sections):
    return recover(measured().raw, recipe=recipe(**sections))


@lru_cache(maxsize=1)
def with_second():
    return recovered(rietveld=BOTH | {"second_lattice": {}, "covariance": True})


def test_without_the_section_there_is_nothing():
    assert recipe().rietveld is None
    assert recovered().rietveld is None


def test_one_phase_alone_is_the_usual_refinement():
    # Other code: templates interpolated in the lattice parameter, of the same profile. Both take
    # 200 nm for the size and no strain; what differs is interpolation, some 1e-6 Å, and that each
    # stops within 1e-3 standard uncertainties.
    plain = recovered(refine_shared=False)
    maps = recovered(refine_shared=False, rietveld=ALONE)
    both = (plain.status == Status.CONVERGED) & (maps.status == Status.CONVERGED)
    assert both.sum() > 150
    # Where a scale is near its least value one may converge and the other not.
    assert (plain.status != maps.status).sum() <= 3
    one_lattice = both & ~measured().truth.two_lattices  # elsewhere there are two minima
    change = np.abs(maps.a_A - plain.a_A)[one_lattice]
    assert (change / plain.a_esd_noise_A[one_lattice]).max() < 0.05
    np.testing.assert_allclose(
        maps.a_esd_noise_A[one_lattice], plain.a_esd_noise_A[one_lattice], rtol=0.02
    )
    change = np.abs(maps.volume_fraction - plain.volume_fraction)[one_lattice]
    assert (change / plain.volume_fraction_esd_noise[one_lattice]).max() < 0.05
    np.testing.assert_array_equal(
        maps.rietveld.phase(SPINEL).quantities["a_A"].value[both], maps.a_A[both]
    )


def test_phases_and_lattices_are_those_planted():
    # Planted: 10 % by weight of the layered phase in the outer 4 µm, to 1 % in the mean (its esd in
    # a voxel is some 1 %, of a hundred voxels; blur takes from the rim what it gives within); two
    # lattices in all voxels of one particle, none in the other.
    maps, truth = with_second(), measured().truth
    figures = voxel_fraction_metrics(maps, truth)[LAYERED]["interior"]
    assert figures["n_voxels"] > 100
    assert abs(figures["bias"]) < 0.01
    assert figures["rms"] < 0.04
    second = second_lattice_metrics(maps, truth)
    assert second["n_two"] > 20
    assert second["n_two_found"] == second["n_two"]
    assert second["n_one_taken_for_two"] == 0
    assert max(map(abs, second["bias_A"])) < 1e-3
    assert abs(second["share_bias"]) < 0.02


def test_one_number_for_two_lattices_is_their_mean():
    # Law: a mean by amount lies between both, and their amounts add up.
    maps = with_second()
    two = maps.rietveld.second_lattice.decision == 1.0
    first, second = (
        maps.rietveld.phase(label).quantities for label in (SPINEL, f"{SPINEL}-second")
    )
    share = maps.rietveld.second_lattice.share.value[two]
    mean_A = (1.0 - share) * first["a_A"].value[two] + share * second["a_A"].value[two]
    np.testing.assert_allclose(maps.a_A[two], mean_A, rtol=1e-12)
    total = first["volume_fraction"].value[two] + second["volume_fraction"].value[two]
    np.testing.assert_allclose(maps.volume_fraction[two], total, rtol=1e-12)


def test_maps_have_both_uncertainties():
    maps = with_second()
    known = np.isfinite(maps.a_A)
    np.testing.assert_array_equal(known, maps.status == Status.CONVERGED)
    assert (maps.a_esd_noise_A[known] > 0.0).all()
    assert (maps.a_esd_total_A[known] >= maps.a_esd_noise_A[known]).all()
    layered = maps.rietveld.substances[1]
    refined = np.isfinite(maps.rietveld.chi2_reduced)
    assert (layered.esd_noise[refined] > 0.0).all()
    assert (layered.esd_total[refined] >= layered.esd_noise[refined]).all()
    np.testing.assert_array_equal(refined, maps.rietveld.status == Status.CONVERGED)


def test_regions_and_example_come_along(tmp_path):
    maps = with_second()
    assert maps.regions is not None
    residual = (maps.example.observed - maps.example.fitted) / maps.example.esd
    used = np.isfinite(residual)
    # χ² per degree of freedom of the very voxel, by the number of channels.
    chi2 = maps.rietveld.chi2_reduced[maps.example.pixel]
    assert np.mean(residual[used] ** 2) == pytest.approx(chi2, rel=0.03)
    path = tmp_path / "maps.h5"
    write_maps(maps, path)
    again = read_maps(path)
    assert again.recipe == maps.recipe
    np.testing.assert_array_equal(again.rietveld.covariance, maps.rietveld.covariance)


@pytest.mark.parametrize(
    "reconstruction",
    [
        {"method": "sirt", "iterations": 40},
        {"method": "cgls", "iterations": 8},
        {"method": "poisson", "iterations": 5},
        {"backend": "scikit-image"},
        {"filter": "hann"},
    ],
)
def test_any_reconstruction_of_patterns_will_do(reconstruction):
    # Planted, to 2 mÅ: a seventh of a channel; methods differ in noise and blur.
    maps = recovered(rietveld=ALONE, reconstruction=reconstruction)
    assert maps.rietveld is not None
    assert lattice_metrics(maps, measured().truth)["interior"]["rms_A"] < 2e-3


def test_nothing_outside_the_view_is_refined():
    maps = with_second()
    outside = maps.status == Status.NOT_MEASURED
    assert outside[0, 0]
    assert np.isnan(maps.rietveld.r_wp[outside]).all()


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({"reconstruction": {"method": "direct"}}, "reconstruction.method = 'direct' does not"),
        ({"reconstruction": {"method": "joint"}}, "reconstruction.method = 'joint' does not"),
        ({"reconstruction": {"order": "refine-first"}}, "reconstruction.order = 'refine-first'"),
        ({"reconstruction": {"compress": True}}, "reconstruction.compress = true does not"),
        ({"phase": {"crystal": "lambda-MnO2"}}, "the refined phase lambda-MnO2 .* not there"),
        ({"rietveld": {"phases": [{"crystal": SPINEL, "cell": "fixed"}]}}, "but it is 'fixed'"),
        (
            {"rietveld": {
                "phases": [{"crystal": SPINEL}, {"crystal": SPINEL, "name": "x"}],
                "second_lattice": {},
            }},
            "one phase may be of it, not LiMn2O4, x",
        ),
        (
            {"rietveld": {
                "phases": [{"crystal": SPINEL}, {"crystal": LAYERED, "name": "x-second"}],
                "second_lattice": {},
            }},
            "no phase may be called 'x-second'",
        ),
        ({"rietveld": {"phases": [], "covariance": True}}, "at least 1 item"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(sections, rule):
    with pytest.raises(ValidationError, match=rule):
        Recipe.model_validate({"rietveld": BOTH} | sections)


@pytest.mark.parametrize(
    ("truncation", "padding", "expected"),
    [
        ("none", None, "edge"), ("none", "zero", "zero"), ("complete", None, "zero"),
        ("coarse", None, "zero"), ("coarse", "edge", "edge"),
    ],
)  # fmt: skip
def test_projections_end_at_zero_where_the_outside_is_gone(truncation, padding, expected):
    # By the docstring of `padding`.
    made = Recipe.model_validate(
        {"truncation": {"method": truncation}, "reconstruction": {"padding": padding}}
    )
    assert made.padding == expected


def test_the_example_is_a_recipe(pytestconfig):
    made = load_recipe(pytestconfig.rootpath / "examples" / "recipes" / "rietveld.toml")
    assert made.rietveld.second_lattice is not None
    assert made.rietveld.refined(SPINEL).search
