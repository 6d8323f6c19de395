"""Where maps show what is in the sample: sense of rotation, mirrors, axis, shifts, monitor.

What a mistake does to an image is computed: the true amounts are projected along the rays of the
scan, the mistake is made with them, and they are back projected. The image that a pipeline gave
(its amounts, or where it found a lattice parameter) is then compared with each of these templates
T, by the smallest share of it that no multiple of the template explains,

    m(T) = min_s Σ (image − s T)² / Σ image².

Between two templates T and U, the least squares of image = s [T + α (U − T)] tell by how much
α ± esd it is U; esd comes from the residual, with one independent value in nine pixels. It is U
where α > ½, which noise alone does in a right pipeline with a probability below that stated as
long as ½ exceeds its normal quantile times esd; else the check is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inverse.projector import project
from inverse.reconstruct import filtered_back_projection
from validation.properties.statistics import APART, critical_z
from validation.selftest.evidence import Evidence
from validation.selftest.verdict import Verdict, failed, not_asked, passed

Floats = NDArray[np.float64]
Turn = Callable[[Floats], Floats]


def _flip_y(image: Floats) -> Floats:
    return image[::-1]


def _flip_x(image: Floats) -> Floats:
    return image[:, ::-1]


def _half_turn(image: Floats) -> Floats:
    return image[::-1, ::-1]


def _other_diagonal(image: Floats) -> Floats:
    return image[::-1, ::-1].T


def _from_x_to_y(image: Floats) -> Floats:
    return np.rot90(image, -1)


@dataclass(frozen=True)
class Turned:
    """Something that may have been done to maps."""

    done: Turn
    undone: Turn
    named: str
    """The mistake that does it."""
    told: str


TURNS: Mapping[str, Turned] = {
    "mirrored along y": Turned(_flip_y, _flip_y, "rotation_sign", "the maps are mirrored along y"),
    "mirrored along x": Turned(_flip_x, _flip_x, "mirrored", "along x"),
    "transposed": Turned(np.transpose, np.transpose, "transposed", "about the diagonal"),
    "transposed about the other diagonal": Turned(
        _other_diagonal, _other_diagonal, "transposed", "about the other diagonal"
    ),
    "turned by 180°": Turned(_half_turn, _half_turn, "turned", "by 180°"),
    "turned by 90°": Turned(_from_x_to_y, np.rot90, "turned", "by 90° from x to y"),
    "turned by 270°": Turned(np.rot90, _from_x_to_y, "turned", "by 90° from y to x"),
}

_AXIS_PX, _SHIFT_PX = 0.2, 0.25
"""What a right pipeline may be off, in pixels, beside noise: its interpolation may differ."""
_SEARCHED_PX = np.arange(-1.0, 1.01, 0.05)
_SHIFTS_PX = np.arange(-1.6, 1.61, 0.2)
_CHECKS = ("orientation", "rotation axis", "monitor")


def place_verdicts(trio: Evidence) -> list[Verdict]:
    """Return what the maps of the three particles tell; a turn found is undone for what follows."""
    if trio.maps is None:
        return [not_asked(check, "there are no maps of the trio") for check in _CHECKS]
    image, known = _image(trio), trio.known
    told = known & np.isfinite(trio.maps.volume_fraction)
    if not image[known].any():
        return [not_asked(check, "the maps of the trio are empty") for check in _CHECKS]
    right = _template(trio)
    turned, undo = _orientation(image, right, known)
    if undo is not None:
        image = undo(image)
        known, told = (np.asarray(undo(part.astype(float)) > 0.5) for part in (known, told))
    return [turned, _axis(image, right, known, trio), _monitor(image, right, told, trio)]


def _image(found: Evidence) -> Floats:
    """Return amounts, or where there are none, 1 in voxels that carry a lattice parameter."""
    if found.amount is not None:
        return found.amount
    if found.maps is None:
        raise ValueError("there are no maps")
    return np.isfinite(found.maps.a_A).astype(float)


def _template(found: Evidence, *, axis_px: float = 0.0, weight: Floats | None = None) -> Floats:
    """Return the image of the true amounts with a mistake: another axis, or weighted rays."""
    scan = found.experiment.scan
    lines = project(
        found.true_amount[:, :, None], angles_rad=scan.angles_rad, n_offsets=scan.n_offsets,
        step_um=scan.step_um, workers=1,
    )  # fmt: skip
    if weight is not None:
        lines = lines * weight[:, :, None].astype(np.float32)
    image = filtered_back_projection(
        lines, angles_rad=scan.angles_rad, step_um=scan.step_um, workers=1,
        axis_offset_um=axis_px * scan.step_um,
    ).values[:, :, 0]  # fmt: skip
    found_amounts = np.nan_to_num(image.astype(float))
    if found.amount is None:  # the pipeline's image is of where there is material
        return np.asarray(
            np.clip(2.0 * found_amounts / np.percentile(found_amounts, 95.0), 0.0, 1.0)
        )
    return np.asarray(found_amounts)


def _misfit(image: Floats, template: Floats, known: NDArray[np.bool_]) -> float:
    y, t = image[known], template[known]
    left = y - t * float(y @ t) / float(t @ t)
    return float(left @ left / (y @ y))


def _share(
    image: Floats, template: Floats, other: Floats, known: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return by how much an image is ``other`` instead of ``template``, and its esd."""
    design = np.stack([template[known], (other - template)[known]], axis=1)
    y = image[known]
    (scale, product), *_ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ np.array([scale, product])
    spread = float(left @ left) / max(y.size - 2, 1) * APART**2
    covariance = np.linalg.inv(design.T @ design) * spread
    return float(product / scale), float(np.sqrt(covariance[1, 1]) / abs(scale))


