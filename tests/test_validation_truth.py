"""The truth maps against closed forms and plain quadrature."""

from pathlib import Path

import numpy as np
import pytest

from phantoms.outline import shape_of
from phantoms.particle import Particle, RadialLaw, Shell
from phantoms.sample import Sample, spinel_density_g_per_cm3
from phantoms.shape import Crack, DiscOutline, Pore, RoughOutline
from phantoms.shape_kernel import surface_um
from phantoms.stoichiometry import lattice
from validation.truth import eroded, truth_on_grid
from validation.truth_phase import as_refined
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


FLAT = RoughOutline(roughness=0.0)


def test_a_flat_rough_body_has_the_truth_of_the_sphere():
    # Truth: the sphere's own maps. Both promise 1e-5 Å but in border pixels; volume fractions
    # differ where points do not know what part of a cell is cut: 1/16 of half the border. Of pixels
    # that the outline hardly touches they may think differently.
    law = {"x": RadialLaw(core=1.0, surface=0.8), "centre_um": (0.4, -0.3, 2.0)}
    sphere = truth_of(ball(**law), beam_height_um=1.0)
    flat = truth_of(ball(**law, outline=FLAT), beam_height_um=1.0)
    held = sphere.volume_fraction > 0.01
    np.testing.assert_array_equal(flat.particle[held], sphere.particle[held])
    np.testing.assert_array_equal(flat.interior, sphere.interior)
    np.testing.assert_allclose(flat.depth_um[held], sphere.depth_um[held], atol=1e-6)
    np.testing.assert_allclose(flat.volume_fraction, sphere.volume_fraction, atol=0.03)
    inside = sphere.interior
    np.testing.assert_allclose(flat.a_A[inside], sphere.a_A[inside], atol=2e-5)


def test_bodies_leave_spheres_as_they_are():
    # Law: maps of particles that share no pixel do not know of each other, to the bit.
    sphere = ball(centre_um=(-9.0, 0.0, 0.0), diameter_um=8.0)
    other = ball(centre_um=(6.0, 0.0, 0.0), diameter_um=12.0, outline=FLAT)
    alone, both = truth_of(sphere), truth_of(sphere, other)
    own = both.particle == 0
    np.testing.assert_array_equal(own, alone.particle == 0)
    for name in ("a_A", "volume_fraction", "depth_um"):
        np.testing.assert_array_equal(getattr(both, name)[own], getattr(alone, name)[own])


def test_pores_are_voids_but_inside():
    # Closed form: the pore of 4 µm takes 4π of the slice, its middle pixel is empty. It is no
    # surface: depths are those of the sphere, and pixels it only touches stay interior.
    pore = Pore(centre_um=(3.0, 0.0, 0.0), diameter_um=4.0)
    whole, holed = truth_of(ball()), truth_of(ball(pores=(pore,)))
    # a whole circle of points is off by 0.04 (see above), one of cells by less than 0.01
    taken = whole.volume_fraction.sum() - holed.volume_fraction.sum()
    assert taken == pytest.approx(4.0 * np.pi, abs=0.3)
    assert holed.volume_fraction[15, 18] == 0.0
    assert np.isnan(holed.a_A[15, 18])
    assert not holed.interior[15, 18]
    np.testing.assert_array_equal(holed.depth_um, whole.depth_um)
    touched = (holed.volume_fraction < 0.9) & (holed.volume_fraction > 0.1) & whole.interior
    assert touched.sum() > 4
    assert holed.interior[touched].all()


def test_cracks_take_their_opening():
    # Closed form: a plate 0.1 µm wide through the middle of a row takes a tenth of its pixels, but
    # the outermost, where it begins; cells are as wide as sub-points are apart, so it is exact.
    crack = Crack(mouth_um=(10.0, 0.0, 0.0), length_um=9.9, opening_um=0.1, tapered=False)
    truth = truth_of(ball(cracks=(crack,)))
    np.testing.assert_allclose(truth.volume_fraction[15, 16:24], 0.9, atol=1e-12)
    assert truth.volume_fraction[15, 10] == pytest.approx(1.0, abs=1e-12)
    assert truth.interior[15, 20]


def test_depth_below_a_rough_surface_is_no_more_than_along_the_radius():
    # Laws: the least distance to the surface is no more than that along the radius, and changes by
    # no more than one goes (1 µm to the next pixel).
    outline = RoughOutline(roughness=0.08, seed=3)
    truth = truth_of(ball(outline=outline))
    particle = ball(outline=outline)
    shape = shape_of(particle)
    rows, columns = np.nonzero(truth.interior)
    for row, column in zip(rows, columns, strict=True):
        x, y = column - 15.0, row - 15.0
        along = surface_um(x, y, 0.0, shape.size[0], shape.waves) - np.hypot(x, y)
        if x or y:
            assert 0.0 < truth.depth_um[row, column] < along + 1e-6
    both = truth.interior[:, 1:] & truth.interior[:, :-1]
    assert np.abs(np.diff(truth.depth_um, axis=1))[both].max() <= 1.0 + 1e-3


def test_spokes_have_the_area_of_half_the_disc():
    # Closed form; where the centre's pixels hold many spokes they are half full.
    disc = DiscOutline(height_um=5.0, spokes=16)
    truth = truth_of(ball(outline=disc))
    assert truth.volume_fraction.sum() == pytest.approx(0.5 * np.pi * 100.0, abs=0.3)
    assert truth.volume_fraction[15, 15] == pytest.approx(0.5, abs=0.03)


def test_a_phase_stands_in_for_the_spinel_where_there_is_none():
    # Closed form: the crystal's own cell wherever there is any, π(R − √½)² interior pixels (off by
    # their number on the circumference's scatter, below 3 %), and all of the mass.
    shell = Shell(phase="LaB6", thickness_um=20.0, weight_fraction=1.0)
    disc = DiscOutline(height_um=50.0)
    truth = truth_of(ball(shells=(shell,), outline=disc, porosity=0.4))
    seen = as_refined(truth, "LaB6", folder=Path())
    assert np.nanmax(np.abs(seen.a_A - load_crystal("LaB6").cell_A_deg[0])) < 1e-12
    np.testing.assert_array_equal(np.isfinite(seen.a_A), truth.extra_fraction["LaB6"] > 0.0)
    assert seen.interior.sum() == pytest.approx(np.pi * (10.0 - np.sqrt(0.5)) ** 2, rel=0.03)
    np.testing.assert_allclose(seen.volume_fraction[seen.interior], 0.6, atol=1e-12)
    assert list(seen.mass_g_per_cm3) == ["LiMn2O4"]
    # Another phase, or a sample with spinel, leaves the truth as it is.
    assert as_refined(truth, "CeO2", folder=Path()) is truth
    mixed = truth_of(ball(shells=(Shell(phase="LaB6", thickness_um=2.0, weight_fraction=1.0),)))
    assert as_refined(mixed, "LaB6", folder=Path()) is mixed


def test_voxels_that_are_all_pore_are_not_scored():
    # Law: a voxel within a pore but for a sliver (below a twentieth) has nothing to be recovered.
    pore = Pore(centre_um=(0.0, 0.0, 0.0), diameter_um=7.0)
    truth = truth_of(ball(pores=(pore,)))
    slivers = (truth.volume_fraction > 0.0) & (truth.volume_fraction < 0.05)
    slivers &= truth.depth_um > 2.0
    assert slivers.any()
    assert not truth.interior[slivers].any()
