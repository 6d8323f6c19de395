"""Path lengths through particles that are no layered spheres, against closed forms and laws."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from forward.bodies import cut_bodies
from forward.chords import chord_profiles
from forward.grains import Grains
from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from forward.simulate import simulate_scan
from forward.sinogram import project_angle
from forward.states import REFERENCE_A, state_grid
from forward.virtual import prepare
from phantoms.outline import shape_of
from phantoms.particle import Particle, RadialLaw, Shell, law_values
from phantoms.sample import Sample, radial_layers
from phantoms.shape import Crack, DiscOutline, Pore, RoughOutline
from phantoms.shape_kernel import cell_in_outline, filled_share
from phantoms.stoichiometry import lattice
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

THIN = Beam(width_um=1.0, height_um=1e-3)
"""A beam that sees a plane, blurred across."""
OFFSETS_UM = np.arange(-30, 31) * 0.5
LAYERED = {
    "x": RadialLaw(core=1.0, surface=0.8),
    "shells": (Shell(phase="Li2MnO3", thickness_um=1.0, weight_fraction=0.1),),
}
FLAT = RoughOutline(roughness=0.0)


def rays_of(
    *particles, h_um=0.1, angle_rad=0.0, offsets_um=OFFSETS_UM, beam=None, parallax=False,
    effects=None, **more,
):  # fmt: skip
    """Return path and moment of one projection, in double precision, and ln(a) of the states."""
    sample, accuracy = Sample(particles), Accuracy(body_step_um=h_um)
    layers = radial_layers(sample, layer_um=accuracy.layer_um)
    grid = state_grid(sample, layers=layers, spacing=accuracy.state_spacing, margin=2e-3)
    given = {
        "layers": layers, "grid": grid, "truth": TrueInstrument(beam or THIN, Geometry(), 1.0, 1.0),
        "effects": effects or Effects(), "accuracy": accuracy,
    }  # fmt: skip
    rays = project_angle(
        chord_profiles(sample, **given), centres_um=sample.centres_um, angle_rad=angle_rad,
        offsets_um=offsets_um, n_states=grid.n_states, states_per_um=0.03 if parallax else 0.0,
        bodies=cut_bodies(sample, **given, **more),
    )  # fmt: skip
    log_a = [
        np.log(REFERENCE_A) + grid.spacing * (f.first_node + np.arange(f.n_states))
        for f in grid.families
    ]
    return rays.path_um.astype(float), rays.moment_um2.astype(float), np.concatenate(log_a)


def body(**more):
    given = {"centre_um": (0.0, 0.0, 0.0), "diameter_um": 16.0, "x": 0.9}
    return Particle(**(given | more))


def lumpy(**more):
    crack = Crack(mouth_um=(0.0, 8.0, 0.0), normal=(1.0, 0.3, 0.2), length_um=5.0, opening_um=0.3)
    voids = {"pores": (Pore(centre_um=(3.0, 0.0, 0.0), diameter_um=3.0),), "cracks": (crack,)}
    return body(**({"outline": RoughOutline(roughness=0.07, seed=4)} | voids | more))


def blurred(chord, offset_um, ends_um):
    """Return the mean of a chord over the beam's width, by quadrature between its singularities."""
    sigma = 1.0 / FWHM_PER_SIGMA

    def weighed(t):
        bell = np.exp(-0.5 * ((t - offset_um) / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        return chord(t) * bell

    cuts = np.unique(np.clip([offset_um - 6.0, *ends_um, offset_um + 6.0], offset_um - 6.0, 30.0))
    return sum(quad(weighed, a, b, limit=200)[0] for a, b in pairwise(cuts))


def half_chord(t, radius_um):
    return np.sqrt(np.maximum(radius_um**2 - np.square(t), 0.0))


@pytest.mark.parametrize("beam", [THIN, Beam()])
@pytest.mark.parametrize("angle_rad", [0.3, np.pi / 4])
def test_a_flat_rough_body_is_the_sphere(beam, angle_rad):
    # Truth: the closed form of spheres, state by state, off the axis and with parallax. Cells make
    # sections too large by π/12 h² (see the shape's tests), which fixes the sum. The blur by cells,
    # h²/6, is made up for on average over where borders meet them: a ray keeps at most half of that
    # times its curvature, of 2√(2R·σ)/σ² ≈ 29 less what the beam smooths; a state, with its two
    # edges, twice as little of its own; moments that times a displacement of up to 10 µm. Where h
    # halves, errors must fall by 4, within the 30 % that the cells' phases make of it.
    where = {"centre_um": (5.3, -4.1, 0.0), **LAYERED}
    given = {"angle_rad": angle_rad, "parallax": True, "beam": beam}
    path, moment, _ = rays_of(body(**where), **given)
    errors = []
    for h_um in (0.2, 0.1):
        ours, ours_moment, _ = rays_of(body(**where, outline=FLAT), h_um=h_um, **given)
        excess = (ours.sum() - path.sum()) * 0.5
        assert excess == pytest.approx(np.pi / 12.0 * h_um**2, rel=0.15, abs=2e-4)
        errors.append(np.sqrt(np.mean((ours.sum(axis=1) - path.sum(axis=1)) ** 2)))
        assert np.abs(ours - path).max() < 0.2 * h_um**2
        assert np.abs(ours_moment.sum(axis=1) - moment.sum(axis=1)).max() < 2.0 * h_um**2
    assert errors[1] < 1.3 * errors[0] / 4.0
    assert errors[1] < 5e-4


def test_a_concentric_pore_takes_its_chord():
    # Closed form: 2√(R² − t²) − 2√(a² − t²), blurred by quadrature. Errors as of spheres.
    holed = body(pores=(Pore(diameter_um=6.0),))
    for h_um in (0.2, 0.1):
        path, _, _ = rays_of(holed, h_um=h_um, angle_rad=0.2)
        expected = [
            blurred(lambda t: 2.0 * (half_chord(t, 8.0) - half_chord(t, 3.0)), t, (-8, -3, 3, 8))
            for t in OFFSETS_UM
        ]
        assert np.abs(path.sum(axis=1) - expected).max() < 0.25 * h_um**2 + 1e-4


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_half_disc_has_its_chords_and_moments(turn):
    # Closed form, its flat side along the rays or across them: 2√(R² − t²) on one side of it only;
    # or √(R² − t²) everywhere, beginning at s = 0 and ending away from the detector, with moment
    # −(R² − t²)/2. With the disc turned as much as the scan, it is the same. Borders along cells
    # are not blurred by them, so the beam is too sharp by h²/6: of an edge of 16 µm that is at most
    # 16 h²/12 times the Gaussian's steepest slope 0.242/σ².
    bound = 16.0 * 0.1**2 / 12.0 * 0.242 * FWHM_PER_SIGMA**2
    disc = DiscOutline(height_um=20.0, spokes=1, azimuth_deg=np.rad2deg(turn))
    path, _, _ = rays_of(body(outline=disc), angle_rad=turn)
    expected = [
        blurred(lambda t: 2.0 * half_chord(t, 8.0) * (t > 0.0), t, (0, 8)) for t in OFFSETS_UM
    ]
    np.testing.assert_allclose(path.sum(axis=1), expected, atol=bound)
    path, moment, _ = rays_of(body(outline=disc), angle_rad=turn + 0.5 * np.pi)
    expected = [blurred(lambda t: half_chord(t, 8.0), t, (-8, 8)) for t in OFFSETS_UM]
    np.testing.assert_allclose(path.sum(axis=1), expected, atol=bound)
    expected = [blurred(lambda t: -0.5 * half_chord(t, 8.0) ** 2, t, (-8, 8)) for t in OFFSETS_UM]
    np.testing.assert_allclose(moment.sum(axis=1), expected, atol=0.03)


def stepped(particle, offset_um, angle_rad, step_um=0.025):
    """Return path, mean of a, and moment of a ray: sums over points of the body, beam-weighted."""
    shape = shape_of(particle)
    outline = shape.kind, shape.size, shape.waves
    sigma = 1.0 / FWHM_PER_SIGMA
    side = (np.arange(-80, 80) + 0.5) * step_um
    bell = np.exp(-0.5 * (side / sigma) ** 2)
    along = (np.arange(-400, 400) + 0.5) * step_um
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    weight, place, way = [], [], []
    for t, share in zip(offset_um + side, bell / bell.sum(), strict=True):
        for s in along:
            x, y = t * cos - s * sin, t * sin + s * cos
            inside, relative, _ = cell_in_outline(x, y, 0.0, 0.0, *outline)
            if inside > 0.0 and filled_share(x, y, 0.0, 0.0, shape.pores, shape.cracks) > 0.0:
                weight.append(share * step_um)
                place.append(relative)
                way.append(s)
    weight = np.array(weight)
    a_A = lattice(law_values(particle.x, np.array(place)), y=0.0).a_low_A
    return weight.sum(), weight @ a_A / weight.sum(), weight @ np.array(way)


def test_rough_porous_cracked_bodies_are_the_sum_of_their_points():
    # Truth: the body asked point by point, 0.025 µm apart, blurred by the beam; no cells with
    # shares, no layers, no states. Points miss edges by half their distance at random: over the
    # 160 sub-rays with six edges each 0.025/√12 · √6/√(100 that count) = 2e-3 µm, twice that
    # allowed for beside the cells' own 0.25 h²; times 8 µm for the moment. The lattice parameter
    # changes by 40 mÅ over the body, 4e-3 µm of 10 of it.
    one = lumpy(x=RadialLaw(core=1.0, surface=0.8))
    path, moment, log_a = rays_of(one, angle_rad=0.9)
    for ray in (19, 29, 36):
        total, a_A, way = stepped(one, OFFSETS_UM[ray], 0.9)
        assert path[ray].sum() == pytest.approx(total, abs=4e-3 + 2.5e-3)
        assert path[ray] @ np.exp(log_a) / path[ray].sum() == pytest.approx(a_A, abs=2e-5)
        assert moment[ray].sum() == pytest.approx(way, abs=8.0 * 6.5e-3)


def test_parallax_moves_states_by_the_mean_displacement():
    # Law: Σ state·path grows by states_per_um · Σ s·L, ray by ray, however material is spread along
    # the ray; nothing is lost. To single precision, times the number of a state (200).
    one = lumpy(centre_um=(-3.0, 4.0, 0.0), **LAYERED, pores=())
    still, moment, _ = rays_of(one, angle_rad=0.7)
    moved, moved_moment, _ = rays_of(one, angle_rad=0.7, parallax=True)
    number = np.arange(still.shape[1])
    np.testing.assert_allclose(moved.sum(axis=1), still.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(moved_moment.sum(axis=1), moment.sum(axis=1), atol=1e-4)
    shift = (moved - still) @ number
    np.testing.assert_allclose(shift, 0.03 * moment.sum(axis=1), atol=1e-3)
    assert np.abs(shift).max() > 1.0


def test_amounts_do_not_depend_on_the_angle():
    # Law: the sum over offsets times their step is the area of the section, at every angle. Half
    # micrometre steps sample a Gaussian of σ 0.42 µm to exp(−2π²σ²/step²) = 1e-6.
    totals = [rays_of(lumpy(), angle_rad=angle)[0].sum() * 0.5 for angle in np.linspace(0, 3, 9)]
    np.testing.assert_allclose(totals, totals[0], rtol=3e-6)


def test_half_a_turn_mirrors_the_projection():
    # Law: t and s change sign. To single precision.
    one = lumpy(centre_um=(2.0, 1.0, 0.3), **LAYERED, pores=())
    path, moment, _ = rays_of(one, angle_rad=0.4)
    back, back_moment, _ = rays_of(one, angle_rad=0.4 + np.pi)
    np.testing.assert_allclose(back, path[::-1], atol=1e-5)
    np.testing.assert_allclose(back_moment, -moment[::-1], atol=1e-4)


def test_a_crack_shows_its_opening():
    # Closed form: looked at along its plane, an untapered plate takes opening × length off the ray
    # through it, blurred; the opening is half a cell wide. At the mouth on the surface and at the
    # end half a cell is cut otherwise.
    crack = Crack(
        mouth_um=(0.0, 8.0, 0.0), normal=(1.0, 0.0, 0.0), length_um=6.0, opening_um=0.05,
        tapered=False,
    )  # fmt: skip
    whole, _, _ = rays_of(body(outline=FLAT))
    split, _, _ = rays_of(body(outline=FLAT, cracks=(crack,)))
    sigma = 1.0 / FWHM_PER_SIGMA
    bell = np.exp(-0.5 * (OFFSETS_UM / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
    taken = (whole - split).sum(axis=1)
    np.testing.assert_allclose(taken, 0.05 * 6.0 * bell, atol=0.05 * 0.05)
    assert taken.max() > 0.25


def test_composition_across_a_disc_is_read_from_the_side():
    # Truth: looked at along its layers, a ray at t sees one composition, x of (1 + t/R)/2, blurred
    # with the chord by quadrature. The law is straight; layers of 0.1 µm across make 1e-6 of it.
    law = RadialLaw(core=1.0, surface=0.8)
    disc = DiscOutline(height_um=20.0, azimuth_deg=40.0, layers="across")
    path, _, log_a = rays_of(body(x=law, outline=disc), angle_rad=np.deg2rad(40.0))
    for ray in (16, 24, 30, 41):
        t = OFFSETS_UM[ray]
        mean = path[ray] @ np.exp(log_a) / path[ray].sum()

        def a_chord(t):
            relative = np.clip(0.5 + t / 16.0, 0.0, 1.0)
            return 2.0 * half_chord(t, 8.0) * lattice(law.at(relative), y=0.0).a_low_A

        expected = blurred(a_chord, t, (-8, 8)) / blurred(
            lambda t: 2.0 * half_chord(t, 8.0), t, (-8, 8)
        )
        assert mean == pytest.approx(expected, abs=5e-6)


def test_a_beam_without_size_sees_chords():
    # Closed form 2√(R² − t²). A ray's ends lie in cells that are cut right on average over their
    # width only, which no beam blurs here: an eighth of a cell at either end.
    offsets = np.linspace(-6.0, 6.0, 49)
    path, _, _ = rays_of(
        body(outline=FLAT), offsets_um=offsets, angle_rad=0.3, effects=Effects(beam_size=False)
    )
    chord = 2.0 * half_chord(offsets, 8.0)
    np.testing.assert_allclose(path.sum(axis=1), chord, atol=2.0 * 0.1 / 8.0)


def test_spheres_go_their_own_way():
    # Law: without bodies nothing is cut; beside bodies spheres keep their profile to the bit, and
    # projections add up.
    sphere, other = body(centre_um=(-14.0, 2.0, 0.0), diameter_um=7.0), lumpy()
    sample = Sample((sphere,))
    alone = prepared(sample)
    both = prepared(Sample((other, sphere)))
    assert alone.knots[0].bodies is None
    first, second = alone.knots[0].profiles, both.knots[0].profiles
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(second.n_distances[0], 0)
    one, two, together = (
        rays_of(*ps, angle_rad=1.0)[0] for ps in ((sphere,), (other,), (sphere, other))
    )
    np.testing.assert_allclose(together, one + two, atol=1e-5)


def prepared(sample, **effects):
    return prepare(
        sample, beam=Beam(), detector=Detector(), geometry=Geometry(),
        truth=TrueInstrument(Beam(), Geometry(), 1.0, 1.0), effects=Effects(**effects),
    )  # fmt: skip


def test_threads_change_nothing():
    particles = tuple(lumpy(centre_um=(25.0 * i, 0.0, 0.0)) for i in range(3))
    one, two = (rays_of(*particles, workers=workers)[0] for workers in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_spots_and_absorption_are_those_of_the_sphere():
    # Truth: the same scan of the sphere, with grains and attenuation, without noise: expected
    # counts differ by as much as paths do, 5e-4 µm of ten and more.
    scan = Scan(n_offsets=9, step_um=1.0, n_angles=2)
    grains = {"grain_um": 0.3, **LAYERED}
    counts = [
        simulate_scan(
            prepared(Sample((body(outline=outline, **grains),)), noise=False), scan=scan, seed=1,
            grains=Grains(),
        ).counts
        for outline in (None, FLAT)
    ]  # fmt: skip
    np.testing.assert_allclose(counts[1].sum(axis=2), counts[0].sum(axis=2), rtol=2e-4)
    peaks = counts[0] > 0.1 * counts[0].max()
    np.testing.assert_allclose(counts[1][peaks], counts[0][peaks], rtol=1e-3)


def test_spots_of_a_rough_body_are_those_of_its_states():
    # Law: the number of crystallites is drawn from the path through each state, which is not
    # negative beyond what interpolation makes of nothing.
    path, _, _ = rays_of(lumpy(**LAYERED, pores=(), grain_um=0.5), parallax=True, beam=Beam())
    assert path.min() > -1e-4
    virtual = prepared(Sample((lumpy(grain_um=0.5),)))
    raw = simulate_scan(
        virtual, scan=Scan(n_offsets=9, step_um=1.0, n_angles=2), seed=3, grains=Grains()
    )
    assert raw.counts.sum() > 0
