"""The scorecard: recovered numbers beside the true ones.

Only voxels that hold a single lattice of the phase and lie in the field of view enter the lattice
figures. A voxel that should have been recovered and was not is counted, never left out in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from validation.truth import Truth
from xrdct.errors import InputError
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]


def lattice_metrics(maps: Maps, truth: Truth) -> dict[str, dict[str, Any]]:
    """Return the lattice figures of interior and of eroded voxels, errors in Å.

    Raises InputError where maps and truth lie on different grids.
    """
    if maps.a_A.shape != truth.a_A.shape or maps.scan.step_um != truth.scan.step_um:
        raise InputError(
            f"maps of {maps.a_A.shape} voxels of {maps.scan.step_um} µm cannot be compared with "
            f"a truth of {truth.a_A.shape} voxels of {truth.scan.step_um} µm"
        )
    return {
        "interior": _figures(maps, truth, truth.interior),
        "eroded": _figures(maps, truth, truth.eroded),
    }


def scored_voxels(truth: Truth, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a region that hold a single lattice."""
    return region & ~truth.two_lattices


def _figures(maps: Maps, truth: Truth, region: NDArray[np.bool_]) -> dict[str, Any]:
    inside = maps.status != Status.NOT_MEASURED
    asked = scored_voxels(truth, region) & inside
    recovered = asked & np.isfinite(maps.a_A)
    error = maps.a_A[recovered] - truth.a_A[recovered]
    figures: dict[str, Any] = {
        "n_voxels": int(recovered.sum()),
        "n_not_recovered": int(asked.sum() - recovered.sum()),
        "n_two_lattices": int((region & inside & truth.two_lattices).sum()),
        "n_outside_field": int((region & ~inside).sum()),
    }
    if error.size == 0:
        return figures
    z_total = error / maps.a_esd_total_A[recovered]
    z_noise = error / maps.a_esd_noise_A[recovered]
    return figures | {
        "bias_A": float(np.mean(error)),
        "rms_A": float(np.sqrt(np.mean(error**2))),
        "robust_sigma_A": robust_sigma(error),
        "p95_abs_A": float(np.percentile(np.abs(error), 95.0)),
        "mean_z": float(np.mean(z_total)),
        "std_z": float(np.std(z_total)),
        "std_z_noise": float(np.std(z_noise)),
    }


def robust_sigma(values: Floats) -> float:
    """Return 1.4826 times the median absolute deviation: σ for a normal distribution."""
    return float(SIGMA_PER_MAD * np.median(np.abs(values - np.median(values))))
