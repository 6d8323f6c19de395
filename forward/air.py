"""Scattering by the air between the last aperture and the beam stop: a smooth background.

The expected photons of whole rings per photon of beam are, per radian of 2θ or channel of width
Δ2θ,

    2π sin2θ Δ2θ · n ℓ r_e² · (Z_eff²/(1 + (q/q0)²)² + Z_eff)

a coherent part that falls off with q as the molecule's form factor does, and an incoherent one.
It is a stand-in of the right size and shape (5 mm of air; N2 has 14 electrons), the same for every
ray; its level is drawn anew for each experiment (:class:`forward.instrument.Unknowns`).

Source: PHYSICS 2 (air path); number density of air at 20 °C and 1 bar.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forward.angles import AngleGrid

_CLASSICAL_ELECTRON_RADIUS_M = 2.8179403262e-15
_MOLECULES_PER_M3 = 2.5e25
_PATH_M = 5e-3
_ELECTRONS = 14.0
_FALL_OFF_RAD = np.deg2rad(4.0)
"""Where the molecular form factor has fallen by half, at 50 keV (q0 ≈ 1.8 Å⁻¹)."""


def air_pattern(angles: AngleGrid) -> NDArray[np.float64]:
    """Return photons of whole, unpolarised rings per node and photon of beam, shape (node,)."""
    two_theta = angles.two_theta_rad
    coherent = _ELECTRONS**2 / (1.0 + (two_theta / _FALL_OFF_RAD) ** 2) ** 2
    per_sr = _MOLECULES_PER_M3 * _PATH_M * _CLASSICAL_ELECTRON_RADIUS_M**2 * (coherent + _ELECTRONS)
    return np.asarray(2.0 * np.pi * np.sin(two_theta) * angles.width_rad * per_sr)
