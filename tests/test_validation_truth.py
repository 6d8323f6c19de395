"""The truth maps against closed forms and plain quadrature."""

import numpy as np
import pytest

from phantoms.particle import Particle, RadialLaw, Shell
from phantoms.sample import Sample, spinel_density_g_per_cm3
from phantoms.stoichiometry import lattice
from validation.truth import eroded, truth_on_grid
from xrdct.crystal import load_crystal
from xrdct.scan import Scan

SCAN = Scan(n_offsets=31, step_um=1.0, n_angles=1)
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def ball(**more):
    given = {"centre_um": (0.0, 0.0, 0.0), "diameter_um": 20.0, "x": 0.9}
    return Particle(**(given | more))


def truth_of(*particles, beam_height_um=0.0, scan=SCAN):
    return truth_on_grid(Sample(particles), scan=scan, beam_height_um=beam_height_um)


@pytest.mark.parametrize("z_um", [0.0, 6.0])
def test_area_of_a_slice(z_um):
    # Closed form: π(R² − z²)·(1 − porosity). Sub-points of 1/8 µm or finer on a 50 µm edge:
    # random errors of a thousandth.
    truth = truth_of(ball(centre_um=(0.4, -0.3, z_um), porosity=0.2))
    assert truth.volume_fraction.sum() == pytest.approx(0.8 * np.pi * (100 - z_um**2), rel=2e-3)


def test_lattice_parameter_is_the_mean_of_the_law_over_the_pixel():
    # Truth: the law averaged over the pixel on a 200 × 200 grid; 1e-5 Å is what truth promises.
    law = RadialLaw(core=1.0, surface=0.8, exponent=2.0)
    truth = truth_of(ball(x=law))
    sub = (np.arange(200) + 0.5) / 200 - 0.5
    for iy, ix in ((15, 15), (15, 20), (19, 12), (11, 22)):
        dx, dy = np.meshgrid(ix - 15 + sub, iy - 15 + sub)
        expected = lattice(law.at(np.hypot(dx, dy) / 10.0), y=0.0).a_low_A.mean()
        assert truth.a_A[iy, ix] == pytest.approx(expected, abs=1e-5)


def test_beam_height_averages_the_law():
    # Truth: quadrature over the Gaussian height of the beam at the particle's centre.
    law = RadialLaw(core=1.0, surface=0.8)
    truth = truth_of(ball(x=law, diameter_um=12.0), beam_height_um=1.0)
    z = np.linspace(-2.0, 2.0, 801)
    sub = (np.arange(50) + 0.5) / 50 - 0.5
    dx, dy, dz = np.meshgrid(sub, sub, z)
    weight = np.exp(-0.5 * (dz * FWHM / 1.0) ** 2)
    a_A = lattice(law.at(np.sqrt(dx**2 + dy**2 + dz**2) / 6.0), y=0.0).a_low_A
    # Ten Gauss–Hermite nodes on a law with a kink at the centre (4.5 mÅ/µm): a twentieth of 1 mÅ
    assert truth.a_A[15, 15] == pytest.approx(np.sum(weight * a_A) / weight.sum(), abs=5e-5)


def test_shell_volume_follows_from_weight_fraction_and_densities():
    # Closed form: V2/(V1 + V2) = (w/ρ2) / (w/ρ2 + (1 − w)/ρ1).
    shell = Shell(phase="Li2MnO3", thickness_um=10.0, weight_fraction=0.3)
    truth = truth_of(ball(x=1.0, shells=(shell,)))
    a = np.array(8.245)
    rho1 = spinel_density_g_per_cm3(
        np.array(1.0), y=np.array(0.0), a_low_A=a, a_high_A=a, high=np.array(0.0)
    )
    rho2 = load_crystal("Li2MnO3").density_g_per_cm3
    expected = (0.3 / rho2) / (0.3 / rho2 + 0.7 / rho1)
    assert truth.extra_fraction["Li2MnO3"][15, 15] == pytest.approx(expected, rel=1e-6)
    assert truth.volume_fraction[15, 15] == pytest.approx(1.0 - expected, rel=1e-6)


def test_density_of_the_spinel_is_that_of_its_crystal():
    # Independent: mass and volume of the cell as read from the CIF.
    a = np.array(8.245)
    ours = spinel_density_g_per_cm3(
        np.array(1.0), y=np.array(0.0), a_low_A=a, a_high_A=a, high=np.array(0.0)
    )
    assert float(ours) == pytest.approx(load_crystal("LiMn2O4").density_g_per_cm3, rel=1e-4)


def test_a_window_holds_two_lattices_and_is_scored_apart():
    # Closed form: at x = 0.35 the lever rule gives 15/26 of the formula units to the larger cell.
    truth = truth_of(ball(x=0.35))
    assert truth.two_lattices[15, 15]
    low, high, none = truth.lattice_fraction[:, 15, 15]
    units = (0.35 - 0.2) / 0.26
    assert high / low == pytest.approx(units * 8.145**3 / ((1 - units) * 8.076**3), rel=1e-6)
    assert none == 0.0
    np.testing.assert_allclose(truth.lattice_a_A[:2, 15, 15], [8.076, 8.145], atol=1e-9)


def test_interior_and_eroded_voxels():
    # Closed form: a pixel is interior if its farthest corner lies inside (sharp slice), eroded if
    # all eight neighbours are too; pores count as inside.
    truth = truth_of(ball(porosity=0.5))
    offset = np.arange(31) - 15
    x, y = np.meshgrid(np.abs(offset), np.abs(offset))
    corner = np.hypot(x + 0.5, y + 0.5)
    clear = np.abs(corner - 10.0) > 0.05
    np.testing.assert_array_equal(truth.interior[clear], (corner < 10.0)[clear])
    wide = np.hypot(x + 1.5, y + 1.5)
    clear = np.abs(wide - 10.0) > 0.05
    np.testing.assert_array_equal(truth.eroded[clear], (wide < 10.0)[clear])


def test_touching_particles_do_not_share_eroded_voxels():
    # Definition: neighbours must be interior in the same particle.
    interior = np.ones((4, 6), bool)
    particle = np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0)
    np.testing.assert_array_equal(
        np.argwhere(eroded(interior, particle)), [[1, 1], [1, 4], [2, 1], [2, 4]]
    )


def test_depth_is_measured_in_three_dimensions():
    # Closed form: R − |r − c|.
    truth = truth_of(ball(centre_um=(0.0, 0.0, 6.0)))
    assert truth.depth_um[15, 15] == pytest.approx(10.0 - 6.0)
    assert truth.depth_um[15, 18] == pytest.approx(10.0 - np.hypot(6.0, 3.0))


def test_particles_keep_their_numbers_when_some_are_out_of_view():
    far = ball(centre_um=(200.0, 0.0, 0.0))
    truth = truth_of(far, ball())
    assert truth.particle[15, 15] == 1
    assert truth.particle[0, 0] == -1


def test_nothing_gives_an_empty_truth():
    truth = truth_of()
    assert not truth.interior.any()
    assert np.isnan(truth.a_A).all()
    assert not truth.volume_fraction.any()
