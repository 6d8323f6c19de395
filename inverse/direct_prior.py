"""What is known beforehand of particles: full or empty, and smooth inside.

Two penalties on images, with their gradients. Of the amount φ, total variation,

    Σ h(φ_i − φ_j) over neighbours,      h(t) = δ·(√(δ² + t²) − δ),

rounded off below δ = 0.05. Of the lattice parameter, its curvature within full material,

    Σ w·h(t),      t = (a_left − 2·a + a_right)/α,      w = min(φ_left, φ, φ_right)²,

along both axes, with δ = 2 mÅ/α: a straight gradient costs nothing, whatever its slope, and a step
between touching particles costs in proportion to its height, not to its square. α is the change
of a lattice parameter that a pattern answers with its own length. The weights w are held while a
is fitted; they vanish across every gap between particles, so that nothing couples there.

Source: Charbonnier et al., IEEE Trans. Image Process. 6 (1997) 298, for h and its use.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_AMOUNT_EDGE = 0.05
_LATTICE_EDGE_A = 2e-3


def rounded_absolute(t: Floats, edge: float) -> tuple[Floats, Floats]:
    """Return h(t) of the module's formula and its derivative."""
    root = np.sqrt(edge * edge + t * t)
    return edge * (root - edge), edge * t / root


def amount_roughness(amount: Floats) -> tuple[float, Floats]:
    """Return the total variation of an image of amounts and its gradient, (iy, ix)."""
    total, gradient = 0.0, np.zeros_like(amount)
    for axis in (0, 1):
        image, slope = np.swapaxes(amount, 0, axis), np.swapaxes(gradient, 0, axis)
        value, derivative = rounded_absolute(image[1:] - image[:-1], _AMOUNT_EDGE)
        total += float(value.sum())
        slope[1:] += derivative
        slope[:-1] -= derivative
    return total, gradient


def curvature_weights(amount: Floats) -> tuple[Floats, Floats]:
    """Return w of the module's formula along y, (iy − 2, ix), and along x, (iy, ix − 2)."""
    weights = []
    for axis in (0, 1):
        image = np.swapaxes(amount, 0, axis)
        least = np.minimum(np.minimum(image[:-2], image[1:-1]), image[2:])
        weights.append(np.swapaxes(np.maximum(least, 0.0) ** 2, 0, axis))
    return weights[0], weights[1]


def lattice_roughness(
    lattice: Floats, *, weights: tuple[Floats, Floats], answering_A: float
) -> tuple[float, Floats]:
    """Return the curvature penalty of an image of a/α and its gradient, (iy, ix)."""
    total, gradient = 0.0, np.zeros_like(lattice)
    for axis, given in enumerate(weights):
        image, slope = np.swapaxes(lattice, 0, axis), np.swapaxes(gradient, 0, axis)
        weight = np.swapaxes(given, 0, axis)
        bend = image[:-2] - 2.0 * image[1:-1] + image[2:]
        value, derivative = rounded_absolute(bend, _LATTICE_EDGE_A / answering_A)
        total += float((weight * value).sum())
        derivative *= weight
        slope[:-2] += derivative
        slope[1:-1] -= 2.0 * derivative
        slope[2:] += derivative
    return total, gradient
