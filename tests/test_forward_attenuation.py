"""The way out of scattered photons against closed forms, 3-D integration, laws and limits."""

import numpy as np
import pytest
from scipy.integrate import quad

from forward.attenuation import (
    cell_medium,
    disc_medium,
    exit_factors,
    exit_ratio,
    ring_exit_factor,
)
from phantoms.cell import Cell
from phantoms.cell_materials import substance, substance_names
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.crystal import load_crystal
from xrdct.errors import InputError

ENERGY_KEV = 50.0
PARTICLES_PER_UM = 4.81e-4
HALF_DENSE = disc_medium(diameter_um=1000.0, attenuation_per_um=0.5 * PARTICLES_PER_UM)
AZIMUTH = np.linspace(-np.pi, np.pi, 48, endpoint=False)


def cell_of(cell=None, **options):
    return cell_medium(
        cell or Cell(), energy_keV=ENERGY_KEV, particle_fraction=0.5,
        particle_attenuation_per_um=PARTICLES_PER_UM, **options,
    )  # fmt: skip


def ratio_at(medium, t, two_theta_deg, azimuth=AZIMUTH, angle_rad=0.0):
    slope = np.tan(np.radians(two_theta_deg))
    u, v = slope * np.cos(azimuth), slope * np.sin(azimuth)
    offsets = np.atleast_1d(np.asarray(t, float))
    return exit_ratio(medium, offsets_um=offsets, angle_rad=angle_rad, u=u, v=v)


def marched_ratio(attenuation, *, t, half, u, v, reach):
    """Return R by walking through µ(t, s, z) in steps, on a grid of scattering places."""
    n_places, n_steps = 397, 4000  # not commensurate: the ends of ways fall anywhere in a step
    places = (np.arange(n_places) + 0.5) / n_places * 2 * half - half
    walk = (np.arange(n_steps) + 0.5) / n_steps * reach
    step = reach / n_steps
    length = np.sqrt(1 + u * u + v * v)
    ratios = []
    for s in places:
        way_in = attenuation(np.full(n_steps, t), s - walk, np.zeros(n_steps)).sum() * step
        way_on = attenuation(np.full(n_steps, t), s + walk, np.zeros(n_steps)).sum() * step
        way_out = attenuation(t + u * walk, s + walk, v * walk).sum() * step * length
        ratios.append(np.exp(-(way_in + way_out)) / np.exp(-(way_in + way_on)))
    return np.mean(ratios)


@pytest.mark.parametrize("slopes", [(0.2, 0.0), (0.0, 0.25), (-0.15, 0.15)])
@pytest.mark.parametrize("t", [0.0, 400.0])
def test_homogeneous_disc_against_integration_in_space(t, slopes):
    # Truth: µ(x, y, z) walked through in steps of 0.3 µm from 397 places. Where it ends each of
    # three ways errs by up to half a step, 9e-5 of optical depth, at random from place to place:
    # 3·9e-5/√397 = 1e-5 of the mean; the midpoint rule over places errs by 1e-5.
    u, v = slopes
    radius, per_um = 500.0, 6e-4

    def attenuation(x, y, z):
        return np.where(x * x + y * y < radius * radius, per_um, 0.0)

    expected = marched_ratio(
        attenuation, t=t, half=np.sqrt(radius**2 - t**2), u=u, v=v, reach=1200.0
    )
    medium = disc_medium(diameter_um=1000.0, attenuation_per_um=per_um)
    found = exit_ratio(
        medium, offsets_um=np.array([t]), angle_rad=0.0, u=np.array([u]), v=np.array([v])
    )
    assert found[0, 0] == pytest.approx(expected, abs=5e-5)
    assert abs(expected - 1.0) > 1e-3


