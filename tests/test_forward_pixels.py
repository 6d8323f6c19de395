"""What each pixel sees, against integration over its area, pyFAI and sums over the detector."""

import numpy as np
import pytest
from scipy.special import ndtr

from forward.angles import AngleGrid, node_grid
from forward.instrument import Unknowns, true_instrument
from forward.pixels import expected_frame, pixel_map
from forward.sensor import absorbed_fraction
from inverse.pixel_bins import pyfai_integrator
from xrdct.instrument import Beam, Detector, Geometry, detector_plane, ring_acceptance
from xrdct.plane import place_m, sight
from xrdct.scattering import polarisation_factor

PIXEL_M = 172e-6
SMALL = Detector(name="Pilatus100k", efficiency=1.0)  # 195 × 487, without gaps
GAPPED = Detector(name="Pilatus300k")  # 619 × 487 of the same pixels, two gaps of 17 rows
BEAM = Beam()
DISTANCE = 0.7
MIDDLE = {"poni1_m": 0.5 * 195 * PIXEL_M, "poni2_m": 0.5 * 487 * PIXEL_M}


def fine_nodes(geometry, detector, *, per_pixel=64):
    """Nodes so close that interpolation between them does not count."""
    usual = node_grid(geometry, detector=detector)
    finer = per_pixel // 8
    return AngleGrid(
        first_rad=usual.first_rad, step_rad=usual.step_rad / finer,
        n_nodes=usual.n_nodes * finer, distance_m=usual.distance_m, stretch=1.0, averaged=False,
    )  # fmt: skip


def frame_of(photons_per_rad, pixels):
    rows, columns = (np.ones(n, np.float32) for n in pixels.node.shape)
    out = np.empty(pixels.node.shape, np.float32)
    expected_frame(
        photons_per_rad.astype(np.float32), pixels.node, pixels.weight, rows, columns, out
    )
    return out.astype(float)


def boxed_gaussian(two_theta, *, centre, sigma, box):
    """A Gaussian ring of unit height averaged over the box of a pixel."""
    below, above = (ndtr((two_theta - centre + s * 0.5 * box) / sigma) for s in (-1.0, 1.0))
    return (above - below) * sigma * np.sqrt(2.0 * np.pi) / box


def integrated_over_pixels(geometry, detector, ring):
    """Gauss–Legendre integral of J(2θ) P ΔΩ ε/(2π sin2θ), 6 × 6 nodes each: no mean angle, no box.

    Exact to the eleventh power, 1e-10 of a Gaussian of σ = 0.8 pixel.
    """
    plane = detector_plane(geometry, detector)
    rows, columns = (np.arange(n) for n in detector.shape)
    total = np.zeros(detector.shape)
    z, w = np.polynomial.legendre.leggauss(6)
    inside, weights = 0.5 * (z + 1.0), 0.5 * w
    for a, weight_a in zip(inside, weights, strict=True):
        for b, weight_b in zip(inside, weights, strict=True):
            seen = sight(plane, (rows + a)[:, None] * PIXEL_M, (columns + b) * PIXEL_M)
            solid = PIXEL_M**2 * seen.cos_incidence / seen.range_m**2
            polarised = polarisation_factor(
                seen.two_theta_rad, seen.azimuth_rad, degree=BEAM.polarisation
            )
            stopped = absorbed_fraction(
                np.arccos(seen.cos_incidence), energy_keV=50.0, sensor_um=1000.0
            ) / absorbed_fraction(0.0, energy_keV=50.0, sensor_um=1000.0)
            share = solid * polarised * stopped / (2.0 * np.pi * np.sin(seen.two_theta_rad))
            total += weight_a * weight_b * ring(seen.two_theta_rad) * share
    return total


