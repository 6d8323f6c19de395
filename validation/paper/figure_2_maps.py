"""The maps of figure 2: planes of the volume and the slices, each with truth, errors and misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle

from validation.paper.prepared import Slice
from validation.paper.residuals import ERROR_MA, Residuals, Z
from validation.paper.segmented import (
    FOUND_ONLY,
    RIGHT,
    TRUE_ONLY,
    confusion_handles,
    draw_confusion,
    mask_confusion,
    say_confusion,
)
from validation.paper.style import (
    ALL_STATES_A,
    ERROR_COLOURS,
    FONT_PT,
    colour_bar,
    map_panel,
    panel,
)

Metrics = Mapping[str, Any]

_COLUMNS = 5
_CLOSE_UM = 150.0
"""Of the middle of a slice, which is shown enlarged: single voxels of a slice are too small to see.
"""
_ROOM = {"left": 0.075, "right": 0.845, "wspace": 0.05}


def planes_shown(n_planes: int) -> list[int]:
    """Return the numbers of some planes, evenly spaced from the lowest to the highest."""
    wanted = min(n_planes, _COLUMNS)
    return [round(number) for number in np.linspace(0, n_planes - 1, wanted).tolist()]


def draw_volume(figure: FigureBase, planes: Sequence[Slice]) -> None:
    """Draw planes of the volume, recovered above true."""
    axes = figure.subplots(
        2, _COLUMNS, gridspec_kw=_ROOM | {"top": 0.9, "bottom": 0.02, "hspace": 0.06}
    )
    for spare in axes[:, len(planes) :].ravel():
        spare.set_axis_off()
    for column, plane in enumerate(planes):
        for row, values_A in enumerate((plane.maps.a_A, plane.true_a_A)):
            image = map_panel(
                axes[row, column], values_A, step_um=plane.maps.scan.step_um, limits=ALL_STATES_A,
                bar=row == column == 0,
            )  # fmt: skip
        height = f"z = {plane.experiment.sample.z_um:+.0f} µm".replace("-", "−")
        panel(axes[0, column], "a" if column == 0 else "", height)
    _name_rows(axes[:, 0], ("volume,\nrecovered", "volume,\ntrue"))
    colour_bar(image, "a (Å)", beside=axes[0, len(planes) - 1], beyond=True)


def draw_slices(
    figure: FigureBase,
    slices: Sequence[Slice],
    errors: Sequence[Residuals],
    metrics: Sequence[Metrics],
) -> None:
    """Draw the slices: recovered, true, error, error over uncertainty, wrong voxels."""
    axes = figure.subplots(
        5, len(slices), gridspec_kw=_ROOM | {"top": 0.965, "bottom": 0.055, "hspace": 0.17}
    )
    for column, (each, of_slice) in enumerate(zip(slices, errors, strict=True)):
        _values(axes[:2, column], each, bar=column == 0)
        _misfits(axes[2:4, column], each, of_slice, metrics[column], bar=column == 0)
        _wrong(axes[4, column], each)
        panel(axes[0, column], "", f"slice {column + 1}")
    _name_rows(axes[:, 0], ("recovered", "true", "error", "error/σ", "voxels with\nspinel"))
    last = axes[:, -1]
    colour_bar(last[0].images[0], "a (Å)", beside=last[0], beyond=True)
    colour_bar(last[2].images[0], "error (mÅ)", beside=last[2], beyond=True)
    colour_bar(last[3].images[0], "error/σ", beside=last[3], beyond=True)
    last[4].legend(
        handles=confusion_handles((RIGHT, TRUE_ONLY, FOUND_ONLY)), fontsize=FONT_PT - 1.0,
        frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.0,
        handletextpad=0.4,
    )  # fmt: skip


def _values(axes: Sequence[Axes], each: Slice, *, bar: bool) -> None:
    step_um = each.maps.scan.step_um
    for place, values_A in zip(axes, (each.maps.a_A, each.true_a_A), strict=True):
        map_panel(place, values_A, step_um=step_um, limits=ALL_STATES_A, bar=bar)
    part = _middle(each)
    if part.stop - part.start < each.maps.a_A.shape[0]:
        low_um, size_um = part.start * step_um, (part.stop - part.start) * step_um
        axes[1].add_patch(
            Rectangle((low_um, low_um), size_um, size_um, fill=False, color="black", linewidth=0.8)
        )


def _misfits(
    axes: Sequence[Axes], each: Slice, errors: Residuals, metrics: Metrics, *, bar: bool
) -> None:
    part, step_um = _middle(each), each.maps.scan.step_um
    for place, values, limit in (
        (axes[0], errors.error_mA, ERROR_MA), (axes[1], errors.z[part, part], Z),
    ):  # fmt: skip
        map_panel(
            place, values, step_um=step_um, limits=(-limit, limit), colours=ERROR_COLOURS, bar=bar,
        )  # fmt: skip
    if "rms_A" in metrics:
        _say(axes[0], f"RMS {1e3 * metrics['rms_A']:.1f}, bias {1e3 * metrics['bias_A']:+.1f} mÅ")
        _say(axes[1], f"mean {metrics['mean_z']:+.1f}, s.d. {metrics['std_z']:.1f}")


def _wrong(axes: Axes, each: Slice) -> None:
    part = _middle(each)
    kind = mask_confusion(np.isfinite(each.maps.a_A), np.isfinite(each.true_a_A))
    draw_confusion(axes, kind[part, part], step_um=each.maps.scan.step_um)
    say_confusion(axes, kind)


def _middle(each: Slice) -> slice:
    """Return the rows, or columns, of the middle of a slice."""
    n_voxels = each.maps.a_A.shape[0]
    spare = max(0, (n_voxels - round(_CLOSE_UM / each.maps.scan.step_um)) // 2)
    return slice(spare, n_voxels - spare)


def _say(axes: Axes, words: str) -> None:
    axes.set_xlabel(words.replace("-", "−"), fontsize=FONT_PT - 1.2, labelpad=1.5)


def _name_rows(axes: Sequence[Axes], words: Sequence[str]) -> None:
    for place, word in zip(axes, words, strict=True):
        place.set_ylabel(word, fontsize=FONT_PT)
