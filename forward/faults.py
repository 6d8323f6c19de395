"""What distinguishes one detector from a perfect one: its faults, and where they strike.

A fault is given by its size (DetectorFaults, part of an experiment's description); DetectorState
holds where it strikes, drawn once per detector from a seed. What the analysis may know of it — the
measured flat field and the list of dead pixels — is kept apart from what it may not.

Gains are log-normal with mean 1, exp(sz − s²/2) with s² = ln(1 + rms²): positive for any rms.

Zingers are straight tracks of 3–30 pixels with one to three counts each, Poisson in number, of any
place and direction. A track that leaves the frame enters again opposite, so that every pixel is
hit as often; what falls into gaps is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from forward.philox import Words, fine_uniform, philox4x32, uniform
from xrdct.compiled import compiled
from xrdct.errors import InputError
from xrdct.spec import Spec

GAP_CODE, KNOWN_DEAD_CODE = -1, -2
"""What a recorded frame holds where there is no pixel, and where a pixel is known to be dead."""
LIVE_CODE, UNKNOWN_DEAD_CODE = 0, 1
_STAGE_STATE, _STAGE_ZINGERS = 4, 3
_FLAT, _RESIDUAL, _PIXELS = range(3)

_SHORTEST_TRACK, _LONGEST_TRACK, _MOST_PER_PIXEL = 3, 30, 3
COUNTS_PER_TRACK = 0.25 * (_SHORTEST_TRACK + _LONGEST_TRACK) * (1 + _MOST_PER_PIXEL)
"""Mean counts of a zinger, gaps not allowed for."""


class DetectorFaults(Spec):
    """Size of each imperfection; the defaults are a perfect detector but for its dead time."""

    flat_rms: float = Field(0.0, ge=0.0, le=0.5)
    """Relative dispersion of the pixels' response that the measured flat field holds."""
    flat_residual_rms: float = Field(0.0, ge=0.0, le=0.5)
    """Relative dispersion that the measured flat field misses."""
    n_known_dead: int = Field(0, ge=0)
    """Pixels marked in every frame (−2)."""
    n_unknown_dead: int = Field(0, ge=0)
    """Pixels that read zero without being marked."""
    n_hot: int = Field(0, ge=0)
    """Pixels that count by themselves."""
    hot_per_s: float = Field(0.0, ge=0.0, le=1e6)
    """Counts per second that a hot pixel adds."""
    zinger_per_s: float = Field(0.0, ge=0.0, le=1e4)
    """Tracks of stray particles per second on the whole detector; cosmic muons make about 5."""
    dead_time_ns: float = Field(150.0, ge=0.0, le=1e4)
    """Time after each count in which a pixel counts nothing."""
    corrected_dead_time_ns: float = Field(150.0, ge=0.0, le=1e4)
    """The dead time for which the detector's firmware corrects."""
    rate_correction: bool = True
    """Whether the firmware corrects at all."""
    charge_cloud_um: float | None = Field(None, ge=0.0, le=34.0)
    """Rms radius of the charge cloud at the pixels; None takes that of diffusion."""


@dataclass(frozen=True, eq=False)
class DetectorState:
    """Where a detector's faults are. Arrays have the frame's shape (row, column)."""

    live: NDArray[np.bool_]
    """False in the gaps, where there is no sensor."""
    gain: NDArray[np.float32]
    """True response, known part times residual; 0 in the gaps."""
    known_gain: NDArray[np.float32]
    """Its known part; 1 in the gaps."""
    known_dead: NDArray[np.bool_]
    unknown_dead: NDArray[np.bool_]
    hot: NDArray[np.int64]
    """Flat indices of the hot pixels, shape (hot pixel,)."""
    hot_per_s: NDArray[np.float64]
    """Their rates, shape (hot pixel,)."""

    @cached_property
    def code(self) -> NDArray[np.int8]:
        """What each pixel is: LIVE_CODE, GAP_CODE, KNOWN_DEAD_CODE or UNKNOWN_DEAD_CODE."""
        code = np.where(self.live, LIVE_CODE, GAP_CODE).astype(np.int8)
        code[self.unknown_dead] = UNKNOWN_DEAD_CODE
        code[self.known_dead] = KNOWN_DEAD_CODE
        return code

    @cached_property
    def even_code(self) -> NDArray[np.int8]:
        """The same for a detector without bad pixels."""
        return np.where(self.live, LIVE_CODE, GAP_CODE).astype(np.int8)

    @cached_property
    def even_gain(self) -> NDArray[np.float32]:
        """The gain of a detector without dispersion: 1, and 0 in the gaps."""
        return self.live.astype(np.float32)


