"""The cell and the way out, against the modules that compute each of them alone."""

import numpy as np
import pytest

from forward.attenuation import cell_medium, disc_medium, exit_factors, ring_exit_factor
from forward.cell import cell_patterns
from forward.instrument import Unknowns, true_instrument
from forward.projection import exit_corrected, expected_projection
from forward.settings import Effects
from forward.virtual import prepare
from phantoms.cell import Cell
from phantoms.particle import Particle
from phantoms.sample import Sample
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

BEAM, DETECTOR = Beam(), Detector()
GEOMETRY = Geometry(n_channels=256, two_theta_min_deg=2.0, two_theta_max_deg=9.5)
SCAN = Scan(n_offsets=9, step_um=10.0, n_angles=4)
QUIET = Effects(noise=False)
PARTICLES = (
    Particle(centre_um=(0.0, 30.0, 0.0), diameter_um=60.0, x=0.9),
    Particle(centre_um=(-20.0, -40.0, 10.0), diameter_um=40.0, x=0.7, porosity=0.25),
)
SLOPES = np.linspace(-0.2, 0.2, 41)


def prepared(*, cell=None, effects=QUIET, sample=None, frames=False, **unknowns):
    ranges = {name: (value, value) for name, value in unknowns.items()}
    truth = true_instrument(
        Unknowns(**ranges), beam=BEAM, detector=DETECTOR, geometry=GEOMETRY, seed=0
    )
    return prepare(
        Sample(PARTICLES) if sample is None else sample, beam=BEAM, detector=DETECTOR,
        geometry=GEOMETRY, truth=truth, effects=effects, cell=cell, frames=frames,
    )  # fmt: skip


def seen(virtual, angle_rad=0.3):
    return expected_projection(virtual, scan=SCAN, angle_rad=angle_rad)


def mean_attenuation(virtual):
    return float(virtual.library.attenuation_per_um.mean())


def test_medium_without_a_cell_is_the_sample_spread_over_its_disc():
    # Closed form: (1 − porosity) π(R² − h²) of each particle over that of a disc of the sample's
    # diameter, times the solid's attenuation; xraylib's 4.81 /cm of LiMn2O4 (PHYSICS 3) to 2 %,
    # states with less lithium being a little lighter.
    virtual = prepared()
    medium = virtual.surroundings.medium
    diameter = Sample(PARTICLES).diameter_um
    area = np.pi * (30.0**2 + 0.75 * (20.0**2 - 10.0**2))
    fraction = area / (0.25 * np.pi * diameter**2)
    assert medium.radii_um == pytest.approx([0.5 * diameter])
    assert medium.contrast_per_um[0, 0] == pytest.approx(
        fraction * mean_attenuation(virtual), rel=1e-12
    )
    assert medium.contrast_per_um[0, 0] == pytest.approx(fraction * 4.81e-4, rel=0.05)
    assert medium.round


def test_medium_of_a_cell_is_that_of_the_attenuation_module():
    # Definition: forward.attenuation's medium with the particles' share of the electrode's disc.
    cell = Cell(slice_height_um=20.0)
    virtual = prepared(cell=cell)
    area = 30.0**2 + 0.75 * (20.0**2 - 10.0**2)
    medium = cell_medium(
        cell, energy_keV=50.0, particle_fraction=area / 500.0**2,
        particle_attenuation_per_um=mean_attenuation(virtual),
    )  # fmt: skip
    mine = virtual.surroundings.medium
    np.testing.assert_allclose(mine.contrast_per_um, medium.contrast_per_um, rtol=1e-12)
    np.testing.assert_array_equal(mine.interfaces_um, medium.interfaces_um)
    np.testing.assert_array_equal(mine.radii_um, medium.radii_um)


