"""What material elsewhere does to a voxel's lattice parameter, as a function of its own.

A voxel of lattice parameter a, filled with the amount φ, that is given an error of e µm/µm of
material of lattice parameter a′ is found at a + e u(a′; a)/φ, with

    u(a′; a) = φ R_a · P(a′),     v(a′; a) = R_s · P(a′)

and v the part of e that is taken for material of its own (R: the levers of
:mod:`validation.bounds_fisher`; P: pattern of pure material). Near a, u is a′ − a and v one; some
widths of a line away both vanish, but where other lines meet. So every error of the reconstruction
that is a mixture of material becomes an error of the lattice parameter by one linear map: of the
images φ u(a(x); a_k), for some *classes* a_k between which voxels lie.

Where this fails: errors as large as the amount itself, pixels of two lattices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.model import Instrument, draw_patterns, phase_lines
from inverse.recipe import Calibration
from validation.bounds_fisher import levers
from validation.bounds_optics import Optics

Floats = NDArray[np.float64]

_CLASS_A = 8e-3
"""Widest step between classes: half the standard deviation of a narrow line."""
_MOST_CLASSES = 10


@dataclass(frozen=True, eq=False)
class Levers:
    """u and v of every class, tabulated over lattice parameters."""

    class_a_A: Floats
    """Shape (class,)."""
    a_A: Floats
    """Shape (a,)."""
    shift_A: Floats
    """u, shape (class, a)."""
    amount: Floats
    """v, shape (class, a)."""
    extra_shift_A: Floats
    """u of further phases, shape (class, phase)."""
    extra_amount: Floats
    """v of them, same shape."""

    def of(self, table: Floats, a_A: Floats) -> Floats:
        """Return a row of ``shift_A`` or ``amount`` at lattice parameters of any shape."""
        return np.interp(a_A, self.a_A, table)

    def between(self, a_A: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return the class below each lattice parameter, and its share beside the next one's."""
        if self.class_a_A.size == 1:
            return np.zeros(a_A.shape, np.int64), np.ones(a_A.shape)
        step = self.class_a_A[1] - self.class_a_A[0]
        place = np.clip((a_A - self.class_a_A[0]) / step, 0.0, self.class_a_A.size - 1.0)
        lower = np.minimum(np.floor(place), self.class_a_A.size - 2).astype(np.int64)
        return lower, 1.0 - (place - lower)


def slopes_of(optics: Optics, *, a_A: Floats, amount: Floats, kept: Floats) -> Floats:
    """Return the slopes of voxels' patterns, shape (voxel, parameter, channel).

    The parameters are the lattice parameter, the amount, and those of the fixed phases and of the
    background. ``kept`` (channel,) is what the integration keeps of a line.
    """
    own = np.stack([optics.slope_at(a_A) * amount[:, None], optics.pattern_at(a_A)], axis=1)
    linear = np.concatenate([optics.fixed * kept, optics.background])
    shared = np.broadcast_to(linear, (a_A.size, *linear.shape))
    return np.concatenate([own * kept, shared], axis=1)


def material_levers(
    optics: Optics, *, a_A: Floats, amount: Floats, variance: Floats, kept: Floats
) -> Levers:
    """Return the levers of classes that span the lattice parameters of voxels (voxel,).

    ``variance`` (voxel, channel) is that of their patterns; a class has that of the voxels next
    to it.
    """
    classes = class_centres_A(a_A)
    nearest = np.abs(a_A[:, None] - classes).argmin(axis=1)
    typical = np.array(
        [variance[nearest == k].mean(axis=0) if np.any(nearest == k) else variance.mean(axis=0)
         for k in range(classes.size)]
    )  # fmt: skip
    filled = np.full(classes.size, np.median(amount))
    slopes = slopes_of(optics, a_A=classes, amount=filled, kept=kept)
    rows = levers(slopes, variance=typical)
    patterns, extra = optics.patterns * kept, _extra_patterns(optics) * kept
    return Levers(
        class_a_A=classes,
        a_A=optics.a_A,
        shift_A=filled[:, None] * rows[:, 0] @ patterns.T,
        amount=rows[:, 1] @ patterns.T,
        extra_shift_A=filled[:, None] * rows[:, 0] @ extra.T,
        extra_amount=rows[:, 1] @ extra.T,
    )


def class_centres_A(a_A: Floats) -> Floats:
    """Return evenly spaced lattice parameters that span all but a hundredth of those given."""
    low, high = np.percentile(a_A, [0.5, 99.5])
    count = int(np.clip(np.ceil((high - low) / _CLASS_A) + 1, 1, _MOST_CLASSES))
    return np.linspace(low, high, count) if high - low > 1e-5 else np.array([0.5 * (low + high)])


def _extra_patterns(optics: Optics) -> Floats:
    """Return the patterns of the sample's further phases, shape (phase, channel)."""
    experiment, sample = optics.experiment, optics.lab.sample
    names = sample.extra_phases
    if not names:
        return np.zeros((0, optics.patterns.shape[1]))
    beam, geometry = experiment.beam, experiment.geometry
    calibration = optics.recipe.calibration or Calibration(distance_m=geometry.distance_m)
    factor = optics.lab.instrument.b_iso_factor
    crystals = [sample.crystals[name].with_b_scale(factor) for name in names]
    particle = sample.particles[0]
    return draw_patterns(
        phase_lines(crystals, beam=beam, geometry=geometry),
        instrument=Instrument(beam, geometry, calibration),
        crystallite_size_nm=particle.crystallite_size_nm, strain=particle.strain,
    )  # fmt: skip