POSES = [
    MIDDLE,
    {**MIDDLE, "rot1_rad": 0.02, "rot2_rad": -0.015, "rot3_rad": 0.3},
    {"poni1_m": -0.004, "poni2_m": 0.013, "rot1_rad": -0.003, "rot2_rad": 0.002},
]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("radius_px", [60.0, 140.0])
def test_pixels_integrate_a_ring_over_their_area(pose, radius_px):
    # Truth: quadrature within each pixel, with J, P, ΔΩ and 1/sin2θ at every node. Stated: what
    # depends on azimuth is the fourth cumulant, −p⁴/120 along the sides and half that on diagonals,
    # against the −p⁴/120 of the box: p⁴/240/24 of the fourth derivative, at most 3/σ⁴ of a
    # Gaussian's height.
    geometry = Geometry(distance_m=DISTANCE, **pose)
    angles = fine_nodes(geometry, SMALL)
    centre = np.arctan(radius_px * PIXEL_M / DISTANCE)
    pixel = PIXEL_M / DISTANCE * np.cos(centre) ** 2
    sigma = 0.8 * pixel
    plain = integrated_over_pixels(
        geometry, SMALL, lambda t: np.exp(-0.5 * ((t - centre) / sigma) ** 2)
    )
    pixels = pixel_map(angles, detector=SMALL, geometry=geometry, beam=BEAM)
    table = boxed_gaussian(angles.two_theta_rad, centre=centre, sigma=sigma, box=pixel)
    frame = frame_of(table, pixels)
    away = pixels.weight > 0.0  # not behind the beam stop
    s4, s2 = (pixel / sigma) ** 4, (pixel / sigma) ** 2
    bound = 3.0 * s4 / 240.0 / 24.0
    # tilt turns p cos²2θ/L into another pixel's size, by 2 rot tan2θ + rot² at most; the ring's
    # curvature within a pixel leaves terms of second order in p/r
    rot = np.hypot(pose.get("rot1_rad", 0.0), pose.get("rot2_rad", 0.0))
    bound += 0.5 * s2 / 12.0 * 2.0 * (2.0 * rot * np.tan(centre) + rot**2)
    # and interpolation, a pixel's place in float32 among n nodes of p/64: n 6e-8/64 of the slope
    bound += 0.6 / radius_px**2 / 12.0 + angles.n_nodes * 6e-8 / 64.0
    assert np.all(np.abs(frame - plain)[away] < bound * pixels.weight[away])
    assert bound < 3e-3


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("radius_px", [40.0, 140.0])
def test_ring_lies_where_its_photons_fall(pose, radius_px):
    # Truth: as before. A ring's place on the frame, as a least-squares shift of all pixels at once,
    # must be right to (1/20 of) the p²/(12 r) by which 1/sin2θ moves photons inwards in a pixel:
    # 6e-4 of a pixel at r = 140 are 3e-5 Å of the spinel's lattice parameter.
    geometry = Geometry(distance_m=DISTANCE, **pose)
    angles = fine_nodes(geometry, SMALL)
    centre = np.arctan(radius_px * PIXEL_M / DISTANCE)
    pixel = PIXEL_M / DISTANCE * np.cos(centre) ** 2
    sigma = 0.8 * pixel
    plain = integrated_over_pixels(
        geometry, SMALL, lambda t: np.exp(-0.5 * ((t - centre) / sigma) ** 2)
    )
    pixels = pixel_map(angles, detector=SMALL, geometry=geometry, beam=BEAM)
    frame, nearer, farther = (
        frame_of(
            boxed_gaussian(angles.two_theta_rad, centre=centre + d, sigma=sigma, box=pixel), pixels
        )
        for d in (0.0, -0.01 * pixel, 0.01 * pixel)
    )
    away = pixels.weight > 0.0
    slope = ((farther - nearer) / 0.02)[away]
    shift_px = float((frame - plain)[away] @ slope / (slope @ slope))
    assert abs(shift_px) < 1.0 / (12.0 * radius_px) / 20.0


@pytest.mark.parametrize("tilt_mrad", [0.0, 20.0])
def test_photons_of_a_ring_held_whole_are_all_counted(tilt_mrad):
    # Closed form: ∫J d2θ · ½(1 + cos²2θ), whatever the tilt, times the sensor's better efficiency
    # at slant, below (1/cosα − 1) µt e^{−µt}. Errors: sums over pixels of what is smooth on their
    # scale (e^{−2π²σ²} = 3e-6 at σ = 0.8 px), the weight at the middle of a pixel instead of its
    # mean, ½(p/r)²/12, and float32.
    unknowns = Unknowns(tilt1_mrad=(tilt_mrad,) * 2, tilt2_mrad=(-0.7 * tilt_mrad,) * 2)
    truth = true_instrument(
        unknowns, beam=BEAM, detector=SMALL, geometry=Geometry(distance_m=DISTANCE), seed=0
    )
    angles = fine_nodes(truth.geometry, SMALL)
    radius_px = 70.0
    centre = np.arctan(radius_px * PIXEL_M / DISTANCE)
    pixel = PIXEL_M / DISTANCE * np.cos(centre) ** 2
    sigma = 0.8 * pixel
    table = boxed_gaussian(angles.two_theta_rad, centre=centre, sigma=sigma, box=pixel)
    pixels = pixel_map(angles, detector=SMALL, geometry=truth.geometry, beam=BEAM)
    total = frame_of(table, pixels).sum() / (sigma * np.sqrt(2.0 * np.pi))
    slant = 1.3e-3 * tilt_mrad + centre
    bound = (1.0 / np.cos(slant) - 1.0) * 6.4 * np.exp(-6.2) + 1.0 / 24.0 / radius_px**2 + 1e-5
    assert total == pytest.approx(0.5 * (1.0 + np.cos(centre) ** 2), rel=bound)