@pytest.mark.parametrize("slopes", [(0.0, -0.12), (0.1, -0.2), (0.05, 0.2)])
def test_whole_cell_against_integration_in_space(slopes):
    # Truth: as above, with layers and an eccentric chamber. 1400 steps of 0.9 µm cross steel
    # (15.4 /cm) and end in it within half a step: 7e-4; 16 places against kinks: 1e-3.
    cell, angle = Cell(centre_um=(60.0, -30.0)), 0.5
    across = 60.0 * np.cos(angle) - 30.0 * np.sin(angle)
    along = -60.0 * np.sin(angle) - 30.0 * np.cos(angle)
    u, v = slopes
    contents = cell.contents @ np.array(
        [
            linear_attenuation_per_um(
                substance(name).composition, energy_keV=ENERGY_KEV,
                density_g_per_cm3=substance(name).density_g_per_cm3,
            )
            for name in substance_names()
        ]
    )  # fmt: skip
    contents[2, 2] = 0.5 * contents[2, 2] + 0.5 * PARTICLES_PER_UM

    def attenuation(x, y, z):
        layer = np.searchsorted([-55.0, -40.0, 40.0, 640.0], z)
        apart = np.hypot(x - across, y - along)
        disc, chamber, body = np.hypot(x, y) < 500.0, apart < 600.0, apart < 1587.5
        region = np.where(disc, 2, np.where(chamber, 1, 0))
        return np.where(body, contents[region, layer], 0.0)

    t = 200.0
    half = np.sqrt(500.0**2 - t**2)
    expected = marched_ratio(attenuation, t=t, half=half, u=u, v=v, reach=3600.0)
    found = exit_ratio(
        cell_of(cell), offsets_um=np.array([t]), angle_rad=angle, u=np.array([u]), v=np.array([v])
    )
    assert found[0, 0] == pytest.approx(expected, abs=2e-3)
    assert abs(expected - 1.0) > 0.01


def test_thin_disc_seen_through_its_centre():
    # Closed form, to first order in µR: R = 1 − µ(⟨L⟩√(1 + v²/(1 + u²)) − R), with the mean way out
    # ⟨L⟩ = (R/2)(cosφ + φ/sinφ), φ = atan u. Second order is (µR)²/2 = 5e-9.
    radius, per_um = 500.0, 2e-7
    phi = np.array([0.05, 0.25])
    u, v = np.tan(phi), np.array([0.2, 0.0])
    way = 0.5 * radius * (np.cos(phi) + phi / np.sin(phi)) * np.sqrt(1 + v**2 / (1 + u**2))
    medium = disc_medium(diameter_um=2 * radius, attenuation_per_um=per_um)
    found = exit_ratio(medium, offsets_um=np.zeros(1), angle_rad=0.0, u=u, v=v)[0]
    np.testing.assert_allclose((1 - found) / per_um, way - radius, atol=5e-9 / per_um)


def test_opaque_disc_seen_through_its_centre():
    # Closed form for any µ, straight up: from s the way is (R − s)√(1 + v²), so with
    # m = µ(√(1 + v²) − 1), R = (1 − exp(−2Rm))/(2Rm).
    radius, per_um, v = 500.0, 0.02, 0.25
    m = per_um * (np.sqrt(1 + v * v) - 1)
    medium = disc_medium(diameter_um=2 * radius, attenuation_per_um=per_um)
    found = exit_ratio(
        medium, offsets_um=np.zeros(1), angle_rad=1.0, u=np.zeros(1), v=np.array([v])
    )
    assert found[0, 0] == pytest.approx(-np.expm1(-2 * radius * m) / (2 * radius * m), rel=1e-9)
    # Independent of the quadrature over places:
    direct, _ = quad(lambda s: np.exp(-m * (radius - s)) / (2 * radius), -radius, radius)
    assert found[0, 0] == pytest.approx(direct, rel=1e-9)


def test_another_plane_is_another_height_of_the_slice():
    # Definition: heights add.
    moved = cell_of(plane_um=12.0).interfaces_um
    np.testing.assert_allclose(moved, cell_of(Cell(slice_height_um=52.0)).interfaces_um)
    np.testing.assert_allclose(moved, [-67.0, -52.0, 28.0, 628.0])


@pytest.mark.parametrize("medium", [HALF_DENSE, cell_of()])
def test_straight_on_nothing_changes(medium):
    # Limit: u = v = 0 is the beam's own way, inside and outside of everything.
    found = ratio_at(medium, [-1700.0, -800.0, -550.0, 0.0, 499.0], 0.0)
    np.testing.assert_allclose(found, 1.0, rtol=1e-12)


