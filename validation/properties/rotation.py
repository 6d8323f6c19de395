"""Rotation: the maps of a sample turned by 90° are the maps of the sample, turned by 90°.

Over a half turn, of an even number of equally spaced angles with offsets centred on the axis, the
turned sample shows the very same rays in another order, half of them from the other side. Without
parallax and the exit path, which tell the sides apart, what differs is noise alone. So the
tolerance is its stated standard uncertainty: |z| of all voxels' lattice parameters and amounts
stays below the normal quantile that Bonferroni's inequality gives for a false alarm in 1e-7.

It finds a wrong sense of rotation or a mirrored image, an axis that is not where it is taken to be
(half a pixel is enough) and anything that is added at a place of the image. A map turned by a
constant angle keeps this law; it breaks that of translation.
"""

from __future__ import annotations

from phantoms.particle import Particle
from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Pipeline, measure
from validation.properties.statistics import Seen, disagreement


def rotation_equivariance(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError unless maps turn with the sample.

    The experiment is scanned over a half turn, without parallax, exit path and what
    :func:`subjects.lawful` leaves out. Two scans.
    """
    law = "rotation_equivariance"
    asked = subjects.subject(experiment, subjects.pair(), seed)
    first = turnable(asked)
    second = turned(first)
    before, after = (measure(pipeline, one, law=law) for one in (first, second))
    found = disagreement(
        Seen.of(before).rotated(), Seen.of(after),
        least_amount=first.recipe.min_volume_fraction,
    )  # fmt: skip
    if found is not None:
        sentence = f"of the sample turned by 90° and the maps turned by 90°, {found}"
        raise PropertyError(law, sentence, [first, second])


def turnable(experiment: Experiment) -> Experiment:
    """Return the experiment with scans whose rays a turn by 90° brings onto each other."""
    scans = {name: subjects.half_turn(scan) for name, scan in experiment.scans.items()}
    still = subjects.switched_off(subjects.lawful(experiment), "parallax", "exit_path")
    return subjects.changed(still, scan=subjects.half_turn(experiment.scan), scans=scans)


def turned(experiment: Experiment) -> Experiment:
    """Return the experiment with the sample turned by 90° from x towards y."""
    particles = tuple(_turned(p) for p in subjects.particles_of(experiment))
    return subjects.with_particles(experiment, particles)


def _turned(particle: Particle) -> Particle:
    x_um, y_um, z_um = particle.centre_um
    return particle.model_copy(update={"centre_um": (-y_um, x_um, z_um)})
