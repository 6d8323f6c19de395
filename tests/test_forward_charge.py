"""Where photons count, against closed forms, quadrature and an independent simulation."""

import numpy as np
import pytest
import xraylib
from scipy.special import ndtr

from forward.charge import N_PHOTONS, charge_cloud_um, photon_response
from forward.sensor import attenuation_per_um, mean_path_um
from xrdct.errors import InputError

PILATUS = {"pixel_um": 172.0, "sensor_um": 1000.0}
HUGE = {"pixel_um": 1e7, "sensor_um": 1000.0}
CD, TE = 48, 52
OFF_CENTRE = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def standard_error(p):
    return np.sqrt(max(p * (1.0 - p), 1e-6) / N_PHOTONS)


def fluorescence(z, energy_keV):
    """Return the probability that a photoelectric absorption sends out a K photon of element z."""
    total = sum(xraylib.CSb_Photo(element, energy_keV) for element in (CD, TE))
    k_shell = 1.0 - 1.0 / xraylib.JumpFactor(z, xraylib.K_SHELL)
    share = xraylib.CSb_Photo(z, energy_keV) / total
    return share * k_shell * xraylib.FluorYield(z, xraylib.K_SHELL)


def test_sensor_data_are_the_published_ones():
    # Truth: PHYSICS 6 (edges 26.71/31.81 keV, Kα 23.17/27.47 keV, reabsorbed within 119/62 µm).
    # xraylib's Kα is the mean of α₁ and α₂, α₁ being quoted: 0.1 keV, and 1.2 % in the path.
    for z, edge, line, path_um in ((CD, 26.71, 23.17, 119.0), (TE, 31.81, 27.47, 62.0)):
        assert xraylib.EdgeEnergy(z, xraylib.K_SHELL) == pytest.approx(edge, abs=0.006)
        energy = xraylib.LineEnergy(z, xraylib.KA_LINE)
        assert energy == pytest.approx(line, abs=0.1)
        assert 1.0 / attenuation_per_um(energy) == pytest.approx(path_um, rel=0.015)


def test_tellurium_counts_in_a_neighbour_at_25_keV():
    # Truth: PHYSICS 6. At 25 keV 50 − 27.4 does not count and 27.4 does: photons move and none
    # counts twice, since the two would need 50 keV together. The efficiency is 80–90 %.
    response = photon_response(50.0, threshold_keV=25.0, **PILATUS)
    assert response.double.sum() == 0.0
    assert 0.05 < response.single[OFF_CENTRE].sum() < fluorescence(TE, 50.0)
    assert 0.80 < response.efficiency < 0.90


def test_onset_of_double_counts_from_fluorescence():
    # Truth: energy conservation. Without charge sharing a photon counts twice only if both E_K and
    # E − E_K exceed the threshold: 23.83 keV for Cd Kβ, 23.11 for Cd Kα, 22.62 for Te Kα.
    sharp = {**PILATUS, "cloud_um": 0.0}
    doubles = [
        photon_response(50.0, threshold_keV=t, **sharp).double.sum()
        for t in (23.85, 23.5, 22.9, 22.5)
    ]
    assert doubles[0] == 0.0
    # Each further line adds what it emits, times the chance to leave the pixel (25–75 %). Te Kα
    # counts only where it is absorbed for good: the Cd photon it may free splits its energy again.
    k_beta = xraylib.RadRate(CD, xraylib.KB_LINE)
    te_k_alpha = xraylib.LineEnergy(TE, xraylib.KA_LINE)
    emitted = [
        fluorescence(CD, 50.0) * k_beta,
        fluorescence(CD, 50.0) * (1.0 - k_beta),
        fluorescence(TE, 50.0)
        * xraylib.RadRate(TE, xraylib.KA_LINE)
        * (1.0 - fluorescence(CD, te_k_alpha)),
    ]
    for added, source in zip(np.diff(doubles), emitted, strict=True):
        assert 0.25 * source < added < 0.75 * source