def test_mirror_images_lose_the_same():
    # Law: mirroring t and u leaves a cell around the axis as it is.
    right = ratio_at(cell_of(), [300.0], 8.0, AZIMUTH)
    left = ratio_at(cell_of(), [-300.0], 8.0, np.pi - AZIMUTH)
    np.testing.assert_allclose(left, right, rtol=1e-12)
    # Law: a cell around the axis looks the same at every rotation, one beside it does not.
    assert cell_of().round
    beside = cell_of(Cell(centre_um=(80.0, 0.0)))
    assert not beside.round
    turned = [ratio_at(beside, [400.0], 8.0, angle_rad=a) for a in (0.0, np.pi / 2)]
    assert np.abs(turned[0] - turned[1]).max() > 1e-4
    # Law: turned with the scan it is as before.
    other = cell_of(Cell(centre_um=(0.0, 80.0)))
    followed = ratio_at(other, [400.0], 8.0, angle_rad=np.pi / 2)
    np.testing.assert_allclose(followed, turned[0], rtol=1e-12)


def test_steel_below_shadows_the_lower_half_of_rings():
    # Closed form for the central ray straight down: from s the way is in the electrode's layer for
    # 40 µm/|v|, in the collector for 15 µm/|v|, then in steel up to the chamber's wall. Numbers are
    # quadrature of exactly that, in one dimension.
    medium, slope = cell_of(), 0.15
    inner, collector = medium.contrast_per_um.sum(axis=0)[[2, 1]]
    steel = medium.contrast_per_um[:2].sum(axis=0)[0]
    annulus = medium.contrast_per_um[:2].sum(axis=0)[2]
    length = np.sqrt(1 + slope**2)

    def survives(s):
        way = 500.0 - s
        low = min(way, 40.0 / slope), min(way, 55.0 / slope)
        disc = inner * low[0] + collector * (low[1] - low[0])
        # Beyond the disc's rim, or below the collector: steel or electrolyte up to the wall.
        rim = max(min(600.0 - s, 55.0 / slope) - way, 0.0)
        metal = max(600.0 - s - 55.0 / slope, 0.0)
        out = disc + annulus * rim + steel * metal
        straight = inner * way + annulus * 100.0
        wall = linear_attenuation_per_um(
            substance("PEEK").composition, energy_keV=ENERGY_KEV, density_g_per_cm3=1.30
        ) * (1587.5 - 600.0)
        return np.exp(straight + wall - length * (out + wall)) / 1000.0

    breaks = [600.0 - 55.0 / slope, 500.0 - 55.0 / slope, 500.0 - 40.0 / slope]
    expected, _ = quad(survives, -500.0, 500.0, points=breaks)
    found = ratio_at(medium, 0.0, np.degrees(np.arctan(slope)), np.array([-np.pi / 2]))[0, 0]
    assert found == pytest.approx(expected, abs=1.5e-3)
    assert found < 0.75
    above = ratio_at(medium, 0.0, np.degrees(np.arctan(slope)), np.array([np.pi / 2]))[0, 0]
    assert 1.0 < above < 1.1  # out of the electrode upwards, into the thin separator


# Largest errors of U(u)·V(v) at 2θ ≤ 15° for rays at the given offsets, as the docstring of
# `exit_factors` states them. Both are exact on the axes, so this is a bound, not a distribution.
@pytest.mark.parametrize(
    ("medium", "t", "single", "ring"),
    [
        (HALF_DENSE, [0.0, 250.0, 490.0], 6e-4, 6e-5),
        (cell_of(layered=False), [0.0, 250.0, 490.0], 6e-4, 6e-5),
        (cell_of(), [0.0], 0.02, 2e-3),
        (cell_of(), [250.0], 0.06, 2e-3),
    ],
)
def test_ratio_factorises_into_columns_and_rows(medium, t, single, ring):
    for two_theta_deg in (5.0, 10.0, 15.0):
        slope = np.tan(np.radians(two_theta_deg))
        across, upwards = exit_factors(
            medium, offsets_um=np.array(t), angle_rad=0.0,
            u=slope * np.cos(AZIMUTH), v=slope * np.sin(AZIMUTH),
        )  # fmt: skip
        exact = ratio_at(medium, t, two_theta_deg)
        product = across * upwards
        assert np.abs(product / exact - 1).max() < single
        assert np.abs(product.mean(axis=1) / exact.mean(axis=1) - 1).max() < ring


