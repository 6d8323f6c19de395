"""Weight fractions of regions: planted ones come back, and every uncertainty is what it says.

Patterns are drawn by the model that refines them, so that what is planted is known exactly; noise
is drawn with the stated variance.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.special import ndtr

from inverse.maps import Maps
from inverse.model import Instrument, chebyshev_background, draw_patterns, lattice_lines
from inverse.recipe import Calibration, FixedPhase, Profile, Recipe, RefinedPhase
from inverse.refine import LatticeModel, Status
from inverse.region_estimates import unbounded_estimates
from inverse.region_fractions import blur_error, region_table, typical_ratio
from inverse.region_refinement import refinement_of, region_contents, substances
from inverse.region_settings import Regions
from inverse.regions import Rays, RegionPatterns
from inverse.rietveld import design, refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import RietveldPhase
from inverse.segment import DepthRegions
from inverse.shared import Shared
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

SIGMA_1E8 = 5.73
NOISE = 4e-4
"""Variance of a channel: 2 % of the strongest line."""
GEOMETRY = Geometry(n_channels=500, two_theta_min_deg=2.5, two_theta_max_deg=10.5)
INSTRUMENT = Instrument(
    Beam(), GEOMETRY, Calibration(distance_m=GEOMETRY.distance_m, profile=Profile(W_deg2=1e-3))
)
SHARED = Shared(crystallite_size_nm=200.0, strain=4e-4)
RECIPE = Recipe(
    fixed_phases=(FixedPhase(crystal="Li2MnO3"),), n_background=4,
    phase=RefinedPhase(a_min_A=8.05, a_max_A=8.28),
)  # fmt: skip
MAIN, MINOR = "LiMn2O4", "Li2MnO3"
A_A = 8.213


@lru_cache(maxsize=2)
def model(n_lattices=1):
    return rietveld_model(
        refinement_of(RECIPE, SHARED, n_lattices=n_lattices), beam=INSTRUMENT.beam,
        geometry=GEOMETRY, calibration=INSTRUMENT.calibration,
    )  # fmt: skip


@lru_cache(maxsize=1)
def lattices():
    a_A = np.arange(8.03, 8.30, 1e-3)
    lines = lattice_lines(load_crystal(MAIN), a_A, beam=INSTRUMENT.beam, geometry=GEOMETRY)
    templates = draw_patterns(
        lines, instrument=INSTRUMENT, crystallite_size_nm=SHARED.crystallite_size_nm,
        strain=SHARED.strain,
    )  # fmt: skip
    minor = model().patterns(model().slots)[1]
    background = chebyshev_background(GEOMETRY.n_channels, n_terms=4)
    return LatticeModel(a_A=a_A, templates=templates, linear=np.array([minor, *background]))


@lru_cache(maxsize=1)
def peak():
    """Height of the strongest line of a full voxel, 1/µm/rad: the unit of patterns below."""
    return float(model().patterns(model().slots)[0].max())


def planted(amount=0.85, minor=0.03, *, a_A=A_A, strain=4e-4, background=0.1):
    """Values by name, and the pattern they make; the background in peaks."""
    names = model().names
    values = np.zeros(len(names))
    given = {
        f"{MAIN}.scale": amount, f"{MINOR}.scale": minor, f"{MAIN}.a_A": a_A,
        f"{MAIN}.strain": strain, "background.0": background * peak(),
    }  # fmt: skip
    for name, value in given.items():
        values[names.index(name)] = value
    # All but the two non-linear parameters are linear, so that their slopes make the pattern.
    rows = design(model(), values)
    linear = [i for i, name in enumerate(names) if not name.endswith(("a_A", "strain"))]
    return values, values[linear] @ rows[linear]


def closed_form(amount, minor, a_A=A_A):
    """φρ over its sum, with ρ = M/V of a cell of the given size."""
    main, other = load_crystal(MAIN), load_crystal(MINOR)
    masses = np.array(
        [amount * main.cell_mass_u / a_A**3, minor * other.cell_mass_u / other.volume_A3]
    )
    return masses / masses.sum()


def patterns_of(rows, variance, half=None):
    """Patterns with a variance per channel, given in squares of peaks."""
    values = np.atleast_2d(rows)
    variance = np.asarray(variance) * peak() ** 2
    spread = np.broadcast_to(variance, values.shape).astype(float)
    return RegionPatterns(values, spread, np.zeros(values.shape) if half is None else half)


def contents(patterns, recipe=RECIPE):
    return region_contents(
        patterns, recipe=recipe, shared=SHARED, lattices=lattices(), instrument=INSTRUMENT
    )


def estimated(patterns, width=8):
    refined = refine_patterns(patterns.values, variance=patterns.variance, model=model())
    return refined, unbounded_estimates(patterns, refined=refined, line_channels=width)


def noisy(pattern, variance, n, seed=1):
    rng = np.random.default_rng(seed)
    return pattern + peak() * np.sqrt(variance) * rng.standard_normal((n, pattern.shape[-1]))


@pytest.mark.parametrize("minor", [0.0, 0.004, 0.2])
@pytest.mark.parametrize("a_A", [8.10, 8.2135])
def test_planted_fractions_come_back(minor, a_A):
    # Closed form: φρ/Σφρ. Without noise the end of the refinement decides: below a thousandth of an
    # esd, which here is of the order of 0.01.
    _, pattern = planted(0.85, minor, a_A=a_A)
    found = contents(patterns_of(pattern, NOISE))
    np.testing.assert_allclose(found.weight_fraction[0], closed_form(0.85, minor, a_A), atol=1e-5)
    np.testing.assert_allclose(found.amount[0], [0.85, minor], atol=1e-5)
    assert found.a_A[0] == pytest.approx(a_A, abs=1e-5)
    assert found.n_lattices[0] == 1


def test_an_absent_phase_scatters_about_zero_by_its_uncertainty():
    # Statistics: n patterns of independent noise. The mean error over esd has the standard error
    # 1/√n, its standard deviation 1/√(2n). A fit bounded at zero would be 0.4 esd too large.
    n, variance = 400, NOISE
    _, pattern = planted(0.85, 0.0)
    found = contents(patterns_of(noisy(pattern, variance, n), variance))
    z = found.weight_fraction[:, 1] / found.esd_noise[:, 1]
    assert abs(z.mean()) < SIGMA_1E8 / np.sqrt(n)
    assert z.std() == pytest.approx(1.0, abs=SIGMA_1E8 / np.sqrt(2 * n))
    assert 0.25 < np.mean(z < 0.0) < 0.75


@pytest.mark.parametrize("n_alike", [1, 2])
def test_misfit_is_the_scatter_of_runs_of_residuals(n_alike):
    # Closed form: with whitened slopes J and residuals (1 − H)e, H = Jᵀ N⁻¹ J, errors e that are
    # alike in groups of n channels have the covariance E, and
    # ⟨S⟩ = Σ_runs J_run [(1 − H) E (1 − H)]_run J_runᵀ / L.
    # Statistics: the mean over n patterns, by its own scatter.
    n, width = 300, 8
    values, pattern = planted()
    rng = np.random.default_rng(3)
    error = np.repeat(rng.standard_normal((n, pattern.size // n_alike)), n_alike, axis=1)
    spread = peak() * np.sqrt(NOISE)
    found = estimated(patterns_of(pattern + spread * error, NOISE), width)[1]
    slopes = design(model(), values) / spread
    normal = np.linalg.inv(slopes @ slopes.T)
    left = np.eye(pattern.size) - slopes.T @ normal @ slopes
    alike = np.kron(np.eye(pattern.size // n_alike), np.ones((n_alike, n_alike)))
    covariance = left @ alike @ left
    runs = (range(max(0, c), min(c + width, pattern.size)) for c in range(1 - width, pattern.size))
    expected = sum(slopes[:, run] @ covariance[np.ix_(run, run)] @ slopes[:, run].T for run in runs)
    expected = np.diag(normal @ expected @ normal) / width
    for name in (f"{MINOR}.scale", f"{MAIN}.a_A", "background.0"):
        k = model().names.index(name)
        ratio = found.misfit[:, k, k] / expected[k]
        assert ratio.mean() == pytest.approx(1.0, abs=0.01 + SIGMA_1E8 * ratio.std() / np.sqrt(n))
    k = model().names.index("background.0")  # what is alike in neighbours errs together
    assert np.mean(found.misfit[:, k, k] / found.noise[:, k, k]) > 0.7 * n_alike


def test_noise_is_the_covariance_of_the_refinement():
    # Other code: the covariance that the compiled refinement returns, where no bound is active.
    variance = NOISE
    _, pattern = planted(0.85, 0.1)
    data = patterns_of(noisy(pattern, variance, 3), variance)
    refined = refine_patterns(data.values, variance=data.variance, model=model(), covariance=True)
    found = unbounded_estimates(data, refined=refined, line_channels=8)
    scale = np.sqrt(np.einsum("rii->ri", refined.covariance))
    difference = (found.noise - refined.covariance) / scale[:, :, None] / scale[:, None, :]
    assert np.abs(difference).max() < 1e-3
    steps = (found.values - refined.values) / scale
    assert np.abs(steps).max() < 1e-2  # it had converged


def test_half_differences_move_parameters_as_they_do_the_pattern():
    # Closed form: a half difference that is a parameter's own slope, times ε, moves that parameter
    # by ε and no other.
    values, pattern = planted(0.85, 0.1)
    slopes = design(model(), values)
    for name, change in (
        (f"{MINOR}.scale", 0.01),
        (f"{MAIN}.a_A", 1e-3),
        ("background.1", 1e-2 * peak()),
    ):
        k = model().names.index(name)
        half = change * slopes[[k]]
        found = estimated(patterns_of(pattern, NOISE, half))[1]
        expected = np.zeros(len(values))
        expected[k] = change
        unit = np.sqrt(np.diag(found.noise[0]))
        assert np.abs((found.half[0] - expected) / unit).max() < 1e-3 * change / unit[k]


def test_two_lattices_count_as_one_phase():
    # Planted: half of a region at either border of a two-phase window, no other phase. One lattice
    # would leave half the lines to what else there is.
    _, low = planted(0.5, 0.0, a_A=8.09, background=0.05)
    _, high = planted(0.35, 0.0, a_A=8.16, background=0.05)
    _, single = planted(0.85, 0.0)
    variance = NOISE
    data = noisy(np.stack([low + high, single]), variance, 2)
    found = contents(patterns_of(data, variance))
    np.testing.assert_array_equal(found.n_lattices, [2, 1])
    assert np.all(np.abs(found.weight_fraction[:, 1]) < SIGMA_1E8 * found.esd_noise[:, 1])
    # Amounts of 0.5 and 0.35 to a few of their esd, of the order of 1 %.
    assert found.amount[0, 0] == pytest.approx(0.85, abs=0.05)
    assert found.a_A[0] == pytest.approx((0.5 * 8.09 + 0.35 * 8.16) / 0.85, abs=2e-3)
    alone = estimated(patterns_of(data[:1], variance))[1]
    k = model().names.index(f"{MINOR}.scale")
    assert abs(alone.values[0, k]) > SIGMA_1E8 * np.sqrt(alone.noise[0, k, k])


def test_a_pattern_without_material_has_no_fractions():
    variance = NOISE
    flat = noisy(np.full(GEOMETRY.n_channels, peak()), variance, 2)
    found = contents(patterns_of(flat, variance))
    assert np.all(np.isnan(found.weight_fraction))
    assert np.all(np.isnan(found.esd_noise))


def test_channels_that_were_not_measured_do_not_count():
    # Law: a channel without a value is as one without a variance.
    _, pattern = planted()
    data = noisy(pattern, NOISE, 1)
    variance = np.full(data.shape, NOISE)
    data[:, 100:120] = np.nan
    one = contents(patterns_of(data, variance))
    data[:, 100:120], variance[:, 100:120] = 0.0, 0.0
    other = contents(patterns_of(data, variance))
    np.testing.assert_allclose(one.weight_fraction, other.weight_fraction, atol=1e-7)
    np.testing.assert_allclose(one.esd_misfit, other.esd_misfit, rtol=1e-4)


def test_further_phases_are_looked_for():
    # Planted 0.1 of rock salt, which the recipe names under regions.
    extra = RietveldPhase(crystal="LiMnO2-rocksalt", cell="fixed")
    recipe = RECIPE.model_copy(update={"regions": Regions(phases=(extra,))})
    settings = refinement_of(recipe, SHARED)
    assert substances(settings) == (MAIN, MINOR, "LiMnO2-rocksalt")
    own = rietveld_model(
        settings, beam=INSTRUMENT.beam, geometry=GEOMETRY, calibration=INSTRUMENT.calibration
    )
    _, pattern = planted(0.7, 0.05)
    found = contents(patterns_of(pattern + 0.1 * own.patterns(own.slots)[2], NOISE), recipe)
    assert found.amount[0] == pytest.approx([0.7, 0.05, 0.1], abs=1e-4)
    assert found.weight_fraction[0].sum() == pytest.approx(1.0, abs=1e-12)


def test_phases_that_cannot_be_are_refused():
    twice = tuple(RietveldPhase(crystal="Al", cell="fixed") for _ in range(2))
    recipe = RECIPE.model_copy(update={"regions": Regions(phases=twice)})
    with pytest.raises(InputError, match=r"regions\.phases.*two phases are called 'Al'"):
        refinement_of(recipe, SHARED)


def test_a_phase_may_be_named_as_the_refined_one():
    # Labels stay apart, the substance is one.
    recipe = RECIPE.model_copy(update={"fixed_phases": (FixedPhase(crystal=MAIN),)})
    settings = refinement_of(recipe, SHARED)
    assert len({phase.label for phase in settings.phases}) == 2
    assert substances(settings) == (MAIN,)


def test_typical_ratio_is_the_scale_of_normal_errors():
    # Statistics: halves |N(0, s)|, in units of their esd, of regions of two sizes, s = 3 and 6.
    # The median of 100 has a relative standard error of 1.17/√100 on the scale of σ.
    rng = np.random.default_rng(5)
    size = np.repeat([4, 40], 2000)
    esd = rng.uniform(0.5, 2.0, (4000, 1))
    true = np.repeat([3.0, 6.0], 2000)[:, None]
    ratio = typical_ratio(np.abs(rng.normal(0.0, true * esd)), esd, size=size)
    inner = np.r_[100:1900, 2100:3900]  # windows of a single size
    np.testing.assert_allclose(ratio[inner], true[inner], rtol=SIGMA_1E8 * 1.17 / np.sqrt(100))
    assert np.mean(ratio[inner] / true[inner]) == pytest.approx(1.0, abs=0.05)


def test_typical_ratio_is_never_below_one_nor_told_by_few():
    rng = np.random.default_rng(6)
    esd = np.ones((50, 2))
    errors = np.abs(rng.normal(0.0, [[0.1, 4.0]], (50, 2)))
    errors[3, 1] = np.nan
    size = rng.integers(4, 90, 50)
    ratio = typical_ratio(errors, esd, size=size)
    assert np.all(ratio[:, 0] == 1.0)
    assert np.all(np.delete(ratio[:, 1], 3) > 2.0)
    assert ratio[3, 1] == 1.0
    assert np.all(typical_ratio(errors[:7], esd[:7], size=size[:7]) == 1.0)


def shells_of(particle, shell, thickness_um=1.0):
    particle, shell = np.array(particle), np.array(shell)
    depth = np.stack([shell, shell + 1], axis=1) * thickness_um
    return DepthRegions(
        label=np.full((3, 3), -1), particle=particle, shell=shell, depth_um=depth,
        n_voxels=np.full(shell.size, 9),
    )  # fmt: skip


def test_blur_is_what_a_gaussian_carries_over_a_face():
    # Closed form: of a step at a plane face, blurred by σ, a slab of thickness d ≫ σ next to it
    # takes the mean of Φ(−x/σ) over 0 … d. Here by numerical integration.
    sigma_um, thickness_um = 0.4, 3.0
    x = np.linspace(0.0, thickness_um, 200_001)
    share = np.trapezoid(ndtr(-x / sigma_um), x) / thickness_um
    regions = shells_of([0, 0, 0], [0, 1, 2], thickness_um)
    error = blur_error(np.array([[0.04], [0.0], [0.0]]), regions=regions, sigma_um=sigma_um)
    np.testing.assert_allclose(error[:, 0], [0.04 * share, 0.04 * share, 0.0], rtol=1e-6, atol=0)


def test_blur_joins_neighbouring_shells_of_one_particle_only():
    regions = shells_of([0, 0, 1, 1], [0, 2, 0, 1])
    fraction = np.array([[0.5], [0.1], [0.9], [np.nan]])
    error = blur_error(fraction, regions=regions, sigma_um=0.4)
    np.testing.assert_array_equal(error, np.zeros((4, 1)))
    uniform = blur_error(np.full((4, 1), 0.3), regions=regions, sigma_um=0.4)
    np.testing.assert_array_equal(uniform, np.zeros((4, 1)))


def slice_with_a_shell():
    """Maps and rays of a disc of 16 voxels, Li2MnO3 in its outer 4, exact but for interpolation."""
    n, n_angles = 31, 48
    scan = Scan(n_offsets=n, step_um=1.0, n_angles=n_angles)
    _, core = planted(0.9, 0.0, background=0.0)
    _, coat = planted(0.8, 0.1, background=0.0)
    offsets = scan.offsets_um

    def chord(radius_um):
        return 2.0 * np.sqrt(np.maximum(radius_um**2 - offsets**2, 0.0))

    lines = chord(4.0)[:, None] * (core - coat) + chord(8.0)[:, None] * coat
    values = np.broadcast_to(lines.astype(np.float32), (n_angles, n, GEOMETRY.n_channels))
    variances = np.full(values.shape, 1e-3 * peak() ** 2, np.float32)
    rays = Rays(
        values=lambda angles, channels: values[angles, :, channels],
        variances=lambda angles, channels: variances[angles, :, channels],
        shape=values.shape, angles_rad=scan.angles_rad, step_um=1.0, axis_offset_um=0.0,
        filter_name="ramp", padding="zero",
    )  # fmt: skip
    x, y = np.meshgrid(offsets, offsets)
    r = np.hypot(x, y)
    seen = r <= 15.0
    amount = np.where(r < 4.0, 0.9, np.where(r < 8.0, 0.8, np.nan))
    nothing = np.full((n, n), np.nan)
    status = np.where(seen, float(Status.NO_MATERIAL), float(Status.NOT_MEASURED))
    status[r < 8.0] = Status.CONVERGED
    recipe = RECIPE.model_copy(
        update={"regions": Regions(depth_edges_um=(0.0, 2.0, 4.0, 6.0, 8.0))}
    )
    maps = Maps(
        phase=MAIN, scan=scan, a_A=np.where(r < 8.0, A_A, np.nan), a_esd_noise_A=nothing,
        a_esd_total_A=nothing, volume_fraction=amount, volume_fraction_esd_noise=nothing,
        volume_fraction_esd_total=nothing, chi2_reduced=nothing, status=status, example=None,
        recipe=recipe,
    )  # fmt: skip
    return maps, rays


def test_a_coated_disc_shows_its_coat():
    # Planted: of two homogeneous rings the outer has Li2MnO3. The inner shells lie two voxels and
    # more from either border, where the discrete reconstruction is good to a per cent.
    maps, rays = slice_with_a_shell()
    table = region_table(maps, rays=rays, instrument=INSTRUMENT, shared=SHARED, lattices=lattices())
    assert table is not None
    assert table.phases == (MAIN, MINOR)
    np.testing.assert_array_equal(table.shell, [0, 1, 2, 3])
    coat, core = closed_form(0.8, 0.1), closed_form(0.9, 0.0)
    middle = table.weight_fraction[[1, 3], 1]
    np.testing.assert_allclose(middle, [coat[1], core[1]], atol=0.15 * coat[1])
    assert np.all(table.weight_fraction_esd_total >= table.weight_fraction_esd_noise)
    # Shells on either side of the border mix, and say so: more than noise does.
    error = np.abs(table.weight_fraction[:, 1] - np.where(table.shell < 2, coat[1], core[1]))
    assert np.all(error[1:3] < 3.0 * table.weight_fraction_esd_total[1:3, 1])
    assert np.all(error[1:3] > table.weight_fraction_esd_noise[1:3, 1])
    np.testing.assert_array_equal(table.n_voxels, np.bincount(table.label[table.label >= 0]))
    painted = table.image(table.weight_fraction[:, 1])
    assert np.isnan(painted[0, 0])
    assert painted[15, 15] == table.weight_fraction[3, 1]


def test_maps_without_material_have_no_table():
    maps, rays = slice_with_a_shell()
    nothing = np.full(maps.a_A.shape, np.nan)
    empty = replace(
        maps, a_A=nothing, volume_fraction=nothing,
        status=np.where(maps.status == Status.CONVERGED, Status.NO_MATERIAL, maps.status),
    )  # fmt: skip
    assert (
        region_table(empty, rays=rays, instrument=INSTRUMENT, shared=SHARED, lattices=lattices())
        is None
    )
