"""The unit cell: its volume, its reciprocal metric and what a believable one is.

A cell is a tuple (a, b, c in Å, α, β, γ in degrees).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdct.errors import InputError

Cell = tuple[float, float, float, float, float, float]

LENGTH_RANGE_A = (1.0, 100.0)
ANGLE_RANGE_DEG = (20.0, 160.0)
_PARAMETERS = ("a", "b", "c", "α", "β", "γ")


def metric_tensor_A2(cell_A_deg: Cell) -> NDArray[np.float64]:
    """Return G with G_ij = a_i·a_j, shape (3, 3), Å² (International Tables A, ch. 1.3)."""
    a, b, c = cell_A_deg[:3]
    cos_alpha, cos_beta, cos_gamma = (_cos_deg(angle) for angle in cell_A_deg[3:])
    return np.array(
        [
            [a * a, a * b * cos_gamma, a * c * cos_beta],
            [a * b * cos_gamma, b * b, b * c * cos_alpha],
            [a * c * cos_beta, b * c * cos_alpha, c * c],
        ]
    )


def reciprocal_metric_per_A2(cell_A_deg: Cell) -> NDArray[np.float64]:
    """Return G⁻¹, shape (3, 3), 1/Å²: the spacing of planes h is 1/√(hᵀ G⁻¹ h)."""
    return np.asarray(np.linalg.inv(metric_tensor_A2(cell_A_deg)))


def cell_volume_A3(cell_A_deg: Cell) -> float:
    """Return V = abc √(1 − cos²α − cos²β − cos²γ + 2 cosα cosβ cosγ) in Å³, or 0 if impossible."""
    a, b, c = cell_A_deg[:3]
    x, y, z = (_cos_deg(angle) for angle in cell_A_deg[3:])
    return a * b * c * math.sqrt(max(0.0, 1.0 - x * x - y * y - z * z + 2.0 * x * y * z))


def check_cell(cell_A_deg: Cell) -> None:
    """Raise `InputError` unless lengths are 1–100 Å, angles 20–160° and the volume is positive."""
    for name, value in zip(_PARAMETERS, cell_A_deg, strict=True):
        is_length = name in "abc"
        low, high = LENGTH_RANGE_A if is_length else ANGLE_RANGE_DEG
        if not low <= value <= high:  # false for NaN too
            kind, unit = ("length", "Å") if is_length else ("angle", "°")
            raise InputError(
                f"cell {kind} {name} must lie within {low:g}–{high:g} {unit}: got {value:g}"
            )
    if cell_volume_A3(cell_A_deg) < 1e-3 * math.prod(cell_A_deg[:3]):
        angles = ", ".join(f"{angle:g}" for angle in cell_A_deg[3:])
        raise InputError(f"cell angles must enclose a positive volume: {angles}° do not")


def _cos_deg(angle_deg: float) -> float:
    # The cosine of π/2 is 6e-17 in floating point, which would part lines of equal spacing.
    return 0.0 if angle_deg == 90.0 else math.cos(math.radians(angle_deg))
