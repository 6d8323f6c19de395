"""What the user must know of a plan's figures."""

from __future__ import annotations

from collections.abc import Sequence

from validation.plan.grid import OFFSETS, Grid
from validation.plan.rows import Row

_HALF_TURN_DEG = 180.0


def caveats(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """Return what the user must know of the figures, a sentence each."""
    told = []
    experiments = [group.experiment for group in grid.groups]
    if any(e.recipe.integration.left_out[1] > 0.0 for e in experiments):
        told.append(
            "The recipe trims pixels: the bias that trimming adds is not predicted, so the real "
            "error may be several times larger; verify before relying on it."
        )
    if grid.follows:
        told.append(
            "The number of offsets follows the step, so that the view stays as wide as it is "
            f"(vary {OFFSETS} to change that)."
        )
    first = experiments[0]
    if (
        any(getattr(first.motion, name) for name in ("jitter_um", "wobble_um"))
        or first.flux.flicker_rms
    ):
        told.append("Motion of the stage and drift of the beam are not predicted.")
    if first.mode == "patterns":
        told.append('Data are those of patterns; with mode = "frames" those of frames are counted.')
    if any(row.point.recipe.truncation.method != "none" for row in rows):
        told.append(
            "Where a coarse scan is subtracted, its blur, streaks and gaps are in the prediction, "
            "its counting noise and parallax are not."
        )
    if any(row.point.scan.angle_range_deg > _HALF_TURN_DEG for row in rows):
        told.append(
            "Over a full turn opposite projections repeat each other where the number of angles is "
            "even; of an odd number all differ, which halves the undersampling."
        )
    refused = sum(row.refused is not None for row in rows)
    if refused:
        reason = next(row.refused for row in rows if row.refused)
        told.append(f"{refused} of {len(rows)} scans are left out, the first because {reason}.")
    told.append(
        "Errors are predicted for this sample and seed; weight fractions by counting alone."
    )
    return [sentence for sentence in told if sentence]
