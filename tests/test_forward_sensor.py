"""Absorption and parallax in the sensor, against quadrature, sampling, pyFAI and xraylib."""

import numpy as np
import pytest
import xraylib
from scipy.integrate import quad

from forward.sensor import (
    absorbed_fraction,
    attenuation_per_um,
    mean_path_um,
    parallax_mean_um,
    parallax_variance_um2,
    relative_efficiency,
)
from xrdct.errors import InputError

THIN = {"energy_keV": 80.0, "sensor_um": 300.0}
USUAL = {"energy_keV": 50.0, "sensor_um": 1000.0}
THICK = {"energy_keV": 15.0, "sensor_um": 2000.0}


def moment(power, *, energy_keV, sensor_um, incidence_rad):
    """Return <ℓ^power> by adaptive quadrature."""
    mu, longest = attenuation_per_um(energy_keV), sensor_um / np.cos(incidence_rad)
    upper = min(longest, 100.0 / mu)
    above, _ = quad(lambda x: x**power * np.exp(-mu * x), 0.0, upper, epsabs=0.0, epsrel=1e-12)
    return above * mu / -np.expm1(-mu * longest)


@pytest.mark.parametrize("energy_keV", [15.0, 30.0, 50.0, 90.0])
def test_attenuation_is_that_of_the_compound(energy_keV):
    # Truth: xraylib's own sum over the compound; they share the atomic weights.
    expected = xraylib.CS_Total_CP("CdTe", energy_keV) * 5.85e-4
    assert attenuation_per_um(energy_keV) == pytest.approx(expected, rel=1e-4)


def test_depth_at_50_keV():
    # Truth: published figures (PHYSICS 4 and 6), to the digits given.
    assert 1.0 / attenuation_per_um(50.0) == pytest.approx(160.0, abs=0.5)
    assert float(absorbed_fraction(0.0, **USUAL)) == pytest.approx(0.998, abs=5e-4)


def test_slanted_photons_are_absorbed_more_often():
    # Truth: limits. A vanishing sensor absorbs in proportion to the path, a thick one everything;
    # the first-order error of the former is µt/2 = 3e-4.
    angle = np.array([0.0, 0.1, 0.4])
    thin = relative_efficiency(angle, energy_keV=50.0, sensor_um=0.1)
    np.testing.assert_allclose(thin, 1.0 / np.cos(angle), rtol=3.2e-4)
    np.testing.assert_allclose(relative_efficiency(angle, **THICK), 1.0, rtol=1e-12)
    assert np.all(np.diff(relative_efficiency(angle, **THIN)) > 1e-3)


@pytest.mark.parametrize("sensor", [THIN, USUAL, THICK])
@pytest.mark.parametrize("angle", [0.02, 0.3])
def test_displacement_has_the_moments_of_the_truncated_law(sensor, angle):
    # Truth: adaptive quadrature; the variance loses up to two digits to the subtraction.
    first = moment(1, incidence_rad=angle, **sensor)
    second = moment(2, incidence_rad=angle, **sensor)
    assert mean_path_um(incidence_rad=angle, **sensor) == pytest.approx(first, rel=1e-10)
    sine = np.sin(angle)
    assert float(parallax_mean_um(angle, **sensor)) == pytest.approx(sine * first, rel=1e-10)
    assert float(parallax_variance_um2(angle, **sensor)) == pytest.approx(
        sine**2 * (second - first**2), rel=1e-8
    )


def test_displacement_of_thick_and_of_vanishing_sensors():
    # Truth: limits. Exponential law: mean sin α/µ and its square; uniform depth: t tan α/2 and
    # (t tan α)²/12, with first-order corrections of µt/(6 cos α) = 1.1e-4.
    angle = 0.25
    depth = np.sin(angle) / attenuation_per_um(15.0)
    assert float(parallax_mean_um(angle, **THICK)) == pytest.approx(depth, rel=1e-12)
    assert float(parallax_variance_um2(angle, **THICK)) == pytest.approx(depth**2, rel=1e-12)
    thin = {"energy_keV": 50.0, "sensor_um": 0.1}
    assert float(parallax_mean_um(angle, **thin)) == pytest.approx(0.05 * np.tan(angle), rel=1.2e-4)
    assert float(parallax_variance_um2(angle, **thin)) == pytest.approx(
        (0.1 * np.tan(angle)) ** 2 / 12.0, rel=1.2e-4
    )


def test_displacement_of_sampled_photons():
    # Truth: exponential paths, those that pass the sensor thrown away. 5 standard errors each:
    # false alarms 1e-6.
    angle, n = 0.2, 400_000
    path = np.random.default_rng(8).exponential(1.0 / attenuation_per_um(80.0), n)
    shift = path[path < 300.0 / np.cos(angle)] * np.sin(angle)
    error = shift.std() / np.sqrt(shift.size)
    assert abs(shift.mean() - parallax_mean_um(angle, **THIN)) < 5.0 * error
    kurtosis = np.mean((shift - shift.mean()) ** 4) / shift.var() ** 2
    error = shift.var() * np.sqrt((kurtosis - 1.0) / shift.size)
    assert abs(shift.var() - parallax_variance_um2(angle, **THIN)) < 5.0 * error


def test_rings_move_outward_by_the_published_amount():
    # Truth: PHYSICS 4, δr/r = +2.6e-4 at 0.6 m and 50 keV (two digits).
    angle = np.deg2rad(8.0)
    shift_um = float(parallax_mean_um(angle, **USUAL))
    assert shift_um * 1e-6 / (0.6 * np.tan(angle)) == pytest.approx(2.6e-4, abs=0.05e-4)


def test_pyfai_takes_off_what_the_sensor_adds():
    # Truth: an independent package. pyFAI moves pixels inward by the same mean displacement,
    # solved for the point of entry. Its µ is tabulated apart: 3e-4; interpolation between 1024
    # angles adds 1e-5 of the radius's correction at these radii.
    from pyFAI.detectors import detector_factory
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    plain, corrected = (
        AzimuthalIntegrator(
            dist=0.6, poni1=0.144, poni2=0.127, detector=detector_factory("PilatusCdTe2M"),
            wavelength=12.398419843e-10 / 50.0,
        )
        for _ in range(2)
    )  # fmt: skip
    corrected.enable_parallax(True, sensor_material="CdTe", sensor_thickness=1e-3)
    before = 0.6 * np.tan(plain.center_array(unit="2th_rad"))[::97, ::89]
    after = 0.6 * np.tan(corrected.center_array(unit="2th_rad"))[::97, ::89]
    far = before > 0.01
    entry = np.arctan(after[far] / 0.6)
    added = 1e-6 * parallax_mean_um(entry, **USUAL)
    assert np.all(after[far] < before[far])
    np.testing.assert_allclose(before[far] - after[far], added, rtol=2e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: absorbed_fraction(1.6, **USUAL), "from the front"),
        (lambda: parallax_mean_um(0.1, energy_keV=50.0, sensor_um=0.0), "must be positive: got 0"),
    ],
)
def test_refusals(call, message):
    # Truth: the stated rules.
    with pytest.raises(InputError, match=message):
        call()