def test_slice_at_another_height_meets_the_layers_there():
    # Definition: the sample's plane adds to the height of the slice; at the same distance from it
    # particles fill the electrode as before.
    shift = 15.0
    moved = tuple(
        p.model_copy(update={"centre_um": (*p.centre_um[:2], p.centre_um[2] + shift)})
        for p in PARTICLES
    )
    cell = Cell(slice_height_um=20.0)
    there = prepared(cell=cell, sample=Sample(moved, z_um=shift)).surroundings.medium
    same = prepared(cell=cell.model_copy(update={"slice_height_um": 35.0})).surroundings.medium
    np.testing.assert_allclose(there.interfaces_um, same.interfaces_um, rtol=1e-12)
    np.testing.assert_allclose(there.contrast_per_um, same.contrast_per_um, rtol=1e-12)


@pytest.mark.parametrize("cell", [None, Cell()])
def test_frame_factors_are_those_of_every_ray_and_slope(cell):
    # Truth: forward.attenuation at every slope and offset itself. Stated there: 17 nodes of u are
    # right to 4e-5, 129 of v to 1e-3; here there are twice as many.
    virtual = prepared(cell=cell)
    around = virtual.surroundings
    rows, columns = around.frame_factors(
        SCAN.offsets_um, 0.3, slope_row=SLOPES * 1.1, slope_column=SLOPES
    )
    across, upwards = exit_factors(
        around.medium, offsets_um=SCAN.offsets_um, angle_rad=0.3, u=SLOPES, v=SLOPES * 1.1
    )
    np.testing.assert_allclose(columns, across, atol=4e-5)
    np.testing.assert_allclose(rows, upwards, atol=1e-3)
    assert rows.shape == columns.shape == (SCAN.n_offsets, SLOPES.size)
    # straight on nothing is lost nor won but by the product's float32
    middle = SLOPES.size // 2
    np.testing.assert_allclose(rows[:, middle] * columns[:, middle], 1.0, atol=1e-3)
    # the steel under the electrode shadows the lower half, and it alone
    if cell is not None:
        assert rows[:, :10].max() < 0.9
        assert rows[:, -10:].min() > 0.99


def test_many_offsets_are_interpolated():
    # Limit: more rays than nodes give the same as few rays at the same places, factors being smooth
    # across the disc; within 65 nodes over ±40 µm, of a disc of 120 µm radius, to 1e-5.
    around = prepared().surroundings
    many = np.linspace(-40.0, 40.0, 401)
    some = many[::50]
    rows, columns = around.frame_factors(many, 0.0, slope_row=SLOPES, slope_column=SLOPES)
    few = around.frame_factors(some, 0.0, slope_row=SLOPES, slope_column=SLOPES)
    np.testing.assert_allclose(rows[::50], few[0], atol=1e-5)
    np.testing.assert_allclose(columns[::50], few[1], atol=1e-5)
    ring, few_rings = around.ring_factor(many, 0.0), around.ring_factor(some, 0.0)
    np.testing.assert_allclose(ring[::50], few_rings, atol=1e-5)
    assert ring.shape == (401, GEOMETRY.n_channels)


def test_ring_factor_is_the_mean_over_the_ring():
    # Truth: forward.attenuation at every channel itself; the disc's factor is smooth in 2θ, its
    # second derivative below a unit: (7.5°/23)²/8 of that at most. Gaps take 8.5 % of the azimuth,
    # over which R of these middle rays differs by 1e-3 at most: 1e-4 together.
    solid = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=600.0, x=0.9)
    virtual = prepared(sample=Sample((solid,)))
    around = virtual.surroundings
    factor = around.ring_factor(SCAN.offsets_um, 0.3)
    exact = ring_exit_factor(
        around.medium, offsets_um=SCAN.offsets_um, angle_rad=0.3,
        two_theta_rad=GEOMETRY.two_theta_rad, polarisation=BEAM.polarisation,
    )  # fmt: skip
    np.testing.assert_allclose(factor, exact, atol=1e-4)
    assert np.abs(exact - 1.0).max() > 5e-4
    with pytest.raises(ValueError, match="read-only"):
        factor[0, 0] = 2.0