@pytest.mark.parametrize("threshold", [12.5, 15.0, 18.0, 10.0, 7.0])
def test_shared_charge_below_the_k_edges(threshold):
    # Truth: quadrature over a quarter pixel of the area where the shares exceed T/E; 25 keV frees
    # no K fluorescence. Grid error: half a cell along each contour, 172 µm/2000 of the side.
    # 5 standard errors: false alarms below 1e-6.
    cloud = 12.0
    response = photon_response(25.0, threshold_keV=threshold, cloud_um=cloud, **PILATUS)
    n = 1000
    distance = (np.arange(n) + 0.5) * (86.0 / n)
    share = ndtr(-distance / cloud)
    own = np.outer(1.0 - share, 1.0 - share) > threshold / 25.0
    across = np.outer(share, 1.0 - share) > threshold / 25.0  # into the nearest pixel in x
    corner = np.outer(share, share) > threshold / 25.0
    nowhere = float(np.mean(~own & ~across & ~across.T & ~corner))
    assert abs(response.lost - nowhere) < 5.0 * standard_error(nowhere) + 1e-3 / n
    detected = 1.0 - nowhere
    side = 0.5 * float(np.mean(own & across)) / detected  # a quarter pixel borders on two sides
    assert abs(response.double[0, 1] - side) < 5.0 * standard_error(side) + 5e-5
    moved = 0.5 * float(np.mean(across & ~own)) / detected
    assert abs(response.single[0, 1] - moved) < 5.0 * standard_error(moved) + 5e-5


def test_half_the_energy_is_the_neutral_threshold():
    # Truth: of two shares of E one exceeds E/2, so only photons near corners are lost, where all
    # four shares can fall below: fewer than those within 3σ of both borders.
    response = photon_response(25.0, threshold_keV=12.5, cloud_um=10.0, **PILATUS)
    assert response.double.sum() == 0.0
    assert 0.0 < response.lost < (60.0 / 172.0) ** 2
    assert response.single[1, 1] == pytest.approx(1.0, abs=5.0 * standard_error(0.5))


def test_escape_through_the_front_of_a_thick_sensor():
    # Truth: closed form. From depths of density µ exp(−µz), isotropic photons of attenuation µ′
    # escape with probability ½ [1 − (µ′/µ) ln(1 + µ/µ′)]. At 30 keV only Cd fluoresces, to lines
    # that free nothing further, and what stays behind (at most 6.9 keV) does not count. Pixels are
    # too large to leave, and 1 mm is 12 attenuation lengths. 5 standard errors: 6e-7.
    response = photon_response(30.0, threshold_keV=7.0, cloud_um=0.0, **HUGE)
    mu = attenuation_per_um(30.0)
    expected = 0.0
    for line in (xraylib.KA_LINE, xraylib.KB_LINE):
        ratio = attenuation_per_um(xraylib.LineEnergy(CD, line)) / mu
        escape = 0.5 * (1.0 - ratio * np.log1p(1.0 / ratio))
        expected += fluorescence(CD, 30.0) * xraylib.RadRate(CD, line) * escape
    assert abs(response.lost - expected) < 5.0 * standard_error(expected)


