"""Translation: the maps of a sample moved by whole voxels are the maps, moved by as many voxels.

Rays then meet the sample at other fractions u of a step than before. Interpolation between two rays
spreads what it reads by a kernel of variance u(1 − u) h² ≤ h²/4, h the step, about the right place.
The beam is made wide enough that sampling at steps adds nothing to it.
So amounts φ and lattice parameters a of the two images may differ, to second order in h, by

    |Δφ| ≤ h²/8 · (|φ_xx| + |φ_yy|),
    |Δa| ≤ h²/8 · (|a_xx| + |a_yy|) + h²/4 · |∇φ · ∇a| / φ,

with derivatives of the truth, as finite differences over two voxels, and their largest value in the
eight voxels around. Beside it stand a hundredth of the amount, and noise: |z| stays below the
normal quantile that Bonferroni's inequality gives for a false alarm in 1e-7. Compared are voxels
inside particles whose neighbours are, too.

It finds maps that are turned, mirrored or transposed, and steps of a wrong size. A map moved by a
constant vector keeps this law; it breaks that of rotation.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Floats, Pipeline, measure
from validation.properties.statistics import Allowance, Seen, disagreement
from validation.truth import Truth

_PIXELS = (3, -2)
_BEAM_STEPS = 2.0
"""Width (FWHM) of the beam, σ = 0.85 h: of the highest frequency that a step can show it leaves
exp(−2π²σ²/4h²) = 3 %, and 1e-6 of twice that, which would be mistaken for slow waves."""


def translation_equivariance(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless maps move with the sample.

    The scan is made as wide as shows the sample at both places, with angles enough for no streaks
    and a beam at least two steps wide, so that steps miss nothing; without
    parallax, which depends on the place, and what :func:`subjects.lawful` leaves out. Two scans.
    """
    law = "translation_equivariance"
    asked = subjects.subject(experiment, subjects.pair(), seed)
    first = movable(asked)
    second = moved(first)
    before, after = (measure(pipeline, one, law=law) for one in (first, second))
    truth = after.truth
    n_x, n_y = (number * _pixels_per_step(first) for number in _PIXELS)
    found = disagreement(
        Seen.of(before).moved(n_x, n_y), Seen.of(after),
        least_amount=first.recipe.min_volume_fraction,
        allowance=interpolation_allowance(truth), among=truth.eroded & ~truth.two_lattices,
    )  # fmt: skip
    if found is not None:
        sentence = f"of the sample and the maps moved by ({n_x}, {n_y}) voxels, {found}"
        raise PropertyError(law, sentence, [first, second])


def movable(experiment: Experiment) -> Experiment:
    """Return the experiment with room for the sample at both places."""
    still = subjects.switched_off(subjects.lawful(experiment), "parallax")
    step_um = experiment.scan.step_um
    width_um = max(still.beam.width_um, _BEAM_STEPS * step_um)
    wide = still.beam.model_copy(update={"width_um": width_um})
    room_um = float(np.hypot(*_PIXELS)) * step_um
    return subjects.in_view(subjects.changed(still, beam=wide), beyond_um=room_um)


def moved(experiment: Experiment) -> Experiment:
    """Return the experiment with the sample moved by whole steps."""
    step_um = experiment.scan.step_um
    particles = []
    for particle in subjects.particles_of(experiment):
        x_um, y_um, z_um = particle.centre_um
        centre_um = (x_um + _PIXELS[0] * step_um, y_um + _PIXELS[1] * step_um, z_um)
        particles.append(particle.model_copy(update={"centre_um": centre_um}))
    return subjects.with_particles(experiment, tuple(particles))


def interpolation_allowance(truth: Truth) -> Allowance:
    """Return by how much interpolation at other fractions of a step may change maps."""
    amount = np.nan_to_num(truth.volume_fraction)
    a_A = truth.a_A
    product = sum(
        np.gradient(amount, axis=axis) * np.gradient(a_A, axis=axis) for axis in (0, 1)
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        lattice_A = _curvature(a_A) / 8.0 + np.abs(product) / amount / 4.0
    interpolated = _around(_curvature(amount) / 8.0)
    return Allowance(a_A=_around(lattice_A), amount=interpolated + subjects.SYSTEMATIC * amount)


def _curvature(values: Floats) -> Floats:
    second = [np.gradient(np.gradient(values, axis=axis), axis=axis) for axis in (0, 1)]
    return np.asarray(np.abs(second[0]) + np.abs(second[1]))


def _around(values: Floats) -> Floats:
    return np.asarray(maximum_filter(np.nan_to_num(values, nan=0.0, posinf=0.0), 3))


def _pixels_per_step(experiment: Experiment) -> int:
    return 2 if experiment.scan.interlaced else 1
