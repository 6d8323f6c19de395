"""What the report says of weight fractions: sentences, and a table by phase and depth shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from validation.report_words import (
    FEWEST_VOXELS_TO_JUDGE,
    MISSING,
    TRUSTED_STD_Z,
    count,
    plain,
)

Figures = Mapping[str, Any]


class FractionRow(NamedTuple):
    """One line of the table: phase, regions, and a number for each column."""

    phase: str
    regions: str
    values: list[str]


HEADINGS = (
    "not recovered",
    "true mean (%)",
    "bias (%)",
    "RMS error (%)",
    "robust σ (%)",
    "std of error / stated uncertainty",
    "std of error / counting-noise uncertainty",
)
"""Of all columns but the first, the number of regions or voxels."""
_KEYS = (
    ("n_not_recovered", 0),
    ("true_mean", 100),
    ("bias", 100),
    ("rms", 100),
    ("robust_sigma", 100),
    ("std_z", 1),
    ("std_z_noise", 1),
)
"""Keys of the figures, each with what it is multiplied by; 0 for counts."""


def fraction_table(fractions: Mapping[str, Mapping[str, Any]]) -> list[FractionRow]:
    """Return the rows of ``metrics["weight_fraction"]``: of each phase all regions, then shells."""
    rows = []
    for phase, figures in fractions.items():
        rows.append(FractionRow(phase, "all", fraction_cells(figures["all"], of="regions")))
        for shell, its in figures["shells"].items():
            rows.append(
                FractionRow(
                    "", f"depth {shell.replace(' um', ' µm')}", fraction_cells(its, of="regions")
                )
            )
    return rows


def fraction_cells(figures: Figures, *, of: str) -> list[str]:
    """Return the numbers of one line, the first how many ``of`` (regions or voxels) there are."""
    return [
        MISSING if key not in figures
        else count(figures[key]) if factor == 0
        else plain(factor * figures[key])
        for key, factor in ((f"n_{of}", 0), *_KEYS)
    ]  # fmt: skip


def fraction_summary(fractions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say in sentences how right the weight fractions are, of all phases but the refined one."""
    sentences = []
    for phase, figures in list(fractions.items())[1:]:
        whole = figures["all"]
        if "rms" not in whole:
            sentences.append(f"No region's weight fraction of {phase} was recovered.")
            continue
        sentences.append(
            f"The weight fraction of {phase}, {plain(100 * whole['true_mean'])} % in the mean of "
            f"{count(whole['n_regions'])} regions (particle and depth shell), was recovered with a "
            f"bias of {plain(100 * whole['bias'])} % and an RMS error of "
            f"{plain(100 * whole['rms'])} % by weight."
        )
        if "std_z" in whole and whole["n_regions"] >= FEWEST_VOXELS_TO_JUDGE:
            sentences.append(_uncertainty(whole["std_z"]))
    return sentences


def _uncertainty(std_z: float) -> str:
    low, high = TRUSTED_STD_Z
    if std_z > high:
        return f"Its stated uncertainties are too small, by a factor of {plain(std_z)}."
    if std_z < low:
        return (
            "Its stated uncertainties are larger than the errors, which have a standard deviation "
            f"of {plain(std_z)} of them."
        )
    return (
        "Its stated uncertainties agree with the errors, which have a standard deviation of "
        f"{plain(std_z)} of them."
    )
