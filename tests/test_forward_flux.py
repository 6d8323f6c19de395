"""Incident flux and its monitor, against closed forms."""

import numpy as np
import pytest
from pydantic import ValidationError

from forward.flux import BeamDecay, incident_photons, monitor_counts
from xrdct.errors import InputError

TIMES_S = np.linspace(0.0, 7200.0, 12_000).reshape(100, 120)


def photons(decay, *, times_s=TIMES_S, full=1e6, seed=1, scan_number=0):
    return incident_photons(
        decay, times_s=times_s, photons_per_exposure=full, seed=seed, scan_number=scan_number
    )


def test_default_is_a_constant_beam_read_exactly():
    # Limit: no decay, no flicker, ideal monitor.
    n0 = photons(BeamDecay())
    np.testing.assert_array_equal(n0, np.full(TIMES_S.shape, 1e6))
    np.testing.assert_array_equal(monitor_counts(BeamDecay(), photons=n0, seed=1), n0)


def test_decay_is_exponential():
    # Closed form.
    expected = 1e6 * np.exp(-0.03 * TIMES_S / 3600.0)
    np.testing.assert_allclose(photons(BeamDecay(decay_per_h=0.03)), expected, rtol=1e-13)


def test_top_ups_restore_the_full_current():
    # Closed form: a sawtooth; at the end of a period exp(−k T), just after it 1.
    decay = BeamDecay(decay_per_h=0.2, refill_h=0.5)
    times_s = np.array([0.0, 900.0, 1799.999, 1800.0, 2700.0, 5400.0])
    expected = 1e6 * np.exp(-0.2 * np.array([0.0, 0.25, 0.5, 0.0, 0.25, 0.0]))
    np.testing.assert_allclose(photons(decay, times_s=times_s), expected, rtol=1e-7)


def test_flicker_keeps_the_mean_and_has_the_stated_spread():
    # Law: mean within 5σ/√n, standard deviation within 5 standard errors (normal: σ/√(2n); the
    # log-normal's excess kurtosis 16σ² + … = 0.16 at σ = 0.1 adds 4 % to it); false alarm < 1e-6.
    ratio = photons(BeamDecay(flicker_rms=0.1)) / 1e6
    assert ratio.mean() == pytest.approx(1.0, abs=5.0 * 0.1 / np.sqrt(ratio.size))
    assert ratio.std() == pytest.approx(0.1, rel=5.2 / np.sqrt(2.0 * ratio.size))
    assert ratio.min() > 0.0


@pytest.mark.parametrize("share", [1.0, 1e-3])
def test_monitor_has_the_poisson_noise_of_what_it_counts(share):
    # Law: variance of the reading is N0/ε; chi-square over n within 5 √(2/n), false alarm < 1e-6.
    n0 = photons(BeamDecay(decay_per_h=0.1))
    read = monitor_counts(BeamDecay(monitor_efficiency=share), photons=n0, seed=2)
    pull = (read - n0) / np.sqrt(n0 / share)
    assert np.mean(pull**2) == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / n0.size))
    assert abs(pull.mean()) < 5.0 / np.sqrt(n0.size)
    np.testing.assert_allclose(read * share, np.round(read * share), rtol=0, atol=1e-8)


def test_monitor_and_flicker_are_independent():
    # Law: correlation of n independent pairs is below 5/√n; false alarm < 1e-6.
    decay = BeamDecay(flicker_rms=1e-3, monitor_efficiency=1.0)
    n0 = photons(decay)
    error = monitor_counts(decay, photons=n0, seed=1) - n0
    assert abs(np.corrcoef(n0.ravel(), error.ravel())[0, 1]) < 5.0 / np.sqrt(n0.size)


def test_seed_and_scan_number_name_the_draw():
    decay = BeamDecay(flicker_rms=0.01)
    np.testing.assert_array_equal(photons(decay), photons(decay))
    assert not np.any(photons(decay) == photons(decay, scan_number=1))
    assert not np.any(photons(decay) == photons(decay, seed=2))


def test_times_before_the_first_top_up_are_refused():
    with pytest.raises(InputError, match=r"times count from the top-up at 0 s, got -1 s"):
        photons(BeamDecay(), times_s=np.array([-1.0, 2.0]))


def test_a_scan_alone_is_number_zero():
    # Definition: scans count from 0, and a call that names none is of the first.
    decay = BeamDecay(flicker_rms=0.01, monitor_efficiency=0.1)
    n0 = incident_photons(decay, times_s=TIMES_S, photons_per_exposure=1e6, seed=1)
    np.testing.assert_array_equal(n0, photons(decay, scan_number=0))
    first = monitor_counts(decay, photons=n0, seed=1, scan_number=0)
    np.testing.assert_array_equal(monitor_counts(decay, photons=n0, seed=1), first)
    assert np.any(monitor_counts(decay, photons=n0, seed=1, scan_number=1) != first)
    assert np.any(monitor_counts(decay, photons=n0, seed=2) != first)


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("decay_per_h", -1e-9),
        ("refill_h", 0.0),
        ("flicker_rms", -1e-9),
        ("monitor_efficiency", 0.0),
        ("monitor_efficiency", 1.0 + 1e-9),
    ],
)
def test_beams_that_cannot_be_are_refused(key, bad):
    # Limit: a stored beam only falls between top-ups, a period is some time, a spread is not
    # negative, and a monitor counts some of the photons and no more than all.
    with pytest.raises(ValidationError, match=r"should be (greater|less)"):
        BeamDecay(**{key: bad})