@pytest.mark.parametrize(
    ("t", "two_theta_deg", "single", "ring"),
    [
        # The shortcut R = 1 for 1 mm of electrode at half density: largest error in any direction,
        # and of the mean over the ring (measured here, rounded up to the digit given).
        (0.0, 5.0, 5e-4, 1.6e-4),
        (0.0, 15.0, 4.3e-3, 1.4e-3),
        (250.0, 15.0, 0.017, 1.6e-3),
        (490.0, 5.0, 0.012, 8e-4),
        (490.0, 15.0, 0.043, 6.8e-3),
    ],
)
def test_how_good_the_single_transmission_shortcut_is(t, two_theta_deg, single, ring):
    found = ratio_at(HALF_DENSE, t, two_theta_deg)
    mean = ring_exit_factor(
        HALF_DENSE, offsets_um=np.array([t]), angle_rad=0.0,
        two_theta_rad=np.radians([two_theta_deg]),
    )  # fmt: skip
    assert 0.8 * single < np.abs(found - 1).max() < single
    assert 0.8 * ring < 1 - mean[0, 0] < ring
    # Law: the mean over a ring is that of its directions; 64 of them against 48.
    assert mean[0, 0] == pytest.approx(found.mean(), abs=1e-5)


def test_ring_mean_is_weighted_with_polarisation():
    # Definition: the mean weighted with P = ½[1 + cos²2θ − p cos2χ sin²2θ], here of 2000 directions
    # at 80°, where polarisation all but blots out some of them.
    two_theta, radius = np.radians(80.0), 500.0
    medium = disc_medium(diameter_um=2 * radius, attenuation_per_um=1e-4)
    azimuth = (np.arange(2000) + 0.5) / 2000 * 2 * np.pi
    exact = ratio_at(medium, 0.0, 80.0, azimuth)[0]
    for degree in (-1.0, 0.0, 1.0):
        weight = 0.5 * (
            1 + np.cos(two_theta) ** 2 - degree * np.cos(2 * azimuth) * np.sin(two_theta) ** 2
        )
        found = ring_exit_factor(
            medium, offsets_um=np.zeros(1), angle_rad=0.0, two_theta_rad=np.array([two_theta]),
            polarisation=degree,
        )  # fmt: skip
        assert found[0, 0] == pytest.approx(np.average(exact, weights=weight), abs=1e-4)


def test_medium_of_the_cell_holds_what_the_electrode_does():
    # Published: LiMn2O4 4.81 /cm, and ≈ 0.79 through 1 mm of it at half density; the pores' filling
    # (2.7e-5/µm over the other half) takes another 1.4 %.
    particles = linear_attenuation_per_um(load_crystal("LiMn2O4"), energy_keV=ENERGY_KEV)
    medium = cell_medium(
        Cell(), energy_keV=ENERGY_KEV, particle_fraction=0.5, particle_attenuation_per_um=particles
    )
    electrode = medium.contrast_per_um[:, 2].sum()
    assert np.exp(-1000.0 * electrode) == pytest.approx(0.786 * np.exp(-0.0137), abs=2e-3)
    assert medium.contrast_per_um[0] == pytest.approx(0.257e-4, abs=0.0005e-4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: disc_medium(diameter_um=-1.0, attenuation_per_um=0.0), "got -1 and 0"),
        (
            lambda: cell_medium(
                Cell(), energy_keV=50.0, particle_fraction=1.5, particle_attenuation_per_um=1e-4
            ),
            "volume fraction must lie within 0–1: got 1.5",
        ),
    ],
)
def test_impossible_media_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
