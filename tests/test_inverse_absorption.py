"""Attenuation from the transmission, and what the way out does to rings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forward.attenuation import disc_medium, ring_exit_factor
from inverse.absorption import (
    AttenuationMap,
    attenuation_map,
    corrected_for_absorption,
    exit_factor,
)
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

RADIUS_UM, PER_UM = 500.0, 2.4e-4
"""The electrode: 1 mm, half of it particles."""
RINGS_RAD = np.deg2rad([2.0, 5.0, 10.0, 14.5])


def scan(n=81, step=20.0, n_angles=81, *, per_um=PER_UM, axis=0.0, n_channels=5):
    """The transmission of a disc in closed form, and values of 1."""
    t = (np.arange(n) - 0.5 * (n - 1)) * step - axis
    depth = per_um * 2.0 * np.sqrt(np.maximum(RADIUS_UM**2 - t**2, 0.0))
    shape = (n_angles, n, n_channels)
    return Sinogram(
        values=np.ones(shape, np.float32), variance=np.ones(shape, np.float32),
        transmission=np.broadcast_to(np.exp(-depth), shape[:2]).copy(),
        angles_rad=np.arange(n_angles) * np.pi / n_angles, step_um=step, axis_offset_um=axis,
        two_theta_rad=np.linspace(RINGS_RAD[0], RINGS_RAD[-1], n_channels), distance_m=0.7,
    )  # fmt: skip


def disc_map(step=20.0, *, per_um=PER_UM, radius=RADIUS_UM, size=81, parts=8):
    """A disc on pixels, by the share of each that it covers."""
    place = (np.arange(size * parts) - 0.5 * (size * parts - 1)) * step / parts
    full = np.hypot(place, place[:, None]) < radius
    share = full.reshape(size, parts, size, parts).mean(axis=(1, 3))
    return AttenuationMap(per_um * share, step)


@pytest.mark.parametrize("axis", [0.0, 7.5])
def test_the_map_holds_the_attenuation(axis):
    """Closed form: µ within the disc, zero outside; two pixels from its edge to 2 % of µ."""
    found = attenuation_map(scan(axis=axis))
    place = (np.arange(81) - 40.0) * 20.0
    radius = np.hypot(place, place[:, None])
    np.testing.assert_allclose(found.per_um[radius < 440.0], PER_UM, rtol=0.02)
    np.testing.assert_allclose(found.per_um[(radius > 560.0) & (radius < 780.0)], 0.0,
                               atol=0.02 * PER_UM)  # fmt: skip
    assert found.step_um == 20.0
    area = found.per_um.sum() * 20.0**2
    assert area == pytest.approx(PER_UM * np.pi * RADIUS_UM**2, rel=0.01)


@pytest.mark.parametrize("per_um", [PER_UM, 2e-3])
def test_exit_factors_are_those_of_the_simulator(per_um):
    """Truth: the forward side's exit factor of a cylinder, by closed-form ways out of circles.

    On pixels of 20 µm the two ways through them err differently at the disc's edge, by a small part
    of a pixel (a tenth allowed), that is of the optical depth of a pixel.
    """
    offsets = np.linspace(-400.0, 400.0, 9)
    truth = ring_exit_factor(
        disc_medium(diameter_um=2 * RADIUS_UM, attenuation_per_um=per_um), offsets_um=offsets,
        angle_rad=0.0, two_theta_rad=RINGS_RAD,
    )  # fmt: skip
    found = exit_factor(
        disc_map(per_um=per_um), angles_rad=[0.0, 0.4, 2.0], offsets_um=offsets,
        two_theta_rad=RINGS_RAD,
    )  # fmt: skip
    np.testing.assert_allclose(found, np.broadcast_to(truth, found.shape), atol=per_um * 20.0 / 10)


def test_the_shortcut_errs_by_less_than_two_per_mille():
    """The figure of this module: dividing by the transmission straight on, for a 1 mm electrode.

    Truth: the forward side, in the middle of the electrode, where the ROI lies: −1.3e-3 at 14.5°.
    """
    found = exit_factor(disc_map(), angles_rad=[0.0, 1.0], offsets_um=[-175.0, 0.0, 175.0],
                        two_theta_rad=RINGS_RAD)  # fmt: skip
    assert np.all(np.abs(found - 1.0) < 2e-3)
    assert np.all(found[..., -1] < 0.9990)


@given(per_um=st.floats(0.0, 2e-3), angle=st.floats(-7.0, 7.0), offset=st.floats(-700.0, 700.0))
def test_without_deflection_or_absorption_nothing_changes(per_um, angle, offset):
    """Limits: 2θ = 0 is straight on; a sample that absorbs nothing lets all out."""
    sample = disc_map(40.0, per_um=per_um, size=31)
    straight = exit_factor(sample, angles_rad=[angle], offsets_um=[offset], two_theta_rad=[0.0])
    np.testing.assert_allclose(straight, 1.0, atol=1e-12)
    clear = AttenuationMap(0.0 * sample.per_um, 40.0)
    found = exit_factor(clear, angles_rad=[angle], offsets_um=[offset], two_theta_rad=[0.2],
                        scatterers=sample.per_um)  # fmt: skip
    np.testing.assert_allclose(found, 1.0, atol=1e-12)


def test_where_scattering_comes_from_matters():
    """Law: what lies at the far side, towards the detector, loses nothing on its way out.

    At ω = 0 the beam runs along +y. From the near side, the way through the disc is longer by
    (1/cos2θ − 1) of it: exp(−µ·2R·(1/cos2θ − 1)), sideways steps being small against R.
    """
    sample = disc_map(per_um=1e-3)
    place = (np.arange(81) - 40.0) * 20.0
    far, near = (
        np.where(np.abs(side * place[:, None] - 470.0) < 15.0, 1.0, 0.0) * np.ones(81)
        for side in (1.0, -1.0)
    )
    found = [
        exit_factor(sample, angles_rad=[0.0], offsets_um=[0.0], two_theta_rad=[0.2],
                    scatterers=source)[0, 0, 0]
        for source in (far, near)
    ]  # fmt: skip
    assert found[0] == pytest.approx(1.0, abs=2e-3)
    longer = 1e-3 * 970.0 * (1.0 / np.cos(0.2) - 1.0)
    aside = 970.0 * np.tan(0.2)  # leaves the circle up to this²/2R earlier, half of it on average
    shorter = 1e-3 * 0.5 * aside**2 / (2 * RADIUS_UM)
    assert found[1] == pytest.approx(np.exp(shorter - longer), abs=5e-3)


def test_the_correction_divides_by_the_factor():
    """Truth: exit_factor at the sinogram's own rays; its interpolation misses less than 3e-4.

    A sinogram that shows R·1 becomes 1.
    """
    sinogram, sample = scan(41, 20.0, 9), disc_map()
    factor = exit_factor(
        sample, angles_rad=sinogram.angles_rad, offsets_um=sinogram.offsets_um,
        two_theta_rad=sinogram.two_theta_rad,
    )  # fmt: skip
    corrected = corrected_for_absorption(sinogram, attenuation=sample)
    np.testing.assert_allclose(corrected.values * factor, 1.0, atol=3e-4)
    np.testing.assert_allclose(corrected.variance * factor**2, 1.0, atol=6e-4)
    np.testing.assert_array_equal(sinogram.values, 1.0)


def test_missing_channels_stay_missing():
    """NaN means not measured, and spreads nowhere."""
    sinogram = scan(21, 60.0, 7)
    sinogram.values[..., 2] = np.nan
    found = corrected_for_absorption(sinogram, attenuation=disc_map(60.0, size=31)).values
    assert np.isnan(found[..., 2]).all()
    assert np.isfinite(np.delete(found, 2, axis=2)).all()


def test_scatterers_on_other_pixels_are_refused():
    with pytest.raises(InputError, match=r"shape \(81, 81\) of the attenuation map, not \(3, 3\)"):
        exit_factor(disc_map(), angles_rad=[0.0], offsets_um=[0.0], two_theta_rad=[0.1],
                    scatterers=np.ones((3, 3)))  # fmt: skip
