"""Where a detector's faults strike: laws of the draw."""

import numpy as np
import pytest

from forward.faults import DetectorFaults, draw_state
from xrdct.errors import InputError

SHAPE = (300, 400)


def live_pixels():
    live = np.ones(SHAPE, bool)
    live[140:157] = False
    live[:, 200:207] = False
    return live


FAULTS = DetectorFaults(
    flat_rms=0.05, flat_residual_rms=0.02, n_known_dead=40, n_unknown_dead=30, n_hot=20,
    hot_per_s=50.0,
)  # fmt: skip


def test_default_is_a_perfect_detector_with_dead_time():
    # Truth: the specification.
    faults = DetectorFaults()
    state = draw_state(faults, live_pixels(), seed=1)
    np.testing.assert_array_equal(state.gain, live_pixels())
    assert not state.known_dead.any()
    assert not state.unknown_dead.any()
    assert state.hot.size == 0
    assert (faults.dead_time_ns, faults.corrected_dead_time_ns, faults.rate_correction) == (
        150.0, 150.0, True,
    )  # fmt: skip


def test_gains_have_mean_one_and_the_stated_dispersion():
    # Truth: moments of the log-normal law. n = 108,000 pixels: standard errors rms/√n and, the
    # excess kurtosis being 16 rms², rms √((2 + 16 rms²)/4n); 5 of them, false alarms 6e-7.
    live = live_pixels()
    state = draw_state(FAULTS, live, seed=2)
    n = live.sum()
    for gain, rms in (
        (state.known_gain[live], 0.05),
        (state.gain[live] / state.known_gain[live], 0.02),
    ):
        gain = gain.astype(float)
        assert abs(gain.mean() - 1.0) < 5.0 * rms / np.sqrt(n)
        assert abs(gain.std() - rms) < 5.0 * rms * np.sqrt((2.0 + 16.0 * rms**2) / (4.0 * n))


def test_known_part_and_residual_are_independent():
    # Truth: independent streams; a correlation has standard error 1/√n.
    live = live_pixels()
    state = draw_state(FAULTS, live, seed=3)
    known = np.log(state.known_gain[live])
    residual = np.log(state.gain[live]) - known
    assert abs(np.corrcoef(known, residual)[0, 1]) < 5.0 / np.sqrt(live.sum())


def test_bad_pixels_are_live_distinct_and_as_many_as_asked():
    # Truth: the specification.
    live = live_pixels()
    state = draw_state(FAULTS, live, seed=4)
    bad = np.concatenate(
        [np.flatnonzero(state.known_dead), np.flatnonzero(state.unknown_dead), state.hot]
    )
    assert [state.known_dead.sum(), state.unknown_dead.sum(), state.hot.size] == [40, 30, 20]
    assert np.unique(bad).size == 90
    assert live.flat[bad].all()
    np.testing.assert_array_equal(state.hot_per_s, 50.0)


def test_codes_and_gaps():
    # Truth: the file format (gaps −1, known dead −2).
    live = live_pixels()
    state = draw_state(FAULTS, live, seed=5)
    assert np.all(state.code[~live] == -1)
    assert np.all(state.code[state.known_dead] == -2)
    assert np.all(state.code[state.unknown_dead] == 1)
    assert np.count_nonzero(state.code) == np.count_nonzero(~live) + 70
    assert np.all(state.gain[~live] == 0.0)
    assert np.all(state.known_gain[~live] == 1.0)
    np.testing.assert_array_equal(state.even_code, np.where(live, 0, -1))
    np.testing.assert_array_equal(state.even_gain, live)


def test_same_seed_same_detector():
    # Truth: the contract of seeds; kinds of faults do not disturb each other.
    live = live_pixels()
    one, two, other = (draw_state(FAULTS, live, seed=seed) for seed in (6, 6, 7))
    fewer = draw_state(FAULTS.model_copy(update={"n_known_dead": 0}), live, seed=6)
    np.testing.assert_array_equal(one.gain, two.gain)
    np.testing.assert_array_equal(one.hot, two.hot)
    np.testing.assert_array_equal(one.gain, fewer.gain)
    assert not np.array_equal(one.gain, other.gain)
    assert not np.array_equal(one.hot, other.hot)


def test_more_bad_pixels_than_live_ones_are_refused():
    # Truth: the stated rule.
    with pytest.raises(InputError, match="6 live pixels cannot have 7 bad ones"):
        draw_state(DetectorFaults(n_known_dead=3, n_hot=4), np.ones((2, 3), bool), seed=1)