def _orientation(
    image: Floats, right: Floats, known: NDArray[np.bool_]
) -> tuple[Verdict, Turn | None]:
    check = _CHECKS[0]
    found = {name: _misfit(image, turn.done(right), known) for name, turn in TURNS.items()}
    name = min(found, key=lambda key: found[key])
    turn = TURNS[name]
    share, esd = _share(image, right, turn.done(right), known)
    if critical_z(2 * len(TURNS)) * esd > 0.5:
        return not_asked(check, f"the maps are too noisy to tell ({share:.2f} ± {esd:.2f})"), None
    if share <= 0.5:
        sentence = (
            f"the maps stand as the sample does, to {share:.3f} ± {esd:.3f} {name}, the likeliest "
            "of seven turns and mirrors"
        )
        return passed(check, sentence), None
    sentence = (
        f"{turn.told}, to {share:.3f} ± {esd:.3f}; a ray at angle ω and offset t passes the points "
        "with t = x cos ω + y sin ω"
    )
    return failed(check, sentence, named=turn.named), turn.undone


def _axis(image: Floats, right: Floats, known: NDArray[np.bool_], trio: Evidence) -> Verdict:
    check = _CHECKS[1]
    inner = np.asarray(ndimage.binary_erosion(known, iterations=2))
    misfits = [_misfit(image, _template(trio, axis_px=float(p)), inner) for p in _SEARCHED_PX]
    axis_px, axis_misfit = _lowest(_SEARCHED_PX, np.array(misfits))
    dx, dy, shift_misfit = _shift(image, right, inner)
    by_axis, by_shift = _template(trio, axis_px=axis_px), _moved(right, dx, dy)
    esd_px = _shift_esd(image, by_axis if axis_misfit <= shift_misfit else by_shift, inner)
    told = f"the axis is found {axis_px:+.2f} ± {esd_px:.2f} pixels from where it is"
    noise_px = critical_z(3) * esd_px
    if axis_misfit <= shift_misfit and abs(axis_px) > _AXIS_PX + noise_px:
        named = "axis" if abs(abs(axis_px) - 0.5) < 0.15 + noise_px else ""
        return failed(
            check, f"{told}, where {_AXIS_PX + noise_px:.2f} are allowed", named=named
        )  # fmt: skip
    if float(np.hypot(dx, dy)) > _SHIFT_PX + noise_px:
        sentence = (
            f"by ({dx:+.2f}, {dy:+.2f}) pixels along x and y, {float(np.hypot(dx, dy)):.2f} in "
            f"all, where {_SHIFT_PX + noise_px:.2f} are allowed"
        )
        return failed(check, sentence, named="shifted")
    if noise_px > _SHIFT_PX:
        return not_asked(check, f"the maps are too noisy to tell ({told})")
    return passed(check, f"{told}, and the maps are shifted by ({dx:+.2f}, {dy:+.2f}) pixels")


def _lowest(places: Floats, values: Floats) -> tuple[float, float]:
    """Return where a sampled curve is lowest, by a parabola through three points, and its value."""
    i = int(np.clip(values.argmin(), 1, values.size - 2))
    below, here, above = values[i - 1 : i + 2]
    bend = below - 2.0 * here + above
    step = 0.0 if bend <= 0.0 else float(np.clip(0.5 * (below - above) / bend, -1.0, 1.0))
    return float(places[i] + step * (places[1] - places[0])), float(values.min())


def _shift(image: Floats, right: Floats, known: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the shift (dx, dy), pixels, with which the right image fits best, and its misfit."""
    misfits = np.array([
        [_misfit(image, _moved(right, dx, dy), known) for dx in _SHIFTS_PX]
        for dy in _SHIFTS_PX
    ])  # fmt: skip
    iy, ix = np.unravel_index(int(misfits.argmin()), misfits.shape)
    dx, _ = _lowest(_SHIFTS_PX, misfits[iy])
    dy, _ = _lowest(_SHIFTS_PX, misfits[:, ix])
    best = _misfit(image, _moved(right, dx, dy), known)
    return dx, dy, best


def _moved(image: Floats, dx: float, dy: float) -> Floats:
    return np.asarray(ndimage.shift(image, (dy, dx), order=3))


def _shift_esd(image: Floats, right: Floats, known: NDArray[np.bool_]) -> float:
    """Return the larger standard uncertainty of a shift, pixels, by Cramér and Rao's bound."""
    y, t = image[known], right[known]
    scale = float(y @ t / (t @ t))
    left = y - scale * t
    spread = float(left @ left) / max(y.size - 1, 1) * APART**2
    slopes = [scale * np.gradient(right, axis=axis)[known] for axis in (0, 1)]
    return float(np.sqrt(spread / min(float(s @ s) for s in slopes)))


def _monitor(image: Floats, right: Floats, known: NDArray[np.bool_], trio: Evidence) -> Verdict:
    check = _CHECKS[2]
    if trio.amount is None:
        return not_asked(check, "the pipeline tells no amounts")
    weight = trio.monitor / trio.monitor.mean()
    share, esd = _share(image, right, _template(trio, weight=weight), known)
    told = (
        f"of the changes that the beam's decay to {trio.monitor.min() / trio.monitor.max():.2f} "
        f"makes where it is not allowed for, {share:+.3f} ± {esd:.3f} are in the amounts"
    )
    if critical_z(1) * esd > 0.5:
        return not_asked(check, f"the maps are too noisy to tell ({told})")
    if share <= 0.5:
        return passed(check, told)
    return failed(check, told, named="monitor")
