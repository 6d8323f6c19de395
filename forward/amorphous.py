"""Scattering of polymers, glasses, liquids and carbon: atoms with short-range order.

Elastic scattering is that of independent atoms, |f|², times a structure factor

    S(q) = 1 − (1 − S0) exp(−(q/q_d)²) + A Σ w_i exp(−½ ((q − q_i)/σ_i)²)

with S0 what density fluctuations leave at q → 0, a hole up to about q_d, halos at q_i, and S → 1
beyond them. A is not free: short-range order only moves power, so that

    ∫ |f|² (S − 1) dΩ = 0,        dΩ = (2π/k²) q dq

and the halos hold just what the hole lacks. A polymer of crystallinity c has
S = (1 − c) S_amorphous + c S_crystalline, where the second has Bragg peaks for halos, of Scherrer's
width; each of them keeps the rule. Compton scattering has no such order and is added.

Positions are known (`_ORDERS`); widths and relative powers are assumptions of the right size.
q = 4π sinθ/λ in 1/Å. Everything is without polarisation, per metre and steradian.

Sources: Warren, *X-ray Diffraction*, ch. 10; Scherrer FWHM 2π K/L in q, K = 0.9; cell of PEEK
(Pbcn) 7.75 × 5.86 × 10.0 Å.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.resolution import SCHERRER_CONSTANT
from phantoms.cell_materials import Formula, Substance, substance
from xrdct.conversion import q_per_A, two_theta_from_q_rad, wavelength_A
from xrdct.errors import InputError
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scattering import compton_per_m_sr, independent_atom_per_m_sr

_FORWARD = 0.05
"""S0: a few per cent in liquids and polymers."""
_WINDOW_PER_A = 20.0
"""Where holes and halos have ended, and the rule's integral with them."""
_WINDOW_KEV = 100.0
"""Any energy far from edges, at which the window is within reach: |f|² hardly knows it."""

PEEK_CELL_A = (7.75, 5.86, 10.0)
_PEEK_PEAKS = (((1, 1, 0), 1.0), ((1, 1, 1), 0.4), ((2, 0, 0), 0.65), ((2, 1, 1), 0.45))
"""(hkl, relative height in S): about what powder patterns show, over |f|²."""


@dataclass(frozen=True)
class Order:
    """Short-range order of one kind."""

    halos: tuple[tuple[float, float, float], ...]
    """(q_i, σ_i, w_i): position and width, 1/Å, and relative height."""
    hole_per_A: float
    """q_d."""


_ORDERS: Mapping[str, Order] = {
    "PEEK": Order(((2.0 * np.pi / 4.7, 0.20, 1.0), (3.05, 0.45, 0.15)), 1.1),
    "PFA": Order(((1.20, 0.18, 1.0), (2.75, 0.35, 0.20)), 1.0),
    "electrolyte": Order(((1.50, 0.25, 1.0), (3.0, 0.50, 0.15)), 1.2),
    "glass": Order(((1.55, 0.25, 1.0), (2.9, 0.40, 0.20), (5.2, 0.50, 0.20)), 1.2),
    "carbon": Order(((1.80, 0.15, 1.0), (3.0, 0.15, 0.25), (5.2, 0.20, 0.15)), 1.5),
    "PVDF": Order(((1.40, 0.12, 1.0), (2.9, 0.40, 0.15)), 1.2),
}
_BRAGG_HOLES_PER_A = {"PEEK": 1.9, "PFA": 1.1}
_PFA_PEAK_A = 4.95


def bragg_order(name: str, *, crystallite_nm: float) -> Order:
    """Return the order of the crystalline part of PEEK or PFA.

    `InputError` for other substances, and for a size that is not positive.
    """
    if name not in _BRAGG_HOLES_PER_A:
        known = ", ".join(_BRAGG_HOLES_PER_A)
        raise InputError(f"crystalline peaks are known of {known}, not of {name!r}")
    if not 0.0 < crystallite_nm < np.inf:
        raise InputError(f"a crystallite size (nm) must be positive: got {crystallite_nm:g}")
    sigma = 2.0 * np.pi * SCHERRER_CONSTANT / (10.0 * crystallite_nm) / FWHM_PER_SIGMA
    if name == "PFA":
        peaks = [(2.0 * np.pi / _PFA_PEAK_A, 1.0)]
    else:
        lengths_A = np.array(PEEK_CELL_A)
        peaks = [
            (2.0 * np.pi * float(np.linalg.norm(np.array(hkl) / lengths_A)), height)
            for hkl, height in _PEEK_PEAKS
        ]
    halos = tuple((q, sigma, height) for q, height in peaks)
    return Order(halos, _BRAGG_HOLES_PER_A[name])


def structure_factor(
    order: Order, *, composition: Formula, q_per_A: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return S(q), shape of ``q_per_A``; the composition weighs its rule with |f|²."""
    q = np.asarray((np.arange(4000) + 0.5) * (_WINDOW_PER_A / 4000), np.float64)
    angles = two_theta_from_q_rad(q, wavelength_A=wavelength_A(_WINDOW_KEV))
    weight = q * independent_atom_per_m_sr(
        composition, two_theta_rad=angles, energy_keV=_WINDOW_KEV, density_g_per_cm3=1.0
    )
    amplitude = np.sum(weight * _hole(order, q)) / np.sum(weight * _halos(order, q))
    return 1.0 - _hole(order, q_per_A) + amplitude * _halos(order, q_per_A)


def elastic_per_m_sr(
    name: str,
    *,
    two_theta_rad: NDArray[np.float64],
    energy_keV: float,
    crystallinity: float = 0.0,
    crystallite_nm: float = 10.0,
) -> NDArray[np.float64]:
    """Return elastic scattering of a substance, shape of ``two_theta_rad``, 1/(m sr).

    ``crystallinity`` and ``crystallite_nm`` are those of a polymer's crystalline part. `InputError`
    for a substance without short-range order known here, and as for `bragg_order`.
    """
    material = _amorphous(name)
    q = q_per_A(two_theta_rad, wavelength_A=wavelength_A(energy_keV))
    composition = material.composition
    ordered = structure_factor(_ORDERS[name], composition=composition, q_per_A=q)
    if crystallinity > 0.0:
        bragg = bragg_order(name, crystallite_nm=crystallite_nm)
        peaks = structure_factor(bragg, composition=composition, q_per_A=q)
        ordered = (1.0 - crystallinity) * ordered + crystallinity * peaks
    return ordered * independent_atom_per_m_sr(
        composition,
        two_theta_rad=two_theta_rad,
        energy_keV=energy_keV,
        density_g_per_cm3=material.density_g_per_cm3,
    )


def inelastic_per_m_sr(
    name: str, *, two_theta_rad: NDArray[np.float64], energy_keV: float
) -> NDArray[np.float64]:
    """Return Compton scattering of a substance, shape of ``two_theta_rad``, 1/(m sr)."""
    material = substance(name)
    return compton_per_m_sr(
        material.composition,
        two_theta_rad=two_theta_rad,
        energy_keV=energy_keV,
        density_g_per_cm3=material.density_g_per_cm3,
    )


def _amorphous(name: str) -> Substance:
    if name not in _ORDERS:
        raise InputError(f"short-range order is known of {', '.join(_ORDERS)}, not of {name!r}")
    return substance(name)


def _hole(order: Order, q: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1.0 - _FORWARD) * np.exp(-((q / order.hole_per_A) ** 2)))


def _halos(order: Order, q: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(q.shape)
    for position, sigma, height in order.halos:
        total += height * np.exp(-0.5 * ((q - position) / sigma) ** 2)
    return total