def test_moved_photons_against_another_simulation():
    # Truth: a plain simulation of the one-step case (30 keV, see above) with NumPy's generator.
    # Six comparisons at 5 combined standard errors: false alarms 4e-6.
    response = photon_response(30.0, threshold_keV=7.0, cloud_um=0.0, **PILATUS)
    random, n = np.random.default_rng(5), 2**19
    depth = random.exponential(1.0 / attenuation_per_um(30.0), n)
    emits = random.random(n) < fluorescence(CD, 30.0)
    is_beta = random.random(n) < xraylib.RadRate(CD, xraylib.KB_LINE)
    lines = [xraylib.LineEnergy(CD, line) for line in (xraylib.KA_LINE, xraylib.KB_LINE)]
    paths = np.array([1.0 / attenuation_per_um(line) for line in lines])
    direction = random.normal(size=(3, n))
    direction /= np.linalg.norm(direction, axis=0)
    step = direction * random.exponential(1.0, n) * paths[is_beta.astype(int)] * emits
    x, y = (np.floor((172.0 * random.random(n) + step[axis]) / 172.0) for axis in (0, 1))
    inside = (depth + step[2] > 0.0) & (depth + step[2] < 1000.0)
    dx, dy = np.clip(x, -1, 1)[inside], np.clip(y, -1, 1)[inside]
    detected = int(inside.sum())
    pairs = [(response.lost, 1.0 - detected / n)]
    for row, column in ((1, 1), (0, 1), (1, 2), (0, 0), (2, 0)):
        seen = np.sum((dy == row - 1) & (dx == column - 1)) / detected
        pairs.append((response.single[row, column], seen))
    for ours, theirs in pairs:
        error = np.hypot(standard_error(ours), np.sqrt(theirs * (1.0 - theirs) / n))
        assert abs(ours - theirs) < 5.0 * error


@pytest.mark.parametrize("threshold", [8.0, 18.0, 22.0, 30.0])
def test_response_is_a_symmetric_distribution(threshold):
    # Truth: definition. Photons that count in two pixels without their own are kept as two
    # singles; at this cloud they are fewer than 0.1 %.
    response = photon_response(50.0, threshold_keV=threshold, **PILATUS)
    for kernel in (response.single, response.double):
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)
        np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-15)
        assert np.all(kernel >= 0.0)
    assert response.double[1, 1] == 0.0
    assert response.single.sum() + response.double.sum() == pytest.approx(1.0, abs=1e-3)
    assert response.mean.sum() == pytest.approx(1.0 + response.double.sum(), abs=1e-3)


def test_higher_thresholds_lose_more():
    # Truth: monotonicity, exact because all thresholds see the same photons.
    lost = [
        photon_response(50.0, threshold_keV=t, **PILATUS).lost for t in (10.0, 20.0, 24.0, 28.0)
    ]
    assert np.all(np.diff(lost) > 0.0)


def test_cloud_by_diffusion():
    # Truth: σ = t √(2kT/eV) for a drift through the whole sensor, 7.1 µm at 293 K, less by the
    # mean depth of absorption; and the scaling with the bias.
    whole = 1000.0 * np.sqrt(2.0 * 0.02525 / 1000.0)
    assert whole == pytest.approx(7.1, abs=0.05)
    depth = mean_path_um(energy_keV=50.0, sensor_um=1000.0)
    sigma = charge_cloud_um(energy_keV=50.0, sensor_um=1000.0)
    assert sigma == pytest.approx(whole * np.sqrt(1.0 - depth / 1000.0), rel=1e-3)
    half = charge_cloud_um(energy_keV=50.0, sensor_um=1000.0, bias_V=4000.0)
    assert half == pytest.approx(sigma / 2.0, rel=1e-12)


def test_response_is_shared_and_read_only():
    # Truth: the docstring.
    first = photon_response(50.0, threshold_keV=25.0, **PILATUS)
    assert photon_response(50.0, threshold_keV=25.0, **PILATUS) is first
    with pytest.raises(ValueError, match="read-only"):
        first.single[0, 0] = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold_keV": 50.0}, "threshold_keV must lie within 0 and .* 50: got 50"),
        ({"cloud_um": 40.0}, "fifth of the pixel"),
        ({"threshold_keV": 2.0, "cloud_um": 34.0, "pixel_um": 172.0}, "so low"),
    ],
)
def test_refusals(change, message):
    # Truth: the stated rules.
    with pytest.raises(InputError, match=message):
        photon_response(50.0, **{"threshold_keV": 25.0, **PILATUS, **change})
    with pytest.raises(InputError, match="bias"):
        charge_cloud_um(energy_keV=50.0, sensor_um=1000.0, bias_V=0.0)
