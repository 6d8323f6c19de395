"""Where the beam really meets the sample, when, and what the encoders say of it.

A point is asked for at offset t and rotation ω. The beam passes the rotation axis at

    t′ = t + t_axis + v τ + j + w sin(ω′ + φ),      ω′ = ω + δ

with the axis offset t_axis, the speed v of a drift and the time τ since the experiment began, the
translation's jitter j (one draw per point), the run-out of the axis with amplitude w and phase φ
(once per turn), and the error δ of the rotation (one draw per line). The encoders ride on the
stages: they see jitter and rotation error, each with noise of its own, but neither the axis offset
nor the drift nor the run-out, which lie between stage and sample.

A run-out of once per turn is what a sample shifted by −w (sin φ, cos φ) would show: no scan can
tell the two apart, but for parallax, whose lever it leaves as it is (0.01 mÅ for 1 µm).

Draws are normal, from one counter-based stream per scan: the same seed gives the same motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xrdct.scan import Scan
from xrdct.spec import Spec

_SPAWN_KEY = 0x6D6F74
"""Keeps the stream apart from those of the photons, whose first word is a scan's number."""
_MRAD = 1e-3
_S_PER_H = 3600.0


class Motion(Spec):
    """Errors of the stages; all are zero unless given."""

    jitter_um: float = Field(0.0, ge=0.0, le=1000.0)
    """RMS error of each point's true position across the beam."""
    encoder_noise_um: float = Field(0.0, ge=0.0, le=1000.0)
    """RMS error of the translation encoder's reading."""
    axis_offset_um: float = Field(0.0, ge=-1e5, le=1e5)
    """Offset at which the beam passes the rotation axis when offset 0 is asked for."""
    drift_um_per_h: float = Field(0.0, ge=-1e4, le=1e4)
    """Speed at which the beam wanders across the sample, or the sample out of the beam."""
    wobble_um: float = Field(0.0, ge=0.0, le=1e4)
    """Amplitude of the axis run-out, once per turn."""
    wobble_phase_deg: float = Field(0.0, ge=-360.0, le=360.0)
    rotation_error_mrad: float = Field(0.0, ge=0.0, le=100.0)
    """RMS error of each line's true rotation."""
    encoder_noise_mrad: float = Field(0.0, ge=0.0, le=100.0)
    """RMS error of the rotation encoder's reading."""

    @property
    def seen_displacement_um(self) -> tuple[float, float]:
        """By how much the run-out makes the sample appear displaced, along x and y."""
        phase_rad = np.deg2rad(self.wobble_phase_deg)
        return (
            -self.wobble_um * float(np.sin(phase_rad)), -self.wobble_um * float(np.cos(phase_rad)),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Positions:
    """True and read positions of every exposure of a scan, in raster order."""

    true_offset_um: NDArray[np.float64]
    """Distance of the beam from the rotation axis, shape (angle, offset)."""
    true_rotation_rad: NDArray[np.float64]
    """Rotation of the sample, shape (angle,)."""
    encoder_offset_um: NDArray[np.float64]
    """Reading of the translation, shape (angle, offset)."""
    encoder_rotation_rad: NDArray[np.float64]
    """Reading of the rotation, shape (angle,)."""


def positions(
    motion: Motion, *, scan: Scan, seed: int, scan_number: int = 0, start_s: float = 0.0
) -> Positions:
    """Draw where every exposure of a scan truly takes place, and what the encoders read.

    ``start_s`` is when the scan begins on the clock of the experiment, whose zero is that of drift.
    Each kind of error has its own draws, so that switching one on leaves the others as they were.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_SPAWN_KEY, scan_number))
    rng = np.random.Generator(np.random.Philox(sequence))
    shape = (scan.n_angles, scan.n_offsets)
    stage_um = scan.projection_offsets_um + motion.jitter_um * rng.standard_normal(shape)
    encoder_um = stage_um + motion.encoder_noise_um * rng.standard_normal(shape)
    turn_error, reading_error = rng.standard_normal((2, scan.n_angles))
    rotation_rad = scan.angles_rad + motion.rotation_error_mrad * _MRAD * turn_error
    phase_rad = np.deg2rad(motion.wobble_phase_deg)
    axis_um = motion.axis_offset_um + motion.wobble_um * np.sin(rotation_rad + phase_rad)
    drift_um = motion.drift_um_per_h / _S_PER_H * (start_s + point_times_s(scan))
    return Positions(
        true_offset_um=stage_um + axis_um[:, None] + drift_um,
        true_rotation_rad=rotation_rad,
        encoder_offset_um=encoder_um,
        encoder_rotation_rad=rotation_rad + motion.encoder_noise_mrad * _MRAD * reading_error,
    )


def acquisition_order(scan: Scan) -> NDArray[np.int64]:
    """Return the raster index (angle · n_offsets + offset) of each exposure in order of time.

    Shape (exposure,). In zigzag order every second line, from the second on, runs backwards.
    """
    shape = (scan.n_angles, scan.n_offsets)
    raster = np.arange(scan.n_angles * scan.n_offsets, dtype=np.int64).reshape(shape)
    if scan.order == "zigzag":
        raster[1::2] = raster[1::2, ::-1].copy()
    return raster.ravel()


def point_times_s(scan: Scan) -> NDArray[np.float64]:
    """Return when each exposure begins, s after the first, shape (angle, offset).

    Every exposure is followed by the dead time, every line by ``line_gap_s`` as well.
    """
    point_s = scan.exposure_s + scan.dead_time_s
    line_s = scan.n_offsets * point_s + scan.line_gap_s
    in_line, line = np.arange(scan.n_offsets) * point_s, np.arange(scan.n_angles) * line_s
    times_s = np.empty(scan.n_angles * scan.n_offsets)
    times_s[acquisition_order(scan)] = (line[:, None] + in_line).ravel()
    return times_s.reshape(scan.n_angles, scan.n_offsets)