def draw_state(faults: DetectorFaults, live: NDArray[np.bool_], *, seed: int) -> DetectorState:
    """Return where the faults strike, for pixels ``live`` (row, column), the same for one seed.

    Dead and hot pixels are different ones. Each kind of fault has a stream of its own, so that the
    flat field of a seed does not change with the number of dead pixels. `InputError` if there are
    more bad pixels than live ones.
    """
    n_bad = faults.n_known_dead + faults.n_unknown_dead + faults.n_hot
    n_live = int(np.count_nonzero(live))
    if n_bad > n_live:
        raise InputError(f"a detector of {n_live} live pixels cannot have {n_bad} bad ones")
    known_gain = _gains(faults.flat_rms, live.shape, _stream(seed, _FLAT))
    residual = _gains(faults.flat_residual_rms, live.shape, _stream(seed, _RESIDUAL))
    bad = np.zeros(0, np.int64)
    if n_bad > 0:
        candidates = np.flatnonzero(live)
        bad = _stream(seed, _PIXELS).choice(candidates, n_bad, replace=False).astype(np.int64)
    known, unknown, hot = np.split(
        bad, [faults.n_known_dead, faults.n_known_dead + faults.n_unknown_dead]
    )
    return DetectorState(
        live=live,
        gain=np.where(live, known_gain * residual, np.float32(0.0)),
        known_gain=np.where(live, known_gain, np.float32(1.0)),
        known_dead=_mask(known, live.shape),
        unknown_dead=_mask(unknown, live.shape),
        hot=hot,
        hot_per_s=np.full(hot.size, faults.hot_per_s),
    )


def _stream(seed: int, kind: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(_STAGE_STATE, kind))
    return np.random.Generator(np.random.Philox(sequence))


def _gains(rms: float, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """Return log-normal gains of mean 1 and relative dispersion ``rms``."""
    if rms == 0.0:
        return np.ones(shape, np.float32)
    s = np.float32(np.sqrt(np.log1p(rms**2)))
    return np.asarray(np.exp(s * random.standard_normal(shape, dtype=np.float32) - s * s / 2))


def _mask(indices: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask.flat[indices] = True
    return mask


@compiled
def waiting_time(block: int, row: int, stage: int, frame: int, key: Words) -> float:
    """Return an exponential waiting time of mean 1 from one block of a counter."""
    w0, w1, _, _ = philox4x32(block, row, stage, frame, key[0], key[1])
    return float(-np.log(fine_uniform(w0, w1)))


@compiled
def add_zingers(counts: NDArray[np.int32], mean_tracks: float, frame: int, key: Words) -> None:
    """Add the tracks of one frame to its counts, ``mean_tracks`` on average, in place."""
    track = 0
    arrival = waiting_time(0, track, _STAGE_ZINGERS, frame, key)
    while arrival < mean_tracks:
        _add_track(counts, track, frame, key)
        track += 1
        arrival += waiting_time(0, track, _STAGE_ZINGERS, frame, key)


@compiled
def _add_track(counts: NDArray[np.int32], track: int, frame: int, key: Words) -> None:
    n_rows, n_columns = counts.shape
    w0, w1, w2, w3 = philox4x32(1, track, _STAGE_ZINGERS, frame, key[0], key[1])
    row, column = n_rows * uniform(w0), n_columns * uniform(w1)
    angle = np.pi * uniform(w2)
    length = _SHORTEST_TRACK + _below(w3, _LONGEST_TRACK - _SHORTEST_TRACK + 1)
    # one pixel per step along the axis that the track follows more closely
    steepest = max(abs(np.sin(angle)), abs(np.cos(angle)))
    down, across = np.sin(angle) / steepest, np.cos(angle) / steepest
    for i in range(length):
        w0, _, _, _ = philox4x32(2 + i, track, _STAGE_ZINGERS, frame, key[0], key[1])
        r = int(np.floor(row + i * down)) % n_rows
        c = int(np.floor(column + i * across)) % n_columns
        counts[r, c] += 1 + _below(w0, _MOST_PER_PIXEL)


@compiled
def _below(word: np.uint32, limit: int) -> int:
    """Return an integer from 0 to ``limit`` − 1."""
    return int((np.uint64(word) * np.uint64(limit)) >> np.uint64(32))
