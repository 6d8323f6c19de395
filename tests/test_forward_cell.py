"""Paths through the cell and its patterns against closed forms, quadrature, laws and limits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from forward.cell import CellLibrary, cell_library, cell_patterns
from forward.cell_paths import cell_paths, half_chords_um
from forward.parallax import ring_shift_rad
from phantoms.cell import Cell
from phantoms.cell_materials import substance_names
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.conversion import two_theta_rad, wavelength_A
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.reflections import powder_reflections
from xrdct.scattering import ring_power_per_m

ENERGY_KEV = 50.0
WAVELENGTH_A = wavelength_A(ENERGY_KEV)
NAMES = substance_names()
GRID = np.deg2rad(np.linspace(1.2, 14.8, 4300))
SIGMA_RAD = 2.0e-4
NODES_UM = np.linspace(-1600.0, 1600.0, 17)
INTO_COLLECTOR_UM = -47.5
"""Moves the beam from mid-electrode to the middle of the collector."""


@pytest.fixture(scope="module")
def library() -> CellLibrary:
    return make_library(Cell())


def make_library(cell, *, distance_m=0.7):
    return cell_library(
        cell, two_theta_rad=GRID, energy_keV=ENERGY_KEV, distance_m=distance_m,
        peak_sigma_rad=np.full(GRID.size, SIGMA_RAD),
    )  # fmt: skip


def paths_of(
    cell, offsets_um, *, particles_um=0.0, angle_rad=0.0, beam=None, nodes_um=NODES_UM, **more
):
    offsets_um = np.asarray(offsets_um, float)
    return cell_paths(
        cell, offsets_um=offsets_um, angle_rad=angle_rad, nodes_um=nodes_um, beam=beam,
        particle_path_um=np.full(offsets_um.size, particles_um), **more,
    )  # fmt: skip


def total(paths, name):
    return paths.paths_um.sum(axis=1)[:, NAMES.index(name)]


def test_a_ray_crosses_rings_as_long_as_their_chords():
    # Closed form: 2√(R² − t²) of 1587.5, 600 and 500 µm, less what lies within. A sharp ray is
    # 1e-3 µm wide; none passes within 50 µm of a tangent, so its error is below 1e-7.
    t = np.array([0.0, -430.0, 550.0, 1200.0])
    body, chamber, disc = (2 * np.sqrt(np.maximum(r**2 - t**2, 0.0)) for r in (1587.5, 600, 500))
    paths = paths_of(Cell(), t)
    np.testing.assert_allclose(total(paths, "PEEK"), body - chamber, atol=1e-5)
    filler = 0.87 * disc
    np.testing.assert_allclose(total(paths, "electrolyte"), chamber - disc + filler, atol=1e-5)
    np.testing.assert_allclose(total(paths, "carbon"), 0.065 * disc, atol=1e-5)
    np.testing.assert_array_equal(paths.electrode_share, 1.0)
    assert np.all(total(paths, "Al") == 0.0)


@pytest.mark.parametrize("angle_rad", [0.0, 0.8, 2.5])
def test_place_along_the_beam_is_kept_exactly(angle_rad):
    # Law: sharing out between nodes keeps Σ s·path, here that of a circle off the axis: its
    # centre's s = −x sin ω + y cos ω, times the path.
    cell = Cell(centre_um=(60.0, -40.0), electrode_centre_um=(60.0, -40.0))
    t0 = 60.0 * np.cos(angle_rad) - 40.0 * np.sin(angle_rad)
    s0 = -60.0 * np.sin(angle_rad) - 40.0 * np.cos(angle_rad)
    t = t0 + np.array([0.0, 300.0, 900.0])
    nodes_um = np.linspace(-1700.0, 1700.0, 9)
    paths = paths_of(cell, t, angle_rad=angle_rad, nodes_um=nodes_um)
    peek = NAMES.index("PEEK")
    moment = nodes_um @ paths.paths_um[:, :, peek].T
    np.testing.assert_allclose(moment, s0 * total(paths, "PEEK"), atol=1e-3)
    expected = 2 * np.sqrt(1587.5**2 - 900.0**2)
    assert total(paths, "PEEK")[2] == pytest.approx(expected, abs=1e-5)


def test_beam_width_blurs_chords_without_losing_area():
    # Law: blurring keeps Σ chord·step = π R²; strips are exact, weights sum to one, and a step of a
    # strip's width (σ/2) tiles the circle: rounding of 1e6 µm² differences only. At the very rim
    # the mean half chord is an integral over the beam, here by quadrature; strips with the beam's
    # variance leave 1 % at a square root.
    beam = Beam(width_um=20.0)
    sigma = 20.0 / FWHM_PER_SIGMA
    offsets = np.arange(-1500, 1501) * 0.5 * sigma
    half = half_chords_um(Cell(), offsets_um=offsets, angle_rad=0.3, beam=beam)
    areas = 2 * half.sum(axis=1) * 0.5 * sigma
    np.testing.assert_allclose(areas, np.pi * Cell().radii_um ** 2, rtol=1e-9)
    rim = half_chords_um(Cell(), offsets_um=np.array([500.0]), angle_rad=0.0, beam=beam)[2, 0]
    x = np.linspace(-8.0, 0.0, 400_001)
    expected = np.trapezoid(
        np.sqrt(np.maximum(-2 * 500.0 * sigma * x - (sigma * x) ** 2, 0.0)) * norm.pdf(x), x
    )
    assert rim == pytest.approx(expected, rel=0.01)


def test_a_fine_beam_is_the_limit_of_no_width():
    # Limit: to first order blur takes σ²/2 times the curvature of the half chord,
    # R²/(R² − t²)^1.5; the next order is below 1e-3 of that, rounding of the strips 5e-6 µm.
    t = np.array([-450.0, 0.0, 300.0])
    sharp = half_chords_um(Cell(), offsets_um=t, angle_rad=0.0, beam=None)
    fine = half_chords_um(Cell(), offsets_um=t, angle_rad=0.0, beam=Beam(width_um=1.0))
    squares = Cell().radii_um[:, None] ** 2
    expected = 0.5 / FWHM_PER_SIGMA**2 * squares / (squares - t**2) ** 1.5
    np.testing.assert_allclose(sharp - fine, expected, rtol=1e-3, atol=5e-6)


def test_particles_take_the_place_of_what_lies_between_them():
    # Closed form: of a chord of 1000 µm 600 is solid, so 400 is left to the filling.
    bare, half, solid = (paths_of(Cell(), [0.0], particles_um=p) for p in (0.0, 600.0, 1000.0))
    assert total(bare, "PVDF")[0] == pytest.approx(65.0, abs=1e-6)
    assert total(half, "PVDF")[0] == pytest.approx(26.0, abs=1e-6)
    assert total(half, "electrolyte")[0] == pytest.approx(200.0 + 348.0, abs=1e-5)
    assert total(solid, "PVDF")[0] == pytest.approx(0.0, abs=1e-6)
    assert total(solid, "electrolyte")[0] == pytest.approx(200.0, abs=1e-5)


@settings(max_examples=30, deadline=None)
@example(tilt_mrad=62.0, sag_um=50.0, angle_rad=0.0, plane_um=0.0, share=0.0)
@given(
    tilt_mrad=st.floats(0.0, 150.0),
    sag_um=st.floats(-50.0, 50.0),
    angle_rad=st.floats(0.0, np.pi),
    plane_um=st.floats(-100.0, 100.0),
    share=st.floats(0.0, 0.5),
)
def test_whatever_the_layers_do_a_ray_crosses_the_whole_body(
    tilt_mrad, sag_um, angle_rad, plane_um, share
):
    # Law: substances fill the body, less what the particles take: their path times the share of
    # the beam in the electrode. Rounding of sums of 1e3 µm and of the sharp strip (1e-6 µm).
    cell = Cell(tilt_mrad=tilt_mrad, sag_um=sag_um, electrode_centre_um=(40.0, 30.0))
    t = np.array([-300.0, 0.0, 350.0])
    paths = paths_of(
        cell, t, particles_um=400.0, angle_rad=angle_rad, plane_um=plane_um, beam=Beam(),
        tails=[(share, 80.0)],
    )  # fmt: skip
    half = half_chords_um(cell, offsets_um=t, angle_rad=angle_rad, beam=Beam())
    expected = 2 * half[0] - 400.0 * paths.electrode_share
    np.testing.assert_allclose(paths.paths_um.sum(axis=(1, 2)), expected, atol=1e-5)
    assert np.all((paths.electrode_share > -1e-12) & (paths.electrode_share < 1 + 1e-12))
    assert np.all(paths.paths_um > -1e-9)


def test_a_body_of_pfa_shows_its_one_peak():
    # Published: PFA has its strongest peak at d = 4.95 Å; the highest node of a ray through the
    # wall is there, to a tenth of the peak's width (0.13°).
    found = cell_patterns(
        make_library(Cell(body="PFA")), offsets_um=np.array([700.0]), angle_rad=0.0,
        particle_path_um=np.zeros(1), beam=None,
    )  # fmt: skip
    expected = two_theta_rad(4.95, wavelength_A=WAVELENGTH_A)
    assert GRID[np.argmax(found.pattern[0])] == pytest.approx(expected, abs=np.radians(0.013))


def test_turning_cell_and_scan_together_changes_nothing():
    # Law: rotation. The cell's centre and tilt turned by +40° look at ω + 40° as before at ω.
    turn = np.radians(40.0)
    cell = Cell(centre_um=(50.0, 20.0), tilt_mrad=90.0, tilt_azimuth_deg=10.0, sag_um=8.0)
    x, y = cell.centre_um
    turned = cell.model_copy(
        update={
            "centre_um": (
                x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
            ),
            "tilt_azimuth_deg": 50.0,
        }
    )  # fmt: skip
    offsets = np.linspace(-700.0, 700.0, 15)
    first = paths_of(cell, offsets, angle_rad=0.4, beam=Beam(height_um=30.0))
    second = paths_of(turned, offsets, angle_rad=0.4 + turn, beam=Beam(height_um=30.0))
    np.testing.assert_allclose(second.paths_um, first.paths_um, atol=1e-6)
    np.testing.assert_allclose(second.electrode_share, first.electrode_share, atol=1e-9)


def test_flat_layers_share_the_beam_by_its_height():
    # Closed form: shares are differences of the normal distribution at ∓40, −55 and 640 µm, here
    # with a beam of σ = 30 µm of which 10 % has σ = 100 µm.
    beam = Beam(height_um=30.0 * FWHM_PER_SIGMA)
    paths = paths_of(Cell(), [0.0], beam=beam, tails=[(0.1, 100.0 * FWHM_PER_SIGMA)])

    def below(z_um):
        return 0.9 * norm.cdf(z_um / 30.0) + 0.1 * norm.cdf(z_um / 100.0)

    # chords from the beam of 1 µm width: 2e-4 µm short at the centre
    assert total(paths, "Al")[0] == pytest.approx(1000 * (below(-40) - below(-55)), abs=1e-3)
    assert paths.electrode_share[0] == pytest.approx(below(40) - below(-40), abs=1e-9)
    glass = 0.1 * 1000 * (below(640) - below(40))
    assert total(paths, "glass")[0] == pytest.approx(glass, abs=1e-3)
    assert total(paths, "steel")[0] == pytest.approx(1200 * below(-55), abs=1e-3)


@pytest.mark.parametrize(("tilt_mrad", "sag_um"), [(100.0, 0.0), (0.0, 60.0), (70.0, -30.0)])
def test_tilt_and_bending_against_quadrature_along_the_ray(tilt_mrad, sag_um):
    # Truth: the share of the beam in collector and electrode, summed over 40,000 points of the ray.
    # A tilt is exact. Bending is straightened between nodes 200 µm apart, by sag·(100/500)² at
    # most; a height error of ε changes a share by ε φ(0)/σ at either side.
    cell = Cell(tilt_mrad=tilt_mrad, tilt_azimuth_deg=30.0, sag_um=sag_um)
    beam = Beam(height_um=5.0 * FWHM_PER_SIGMA)
    t, angle = 120.0, 1.9
    h = np.sqrt(500.0**2 - t**2)
    s = (np.arange(40_000) + 0.5) / 40_000 * 2 * h - h
    x, y = t * np.cos(angle) - s * np.sin(angle), t * np.sin(angle) + s * np.cos(angle)
    uphill = x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6)
    rise = np.tan(tilt_mrad * 1e-3) * uphill + sag_um * (x**2 + y**2) / 500.0**2

    def below(z_um):
        return norm.cdf((z_um + rise) / 5.0)

    bound = 1e-6 + 2 * abs(sag_um) * 0.2**2 * 0.4 / 5.0
    paths = paths_of(cell, [t], angle_rad=angle, beam=beam)
    expected = np.mean(below(40.0) - below(-40.0))
    assert paths.electrode_share[0] == pytest.approx(expected, abs=bound)
    assert expected < 0.99  # the layers do leave the beam
    aluminium = 2 * h * np.mean(below(-40.0) - below(-55.0))
    assert total(paths, "Al")[0] == pytest.approx(aluminium, abs=2 * h * bound)


def test_optical_depth_of_the_wall_is_that_of_peek(library):
    # Published: 0.257 /cm (to its last digit). A ray at t = 700 µm meets the body alone.
    t = np.array([700.0])
    found = cell_patterns(
        library, offsets_um=t, angle_rad=0.0, particle_path_um=np.zeros(1), beam=None
    )
    length_cm = 2 * np.sqrt(1587.5**2 - 700.0**2) * 1e-4
    assert found.optical_depth[0] / length_cm == pytest.approx(0.257, abs=0.0005)


def test_electrode_at_half_density_transmits_as_published(library):
    # Published: 0.79 for 1 mm of electrode at half density: particles alone, 500 µm of 4.81 /cm.
    # Pores filled with binder and electrolyte take 1 – exp(−0.0137) more, the cell the rest.
    rays = {"offsets_um": np.zeros(1), "angle_rad": 0.0, "beam": None}
    full = cell_patterns(library, particle_path_um=np.array([1000.0]), **rays).optical_depth[0]
    half = cell_patterns(library, particle_path_um=np.array([500.0]), **rays).optical_depth[0]
    per_um = linear_attenuation_per_um(load_crystal("LiMn2O4"), energy_keV=ENERGY_KEV)
    particles = np.exp(-500.0 * per_um)
    assert particles == pytest.approx(0.79, abs=0.005)
    assert 0.012 < half - full < 0.015


def test_aluminium_111_coincides_with_spinel_222(library):
    # Published coincidence at a = 8.099 Å: in the pattern of a beam in the collector the highest
    # node is within one of spinel (222). Nodes are 0.14 pixels apart at 0.7 m.
    spinel = two_theta_rad(8.099 / np.sqrt(12.0), wavelength_A=WAVELENGTH_A)
    found = cell_patterns(
        library, offsets_um=np.zeros(1), angle_rad=0.0, particle_path_um=np.zeros(1), beam=None,
        plane_um=INTO_COLLECTOR_UM,
    )  # fmt: skip
    near = np.abs(GRID - spinel) < np.radians(0.5)
    peak = GRID[near][np.argmax(found.pattern[0, near])]
    assert abs(peak - spinel) < 1.01 * (GRID[1] - GRID[0])


def test_powder_lines_hold_the_power_of_their_rings(library):
    # Law: ∫ J over a line is q·path: here 1000 µm of Al (111) over ±8σ, above the smooth
    # rest, which a line through the ends follows to 1e-3 of the peak.
    reflections = powder_reflections(load_crystal("Al"), energy_keV=ENERGY_KEV, d_min_A=2.2)
    power = ring_power_per_m(
        reflections, cell_volume_A3=load_crystal("Al").volume_A3, wavelength_A=WAVELENGTH_A
    )[0]
    angle = two_theta_rad(float(reflections.d_A[0]), wavelength_A=WAVELENGTH_A)
    found = cell_patterns(
        library, offsets_um=np.zeros(1), angle_rad=0.0, particle_path_um=np.zeros(1), beam=None,
        plane_um=INTO_COLLECTOR_UM,
    ).pattern[0]  # fmt: skip
    around = np.abs(GRID - angle) < 8 * SIGMA_RAD
    line = found[around] - np.linspace(found[around][0], found[around][-1], around.sum())
    assert line.sum() * (GRID[1] - GRID[0]) == pytest.approx(power * 1e-3, rel=2e-3)


def test_patterns_of_a_segment_are_the_materials_shifted_by_parallax():
    # Law: photons keep their ring, so the photons below the shifted angle 2θ + δ(2θ) are those
    # below 2θ at the axis. PEEK, 1600 µm from the axis, by the trapezoidal rule (1e-6 here).
    cell = Cell()
    library = make_library(cell, distance_m=0.5)
    rows = library.patterns_per_um[library.row_substance == NAMES.index("PEEK")].astype(float)
    reach = library.nodes_um[-1]
    step = GRID[1] - GRID[0]
    cumulative = np.zeros(rows.shape)
    cumulative[:, 1:] = np.cumsum(0.5 * (rows[:, 1:] + rows[:, :-1]), axis=1) * step
    pair = np.radians([2.5, 3.6])
    axis = np.ptp(np.interp(pair, GRID, cumulative[rows.shape[0] // 2]))
    for row, s in ((0, -reach), (-1, reach)):
        seen = pair + ring_shift_rad(pair, displacement_um=s, distance_m=0.5)
        assert np.ptp(np.interp(seen, GRID, cumulative[row])) == pytest.approx(axis, rel=1e-5)
        unshifted = np.ptp(np.interp(pair, GRID, cumulative[row]))
        assert abs(unshifted / axis - 1.0) > 1e-3


def test_few_segments_do_for_the_lines_of_a_whole_chord():
    # Truth: the mean of Al (311) over 2000 places along a chord of 1 mm, 80 µm nearer than the axis
    # to the detector at D = 0.5 m (which is 10 % of the peak where it is steepest). Linear
    # interpolation between nodes that are shifted by h against each other errs by at most
    # h²/8 |g″| = (h/σ)²/8 of the peak, 2 % here and less on average. It must show that the chord
    # is resolved at all: it lowers the peak by about (5h)²/24σ², 17 %.
    cell = Cell(electrode_centre_um=(0.0, 80.0))
    library = make_library(cell, distance_m=0.5)
    found = cell_patterns(
        library, offsets_um=np.zeros(1), angle_rad=0.0, particle_path_um=np.zeros(1), beam=None,
        plane_um=INTO_COLLECTOR_UM,
    ).pattern[0]  # fmt: skip
    d = load_crystal("Al").cell_A_deg[0] / np.sqrt(11.0)
    angle = two_theta_rad(d, wavelength_A=WAVELENGTH_A)
    s = 80.0 + np.linspace(-500.0, 500.0, 2001)
    seen = angle + ring_shift_rad(angle, displacement_um=s, distance_m=0.5)
    around = np.abs(GRID - angle) < 3 * SIGMA_RAD
    expected = norm.pdf((GRID[around, None] - seen) / SIGMA_RAD).mean(axis=1) / SIGMA_RAD
    wide = np.abs(GRID - angle) < 8 * SIGMA_RAD
    line = found - np.interp(GRID, GRID[wide][[0, -1]], found[wide][[0, -1]])
    power = line[wide].sum() * (GRID[1] - GRID[0])
    pair_um = library.nodes_um[[8, 9]]
    shift = np.ptp(ring_shift_rad(angle, displacement_um=pair_um, distance_m=0.5))
    bound = (shift / SIGMA_RAD) ** 2 / 8.0
    error = np.abs(line[around] / power - expected).max() / expected.max()
    assert error < bound < 0.025


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: paths_of(Cell(), [0.0], tails=[(1.2, 10.0)]), r"tails .* got \[\(1.2, 10.0\)\]"),
        (lambda: paths_of(Cell(), [0.0], tails=[(0.1, 0.0)]), "FWHM positive"),
        (
            lambda: cell_library(
                Cell(), two_theta_rad=np.array([0.0, 0.1]), energy_keV=50.0, distance_m=0.7,
                peak_sigma_rad=np.ones(2),
            ),
            r"grid \(rad\) must begin above 0",
        ),
        (
            lambda: cell_library(
                Cell(), two_theta_rad=np.array([0.1, 0.2, 0.4]), energy_keV=50.0, distance_m=0.7,
                peak_sigma_rad=np.ones(3),
            ),
            "must be uniform and rise: its steps go from 0.1 to 0.2",
        ),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
