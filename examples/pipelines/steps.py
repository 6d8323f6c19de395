"""Single steps of the chain, to be scored with the rest of it ours.

xrdct-twin score reconstruct=examples/pipelines/steps.py:iradon \
    refine=examples/pipelines/steps.py:centroid examples/particle.toml -o out/steps
xrdct-twin score integrate=examples/pipelines/steps.py:pyfai_mean examples/frames.toml -o out/frames
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import per_peak


def iradon(sinogram: np.ndarray, *, angles_rad: np.ndarray, step_um: float) -> np.ndarray:
    """Return images (iy, ix, channel) per µm by scikit-image; the variance is left to ours."""
    return np.nan_to_num(per_peak.filtered(sinogram, np.rad2deg(angles_rad)) / step_um)


def centroid(
    patterns: np.ndarray, variance: np.ndarray, *, two_theta_rad: np.ndarray, wavelength_A: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a_A and its esd, (voxel,), from the centre of gravity of the (400) reflection.

    The centre over a window of n channels, straight background subtracted, is Σ x y / Σ y; its
    variance is Σ (x − centre)² v / (Σ y)².
    """
    hkl = (4, 0, 0)
    window = per_peak.peak_window(hkl, two_theta_rad, wavelength_A)
    x, y = two_theta_rad[window], patterns[:, window].astype(float)
    ends = np.linspace(0.0, 1.0, window.sum())
    first, last = y[:, :3].mean(axis=1), y[:, -3:].mean(axis=1)
    net = y - first[:, None] - (last - first)[:, None] * ends
    area = net.sum(axis=1)
    material = area > per_peak.LEAST_SHARE * np.percentile(area, 95.0)
    area = np.where(material, area, np.nan)
    centre = (net * x).sum(axis=1) / area
    squares = (x - centre[:, None]) ** 2 * variance[:, window]
    theta = 0.5 * centre
    a_A = wavelength_A * 4.0 / (2.0 * np.sin(theta))
    return a_A, a_A / np.tan(theta) * 0.5 * np.sqrt(squares.sum(axis=1)) / area


@cache
def _integrator(poni: str) -> Any:
    import pyFAI

    return pyFAI.load(poni)


def pyfai_mean(
    frame: np.ndarray, *, two_theta_rad: np.ndarray, poni: str, flat: np.ndarray | None, beam: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return value and variance of pyFAI's plain mean, in photons per radian of a whole ring.

    pyFAI gives counts per pixel as it would be at the normal's foot, of solid angle p²/D²; over
    that they are per steradian, and a ring has 2π sin 2θ steradians per radian.
    """
    integrator = _integrator(poni)
    half = 0.5 * (two_theta_rad[1] - two_theta_rad[0])
    found = integrator.integrate1d(
        np.maximum(frame, 0),
        two_theta_rad.size,
        mask=(frame < 0),
        flat=flat,
        unit="2th_rad",
        radial_range=(two_theta_rad[0] - half, two_theta_rad[-1] + half),
        error_model="poisson",
        method=("no", "csr", "cython"),
        correctSolidAngle=True,
        polarization_factor=beam.polarisation,
    )
    solid_angle = integrator.pixel1 * integrator.pixel2 / integrator.dist**2
    ring = 2.0 * np.pi * np.sin(two_theta_rad) / solid_angle
    empty = found.count < 8
    value = np.where(empty, np.nan, found.intensity * ring)
    return value, np.where(empty, np.nan, (found.sigma * ring) ** 2)
