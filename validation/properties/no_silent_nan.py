"""No silent NaN: every voxel has a value, or a status that says why it has none.

Exact, so without tolerance or false alarms. A voxel of status CONVERGED has a lattice parameter, an
amount and all their uncertainties, finite and uncertainties positive; any other voxel has no
lattice parameter, and its status is one of `inverse.refine.Status`. A voxel deep inside a particle
and within the circle that the scan sees is not called unmeasured.
"""

from __future__ import annotations

import numpy as np

from inverse.refine import Status
from phantoms.particle import Particle
from validation.experiment import Experiment
from validation.properties import subjects
from validation.properties.failure import PropertyError
from validation.properties.pipelines import Measured, Pipeline, measure

_VALUES = ("a_A", "volume_fraction", "chi2_reduced")
_UNCERTAINTIES = (
    "a_esd_noise_A", "a_esd_total_A", "volume_fraction_esd_noise", "volume_fraction_esd_total"
)  # fmt: skip


def no_silent_nan(
    pipeline: Pipeline, *, experiment: Experiment | None = None, seed: int | None = None
) -> None:
    """Raise PropertyError where a voxel has neither a value nor a reason, or both.

    The experiment is taken as it is. By default four: a plain one, one of very few photons, one
    whose sample reaches out of the view, and an interlaced one.
    """
    law = "no_silent_nan"
    asked = hard_cases() if experiment is None else (experiment,)
    for one in asked:
        found = measure(pipeline, subjects.subject(one, one, seed), law=law)
        complaint = _complaint(found)
        if complaint is not None:
            raise PropertyError(law, complaint, [found.experiment])


def hard_cases() -> tuple[Experiment, ...]:
    """Return experiments in which voxels are not recovered for different reasons."""
    plain = subjects.pair()
    outside = Particle(centre_um=(14.0, 3.0, 0.0), diameter_um=10.0, x=0.95)
    cut = subjects.with_particles(plain, (*subjects.particles_of(plain), outside))
    interlaced = plain.scan.model_copy(update={"interlaced": True})
    return (
        plain,
        subjects.with_flux(plain, 3e7),
        cut,
        subjects.changed(plain, scan=interlaced),
    )


def _complaint(found: Measured) -> str | None:
    maps, converged = found.maps, found.converged
    known = np.isin(maps.status, [float(status) for status in Status])
    bad = {"the status is none there is": ~known}
    for name in _VALUES:
        bad[f"{name} is not finite in a converged voxel"] = converged & ~np.isfinite(
            getattr(maps, name)
        )
    for name in _UNCERTAINTIES:
        esd = getattr(maps, name)
        positive = np.isfinite(esd) & (esd > 0.0)
        bad[f"{name} is not positive in a converged voxel"] = converged & ~positive
    bad["there is a lattice parameter in a voxel that is not converged"] = (
        ~converged & np.isfinite(maps.a_A)
    )  # fmt: skip
    bad["a voxel in the middle of a particle and of the view is called unmeasured"] = (
        _in_sight(found) & (maps.status == Status.NOT_MEASURED)
    )  # fmt: skip
    for sentence, where in bad.items():
        if where.any():
            iy, ix = np.argwhere(where)[0]
            return f"{sentence}, at ({iy}, {ix}) and {int(where.sum()) - 1} more"
    return None


def _in_sight(found: Measured) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return eroded voxels that every projection sees, a voxel of margin left."""
    offsets_um = found.truth.scan.offsets_um
    radius_um = np.hypot(offsets_um[:, None], offsets_um)
    least_um = float(offsets_um[-1]) - 2.0 * found.truth.scan.step_um
    return np.asarray(found.truth.eroded & (radius_um < least_um))
