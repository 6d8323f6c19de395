"""Scattering factors of single atoms, from xraylib's tables."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import xraylib
from numpy.typing import NDArray

from xrdct.crystal import atomic_number
from xrdct.errors import InputError

ENERGY_RANGE_KEV = (1.0, 500.0)
SMALLEST_S_PER_A = 1e-3
"""Where the tables of f0 and of Compton scattering begin; f0 has reached Z there."""


def atomic_form_factor(
    element: str, *, s_per_A: NDArray[np.float64], energy_keV: float
) -> NDArray[np.complex128]:
    """Return f = f0(s) + f′ + i f″ in electrons, same shape as ``s_per_A``.

    f″ is positive: it goes with exp(+2πi h·x) and absorption. s = sinθ/λ in 1/Å.

    `InputError` if the element is not tabulated or the energy is outside 1–500 keV.

    Source: xraylib (`FF_Rayl`, whose q is s; `Fi`; `Fii`, which is −f″).
    """
    atom = atomic_number(element)
    tabulated = np.maximum(s_per_A, SMALLEST_S_PER_A)
    # One call per value takes 0.3 µs; xraylib_np starts OpenMP threads, which takes milliseconds.
    f0 = np.array([xraylib.FF_Rayl(atom, s) for s in tabulated.ravel().tolist()])
    dispersion = anomalous_dispersion(element, energy_keV=energy_keV)
    f: NDArray[np.complex128] = f0.reshape(s_per_A.shape) + dispersion
    return f


@lru_cache(maxsize=1024)
def anomalous_dispersion(element: str, *, energy_keV: float) -> complex:
    """Return f′ + i f″ in electrons, f″ positive; raises as `atomic_form_factor`."""
    check_energy(energy_keV)
    atom = atomic_number(element)
    return complex(xraylib.Fi(atom, energy_keV), -xraylib.Fii(atom, energy_keV))


def check_energy(energy_keV: float) -> None:
    """Raise `InputError` unless the tables cover the energy, 1–500 keV."""
    low, high = ENERGY_RANGE_KEV
    if not low <= energy_keV <= high:
        raise InputError(f"a photon energy must lie within {low:g}–{high:g} keV: got {energy_keV}")
