"""The scorecard of a Rietveld refinement of every voxel: weight fractions, second lattices.

Interior voxels count, eroded ones apart. A voxel that should have been refined and was not is
counted, never left out in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from inverse.refine import Status
from inverse.voxel_maps import PhaseMaps, RietveldMaps, SecondLatticeMaps, SubstanceMaps
from validation.crystals import phase_name
from validation.metrics import (
    check_grids,
    error_figures,
    masses_by_name,
    named_crystals,
)
from validation.truth import Truth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def voxel_fraction_metrics(maps: Maps, truth: Truth) -> dict[str, dict[str, Any]]:
    """Return the figures of every phase's weight fraction voxel by voxel, interior and eroded.

    Empty where the recipe asked for none. Raises InputError where maps and truth lie on different
    grids.
    """
    found = maps.rietveld
    if found is None:
        return {}
    check_grids(maps, truth)
    true = true_voxel_fractions(found, truth, refined=maps.phase)
    measured = found.status != Status.NOT_MEASURED
    return {
        phase_name(substance.crystal): {
            "interior": _figures(substance, true[..., k], truth.interior & measured),
            "eroded": _figures(substance, true[..., k], truth.eroded & measured),
        }
        for k, substance in enumerate(found.substances)
    }


def true_voxel_fractions(found: RietveldMaps, truth: Truth, *, refined: str) -> Floats:
    """Return the true weight fractions of the maps' substances, (y, x, substance).

    Shares in the mass of all there is, NaN where there is nothing. ``refined`` is the crystal that
    stands for the spinel.
    """
    masses = masses_by_name(truth)
    total = np.sum(list(masses.values()), axis=0)
    crystals = [substance.crystal for substance in found.substances]
    names = named_crystals(crystals, refined=refined)
    absent = np.zeros(truth.a_A.shape)
    with np.errstate(invalid="ignore"):
        return np.stack([masses.get(name, absent) / total for name in names], axis=-1)


def _figures(substance: SubstanceMaps, true: Floats, asked: Bools) -> dict[str, Any]:
    asked = asked & np.isfinite(true)
    recovered = asked & np.isfinite(substance.weight_fraction)
    figures: dict[str, Any] = {
        "n_voxels": int(recovered.sum()),
        "n_not_recovered": int(asked.sum() - recovered.sum()),
    }
    if not recovered.any():
        return figures
    return figures | error_figures(
        substance.weight_fraction[recovered], true[recovered],
        esd_noise=substance.esd_noise[recovered], esd_total=substance.esd_total[recovered],
    )  # fmt: skip


def second_lattice_metrics(maps: Maps, truth: Truth) -> dict[str, Any]:
    """Return how often two lattices were found where there are two and where there is one.

    Of interior voxels; the largest share of a smaller lattice that was missed; where two were found
    rightly, the errors of both lattice parameters and of the smaller one's share. Empty where none
    were looked for.

    Raises InputError where maps and truth lie on different grids.
    """
    found = maps.rietveld
    if found is None or found.second_lattice is None:
        return {}
    check_grids(maps, truth)
    second = found.second_lattice
    asked = truth.interior & np.isfinite(second.decision)
    two, one = asked & truth.two_lattices, asked & ~truth.two_lattices
    figures: dict[str, Any] = {
        "n_undecided": int((truth.interior & ~np.isfinite(second.decision)).sum()),
        "n_two": int(two.sum()),
        "n_two_found": int((two & (second.decision == 1.0)).sum()),
        "n_one": int(one.sum()),
        "n_one_taken_for_two": int((one & (second.decision != 0.0)).sum()),
    }
    missed = two & (second.decision == 0.0)
    if missed.any():
        figures["largest_share_missed"] = float(np.max(true_pair(truth)[1][missed]))
    rightly = two & (second.decision == 1.0)
    return figures | (
        _pair_figures(refined_lattices(maps), second, truth, rightly) if rightly.any() else {}
    )


def true_pair(truth: Truth) -> tuple[Floats, Floats]:
    """Return the larger and the smaller lattice of each voxel, (2, y, x), and the latter's share.

    Where there is one lattice, the share is 0; NaN where there is none.
    """
    order = np.argsort(-np.nan_to_num(truth.lattice_fraction), axis=0, kind="stable")[:2]
    a_A = np.take_along_axis(truth.lattice_a_A, order, axis=0)
    amount = np.take_along_axis(truth.lattice_fraction, order, axis=0)
    with np.errstate(invalid="ignore"):
        return a_A, amount[1] / truth.lattice_fraction.sum(axis=0)


def refined_lattices(maps: Maps) -> tuple[PhaseMaps, ...]:
    """Return the maps of the refined phase's lattices, the first and the second."""
    phases = () if maps.rietveld is None else maps.rietveld.phases
    return tuple(phase for phase in phases if phase.crystal == maps.phase)


def _pair_figures(
    pair: tuple[PhaseMaps, ...], second: SecondLatticeMaps, truth: Truth, where: Bools
) -> dict[str, Any]:
    """Return the errors of two lattices, the larger true one compared with whichever is nearer."""
    own_A = np.stack([phase.quantities["a_A"].value[where] for phase in pair])
    true_A, share = true_pair(truth)
    true_A = true_A[:, where]
    # Of halves, either may come out as the larger.
    crossed = np.abs(own_A[::-1] - true_A).sum(axis=0) < np.abs(own_A - true_A).sum(axis=0)
    error_A = np.where(crossed, own_A[::-1], own_A) - true_A
    of_share = np.where(crossed, 1.0 - second.share.value[where], second.share.value[where])
    error = of_share - share[where]
    return {
        "bias_A": [float(np.mean(each)) for each in error_A],
        "rms_A": [float(np.sqrt(np.mean(each**2))) for each in error_A],
        "share_bias": float(np.mean(error)),
        "share_rms": float(np.sqrt(np.mean(error**2))),
    }