def test_ring_factor_of_the_cell_is_the_mean_over_its_frame():
    # Law: R averaged over the pixels of a ring, of row times column factor. Stated: the product is
    # off by 0.2 % in the mean over a ring; 64 sectors and 24 rings resolve the steel's shadow to
    # as much again.
    virtual = prepared(cell=Cell(), frames=True)
    around = virtual.surroundings
    two_theta = np.deg2rad(np.array([4.0, 6.5, 9.0]))
    azimuth = (np.arange(720) + 0.5) * 2.0 * np.pi / 720
    slope = np.tan(two_theta)[:, None]
    row_slope, column_slope = slope * np.sin(azimuth), slope * np.cos(azimuth)
    rows, columns = around.frame_factors(
        SCAN.offsets_um, 0.0, slope_row=np.sort(row_slope.ravel()),
        slope_column=np.sort(column_slope.ravel()),
    )  # fmt: skip
    factor = around.ring_factor(SCAN.offsets_um, 0.0)
    for ray in range(SCAN.n_offsets):
        by_row = np.interp(row_slope, np.sort(row_slope.ravel()), rows[ray])
        by_column = np.interp(column_slope, np.sort(column_slope.ravel()), columns[ray])
        mean = (by_row * by_column).mean(axis=1)
        at = np.interp(two_theta, virtual.angles.two_theta_rad, factor[ray])
        np.testing.assert_allclose(at, mean, atol=5e-3)
    assert mean.min() < 0.97


def test_a_round_medium_is_computed_once_for_all_rotations():
    # Law: circles on the axis look the same from everywhere; off it they do not.
    around = prepared(cell=Cell()).surroundings
    assert around.medium.round
    first, second = (around.ring_factor(SCAN.offsets_um, a) for a in (0.0, 1.1))
    assert first is second
    off = prepared(cell=Cell(electrode_centre_um=(80.0, 0.0))).surroundings
    assert not off.medium.round
    first, second = (off.ring_factor(SCAN.offsets_um, a) for a in (0.0, 1.1))
    assert np.abs(first - second).max() > 1e-5
    direct = ring_exit_factor(
        off.medium, offsets_um=SCAN.offsets_um, angle_rad=1.1, live=off.live,
        two_theta_rad=np.linspace(*off.angles.two_theta_rad[[0, -1]], off.live.shape[0]),
        polarisation=BEAM.polarisation,
    )  # fmt: skip
    np.testing.assert_allclose(second[:, 0], direct[:, 0], rtol=1e-6)
    np.testing.assert_allclose(second[:, -1], direct[:, -1], rtol=1e-6)


@pytest.mark.parametrize("off", [{"exit_path": False}, {"attenuation": False}])
def test_switched_off_photons_leave_straight_on(off):
    around = prepared(cell=Cell(), effects=QUIET.model_copy(update=off)).surroundings
    assert around.medium is None
    assert np.all(around.ring_factor(SCAN.offsets_um, 0.0) == 1.0)
    rows, columns = around.frame_factors(
        SCAN.offsets_um, 0.0, slope_row=SLOPES, slope_column=SLOPES[:5]
    )
    assert np.all(rows == 1.0)
    assert np.all(columns == 1.0)
    assert rows.shape == (9, 41)
    assert columns.shape == (9, 5)


def test_transparent_matter_deflects_nothing():
    # Limit: a medium without attenuation has R = 1.
    medium = disc_medium(diameter_um=100.0, attenuation_per_um=0.0)
    across, upwards = exit_factors(
        medium, offsets_um=SCAN.offsets_um, angle_rad=0.0, u=SLOPES, v=SLOPES
    )
    np.testing.assert_array_equal(across, 1.0)
    np.testing.assert_array_equal(upwards, 1.0)


def test_exit_correction_multiplies_patterns_in_place():
    virtual = prepared(cell=Cell())
    counts = seen(virtual).counts
    before = counts.copy()
    exit_corrected(virtual, counts, offsets_um=SCAN.offsets_um, angle_rad=0.3)
    factor = virtual.surroundings.ring_factor(SCAN.offsets_um, 0.3)
    np.testing.assert_allclose(counts, before * factor, rtol=1e-6)


