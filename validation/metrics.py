"""The scorecard: recovered numbers beside the true ones.

Only voxels that hold a single lattice of the phase and lie in the field of view enter the lattice
figures. A voxel that should have been recovered and was not is counted, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from inverse.region_table import RegionTable
from phantoms.sample import SPINEL
from validation.crystals import phase_name
from validation.truth import Truth, with_masses
from xrdct.errors import InputError
from xrdct.normal import SIGMA_PER_MAD

Floats = NDArray[np.float64]


def lattice_metrics(maps: Maps, truth: Truth) -> dict[str, dict[str, Any]]:
    """Return the lattice figures of interior and of eroded voxels, errors in Å.

    Raises InputError where maps and truth lie on different grids.
    """
    check_grids(maps, truth)
    return {
        "interior": _figures(maps, truth, truth.interior),
        "eroded": _figures(maps, truth, truth.eroded),
    }


def check_grids(maps: Maps, truth: Truth) -> None:
    """Raise InputError where maps and truth lie on different grids."""
    if maps.a_A.shape != truth.a_A.shape or maps.scan.step_um != truth.scan.step_um:
        raise InputError(
            f"maps of {maps.a_A.shape} voxels of {maps.scan.step_um} µm cannot be compared with "
            f"a truth of {truth.a_A.shape} voxels of {truth.scan.step_um} µm"
        )


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


def weight_fraction_metrics(maps: Maps, truth: Truth) -> dict[str, dict[str, Any]]:
    """Return the figures of weight fractions by phase, over all regions and by depth shell.

    Empty where the maps have no regions. Raises InputError where maps and truth lie on different
    grids.
    """
    table = maps.regions
    if table is None:
        return {}
    check_grids(maps, truth)
    true = true_weight_fractions(table, truth)
    everywhere = np.ones(table.shell.shape, bool)
    return {
        phase_name(phase): {
            "all": _fraction_figures(table, true, column, everywhere),
            "shells": {
                f"{low:g}-{high:g} um": _fraction_figures(
                    table, true, column, np.all(table.depth_um == (low, high), axis=1)
                )
                for low, high in np.unique(table.depth_um, axis=0)
            },
        }
        for column, phase in enumerate(table.phases)
    }


def true_weight_fractions(table: RegionTable, truth: Truth) -> Floats:
    """Return the weight fractions of the table's phases in the same voxels, (region, phase).

    They are shares in the mass of all there is, also of phases that were not looked for. The
    refined phase stands for the spinel; others go by the names of their crystals, as CIF files may
    be named from elsewhere.
    """
    return true_fractions_by_label(
        table.label, n_regions=table.shell.size, phases=table.phases, truth=truth
    )


def true_fractions_by_label(
    label: NDArray[np.int64], *, n_regions: int, phases: Sequence[str], truth: Truth
) -> Floats:
    """Return the same for the regions of any map of labels, (y, x), −1 being none of them."""
    inside = label >= 0
    region = label[inside]
    masses = {
        name: np.bincount(region, mass[inside], n_regions)
        for name, mass in masses_by_name(truth).items()
    }
    total = np.sum(list(masses.values()), axis=0)
    absent = np.zeros(n_regions)
    names = named_crystals(phases, refined=phases[0])
    found = np.stack([masses.get(name, absent) for name in names], axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(found / total[:, None])


def masses_by_name(truth: Truth) -> dict[str, Floats]:
    """Return the mass of every phase in g per cm³ of voxel, (y, x), by the name of its crystal."""
    per_voxel = with_masses(truth, folder=Path()).mass_g_per_cm3 or {}
    return {phase_name(phase): np.nan_to_num(mass) for phase, mass in per_voxel.items()}


def named_crystals(crystals: Sequence[str], *, refined: str) -> tuple[str, ...]:
    """Return what the truth calls crystals, of which the ``refined`` one stands for the spinel."""
    return tuple(SPINEL if name == refined else phase_name(name) for name in crystals)


def _fraction_figures(
    table: RegionTable, true: Floats, column: int, asked: NDArray[np.bool_]
) -> dict[str, Any]:
    recovered = asked & np.isfinite(table.weight_fraction[:, column]) & np.isfinite(true[:, column])
    value, expected = table.weight_fraction[recovered, column], true[recovered, column]
    figures: dict[str, Any] = {
        "n_regions": int(recovered.sum()),
        "n_not_recovered": int(asked.sum() - recovered.sum()),
        "n_voxels": int(table.n_voxels[recovered].sum()),
    }
    if value.size == 0:
        return figures
    return figures | error_figures(
        value, expected, esd_noise=table.weight_fraction_esd_noise[recovered, column],
        esd_total=table.weight_fraction_esd_total[recovered, column],
    )  # fmt: skip


def error_figures(
    value: Floats, expected: Floats, *, esd_noise: Floats, esd_total: Floats
) -> dict[str, float]:
    """Return how far weight fractions are from the true ones, all of one shape."""
    error = value - expected
    figures = {
        "true_mean": float(np.mean(expected)),
        "bias": float(np.mean(error)),
        "rms": float(np.sqrt(np.mean(error**2))),
        "robust_sigma": robust_sigma(error),
    }
    if np.all(esd_noise > 0.0):  # of a single phase nothing can be wrong
        figures |= {
            "mean_z": float(np.mean(error / esd_total)),
            "std_z": float(np.std(error / esd_total)),
            "std_z_noise": float(np.std(error / esd_noise)),
        }
    return figures


def robust_sigma(values: Floats) -> float:
    """Return 1.4826 times the median absolute deviation: σ for a normal distribution."""
    return float(SIGMA_PER_MAD * np.median(np.abs(values - np.median(values))))
