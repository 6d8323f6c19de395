"""Voxels that were put where they do not belong: in none of the regions, or in another one.

Regions are maps of labels, (y, x), −1 being none of them; a mask is a map of one region.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray

from validation.paper.style import FONT_PT, map_panel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RIGHT, TRUE_ONLY, FOUND_ONLY, OTHER = range(4)
WORDS = ("right", "true only", "found only", "other region")
_COLOURS = ("0.87", "black", "#f4a13c", "#5e3c99")
"""Of different lightness, so that they read in grey."""


def confusion(found: Ints, true: Ints) -> Floats:
    """Return what each voxel is, one of the four kinds; NaN where it is in no region at all."""
    kind = np.full(found.shape, np.nan)
    kind[(found >= 0) & (found == true)] = RIGHT
    kind[(found < 0) & (true >= 0)] = TRUE_ONLY
    kind[(found >= 0) & (true < 0)] = FOUND_ONLY
    kind[(found >= 0) & (true >= 0) & (found != true)] = OTHER
    return kind


def mask_confusion(found: Bools, true: Bools) -> Floats:
    """Return the same for two masks."""
    return confusion(found.astype(np.int64) - 1, true.astype(np.int64) - 1)


def wrong_percent(kind: Floats) -> Floats:
    """Return how many voxels are of each kind, in percent of those that are in a region in truth.

    What is found only counts in none of them, so that the other three add up to a hundred.
    """
    n_voxels = np.bincount(kind[np.isfinite(kind)].astype(np.int64), minlength=len(WORDS))
    n_true = n_voxels.sum() - n_voxels[FOUND_ONLY]
    return np.asarray(100.0 * n_voxels / n_true) if n_true else np.full(len(WORDS), np.nan)


def draw_confusion(axes: Axes, kind: Floats, *, step_um: float) -> None:
    """Draw the map of wrong voxels."""
    map_panel(
        axes, kind, step_um=step_um, limits=(-0.5, len(WORDS) - 0.5),
        colours=ListedColormap(_COLOURS).with_extremes(bad="white"),
    )  # fmt: skip


def confusion_handles(kinds: Sequence[int]) -> list[Patch]:
    """Return what a legend shows of some kinds."""
    return [
        Patch(facecolor=_COLOURS[kind], edgecolor="black", linewidth=0.3, label=WORDS[kind])
        for kind in kinds
    ]


def told(kind: Floats, kinds: Sequence[int] = (TRUE_ONLY, FOUND_ONLY)) -> str:
    """Return the percentages of some kinds in words, one line each."""
    percent = wrong_percent(kind)
    return "\n".join(f"{WORDS[each]} {percent[each]:.1f} %" for each in kinds)


def say_confusion(axes: Axes, kind: Floats, kinds: Sequence[int] = (TRUE_ONLY, FOUND_ONLY)) -> None:
    """Say the same below a map."""
    axes.set_xlabel(told(kind, kinds), fontsize=FONT_PT - 1.2, labelpad=1.5)
