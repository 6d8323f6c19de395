"""The counting detector: its statistics, against laws, closed forms and event-by-event counting."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from forward.charge import PhotonResponse, photon_response
from forward.faults import COUNTS_PER_TRACK, DetectorFaults, draw_state
from forward.philox import stream_key
from forward.pilatus import (
    LARGEST_COUNT,
    _alias_table,
    _lose_and_correct,
    _mean_rounded,
    count_photons,
    mean_counts,
    measured_flat,
)
from forward.poisson import draw_poisson
from xrdct.errors import InputError

KEY = stream_key(20, 4)
PIXEL = {"pixel_um": 172.0, "sensor_um": 1000.0}
NO_DEAD_TIME = DetectorFaults(dead_time_ns=0.0, rate_correction=False)


def response(threshold_keV=25.0):
    return photon_response(50.0, threshold_keV=threshold_keV, **PIXEL)


def setting(shape=(40, 50), *, faults=NO_DEAD_TIME, threshold_keV=25.0, exposure_s=0.01, live=None):
    """Return the arguments that `count_photons` and `mean_counts` share."""
    live = np.ones(shape, bool) if live is None else live
    return {
        "state": draw_state(faults, live, seed=3),
        "faults": faults,
        "response": response(threshold_keV),
        "exposure_s": exposure_s,
    }


def even(shape, mean):
    return np.full(shape, mean, np.float32)


def frames_of(expected, n, **arguments):
    return np.stack([count_photons(expected, key=KEY, frame=i, **arguments) for i in range(n)])


def live_with_gaps(shape=(40, 50)):
    live = np.ones(shape, bool)
    live[17:20] = False
    live[:, 30:33] = False
    return live


@pytest.mark.parametrize("threshold_keV", [25.0, 20.0])
def test_frames_average_to_the_mean(threshold_keV):
    # Truth: the definition of mean_counts, all effects on. Means from 0.3 to 3000 counts cross both
    # regimes of the dead time and the onset of rounding. 2000 pixels at 6 standard errors (from
    # the sample, 400 frames): false alarm 1e-5 even in Student's tails, of which n = 400 makes
    # 5e-9 per pixel; the total at 5: 6e-7.
    faults = DetectorFaults(
        flat_rms=0.05, flat_residual_rms=0.02, n_known_dead=5, n_unknown_dead=5, n_hot=5,
        hot_per_s=3000.0, zinger_per_s=200.0, dead_time_ns=200.0, corrected_dead_time_ns=150.0,
    )  # fmt: skip
    arguments = setting(faults=faults, threshold_keV=threshold_keV, live=live_with_gaps())
    expected = np.exp(np.linspace(np.log(0.3), np.log(3000.0), 50))
    expected = np.tile(expected.astype(np.float32), (40, 1))
    n = 400
    frames = frames_of(expected, n, **arguments).astype(float)
    mean = mean_counts(expected, **arguments)
    counting = arguments["state"].code == 0
    np.testing.assert_array_equal(frames[:, ~counting], np.tile(mean[~counting], (n, 1)))
    error = frames.std(axis=0)[counting] / np.sqrt(n)
    z = (frames.mean(axis=0) - mean)[counting] / error
    assert np.abs(z).max() < 6.0
    totals = frames[:, counting].sum(axis=1)
    assert abs(totals.mean() - mean[counting].sum(dtype=float)) < 5.0 * totals.std() / np.sqrt(n)


def test_without_effects_it_is_the_poisson_draw():
    # Truth: the stages, none of which may touch the frame when off.
    faults = DetectorFaults(flat_rms=0.1, n_known_dead=9, n_hot=9, hot_per_s=1e5, zinger_per_s=1e4)
    expected = np.random.default_rng(1).uniform(0.0, 400.0, (40, 50)).astype(np.float32)
    off = {"flat": False, "charge_sharing": False, "dead_time": False, "zingers": False,
           "bad_pixels": False}  # fmt: skip
    arguments = setting(faults=faults, threshold_keV=20.0)
    frame = count_photons(expected, key=KEY, frame=7, **arguments, **off)
    np.testing.assert_array_equal(frame, draw_poisson(expected, key=KEY, frame=7))
    np.testing.assert_array_equal(mean_counts(expected, **arguments, **off), expected)


def test_neighbours_covary_by_what_counts_twice():
    # Truth: cov(N_i, N_k) = λ_i d_(k−i) + λ_k d_(i−k) from Poisson events that add to both, and the
    # variance of a pixel equals its mean; pixels two apart share nothing. Standard errors from the
    # scatter between 300 frames; six comparisons at 5: false alarms 4e-6.
    shape, n = (48, 64), 300
    arguments = setting(shape, threshold_keV=20.0)
    expected = np.tile(np.where(np.arange(64) % 2 == 0, 3.0, 9.0).astype(np.float32), (48, 1))
    double = arguments["response"].double
    frames = frames_of(expected, n, **arguments)
    residual = frames - mean_counts(expected, **arguments)
    inner = residual[:, 1:-1, 1:-1]

    def covariance(rows, columns):
        products = inner[:, : 46 - rows, : 62 - columns] * inner[:, rows:, columns:]
        per_frame = products.mean(axis=(1, 2))
        return per_frame.mean(), per_frame.std() / np.sqrt(n)

    pairs = {  # rows and columns between the pixels: mean of λ_i + λ_k over the pairs, times d
        (0, 1): 12.0 * double[1, 2],
        (1, 0): 12.0 * double[2, 1],
        (1, 1): 12.0 * double[2, 2],
        (0, 2): 0.0,
        (2, 0): 0.0,
        (0, 0): np.mean(mean_counts(expected, **arguments)[1:-1, 1:-1], dtype=float),
    }
    assert pairs[0, 1] > 0.3
    for (rows, columns), truth in pairs.items():
        value, error = covariance(rows, columns)
        assert abs(value - truth) < 5.0 * error


def test_moved_photons_do_not_covary():
    # Truth: sorting a Poisson number makes independent ones. Covariance of side neighbours in 300
    # frames of 3072 pixels, standard error λ/√(pairs), at 5: false alarm 6e-7.
    shape, n = (48, 64), 300
    arguments = setting(shape)
    assert arguments["response"].single[1, 2] > 0.02
    frames = frames_of(even(shape, 6.0), n, **arguments)
    residual = (frames - mean_counts(even(shape, 6.0), **arguments))[:, 1:-1, 1:-1]
    products = residual[:, :, 1:] * residual[:, :, :-1]
    assert abs(products.mean()) < 5.0 * 6.0 / np.sqrt(products.size)


@pytest.mark.parametrize("threshold_keV", [25.0, 20.0])
def test_charge_goes_where_the_kernel_says(threshold_keV):
    # Truth: the response of one lit pixel is the kernel itself, and an asymmetric kernel tells
    # rows from columns and forth from back; the total is 1 + (double counts), in float32.
    expected = np.zeros((7, 9), np.float32)
    expected[3, 4] = 1000.0
    arguments = setting(expected.shape, threshold_keV=threshold_keV)
    mean = mean_counts(expected, **arguments)
    np.testing.assert_allclose(mean[2:5, 3:6], 1000.0 * response(threshold_keV).mean, rtol=1e-6)
    assert np.count_nonzero(mean) == 9
    skew = np.arange(9.0).reshape(3, 3) / 36.0
    lopsided = PhotonResponse(single=skew, double=np.zeros((3, 3)), lost=0.0, efficiency=1.0)
    mean = mean_counts(expected, **{**arguments, "response": lopsided})
    np.testing.assert_allclose(mean[2:5, 3:6], 1000.0 * skew, rtol=1e-6)


def test_pairs_go_where_the_kernel_says():
    # Truth: with only double counts the lit pixel holds every photon and its neighbours together
    # as many. Counts of neighbours are binomial: eight at 5 standard errors, false alarm 5e-6.
    expected = np.zeros((7, 9), np.float32)
    expected[3, 4] = 50_000.0
    double = np.array([[0.01, 0.06, 0.05], [0.10, 0.0, 0.2], [0.15, 0.25, 0.18]])
    pairs = PhotonResponse(single=np.zeros((3, 3)), double=double, lost=0.0, efficiency=1.0)
    arguments = {**setting(expected.shape), "response": pairs}
    frame = count_photons(expected, key=KEY, frame=0, **arguments)
    n = frame[3, 4]
    around = frame[2:5, 3:6].astype(float)
    around[1, 1] = 0.0
    assert frame.sum() == 2 * n
    assert around.sum() == n
    assert np.all(np.abs(around - n * double) <= 5.0 * np.sqrt(n * double * (1.0 - double)))


def test_alias_table_reproduces_the_probabilities():
    # Truth: what the table means; thresholds are rounded to 2⁻²⁹ of an eighth, eight at most meet.
    probability = np.random.default_rng(2).dirichlet(np.full(8, 0.5))
    threshold, alias = _alias_table(probability)
    seen = np.zeros(8)
    for outcome in range(8):
        stands = threshold[outcome] / 2.0**29
        seen[outcome] += stands / 8.0
        seen[alias[outcome]] += (1.0 - stands) / 8.0
    np.testing.assert_allclose(seen, probability, atol=2.0**-29)


def count_events(mean, *, dead, n, seed):
    """Count arrivals of mean ``mean`` in unit time with dead time ``dead`` after each, n times."""
    random = np.random.default_rng(seed)
    recorded = np.empty(n, int)
    longest = int(mean / (1.0 + mean * dead) + 12.0 * np.sqrt(mean) + 30)
    for start in range(0, n, 1000):
        size = min(1000, n - start)
        waits = random.exponential(1.0 / mean, (size, longest))
        waits[:, 1:] += dead
        recorded[start : start + size] = (np.cumsum(waits, axis=1) <= 1.0).sum(axis=1)
    return recorded


@pytest.mark.parametrize(("mean", "x"), [(20.0, 0.01), (60.0, 0.03), (400.0, 0.2), (500.0, 1.0)])
def test_dead_time_against_counting_event_by_event(mean, x):
    # Truth: an event-by-event simulation of a non-paralysable counter, 10,000 exposures, and the
    # law m = n/(1 + nτ), variance n/(1 + nτ)³. Both differ from the kernel's by edge effects
    # of order x counts in the mean and 3x² (Poisson regime, x ≤ 0.03) or a few x/mean in the
    # variance. 5 standard errors √(2/n) of a variance: false alarms 6e-7 each.
    n, n_pixels = 10_000, 200 * 250
    exposure_s = 1e-3
    faults = DetectorFaults(dead_time_ns=x / mean * exposure_s * 1e9, rate_correction=False)
    arguments = setting((200, 250), faults=faults, exposure_s=exposure_s)
    frame = count_photons(
        even((200, 250), mean), key=KEY, frame=1, charge_sharing=False, **arguments
    ).astype(float)
    events = count_events(mean, dead=x / mean, n=n, seed=11)
    variance = mean / (1.0 + x) ** 3
    error = np.sqrt(variance * (1.0 / n + 1.0 / n_pixels))
    assert abs(frame.mean() - events.mean()) < 5.0 * error + x
    assert abs(frame.mean() - mean / (1.0 + x)) < 5.0 * np.sqrt(variance / n_pixels) + 0.05 * x
    bound = 5.0 * np.sqrt(2.0 / n + 2.0 / n_pixels) + 3.0 * x**2 * (x <= 0.03) + 4.0 * x / mean
    assert abs(frame.var() / events.var() - 1.0) < bound


def test_lost_counts_of_scattered_pixels():
    # Truth: E[L | N] = N y/(1 + y) for N = 2 in one pixel of 32, y = 0.1, where the waiting time
    # runs on over many pixels. 100,000 such pixels lose 18,182, scatter √18,182, at 5; no more
    # than both can be lost, which takes E[(L − 2)⁺] = 8e-4 from each.
    counts = np.zeros((1000, 3200), np.int32)
    counts[:, 7::32] = 2
    _lose_and_correct(counts, 0.05, 0.0, 0, KEY)
    lost = 2.0e5 - counts.sum()
    assert abs(lost - 1e5 * 0.2 / 1.1) < 5.0 * np.sqrt(1e5 * 0.2 / 1.1) + 8e-4 * 1e5


def test_lost_counts_are_independent_between_pixels():
    # Truth: pixels count on their own. Correlation of neighbours in the regime where waiting times
    # run on from pixel to pixel, 60,000 pairs: standard error 1/√n, at 5.
    faults = DetectorFaults(dead_time_ns=5000.0, rate_correction=False)
    arguments = setting((200, 300), faults=faults, exposure_s=1e-3)
    frame = count_photons(even((200, 300), 30.0), key=KEY, frame=2, charge_sharing=False,
                          **arguments)  # fmt: skip
    first, second = frame[:, :-1].ravel(), frame[:, 1:].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 5.0 / np.sqrt(first.size)


@pytest.mark.parametrize("true_ns", [150.0, 200.0, 120.0])
def test_what_the_firmware_leaves(true_ns):
    # Truth: m/(1 − mτ_f/t) of m = λ/(1 + λτ/t) is λ/(1 + λ(τ − τ_f)/t). Mean over 10,000 pixels
    # at 5 standard errors √λ (1 + x)^½ (the correction's slope is (1 + x)², at most).
    mean, n = 20_000.0, 10_000
    faults = DetectorFaults(dead_time_ns=true_ns, corrected_dead_time_ns=150.0)
    arguments = {**setting((100, 100), faults=faults), "charge_sharing": False}
    truth = mean / (1.0 + mean * (true_ns - 150.0) * 1e-9 / 0.01)
    frame = count_photons(even((100, 100), mean), key=KEY, frame=3, **arguments)
    assert abs(frame.mean() - truth) < 5.0 * np.sqrt(1.4 * mean / n) * (truth / mean) + 0.5
    means = mean_counts(even((100, 100), mean), **arguments)
    np.testing.assert_allclose(means, truth, rtol=1e-6)


def test_correction_is_rounded_to_nearest():
    # Truth: the stated formula, exactly, with no true dead time; so nothing below 183 counts.
    faults = DetectorFaults(dead_time_ns=0.0, corrected_dead_time_ns=150.0)
    expected = np.tile(np.linspace(100.0, 500.0, 40, dtype=np.float32)[:, None], (1, 50))
    arguments = {**setting(faults=faults), "key": KEY, "frame": 4}
    plain = count_photons(expected, dead_time=False, **arguments)
    frame = count_photons(expected, **arguments)
    np.testing.assert_array_equal(frame, np.floor(plain / (1.0 - plain * 1.5e-5) + 0.5))
    np.testing.assert_array_equal(frame[plain < 182], plain[plain < 182])
    assert np.all(frame[plain >= 183] > plain[plain >= 183])


@pytest.mark.parametrize(("mean", "spread"), [(0.3, 0.1), (0.52, 0.08), (4.7, 0.4), (6.2, 0.5)])
def test_mean_of_a_rounded_normal(mean, spread):
    # Truth: midpoint sum of the density, 2e-5 wide; from a spread of ½ on, the stated 2e-3.
    v = mean + spread * np.linspace(-8.0, 8.0, 400_001)
    density = np.exp(-0.5 * ((v - mean) / spread) ** 2)
    truth = np.sum(density * np.floor(v + 0.5)) / density.sum()
    tolerance = 2.5e-3 if spread >= 0.5 else 1e-4
    assert _mean_rounded(mean, spread) == pytest.approx(truth, abs=tolerance)


def test_counter_ends_at_20_bits():
    # Truth: 2²⁰ − 1; a mean a hundred standard deviations above, or a rate past the correction's.
    arguments = setting((5, 6))
    expected = even((5, 6), 1.2e6)
    assert LARGEST_COUNT == 1_048_575
    assert np.all(count_photons(expected, key=KEY, frame=0, **arguments) == LARGEST_COUNT)
    assert np.all(mean_counts(expected, **arguments)[1:-1, 1:-1] == LARGEST_COUNT)
    over = setting((5, 6), faults=DetectorFaults(dead_time_ns=0.0, corrected_dead_time_ns=150.0))
    assert np.all(count_photons(even((5, 6), 1e5), key=KEY, frame=0, **over) == LARGEST_COUNT)


def test_pixels_that_do_not_count():
    # Truth: the file format. However bright, gaps read −1, known dead −2, unknown dead 0.
    faults = DetectorFaults(n_known_dead=30, n_unknown_dead=30, zinger_per_s=1e4, n_hot=30,
                            hot_per_s=1e5)  # fmt: skip
    live = live_with_gaps()
    arguments = setting(faults=faults, threshold_keV=20.0, live=live)
    frame = count_photons(even((40, 50), 500.0), key=KEY, frame=5, **arguments)
    state = arguments["state"]
    assert frame.dtype == np.int32
    assert np.all(frame[~live] == -1)
    assert np.all(frame[state.known_dead] == -2)
    assert np.all(frame[state.unknown_dead] == 0)
    assert np.all(frame[state.code == 0] > 100)


def test_photons_do_not_cross_gaps():
    # Truth: a pixel beside a long gap misses what three neighbours would have sent.
    kernel = response().mean
    mean = mean_counts(even((40, 50), 100.0), **setting(live=live_with_gaps()))
    assert mean[10, 10] == pytest.approx(100.0 * kernel.sum(), rel=1e-6)
    assert mean[16, 10] == pytest.approx(100.0 * kernel[1:].sum(), rel=1e-6)
    assert mean[10, 33] == pytest.approx(100.0 * kernel[:, 1:].sum(), rel=1e-6)
    dark = np.where(live_with_gaps(), 0.0, 1e6).astype(np.float32)
    assert np.all(mean_counts(dark, **setting(live=live_with_gaps())) <= 0.0)


@pytest.mark.parametrize("threshold_keV", [25.0, 20.0])
def test_measured_flat_makes_even_light_even(threshold_keV):
    # Truth: the definition of a flat field; what is left is the unknown residual alone.
    faults = NO_DEAD_TIME.model_copy(update={"flat_rms": 0.1})
    arguments = setting(faults=faults, threshold_keV=threshold_keV, live=live_with_gaps())
    state, live = arguments["state"], live_with_gaps()
    flat = measured_flat(state, response=arguments["response"])
    mean = mean_counts(even((40, 50), 100.0), **arguments)
    total = 100.0 * arguments["response"].mean.sum()
    np.testing.assert_allclose((mean / flat)[live], total, rtol=1e-5)
    plain = mean_counts(even((40, 50), 100.0), **arguments, charge_sharing=False)
    flat = measured_flat(state, response=arguments["response"], charge_sharing=False)
    np.testing.assert_allclose((plain / flat)[live], 100.0, rtol=1e-5)
    with_residual = faults.model_copy(update={"flat_residual_rms": 0.03})
    arguments = setting(faults=with_residual, live=live)
    plain = mean_counts(even((40, 50), 100.0), **arguments, charge_sharing=False)
    left = (plain / arguments["state"].known_gain)[live] / 100.0
    # standard error of a dispersion over 1739 pixels, rms/√2n = 5e-4, at 5
    assert left.std() == pytest.approx(0.03, abs=2.6e-3)


def test_zingers_are_straight_tracks():
    # Truth: the stated law: one track alone is 3–30 connected pixels of 1–3 counts along a line,
    # closer than a pixel's diagonal to it.
    faults = NO_DEAD_TIME.model_copy(update={"zinger_per_s": 10.0})
    arguments = setting((300, 300), faults=faults)
    dark = even((300, 300), 0.0)
    seen = 0
    for i in range(200):
        frame = count_photons(dark, key=KEY, frame=i, **arguments)
        rows, columns = np.nonzero(frame)
        span = [np.ptp(rows), np.ptp(columns)] if rows.size else [0, 0]
        if not 2 <= max(span) < 30 or rows.size != max(span) + 1:
            continue  # none, several, or one across the frame's edge
        seen += 1
        assert frame.max() <= 3
        points = np.column_stack([rows, columns]) - [rows.mean(), columns.mean()]
        assert np.linalg.svd(points)[1][1] / np.sqrt(rows.size) < 0.5
    assert seen > 5


def test_zingers_come_at_their_rate():
    # Truth: Poisson number of tracks with mean rate × time, times the counts of a track, hitting
    # all pixels alike. Scatter from the sample, 400 frames of 300 tracks, at 5 standard errors:
    # 1.7 %, half a pixel of the mean length.
    faults = NO_DEAD_TIME.model_copy(update={"zinger_per_s": 1e4})
    arguments = setting((60, 80), faults=faults, exposure_s=0.03)
    frames = frames_of(even((60, 80), 0.0), 400, **arguments)
    totals = frames.sum(axis=(1, 2))
    assert COUNTS_PER_TRACK == 33.0
    assert abs(totals.mean() - 300.0 * 33.0) < 5.0 * totals.std() / 20.0
    edge = frames[:, :3].sum(axis=(1, 2))
    assert abs(edge.mean() - 300.0 * 33.0 * 3.0 / 60.0) < 5.0 * edge.std() / 20.0
    still = count_photons(even((60, 80), 0.0), key=KEY, frame=0, zingers=False, **arguments)
    assert not still.any()


def test_hot_pixels_count_in_the_dark():
    # Truth: Poisson counts of mean rate × time; 50 pixels × 100 frames × 3, at 5 standard errors.
    faults = NO_DEAD_TIME.model_copy(update={"n_hot": 50, "hot_per_s": 300.0})
    arguments = setting(faults=faults)
    frames = frames_of(even((40, 50), 0.0), 100, **arguments)
    hot = frames.reshape(100, -1)[:, arguments["state"].hot]
    assert hot.sum() == frames.sum()
    assert abs(hot.sum() - 15_000.0) < 5.0 * np.sqrt(15_000.0)


def test_a_frame_is_a_function_of_key_and_number():
    # Truth: the contract of counter-based randomness, in threads as well.
    faults = DetectorFaults(zinger_per_s=500.0, n_hot=3, hot_per_s=1e4, flat_rms=0.02)
    arguments = setting(faults=faults, threshold_keV=20.0)
    expected = even((40, 50), 150.0)
    alone = frames_of(expected, 8, **arguments)
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(count_photons, expected, key=KEY, frame=i, **arguments)
            for i in reversed(range(8))
        ]
        together = np.stack([job.result() for job in reversed(jobs)])
    np.testing.assert_array_equal(alone, together)
    assert not np.array_equal(alone[0], alone[1])
    other = count_photons(expected, key=stream_key(20, 5), frame=0, **arguments)
    assert not np.array_equal(alone[0], other)


@pytest.mark.parametrize(
    ("expected", "exposure_s", "message"),
    [
        (even((4, 5), 1.0), 0.01, r"shape \(40, 50\): got \(4, 5\)"),
        (even((40, 50), 1.0), 0.0, "exposure_s must be positive: got 0"),
        (even((40, 50), -1.0), 0.01, "between 0 and"),
    ],
)
def test_refusals(expected, exposure_s, message):
    # Truth: the stated rules.
    with pytest.raises(InputError, match=message):
        count_photons(expected, key=KEY, frame=0, **setting(exposure_s=exposure_s))
