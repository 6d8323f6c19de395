"""Each ready-made property passes our own chain, and fails one with a matching planted bug.

Bugs wrap our own chain and change what goes in or what comes out. Seeds are fixed: a property that
passes once passes ever after.
"""

from dataclasses import replace

import numpy as np
import pytest

from inverse.refine import Status
from validation.properties import (
    PROPERTIES,
    PropertyError,
    check_all,
    flux_scaling,
    improvement_with_counts,
    no_silent_nan,
    null_sample,
    own_pipeline,
    planted_lattice_shift,
    planted_phase,
    rotation_equivariance,
    translation_equivariance,
    uncertainty_coverage,
)

IMAGES = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced", "status",
)  # fmt: skip


def named(law):
    return law.__name__


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("law", PROPERTIES, ids=named)
def test_own_chain_keeps_the_law(law, seed):
    # The documented test file, which is a test as well, asks this with the laws' own seeds.
    law(own_pipeline, seed=seed)


def of_maps(change):
    """Our own chain with something done to its maps."""

    def pipeline(raw, others):
        return change(own_pipeline(raw, others))

    return pipeline


def of_images(change):
    """Our own chain with the same done to all its images."""
    return of_maps(lambda maps: replace(maps, **{n: change(getattr(maps, n)) for n in IMAGES}))


def of_scans(change):
    """Our own chain, given other scans than were measured."""
    return lambda raw, others: own_pipeline(change(raw), others)


def of_recipes(**steps):
    """Our own chain with another recipe for the sinogram."""

    def change(raw):
        return replace(raw, recipe={**raw.recipe, "sinogram": {**raw.recipe["sinogram"], **steps}})

    return of_scans(change)


def other_way_round(raw):
    angles_deg = -np.rad2deg(raw.scan.angles_rad)
    update = {"angles_deg": tuple(angles_deg), "angle_range_deg": 180.0}
    return replace(raw, scan=raw.scan.model_copy(update=update))


def unmonitored(raw):
    """As if every point had had 1e9 photons."""
    return replace(raw, transmitted=raw.transmitted / raw.monitor * 1e9)


def saturated(raw):
    """As if only every twentieth photon of bright points were counted, by stopping early."""
    rng = np.random.default_rng(1)
    share = min(1.0, 2e7 / float(raw.monitor.mean()))
    counts = rng.binomial(raw.counts, share).astype(np.int32)
    return replace(raw, counts=counts, transmitted=raw.transmitted * share)


def scaled(maps):
    return replace(maps, a_A=maps.a_A * (1.0 + 1e-4))


def gained(maps):
    """Changes a tenth too small, about a value between both that are planted."""
    return replace(maps, a_A=8.23 + 0.9 * (maps.a_A - 8.23))


def with_esds(factor):
    return lambda maps: replace(
        maps, a_esd_noise_A=maps.a_esd_noise_A * factor, a_esd_total_A=maps.a_esd_total_A * factor
    )


def flat_esds(maps):
    esd_A = np.where(np.isfinite(maps.a_esd_noise_A), 2e-4, np.nan)
    return replace(maps, a_esd_noise_A=esd_A)


def ringing(maps):
    """An error of a constant 1 mÅ, as from streaks."""
    pattern = np.random.default_rng(2).normal(0.0, 1e-3, maps.a_A.shape)
    return replace(maps, a_A=maps.a_A + pattern)


def filled_in(maps):
    empty = ~np.isfinite(maps.a_A)
    return replace(maps, a_A=np.where(empty, 8.2, maps.a_A))


def holes(maps):
    """One voxel in the middle without a value, and without a reason."""
    a_A = maps.a_A.copy()
    iy, ix = np.argwhere(np.isfinite(a_A))[0]
    a_A[iy, ix] = np.nan
    return replace(maps, a_A=a_A)


def called_unmeasured(maps):
    status = np.where(maps.status == Status.CONVERGED, Status.NOT_MEASURED, maps.status)
    gone = {name: np.full(maps.a_A.shape, np.nan) for name in IMAGES}
    return replace(maps, **(gone | {"status": status.astype(float)}))


def half_found(maps):
    """A weight fraction a tenth too small."""
    table = maps.regions
    if table is None:
        return maps
    return replace(maps, regions=replace(table, weight_fraction=0.9 * table.weight_fraction))


def unsure(maps):
    """Weight fractions that are never wrong because they say nothing."""
    table = maps.regions
    esd = 100.0 * table.weight_fraction_esd_total
    return replace(maps, regions=replace(table, weight_fraction_esd_total=esd))


def fussy(raw, others):
    maps = own_pipeline(raw, others)
    if not np.isfinite(maps.a_A).any():
        raise ValueError("zero-size array to reduction operation maximum which has no identity")
    return maps


BUGS = {
    "wrong sense of rotation": (rotation_equivariance, of_scans(other_way_round)),
    "axis off by half a pixel": (rotation_equivariance, of_recipes(rotation_axis=0.5)),
    "mirrored maps": (rotation_equivariance, of_images(lambda image: image[:, ::-1])),
    "shifted maps": (rotation_equivariance, of_images(lambda image: np.roll(image, 1, axis=1))),
    "maps turned by 90°": (translation_equivariance, of_images(np.rot90)),
    "transposed maps": (translation_equivariance, of_images(np.transpose)),
    "flux ignored": (flux_scaling, of_scans(unmonitored)),
    "esd not of counts": (flux_scaling, of_maps(flat_esds)),
    "nothing filled in": (null_sample, of_maps(filled_in)),
    "crash on nothing": (null_sample, fussy),
    "a scaled by 1e-4": (planted_lattice_shift, of_maps(scaled)),
    "a gained by 0.9": (planted_lattice_shift, of_maps(gained)),
    "phase a tenth too little": (planted_phase, of_maps(half_found)),
    "phase without regions": (planted_phase, of_maps(lambda maps: replace(maps, regions=None))),
    "phase could be none": (planted_phase, of_maps(unsure)),
    "esd too small by √2": (uncertainty_coverage, of_maps(with_esds(np.sqrt(0.5)))),
    "esd too large by √2": (uncertainty_coverage, of_maps(with_esds(np.sqrt(2.0)))),
    "a scaled by 1e-4, coverage": (uncertainty_coverage, of_maps(scaled)),
    "constant error": (improvement_with_counts, of_maps(ringing)),
    "counts thrown away": (improvement_with_counts, of_scans(saturated)),
    "NaN called converged": (no_silent_nan, of_maps(holes)),
    "values without status": (no_silent_nan, of_maps(filled_in)),
    "all called unmeasured": (no_silent_nan, of_maps(called_unmeasured)),
}


SLOW = {"esd too large by √2", "a scaled by 1e-4, coverage"}


@pytest.mark.parametrize(
    ("law", "pipeline"),
    [
        pytest.param(*bug, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, bug in BUGS.items()
    ],
)
def test_planted_bug_is_found(law, pipeline):
    with pytest.raises(PropertyError) as failure:
        law(pipeline)
    message = str(failure.value)
    assert message.startswith(f"{law.__name__}: ")
    assert "\n" not in message
    assert "seed" in message


def test_all_broken_laws_are_told_together():
    with pytest.raises(ExceptionGroup) as told:
        check_all(of_maps(scaled), properties=(no_silent_nan, planted_lattice_shift))
    (failure,) = told.value.exceptions
    assert failure.law == "planted_lattice_shift"
