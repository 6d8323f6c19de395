"""From a raw scan to the sinogram that is reconstructed, by the steps a recipe switches on.

In this order, each on the result of the one before:

    normalised counts → zingers → encoders, rotation axis and drift → stripes → air → absorption
    → container → what lies outside the field of view

Rays are interpolated once only, from where encoders and drift together say they passed. Those of an
interlaced scan come to half-steps on the way (:mod:`inverse.interlace`), and the sinogram is one of
half the step from then on. Stripes are looked for in rays that are at their set-points, as offsets
and projections are then what they are called. Air is no part of the sample and does not leave it as
its scattering does. The factor by which absorption changes a ray is that of all that scatters along
it, so it is divided out while that is whole, before parts of it are taken away. The container goes
from all scans alike, so that what is projected from outside the view holds none of it.

The linked scans of the surroundings pass the same steps, but for drift and stripes, and were taken
about the same axis: where the scan itself does not tell it well, one that sees all of the sample
may (:mod:`inverse.axis_certainty`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inverse.absorption import attenuation_map, corrected_for_absorption
from inverse.axis_certainty import about_surest_axis, known_axis
from inverse.completion import amount_of, completed
from inverse.drift import drift
from inverse.geometry import checked_angles
from inverse.interlace import at_half_steps
from inverse.positions import on_set_points
from inverse.recipe import OTHER_SCANS, Recipe
from inverse.recipe_steps import SinogramSteps, Truncation
from inverse.rotation_axis import rotation_axis
from inverse.sinogram import Sinogram, sinogram_of
from inverse.stripes import without_stripes
from inverse.surroundings import (
    air_pattern,
    container_of,
    without_constant,
    without_container,
)
from inverse.truncation import without_outside
from inverse.zingers import without_zingers
from xrdct.errors import InputError, told_of
from xrdct.rawfile import RawScan

Others = Mapping[str, RawScan]

_FINDS = "sinogram.rotation_axis = 'find' of the recipe"


def check_scans(others: Others, *, recipe: Recipe) -> None:
    """Raise InputError where a scan is missing that this recipe cannot do without."""
    for name in recipe.needed_scans:
        if name not in others:
            there = ", ".join(others) or "none"
            raise InputError(
                f"truncation.method = {recipe.truncation.method!r} of the recipe needs a linked "
                f"scan named {name}, but there is {there}."
            )
    if recipe.truncation.container and not set(others) & set(OTHER_SCANS):
        raise InputError(
            "truncation.container = true of the recipe needs a linked scan named coarse or broad, "
            "which sees all of the container, but there is none."
        )


def prepared_sinogram(
    raw: RawScan, *, others: Others, recipe: Recipe, workers: int | None = None
) -> Sinogram:
    """Return the sinogram to reconstruct, after all steps.

    Raises InputError where a step does not suit the scan or lacks another scan.
    """
    own, surroundings = prepared_scans(raw, others=others, recipe=recipe, workers=workers)
    return without_truncation(own, surroundings, recipe=recipe, workers=workers)


def prepared_scans(
    raw: RawScan, *, others: Others, recipe: Recipe, workers: int | None = None
) -> tuple[Sinogram, dict[str, Sinogram]]:
    """Return the sinogram and those of its surroundings, by name, after all steps but the last.

    Raises InputError as :func:`prepared_sinogram` does.
    """
    check_scans(others, recipe=recipe)
    steps = recipe.sinogram
    there = [name for name in OTHER_SCANS if name in recipe.helpful_scans and name in others]

    def aligned(name: str, about_um: float) -> Sinogram:
        known = steps.model_copy(
            update={"rotation_axis": about_um, "axis_search_um": None, "drift_terms": 0}
        )
        return _aligned(others[name], _cleaned(others[name], recipe, workers), known, workers)

    # With a drift, and to merge half-steps, the axis is needed before rays reach their set-points.
    later = steps.rotation_axis == "find" and steps.drift_terms == 0 and not raw.scan.interlaced
    first = steps.model_copy(update={"rotation_axis": "middle"}) if later else steps
    own = _aligned(raw, _cleaned(raw, recipe, workers), first, workers)
    if later:
        with told_of(_FINDS):
            axis = known_axis(own, search_um=steps.axis_search_um, workers=workers)
        own = about_surest_axis(own, axis, lambda: (aligned(name, 0.0) for name in there))
    if steps.stripes != "none":
        own = without_stripes(own, method=steps.stripes, workers=workers)
    scans = {name: aligned(name, own.axis_offset_um) for name in there}
    return _less_surroundings(own, scans, recipe, workers)


def _less_surroundings(
    own: Sinogram, scans: dict[str, Sinogram], recipe: Recipe, workers: int | None
) -> tuple[Sinogram, dict[str, Sinogram]]:
    """Return all scans less air, absorption and container, as the widest of them shows these."""
    every = [own, *scans.values()]
    # The widest scan comes last: the further scans are named from narrow to broad.
    if recipe.truncation.air:
        with told_of("truncation.air = true of the recipe"):
            air = air_pattern(every[-1])
        every = [without_constant(scan, air) for scan in every]
    if recipe.sinogram.absorption:
        attenuation = attenuation_map(every[-1], workers=workers)
        every = [
            corrected_for_absorption(scan, attenuation=attenuation, workers=workers)
            for scan in every
        ]
    if recipe.truncation.container:
        container = container_of(every[-1], workers=workers)
        if container is not None:
            every = [without_container(scan, container, workers=workers) for scan in every]
    return every[0], dict(zip(scans, every[1:], strict=True))


def without_truncation(
    sinogram: Sinogram,
    surroundings: Mapping[str, Sinogram],
    *,
    recipe: Recipe,
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram that ends at zero: of what is in view alone, or completed.

    Without either in the recipe it stays what it is. Raises InputError as the methods do.
    """
    cut: Truncation = recipe.truncation
    broad = surroundings["broad"] if cut.use_broad else None
    if cut.method == "coarse":
        return without_outside(
            sinogram, coarse=surroundings["coarse"], broad=broad, parallax=cut.parallax,
            filter_name=recipe.reconstruction.filter, workers=workers,
        )  # fmt: skip
    if cut.method == "complete":
        amount = None if broad is None else amount_of(broad)
        return completed(sinogram, width_um=cut.width_um, amount=amount)
    return sinogram