@pytest.mark.parametrize(
    "pose", [{"poni1_m": 0.01, "poni2_m": 0.02}, {"poni2_m": -0.01, "rot1_rad": 0.003}]
)
def test_photons_of_broad_scattering_are_those_of_the_acceptance(pose):
    # Law: over a channel Σ of expected counts = ∫J(2θ) acceptance d2θ (xrdct.instrument), gaps and
    # edges included. A broad hump of J, σ 20 px: what pixels at the edges of acceptance cost
    # averages over hundreds of them; the acceptance itself is summed over 4096 azimuths and four
    # radii a channel: one azimuth in the length of an arc at each of up to twelve ends (four gap
    # edges and sides, both halves), random over the hundred radii within the hump.
    geometry = Geometry(
        distance_m=DISTANCE, two_theta_min_deg=0.4, two_theta_max_deg=7.5, n_channels=500, **pose
    )
    angles = node_grid(geometry, detector=GAPPED)
    pixels = pixel_map(angles, detector=GAPPED, geometry=geometry, beam=BEAM)
    acceptance = ring_acceptance(geometry, detector=GAPPED, polarisation=BEAM.polarisation)
    for radius_px in (120.0, 250.0):
        centre = np.arctan(radius_px * PIXEL_M / DISTANCE)
        sigma = 20.0 * PIXEL_M / DISTANCE

        def hump(t, centre=centre, sigma=sigma):
            return np.exp(-0.5 * ((t - centre) / sigma) ** 2)

        total = frame_of(hump(angles.two_theta_rad), pixels).sum()
        integral = np.sum(hump(geometry.two_theta_rad) * acceptance) * geometry.channel_width_rad
        # at oblique incidence the sensor stops 0.2 % e-fold more: below 4e-5 here
        ends = 5.0 * np.sqrt(12.0) / 4096 / np.sqrt(100.0)
        edges = (
            5.0 * np.sqrt(2.0 * 2.0 * np.pi * radius_px / 12.0) / (2.0 * np.pi * radius_px * 40.0)
        )
        assert total / GAPPED.efficiency == pytest.approx(integral, rel=ends + edges + 4e-5)


def test_weights_are_pyfais():
    # Independent package: solid angle and polarisation of the tilted detector by pyFAI.
    pose = {**MIDDLE, "rot1_rad": 0.1, "rot2_rad": -0.07, "rot3_rad": 1.0}
    geometry = Geometry(distance_m=0.3, **pose)
    detector = SMALL.model_copy(update={"efficiency": 0.8})
    pixels = pixel_map(
        node_grid(geometry, detector=detector), detector=detector, geometry=geometry, beam=BEAM
    )
    pyfai = pyfai_integrator(geometry, detector=detector, beam=BEAM, sensor_parallax=False)
    relative = pyfai.solidAngleArray(detector.shape)
    two_theta = pyfai.center_array(unit="2th_rad", scale=False)
    solid = relative * PIXEL_M**2 / 0.3**2
    stopped = np.expm1(-6.25 / np.cbrt(relative)) / np.expm1(-6.25)
    expected = solid * pyfai.polarization(detector.shape, factor=BEAM.polarisation) * 0.8 * stopped
    expected /= 2.0 * np.pi * np.sin(two_theta)
    seen = two_theta > np.deg2rad(0.35)
    # single precision; µt = 6.25 by PHYSICS 4, within 2 %: 1.3e-2 e^{−6} of the efficiency
    np.testing.assert_allclose(pixels.weight[seen], expected[seen], rtol=3e-5)


