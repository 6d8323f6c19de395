r"""nDTomo's way: its filtered back projection, and its Gaussian fitted to one peak of every voxel.

    xrdct-twin score examples/pipelines/ndtomo_pipeline.py:recover \
        examples/particle.toml -o out/score

Its fits give no uncertainties, so none are stated: the lattice parameter is the mean over a few
reflections, each weighted by its sensitivity, da/dθ = −a / tan θ. Needs
`pip install ndtomo astra-toolbox`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from per_peak import HKL, LEAST_SHARE, net_area, peak_window, read

MISSING = "nDTomo is not installed here: `pip install ndtomo astra-toolbox` brings it"


def recover(scan: Path) -> dict[str, np.ndarray]:
    """Return a_A and the amount relative to full voxels, each [y, x]."""
    try:
        from nDTomo.analysis.peaks import fit_gaussian_map, subtract_linear_background
        from nDTomo.tomo.conv_tomo import fbpvol
    except ImportError as error:
        sys.exit(f"{MISSING} ({error})")
    sinogram, angles_deg, two_theta_rad, wavelength_A = read(scan)
    estimates, weights, areas = [], [], []
    for hkl in HKL:
        window = peak_window(hkl, two_theta_rad, wavelength_A)
        if window.sum() <= 8:
            continue
        lines = np.moveaxis(sinogram[:, :, window], 0, 1)  # nDTomo wants (offset, angle, channel)
        # Its rows run against y, as scikit-image's do, which it calls.
        image = fbpvol(lines, theta=angles_deg)[::-1]
        two_theta_deg = np.rad2deg(two_theta_rad[window])
        net = subtract_linear_background(image, two_theta_deg)
        peaks = fit_gaussian_map(
            net, two_theta_deg, threshold=0.2 * net.max(), sigma_bounds=(0.002, 0.1)
        )
        theta = np.deg2rad(np.where(peaks[..., 0] > 0.0, peaks[..., 1], np.nan)) / 2.0
        estimates.append(wavelength_A * np.sqrt(np.sum(np.square(hkl))) / (2.0 * np.sin(theta)))
        weights.append(np.tan(theta) ** 2)
        areas.append(net_area(image))
    area = np.sum(areas, axis=0)
    full = np.percentile(area, 95.0)
    weight = np.nan_to_num(np.stack(weights))
    enough = (weight > 0.0).sum(axis=0) >= 2
    total = np.where(enough & (area > LEAST_SHARE * full), weight.sum(axis=0), np.nan)
    return {
        "a_A": (weight * np.nan_to_num(np.stack(estimates))).sum(axis=0) / total,
        "amount": area / full,
    }