def _cleaned(raw: RawScan, recipe: Recipe, workers: int | None) -> Sinogram:
    """Return the normalised sinogram as it was measured, without zingers."""
    distance_m = recipe.calibration.distance_m if recipe.calibration else None
    sinogram = sinogram_of(raw, distance_m=distance_m)
    threshold = recipe.sinogram.zingers_sigma
    if threshold is None:
        return sinogram
    return without_zingers(sinogram, threshold_sigma=threshold, workers=workers)[0]


def _aligned(
    raw: RawScan, measured: Sinogram, steps: SinogramSteps, workers: int | None
) -> Sinogram:
    """Return the sinogram at its set-points, about its axis, straightened."""
    readings = raw.readings if steps.regrid else None  # None: the set-points hold
    interlaced = raw.scan.interlaced
    offsets_um = raw.scan.projection_offsets_um
    if readings is not None:
        offsets_um = readings.encoder_offset_um
        angles_rad = checked_angles(
            readings.encoder_rotation_rad, n_angles=measured.angles_rad.size
        )
        measured = replace(measured, angles_rad=angles_rad)
    placed = measured
    if readings is not None or interlaced:
        placed = on_set_points(measured, offsets_um=offsets_um, workers=workers)
    if steps.drift_terms > 0:
        with told_of("sinogram.drift_terms of the recipe"):
            found = drift(
                placed, times_s=None if raw.readings is None else raw.readings.time_s,
                degree=steps.drift_terms, search_um=steps.axis_search_um, workers=workers,
            )  # fmt: skip
        axis_um = found.axis_offset_um
        offsets_um = offsets_um - found.displacement_um[:, None]
    else:
        axis_um = _axis_offset_um(placed, steps, workers)
    if steps.drift_terms == 0 and not interlaced:
        return replace(placed, axis_offset_um=axis_um)
    del placed
    known = replace(measured, axis_offset_um=axis_um)
    place = at_half_steps if interlaced else on_set_points
    return place(known, offsets_um=offsets_um, workers=workers)


def _axis_offset_um(sinogram: Sinogram, steps: SinogramSteps, workers: int | None) -> float:
    if steps.rotation_axis == "middle":
        return 0.0
    if steps.rotation_axis == "find":
        with told_of(_FINDS):
            return rotation_axis(
                sinogram, search_um=steps.axis_search_um, workers=workers
            ).offset_um
    return float(steps.rotation_axis)