def test_gaps_beam_stop_and_what_lies_off_the_grid_see_nothing():
    # Definition: no weight in gaps, below 0.3° and beyond the last node; nodes stay on the grid.
    geometry = Geometry(distance_m=DISTANCE)
    angles = node_grid(geometry, detector=GAPPED)
    pixels = pixel_map(angles, detector=GAPPED, geometry=geometry, beam=BEAM)
    np.testing.assert_array_equal(pixels.live, GAPPED.live)
    assert not pixels.weight[~GAPPED.live].any()
    rows, columns = GAPPED.shape
    plane = detector_plane(geometry, GAPPED)
    seen = sight(
        plane, (np.arange(rows) + 0.5)[:, None] * PIXEL_M, (np.arange(columns) + 0.5) * PIXEL_M
    )
    stopped = seen.two_theta_rad < np.deg2rad(0.3) - PIXEL_M / DISTANCE
    assert stopped.sum() > 1000
    assert not pixels.weight[stopped].any()
    open_to = GAPPED.live & (seen.two_theta_rad > np.deg2rad(0.3) + PIXEL_M / DISTANCE)
    assert pixels.weight[open_to].min() > 0.0
    assert pixels.node.min() >= 0.0
    assert pixels.node.max() <= angles.n_nodes - 2
    short = AngleGrid(
        first_rad=angles.first_rad, step_rad=angles.step_rad, n_nodes=900, distance_m=DISTANCE,
        stretch=1.0, averaged=False,
    )  # fmt: skip
    cut = pixel_map(short, detector=GAPPED, geometry=geometry, beam=BEAM)
    beyond = seen.two_theta_rad > short.two_theta_rad[-1] + PIXEL_M / DISTANCE
    assert beyond.sum() > 1000
    assert not cut.weight[beyond].any()
    assert cut.node.max() <= 898.0


@pytest.mark.parametrize("tilt", [0.0, 0.004])
def test_centre_and_slopes_follow_the_foot_of_the_beam(tilt):
    # Geometry: the direct beam meets the plane where 2θ = 0; moving the PONI by whole pixels moves
    # it by as many. Slopes are those of the true directions to tilt × tan2θ × (1 + tan2θ/tilt …):
    # second order, (tilt + t) tilt with t the slope itself.
    pose = {"rot1_rad": tilt, "rot2_rad": -0.5 * tilt}
    maps = []
    for more in (0.0, 3.0):
        geometry = Geometry(
            distance_m=DISTANCE, poni1_m=(100.5 + more) * PIXEL_M, poni2_m=(200.5 - more) * PIXEL_M,
            **pose,
        )  # fmt: skip
        angles = node_grid(geometry, detector=SMALL)
        maps.append(pixel_map(angles, detector=SMALL, geometry=geometry, beam=BEAM))
    first, second = maps
    assert second.centre_px[0] - first.centre_px[0] == pytest.approx(3.0, abs=1e-9)
    assert second.centre_px[1] - first.centre_px[1] == pytest.approx(-3.0, abs=1e-9)
    if tilt == 0.0:
        assert first.centre_px == pytest.approx((100.0, 200.0), abs=1e-9)
    geometry = Geometry(
        distance_m=DISTANCE, poni1_m=100.5 * PIXEL_M, poni2_m=200.5 * PIXEL_M, **pose
    )
    plane = detector_plane(geometry, SMALL)
    for row, column in ((10, 450), (180, 20)):
        seen = sight(plane, (row + 0.5) * PIXEL_M, (column + 0.5) * PIXEL_M)
        slope = np.tan(seen.two_theta_rad)
        up, right = slope * np.sin(seen.azimuth_rad), slope * np.cos(seen.azimuth_rad)
        second_order = 4.0 * (tilt + slope) * tilt * slope + 2.0 * tilt**2 + 1e-12
        assert first.slope_row[row] == pytest.approx(up, abs=second_order)
        assert first.slope_column[column] == pytest.approx(right, abs=second_order)
    assert np.all(np.diff(first.slope_row) > 0.0)  # rows rise upwards, columns to the right
    assert np.all(np.diff(first.slope_column) > 0.0)
    p1, p2 = place_m(plane, 0.0, 0.0)
    assert first.centre_px == pytest.approx(
        (float(p1) / PIXEL_M - 0.5, float(p2) / PIXEL_M - 0.5), abs=1e-9
    )


def test_frame_is_table_times_weight_times_both_factors():
    # Definition, by numpy: linear interpolation in double precision against the kernel's single:
    # three roundings of 6e-8, and that of a place among n nodes, n·6e-8 of the step between them.
    rng = np.random.default_rng(1)
    table = rng.uniform(1.0, 2.0, 400).astype(np.float32)
    node = rng.uniform(0.0, 398.0, (30, 40)).astype(np.float32)
    weight = rng.uniform(0.0, 3.0, (30, 40)).astype(np.float32)
    rows, columns = (rng.uniform(0.5, 1.0, n).astype(np.float32) for n in (30, 40))
    out = np.empty((30, 40), np.float32)
    expected_frame(table, node, weight, rows, columns, out)
    looked_up = np.interp(node.astype(float), np.arange(400), table.astype(float))
    exact = looked_up * weight * rows[:, None] * columns
    np.testing.assert_allclose(out, exact, rtol=1e-6)
