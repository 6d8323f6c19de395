"""The non-linear parameters of a fit with free intensities: names, start, limits.

Widths are linear in what is refined: the square of U, W and strain adds to the square of a Gaussian
width, X, Y and the inverse of the crystallites' size to a Lorentzian width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import CELL_NAMES, space_group_law
from inverse.pawley_recipe import Pawley, free_cell_names
from inverse.recipe import Calibration, Profile

Floats = NDArray[np.float64]

DISTANCE, ZERO, SIZE, STRAIN = "distance_ppm", "zero_deg", "inverse_size", "squared_strain"
"""Ppm of the calibrated distance, degrees, 100 nm/L, (1000 e0)²."""
_WIDTHS = {"U": "U_deg2", "W": "W_deg2", "X": "X_deg", "Y": "Y_deg"}
_LIMITS = {
    DISTANCE: (-5e4, 5e4), ZERO: (-0.1, 0.1), SIZE: (0.0, 20.0), STRAIN: (0.0, 400.0),
    "U_deg2": (0.0, 10.0), "W_deg2": (1e-6, 1.0), "X_deg": (0.0, 1.0), "Y_deg": (0.0, 1.0),
}  # fmt: skip
"""Widths of a degree, crystallites of 5 nm, strain of 2 %."""
NOT_NEGATIVE = frozenset(name for name in _LIMITS if name not in (DISTANCE, ZERO))
"""Widths, which may rest at their lower limit."""
_UNITS = {
    DISTANCE: 100.0, ZERO: 1e-3, SIZE: 0.1, STRAIN: 0.1,
    "U_deg2": 1e-3, "W_deg2": 1e-4, "X_deg": 0.01, "Y_deg": 2e-3,
}  # fmt: skip
_RELATIVE_UNIT = 1e-4
_RADIAN_LIKE_DEG = 60.0


@dataclass(frozen=True, eq=False)
class Parameters:
    """What is refined beside intensities and background; arrays of shape (parameter,)."""

    names: tuple[str, ...]
    """Such as 'distance_ppm' or 'LiMn2O4:a_A'."""
    start: Floats
    unit: Floats
    """A change that matters, to scale the search with."""
    lower: Floats
    upper: Floats
    fixed: dict[str, float]
    """What is not refined, by name."""

    def by_name(self, values: Floats) -> dict[str, float]:
        """Return all parameters, refined (values, (parameter,)) and fixed."""
        return self.fixed | dict(zip(self.names, values.tolist(), strict=True))

    @property
    def move_lines(self) -> NDArray[np.bool_]:
        """Which of them are cell parameters or the distance, (parameter,)."""
        return np.array([name.rpartition(":")[2] in (*CELL_NAMES, DISTANCE) for name in self.names])


def of_phase(phase: str, parameter: str) -> str:
    """Return the name of a parameter of a phase, such as 'LiMn2O4:a_A'."""
    return f"{phase}:{parameter}"


def parameters_of(settings: Pawley, *, calibration: Calibration) -> Parameters:
    """Return the parameters that ``settings`` refine, and the others at their start.

    What starts beyond its limits, as a crystallite of 2 nm, starts at them.
    """
    profile = calibration.profile
    given: dict[str, float] = {DISTANCE: 0.0, ZERO: 0.0}
    given |= {name: float(getattr(profile, name)) for name in _WIDTHS.values()}
    free = {_WIDTHS[width] for width in settings.refine_widths}
    free |= {DISTANCE} if settings.refine_distance else set()
    free |= {ZERO} if settings.refine_zero else set()
    limits = dict(_LIMITS)
    units = dict(_UNITS)
    for phase in settings.phases:
        law = space_group_law(phase.space_group)
        for name, value in zip(law.names, law.free(phase.start_cell_A_deg), strict=True):
            key = of_phase(phase.name, name)
            of = float(value) if name.endswith("_A") else _RADIAN_LIKE_DEG
            given[key] = float(value)
            limits[key] = (value - phase.cell_range * of, value + phase.cell_range * of)
            units[key] = _RELATIVE_UNIT * of
        free |= {of_phase(phase.name, name) for name in free_cell_names(phase)}
        for kind, value, refined in (
            (SIZE, 100.0 / phase.crystallite_size_nm, phase.refine_size),
            (STRAIN, (1e3 * phase.strain) ** 2, phase.refine_strain),
        ):
            key = of_phase(phase.name, kind)
            given[key], limits[key], units[key] = value, _LIMITS[kind], _UNITS[kind]
            free |= {key} if refined else set()
    names = tuple(name for name in given if name in free)
    lower, upper = (np.array([limits[name][end] for name in names]) for end in range(2))
    return Parameters(
        names=names,
        start=np.clip([given[name] for name in names], lower, upper),
        unit=np.array([units[name] for name in names]),
        lower=lower,
        upper=upper,
        fixed={name: value for name, value in given.items() if name not in free},
    )


def profile_of(values: dict[str, float], start: Profile) -> Profile:
    """Return the instrument's profile of parameters by name, V as in ``start``."""
    return start.model_copy(update={name: values[name] for name in _WIDTHS.values()})
