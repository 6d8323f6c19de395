"""What is known beforehand of particles: full or empty, and smooth inside for their size.

Two penalties on images, with their gradients. Of the amount φ, total variation,

    Σ h(φ_i − φ_j) over neighbours,      h(t) = δ·(√(δ² + t²) − δ),

rounded off below δ = 0.05. Of the lattice parameter, its curvature within full material,

    Σ w·h(s·t),    t = (a_left − 2·a + a_right)/α,    w = min(φ_left, φ, φ_right)²,    s = ρ/3.5,

along both axes, with δ = 2 mÅ/α: a straight gradient costs nothing, whatever its slope, and a step
between touching particles costs in proportion to its height, not to its square. ρ is how thick the
material is there, in pixels (:mod:`inverse.thickness`). A difference between core and surface bends
as 1/ρ², so that bends which are noise in a large particle are structure in a small one; s ∝ ρ was
best on development seeds among s ∝ 1, ρ and ρ², with pixels of 1 µm. α is the change of a lattice
parameter that a pattern answers with its own length. The weights w and scales s are held while a is
fitted; w vanishes across every gap between particles, so that nothing couples there.

Source: Charbonnier et al., IEEE Trans. Image Process. 6 (1997) 298, for h and its use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.thickness import disc_radius

Floats = NDArray[np.float64]

_AMOUNT_EDGE = 0.05
_LATTICE_EDGE_A = 2e-3
_FULL = 0.5
_TYPICAL_RADIUS = 3.5
_RADII = (1.5, 12.0)
"""Between which radii count: a pixel or two tell little of a particle's size."""


@dataclass(frozen=True, eq=False)
class Bending:
    """By how much bends of the lattice parameter count, where material is as full as it is."""

    weights: tuple[Floats, Floats]
    """w of the module's formula along y, (iy − 2, ix), and along x, (iy, ix − 2)."""
    scale: Floats
    """s, (iy, ix)."""

    def along_axes(self, *images: Floats) -> Iterator[tuple[Floats, ...]]:
        """Yield w, s of the middle pixels, and the images, each with the axis first."""
        for axis, weight in enumerate(self.weights):
            turned = [np.swapaxes(image, 0, axis) for image in (weight, self.scale, *images)]
            turned[1] = turned[1][1:-1]
            yield tuple(turned)


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


def bending_of(amount: Floats) -> Bending:
    """Return by how much bends count in an image of amounts, (iy, ix)."""
    weights = []
    for axis in (0, 1):
        image = np.swapaxes(amount, 0, axis)
        least = np.minimum(np.minimum(image[:-2], image[1:-1]), image[2:])
        weights.append(np.swapaxes(np.maximum(least, 0.0) ** 2, 0, axis))
    radius = np.clip(disc_radius(amount > _FULL), *_RADII)
    return Bending((weights[0], weights[1]), radius / _TYPICAL_RADIUS)


def lattice_roughness(
    lattice: Floats, *, bending: Bending, answering_A: float
) -> tuple[float, Floats]:
    """Return the curvature penalty of an image of a/α and its gradient, (iy, ix)."""
    total, gradient = 0.0, np.zeros_like(lattice)
    edge = _LATTICE_EDGE_A / answering_A
    for weight, scale, image, slope in bending.along_axes(lattice, gradient):
        value, derivative = rounded_absolute(scale * _bends(image), edge)
        total += float((weight * value).sum())
        derivative *= weight * scale
        slope[:-2] += derivative
        slope[1:-1] -= 2.0 * derivative
        slope[2:] += derivative
    return total, gradient


def lattice_stiffness(
    lattice: Floats, *, bending: Bending, answering_A: float
) -> tuple[Floats, Floats]:
    """Return w·s²·h′(s·t)/(s·t), how stiff each bend is, along y and along x, as `Bending` has w.

    Up to a constant, half the sum of squared bends with these coefficients touches the penalty at
    ``lattice``, an image of a/α, and lies above it elsewhere.
    """
    edge = _LATTICE_EDGE_A / answering_A
    stiff = [
        np.swapaxes(weight * scale**2 * edge / np.hypot(edge, scale * _bends(image)), 0, axis)
        for axis, (weight, scale, image) in enumerate(bending.along_axes(lattice))
    ]
    return stiff[0], stiff[1]


def _bends(image: Floats) -> Floats:
    return np.asarray(image[:-2] - 2.0 * image[1:-1] + image[2:])
