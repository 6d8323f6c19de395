"""What the report says of a Rietveld refinement of every voxel: sentences, and a table by phase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from validation.report_fractions import fraction_cells
from validation.report_words import count, milli, plain

Figures = Mapping[str, Any]


class VoxelRow(NamedTuple):
    """One line of the table: phase, which voxels, and a number for each column."""

    phase: str
    voxels: str
    values: list[str]


def voxel_table(fractions: Mapping[str, Mapping[str, Figures]]) -> list[VoxelRow]:
    """Return the rows of ``metrics["weight_fraction_voxels"]``: each phase, interior and eroded."""
    return [
        VoxelRow(phase if first else "", where, fraction_cells(regions[where], of="voxels"))
        for phase, regions in fractions.items()
        for first, where in ((True, "interior"), (False, "eroded"))
    ]


def second_lattice_summary(figures: Figures) -> list[str]:
    """Say in sentences what ``metrics["second_lattice"]`` means; none where it is empty."""
    if not figures:
        return []
    sentences = [
        f"A second lattice was found in {count(figures['n_two_found'])} of the "
        f"{count(figures['n_two'])} interior voxels that hold two, and in "
        f"{count(figures['n_one_taken_for_two'])} of the {count(figures['n_one'])} that hold one."
    ]
    if "largest_share_missed" in figures:
        sentences.append(
            "The largest share of a smaller lattice that was missed is "
            f"{plain(100 * figures['largest_share_missed'])} %."
        )
    if "rms_A" in figures:
        larger, smaller = (milli(value) for value in figures["rms_A"])
        sentences.append(
            f"Where found rightly, the two lattice parameters have RMS errors of {larger} mÅ "
            f"(the larger share) and {smaller} mÅ, and the smaller one's share has a bias of "
            f"{plain(100 * figures['share_bias'])} % and an RMS error of "
            f"{plain(100 * figures['share_rms'])} %."
        )
    return sentences
