"""Sinograms that tests of rays, rings and truncation share."""

import numpy as np

from inverse.sinogram import Sinogram

SINGLE = float(np.finfo(np.float32).eps)
WIDTH_RAD = np.deg2rad(0.0127)
"""Width of a channel of the examples."""
DISTANCE_M = 0.7


def sinogram(values, *, step, axis=0.0, two_theta=None, angles=None):
    """A sinogram of given values (angle, offset, channel) over a half turn."""
    n_angles, n_offsets, n_channels = values.shape
    if two_theta is None:
        two_theta = np.deg2rad(8.0) + WIDTH_RAD * np.arange(n_channels)
    return Sinogram(
        values=values.astype(np.float32),
        variance=np.ones(values.shape, np.float32),
        transmission=np.ones((n_angles, n_offsets)),
        angles_rad=np.arange(n_angles) * np.pi / n_angles if angles is None else angles,
        step_um=step,
        axis_offset_um=axis,
        two_theta_rad=two_theta,
        distance_m=DISTANCE_M,
    )


def chord_in(radius, t):
    return 2.0 * np.sqrt(np.maximum(radius**2 - t**2, 0.0))
