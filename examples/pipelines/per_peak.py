"""Lattice parameters as many laboratories get them: peak by peak, from scikit-image's iradon.

    xrdct-twin score examples/pipelines/per_peak.py:recover examples/particle.toml -o out/score

It knows the scan file and nothing of the program that made it: counts over transmitted photons,
filtered back projection of the channels round a few reflections, a pseudo-Voigt profile on a
straight background for each, and Bragg's law. Each peak gives

    a = λ √(h² + k² + l²) / (2 sin θ);

their mean is weighted by the esds of the fits, and its esd enlarged by √χ² where the peaks disagree
by more than they say (Birge's ratio). Overlapped lines of other phases are left to spoil it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from skimage.transform import iradon

_FILTERS = hdf5plugin.FILTERS  # importing it is what lets h5py read the compressed counts
HKL = ((1, 1, 1), (3, 1, 1), (4, 0, 0), (4, 4, 0), (5, 3, 1))
START_A = 8.15
HALF_WIDTH = 0.035
"""Of the window round a peak, as a share of tan 2θ: room for a from 7.98 to 8.30 Å."""
LEAST_SHARE = 0.25
"""Of the brightest voxels' intensity, below which there is nothing to fit."""


def recover(
    scan: Path, *, reconstruct: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Return a_A, a_esd_A and the amount relative to full voxels, each [y, x].

    ``reconstruct`` takes the place of :func:`filtered`.
    """
    sinogram, angles_deg, two_theta_rad, wavelength_A = read(scan)
    windows = [peak_window(hkl, two_theta_rad, wavelength_A) for hkl in HKL]
    used = [(hkl, window) for hkl, window in zip(HKL, windows, strict=True) if window.sum() > 8]
    images = [(reconstruct or filtered)(sinogram[:, :, w], angles_deg) for _, w in used]
    areas = sum(net_area(image) for image in images)
    full = np.percentile(areas[np.isfinite(areas)], 95.0)
    material = areas > LEAST_SHARE * full
    peaks = [
        fit_peak(image, two_theta_rad[window], material, hkl, wavelength_A)
        for (hkl, window), image in zip(used, images, strict=True)
    ]
    a_A, esd_A = weighted_mean(np.stack([a for a, _ in peaks]), np.stack([e for _, e in peaks]))
    return {"a_A": a_A, "a_esd_A": esd_A, "amount": np.where(material, areas / full, np.nan)}


def read(scan: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the normalised sinogram (angle, offset, channel), angles, true 2θ, and wavelength."""
    with h5py.File(scan, "r") as file:
        entry = file["entry"]
        counts = entry["data/intensity"][()].astype(float)
        transmitted = entry["transmitted"][()]
        rotation = entry["data/rotation"]
        angles = rotation[()]
        in_degrees = rotation.attrs.get("units", "degree").startswith("deg")
        named = entry["data/two_theta"]
        two_theta = named[()]
        two_theta_deg = named.attrs.get("units", "degree").startswith("deg")
        wavelength_A = float(entry["instrument/monochromator/wavelength"][()])
        nominal_m = float(entry["instrument/detector/distance"][()])
        calibration = json.loads(entry["recipe"][()])["calibration"]
    # Channels are named by the nominal distance; a calibrant told the true one.
    calibrated_m = calibration["distance_m"] if calibration else nominal_m
    two_theta = np.deg2rad(two_theta) if two_theta_deg else two_theta
    true = np.arctan(np.tan(two_theta) * nominal_m / calibrated_m)
    degrees = angles if in_degrees else np.rad2deg(angles)
    return counts / transmitted[:, :, None], degrees, true, wavelength_A


def peak_window(hkl: tuple[int, ...], two_theta_rad: np.ndarray, wavelength_A: float) -> np.ndarray:
    """Return which channels lie round a reflection, none where it is not wholly in the pattern."""
    d_A = START_A / np.sqrt(np.sum(np.square(hkl)))
    centre = np.tan(2.0 * np.arcsin(wavelength_A / (2.0 * d_A)))
    inside = np.abs(np.tan(two_theta_rad) / centre - 1.0) < HALF_WIDTH
    return inside if not (inside[0] or inside[-1]) else np.zeros_like(inside)


def filtered(sinogram: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Return images (iy, ix, channel) by filtered back projection, NaN outside the circle.

    scikit-image draws rows against y, and takes place n // 2 to be on the axis: right for an odd
    number of offsets. An even one is brought to the places between, and its images back from there,
    each by the mean of neighbours.
    """
    _, n_offsets, n_channels = sinogram.shape
    even = n_offsets % 2 == 0
    lines = sinogram
    if even:
        wide = np.pad(sinogram, ((0, 0), (1, 1), (0, 0)), mode="edge")
        lines = 0.5 * (wide[:, :-1] + wide[:, 1:])
    size = lines.shape[1]
    images = np.empty((size, size, n_channels))
    for channel in range(n_channels):
        image = iradon(lines[:, :, channel].T, theta=angles_deg, filter_name="ramp", circle=True)
        images[:, :, channel] = image[::-1]
    if even:
        images = 0.5 * (images[:-1] + images[1:])
        images = 0.5 * (images[:, :-1] + images[:, 1:])
    position = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
    images[np.hypot(position[:, None], position[None, :]) > 0.5 * (n_offsets - 1)] = np.nan
    return images


def net_area(image: np.ndarray) -> np.ndarray:
    """Return the intensity over the straight line between the ends of the window, (iy, ix)."""
    ends = 0.5 * (image[..., :3].mean(axis=-1) + image[..., -3:].mean(axis=-1))
    return image.sum(axis=-1) - image.shape[-1] * ends


def pseudo_voigt(
    x: np.ndarray,
    area: float,
    centre: float,
    fwhm: float,
    mixing: float,
    level: float,
    slope: float,
) -> np.ndarray:
    """Return a pseudo-Voigt profile on a straight background."""
    apart = (x - centre) / fwhm
    gaussian = np.sqrt(4.0 * np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * apart**2)
    lorentzian = 2.0 / np.pi / (1.0 + 4.0 * apart**2)
    return area / fwhm * (mixing * lorentzian + (1.0 - mixing) * gaussian) + level + slope * x


def fit_peak(
    image: np.ndarray,
    two_theta_rad: np.ndarray,
    material: np.ndarray,
    hkl: tuple[int, ...],
    wavelength_A: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lattice parameter that one reflection tells of every voxel, and its esd.

    The esd is that of the scatter about the fit, as no variance was reconstructed.
    """
    a_A, esd_A = np.full((2, *material.shape), np.nan)
    middle, half = two_theta_rad.mean(), 0.5 * np.ptp(two_theta_rad)
    x = (two_theta_rad - middle) / half
    order = np.sqrt(np.sum(np.square(hkl)))
    lower, upper = (0.0, -1.0, 0.02, 0.0, -np.inf, -np.inf), (np.inf, 1.0, 1.5, 1.0, np.inf, np.inf)
    for iy, ix in zip(*np.nonzero(material), strict=True):
        y = image[iy, ix]
        level = 0.5 * (y[:3].mean() + y[-3:].mean())
        area = max((y - level).sum() * (x[1] - x[0]), 1e-3 * np.ptp(y))
        start = (area, float(np.clip(x[np.argmax(y)], -0.9, 0.9)), 0.15, 0.5, level, 0.0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                best, covariance = curve_fit(
                    pseudo_voigt, x, y, start, bounds=(lower, upper), x_scale="jac", max_nfev=100
                )
        except RuntimeError:  # no convergence: this peak says nothing of this voxel
            continue
        theta = 0.5 * (middle + half * best[1])
        spread = 0.5 * half * np.sqrt(covariance[1, 1])
        if not np.isfinite(spread) or not 0.0 < spread < 0.1 * theta:
            continue
        a_A[iy, ix] = wavelength_A * order / (2.0 * np.sin(theta))
        esd_A[iy, ix] = a_A[iy, ix] * spread / np.tan(theta)
    return a_A, esd_A


def weighted_mean(a_A: np.ndarray, esd_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over peaks (peak, iy, ix) and its esd; NaN with fewer than two peaks."""
    weight = np.where(np.isfinite(a_A), 1.0 / np.where(esd_A > 0.0, esd_A, np.inf) ** 2, 0.0)
    n_peaks = (weight > 0.0).sum(axis=0)
    enough = n_peaks >= 2
    total = np.where(enough, weight.sum(axis=0), np.nan)
    mean = (weight * np.nan_to_num(a_A)).sum(axis=0) / total
    misfit = (weight * np.nan_to_num(a_A - mean) ** 2).sum(axis=0)
    birge = np.maximum(misfit / np.maximum(n_peaks - 1, 1), 1.0)
    return mean, np.sqrt(birge / total)
