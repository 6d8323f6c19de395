"""Outlines, pores and cracks against closed forms, quadrature and other programs."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import sph_harm_y

from phantoms.depth import depth_um
from phantoms.outline import rough_surface, shape_of
from phantoms.particle import Particle
from phantoms.sample import Sample
from phantoms.shape import Crack, DiscOutline, Pore, RoughOutline
from phantoms.shape_kernel import bumps, cell_in_outline, filled_share, share_below, surface_um
from xrdct.errors import InputError

ROUGH = RoughOutline(roughness=0.07, order=5, seed=4)


def body(**more):
    given = {"centre_um": (0.0, 0.0, 0.0), "diameter_um": 10.0}
    return Particle(**(given | more))


def directions(n, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(n, 3))
    return drawn / np.linalg.norm(drawn, axis=1)[:, None]


def surface_of(particle, ways):
    shape = shape_of(particle)
    return np.array([surface_um(*way, shape.size[0], shape.waves) for way in ways])


def section_um2(particle, h, *, z_um=0.0, filled=True):
    """Return the area of a particle's section, summed over cells of edge h."""
    shape = shape_of(particle)
    n = int(np.ceil(shape.reach_xy_um / h)) + 2
    total = 0.0
    for y in (np.arange(-n, n) + 0.5) * h:
        for x in (np.arange(-n, n) + 0.5) * h:
            share, _, _ = cell_in_outline(x, y, z_um, h, shape.kind, shape.size, shape.waves)
            if filled and share > 0.0:
                share *= filled_share(x, y, z_um, h, shape.pores, shape.cracks)
            total += share
    return total * h * h


@pytest.mark.parametrize("order", [2, 5, 9])
def test_bumps_are_real_spherical_harmonics(order):
    # Truth: SciPy's complex harmonics (with the Condon–Shortley phase, taken off here).
    waves = rough_surface(RoughOutline(roughness=0.1, order=order, seed=2)).waves
    for way in directions(20):
        theta, phi = np.arccos(way[2]), np.arctan2(way[1], way[0])
        expected = 0.0
        for degree in range(2 * order + 1):
            for m in range(degree + 1):
                y = (-1) ** m * sph_harm_y(degree, m, theta, phi)
                expected += waves[degree, m, 0] * y.real + waves[degree, m, 1] * y.imag
        assert bumps(*way, waves) == pytest.approx(expected, abs=1e-12)


def test_roughness_is_the_deviation_over_all_directions():
    # Law: the mean of f over the sphere is zero and its variance Σ a²/4π; Gauss–Legendre with more
    # nodes than its degree asks for.
    waves = rough_surface(ROUGH).waves
    cos_theta, weights = np.polynomial.legendre.leggauss(24)
    phi = 2.0 * np.pi * np.arange(40) / 40
    sin_theta = np.sqrt(1.0 - cos_theta**2)
    f = np.array(
        [
            [bumps(s * np.cos(p), s * np.sin(p), c, waves) for p in phi]
            for c, s in zip(cos_theta, sin_theta, strict=True)
        ]
    )
    mean = weights / 2.0 @ f.mean(axis=1)
    square = weights / 2.0 @ (f**2).mean(axis=1)
    assert mean == pytest.approx(0.0, abs=1e-14)
    assert np.sqrt(square) == pytest.approx(0.07, rel=1e-12)