def test_without_the_effect_there_is_no_cell():
    off = prepared(cell=Cell(), effects=QUIET.model_copy(update={"cell": False}))
    none = prepared()
    assert off.surroundings.library is None
    np.testing.assert_array_equal(seen(off).counts, seen(none).counts)


@pytest.mark.parametrize("tails", [0.0, 0.4])
def test_cell_adds_to_the_share_of_the_beam_in_the_electrode(tails):
    # Law: counts = N0 T (share · particles + cell + air), T = exp(−share µL − cell's depth), with
    # the cell's pattern per radian times channel and gain by forward.cell alone. Tails of 50 µm
    # reach beyond an electrode of 20 µm: there the beam meets no particle. Single precision.
    cell = Cell(electrode_thickness_um=20.0, slice_height_um=10.0)
    unknowns = {"tail_fraction": tails, "tail_um": 50.0}
    bare, within = prepared(**unknowns), prepared(cell=cell, **unknowns)
    without, with_cell = seen(bare), seen(within)
    photons = BEAM.flux_per_s * SCAN.exposure_s
    solid_um = without.path_um.sum(axis=1, dtype=float)
    alone = cell_patterns(
        within.surroundings.library, offsets_um=SCAN.offsets_um, angle_rad=0.3,
        particle_path_um=solid_um, beam=BEAM, tails=[(tails, 50.0)],
    )  # fmt: skip
    share = alone.electrode_share
    assert np.ptp(share) < 1e-12
    assert (share[0] < 0.9) if tails else share == pytest.approx(1.0, abs=1e-12)
    depth = -np.log(without.transmitted / photons)
    transmitted = photons * np.exp(-share * depth - alone.optical_depth)
    np.testing.assert_allclose(with_cell.transmitted, transmitted, rtol=1e-6)
    particles = without.counts / without.transmitted[:, None] - bare.air
    gain = within.library.gain * GEOMETRY.channel_width_rad
    per_photon = share[:, None] * particles + alone.pattern * gain + within.air
    np.testing.assert_allclose(
        with_cell.counts, transmitted[:, None] * per_photon, rtol=1e-5,
        atol=1e-6 * with_cell.counts.max(),
    )  # fmt: skip
    np.testing.assert_allclose(
        with_cell.path_um, without.path_um * share[:, None], rtol=1e-5, atol=1e-6
    )


def test_sensor_and_distance_move_the_cells_lines_as_all_others():
    # Law: seen from the wrong distance, or through an uncorrected sensor, rings are larger by
    # D′/D and 1/(µD). The cell's pattern is looked up at the angle over that: to the 4.5 % of it by
    # which an angle's tangent stretches less than the angle, at 2θ = 15°.
    sensor_mu = linear_attenuation_per_um(
        {"Cd": 1.0, "Te": 1.0}, energy_keV=50.0, density_g_per_cm3=5.85
    )
    plain = prepared(cell=Cell(), effects=QUIET.model_copy(update={"sensor_parallax": False}))
    frames = prepared(cell=Cell(), frames=True)
    far = prepared(cell=Cell(), distance_ppm=400.0)
    grid = plain.surroundings.library.two_theta_rad
    np.testing.assert_allclose(grid, GEOMETRY.two_theta_rad, rtol=1e-12)
    np.testing.assert_allclose(
        far.surroundings.library.two_theta_rad, GEOMETRY.two_theta_rad / 1.0004, rtol=1e-9
    )
    larger = 1.0 + 1e-6 / (sensor_mu * 0.7)
    np.testing.assert_allclose(
        frames.surroundings.library.two_theta_rad, frames.angles.two_theta_rad / larger, rtol=1e-9
    )
    assert larger - 1.0 == pytest.approx(2.6e-4 * 0.6 / 0.7, rel=0.03)  # PHYSICS 4