def test_volume_is_that_of_the_sphere():
    # Truth: the sum of sections along z, each the sum of cells: midpoint rule with errors of
    # order h² ≈ 0.06 of R² = 25, times a small factor (π/12 for a circle): below a thousandth.
    heights = (np.arange(-26, 26) + 0.5) * 0.25
    rough = body(outline=ROUGH)
    volume = 0.25 * sum(section_um2(rough, 0.25, z_um=z) for z in heights)
    assert volume == pytest.approx(np.pi / 6.0 * 10.0**3, rel=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bounds_hold_in_every_direction(seed):
    # Law: Bernstein's inequality (see the module). 4 % of the largest bump is the promised slack.
    surface = rough_surface(RoughOutline(roughness=0.1, order=6, seed=seed))
    radii = np.array([1.0 + bumps(*way, surface.waves) for way in directions(40_000)])
    largest = np.abs(radii - 1.0).max()
    assert surface.least <= radii.min()
    assert surface.greatest >= radii.max()
    # 40 000 directions miss an extreme of degree 12 by less than 1 % of it
    assert surface.least > radii.min() - 0.06 * largest
    assert surface.greatest < radii.max() + 0.06 * largest


def test_outer_scale_keeps_within_the_sphere():
    # Law: nothing outside the sphere of the diameter, and something within 0.5 µm · bumps of it.
    radii = surface_of(
        body(outline=RoughOutline(roughness=0.07, seed=4, scale="outer")), directions(20_000)
    )
    assert radii.max() <= 5.0
    assert radii.max() > 4.9


def test_seeds_tell_surfaces_apart_and_repeat_them():
    ways = directions(5)
    first, again, other = (
        surface_of(body(outline=RoughOutline(roughness=0.07, seed=seed)), ways)
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


@pytest.mark.parametrize("angle", [0.0, 0.2, np.pi / 4, 2.0, -2.5])
@pytest.mark.parametrize("edge", [-0.9, -0.3, 0.0, 0.1, 0.45, 0.6])
def test_share_of_a_square_below_a_line(angle, edge):
    # Truth: the share of 2000² points of the square; off by a row of points, 1/2000 · √2.
    x, y = np.meshgrid(*[(np.arange(2000) + 0.5) / 2000 - 0.5] * 2)
    normal = np.cos(angle), np.sin(angle)
    expected = np.mean(x * normal[0] + y * normal[1] < edge)
    assert share_below(0.7 * edge, *normal, 0.7) == pytest.approx(expected, abs=1e-3)


def test_area_of_a_circle_of_cells_is_too_large_by_pi_12_h_squared():
    # Closed form: in a border cell the circle bends away from its tangent by t²/2R; ⟨t²⟩ of a
    # square is h²/12 in any direction; along the circumference that adds up to 2πR·h²/24R.
    # Phases of the cells: a tenth.
    errors = [section_um2(body(), h) - np.pi * 25.0 for h in (0.4, 0.2)]
    np.testing.assert_allclose(errors, np.pi / 12.0 * np.array([0.16, 0.04]), rtol=0.1)


def test_pores_take_their_circles():
    # Closed form: π(R² − a² + z²) with the pore's section at z; errors as above, with both signs.
    holed = body(pores=(Pore(centre_um=(1.0, -0.5, 0.7), diameter_um=4.0),))
    area = np.pi * (25.0 - (4.0 - 0.7**2))
    assert section_um2(holed, 0.1) == pytest.approx(area, abs=0.01)


@pytest.mark.parametrize("h", [0.2, 0.1])
@pytest.mark.parametrize("azimuth", [0.0, 0.3])
@pytest.mark.parametrize("tapered", [True, False])
def test_cracks_take_their_plates(h, azimuth, tapered):
    # Closed form: a plate of length 4 µm and opening 0.05 µm from the surface inwards: its area is
    # half of that, or all of it. At the mouth and at the end cells are cut in another way than the
    # closed form: half a cell's length each.
    along = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    crack = Crack(
        mouth_um=tuple(5.0 * along), normal=(-along[1], along[0], 0.0), length_um=4.0,
        opening_um=0.05, tapered=tapered,
    )  # fmt: skip
    taken = section_um2(body(), h) - section_um2(body(cracks=(crack,)), h)
    assert taken == pytest.approx(0.05 * 4.0 * (0.5 if tapered else 1.0), abs=0.05 * h)


@pytest.mark.parametrize(("spokes", "share"), [(0, 1.0), (1, 0.5), (7, 0.5), (36, 0.5)])
def test_spokes_are_half_of_the_disc(spokes, share):
    # Closed form, whatever the number. The border's error π/12 h² is shared; the spokes²/π cells
    # about the centre that hold more than a spoke are off at random by half a cell at most.
    star = body(outline=DiscOutline(height_um=2.0, spokes=spokes, azimuth_deg=13.0))
    expected = share * (np.pi * 25.0 + np.pi / 12.0 * 0.01)
    assert section_um2(star, 0.1) == pytest.approx(expected, abs=5e-3 + 0.28 * spokes * 0.01)
    assert section_um2(star, 0.5, z_um=1.01) == 0.0


def test_depth_below_spheres_is_what_is_left_of_the_radius():
    # Closed form, with and without bumps of no height, to the last step of the search (1e-5 R,
    # which enters squared) and to rounding.
    places = directions(50) * np.linspace(0.5, 4.9, 50)[:, None]
    expected = 5.0 - np.linalg.norm(places, axis=1)
    flat = body(outline=RoughOutline(roughness=0.0))
    np.testing.assert_allclose(depth_um(shape_of(body(pores=())), places), expected, atol=1e-12)
    np.testing.assert_allclose(depth_um(shape_of(flat), places), expected, atol=1e-7)


def test_depth_below_rough_surfaces_is_the_least_distance():
    # Truth: the nearest of 400 000 points of the surface, whose distance is too large by at most
    # e²/2d, with e their half spacing: 5 √(4π/400 000)/√2 ≈ 0.02 µm. Places are 0.2 µm deep, or
    # more.
    rough = body(outline=ROUGH)
    ways = directions(400_000, seed=1)
    points = ways * surface_of(rough, ways)[:, None]
    inside = directions(40, seed=2)
    inside *= (surface_of(rough, inside) - np.linspace(0.2, 4.0, 40))[:, None]
    nearest = np.array([np.linalg.norm(points - place, axis=1).min() for place in inside])
    found = depth_um(shape_of(rough), inside)
    assert np.all(found <= nearest + 1e-7)
    assert np.all(found >= nearest - 0.04**2 / (2.0 * nearest) - 1e-3)
    outside = directions(5, seed=3) * 7.0
    assert np.all(depth_um(shape_of(rough), outside) < 0.0)


def test_depth_in_discs_and_spokes():
    # Closed form: the least distance to mantle, faces and the spoke's sides.
    disc = shape_of(body(outline=DiscOutline(height_um=4.0)))
    np.testing.assert_allclose(
        depth_um(disc, np.array([[4.0, 0.0, 0.0], [0.0, 1.0, 1.8], [0.0, 7.0, 0.0]])),
        [1.0, 0.2, -2.0], atol=1e-12,
    )  # fmt: skip
    half = shape_of(body(outline=DiscOutline(height_um=40.0, spokes=1)))
    places = np.array([[0.5, 2.0, 0.0], [-0.5, 2.0, 0.0], [4.0, 0.0, 0.0]])
    np.testing.assert_allclose(depth_um(half, places), [0.5, -0.5, 1.0], atol=1e-12)


def test_what_cannot_be_is_refused_and_the_particle_named():
    wild = body(outline=RoughOutline(roughness=0.3, order=12, seed=1))
    with pytest.raises(InputError, match=r"particles\[0\].*rough outline.*outline\.roughness"):
        Sample((wild,))
    with pytest.raises(InputError, match=r"particles\[0\].*pore lies 6 µm"):
        Sample((body(pores=(Pore(centre_um=(6.0, 0.0, 0.0), diameter_um=1.0),)),))
    far = Crack(mouth_um=(0.0, 0.0, 9.0), length_um=1.0, opening_um=0.1)
    with pytest.raises(InputError, match=r"particles\[0\].*crack lies 9 µm"):
        Sample((body(cracks=(far,)),))
    with pytest.raises(ValidationError, match="normal"):
        Crack(mouth_um=(0, 0, 0), normal=(0, 0, 0), length_um=1.0, opening_um=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bodies_overlap_where_their_surfaces_meet(seed):
    # Truth: depths. Along x a body may come as near as the sphere that touches it: one of 1 µm, its
    # surface 0.01 µm on either side of the surface, where it is seen from the sphere's centre.
    rough = body(outline=RoughOutline(roughness=0.07, seed=seed))
    shape = shape_of(rough)

    def sphere(x_um):
        return Particle(centre_um=(x_um, 0.0, 0.0), diameter_um=1.0)

    x_um = np.linspace(4.0, 8.0, 4001)
    depths = depth_um(shape, np.column_stack([x_um, 0.0 * x_um, 0.0 * x_um]))
    touching = x_um[np.flatnonzero(depths > -0.5)[-1]]
    Sample((rough, sphere(touching + 0.01)))
    with pytest.raises(InputError, match=r"overlap.*particles\[0\].*particles\[1\]"):
        Sample((rough, sphere(touching - 0.01)))
    with pytest.raises(InputError, match="overlap"):  # one within the other
        Sample((rough, sphere(0.0)))


def test_rough_bodies_within_touching_spheres_do_not_overlap():
    # Law: with "outer" nothing leaves the sphere; with equal volume bumps meet somewhere on a line
    # of touching spheres.
    places = [(10.0 * i, 0.0, 0.0) for i in range(6)]
    for scale in ("outer", "volume"):
        row = tuple(
            body(centre_um=place, outline=RoughOutline(roughness=0.1, seed=i, scale=scale))
            for i, place in enumerate(places)
        )
        if scale == "outer":
            assert len(Sample(row).bodies) == 6
            continue
        with pytest.raises(InputError, match="overlap"):
            Sample(row)


def test_particles_may_stand_beside_a_tall_disc():
    # Closed form: R + r apart, beside it; H/2 + r above it.
    disc = body(outline=DiscOutline(height_um=40.0))
    for place, away in (((1.0, 0.0, 0.0), 5.0), ((0.0, 0.0, 1.0), 20.0)):
        near, far = (
            Particle(centre_um=tuple((away + 1.0 + gap) * np.array(place)), diameter_um=2.0)
            for gap in (-0.01, 0.001)
        )
        assert len(Sample((far, disc)).particles) == 2
        with pytest.raises(InputError, match="overlap"):
            Sample((near, disc))


def test_outlines_are_told_apart_by_their_form():
    assert isinstance(body(outline={"form": "rough", "seed": 3}).outline, RoughOutline)
    assert isinstance(body(outline={"form": "disc", "height_um": 3.0}).outline, DiscOutline)
    with pytest.raises(ValidationError, match="form"):
        body(outline={"form": "cube"})
    assert not body().is_body
    assert Sample((body(),)).reaches_xy_um == pytest.approx([5.0])
