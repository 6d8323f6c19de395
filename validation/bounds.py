"""What a scan can tell of lattice parameters and weight fractions, known before it is simulated.

:func:`predict` states, for voxels of an experiment and in seconds,

    noise        the Cramér–Rao bound given the reconstruction: counts propagated through
                 integration and filtered back projection, scale, background and fixed phases
                 refined along (:mod:`validation.bounds_rays`, :mod:`validation.bounds_fisher`)
    raw          the bound from raw counts, everything else known (:mod:`validation.bounds_raw`),
                 for what shows a voxel apart from its neighbours, which a reconstruction does not:
                 it may err less than this, about a mean over neighbours
    grains       scatter by countable crystallites (:mod:`validation.predicted_grains`)
    streaks      scatter by too few angles (:mod:`validation.predicted_streaks`)
    blur         bias by the beam's width and the interpolation between offsets
    parallax     bias by places along the beam (both :mod:`validation.predicted_images`)
    truncation   bias by what lies outside the view (:mod:`validation.predicted_outside`)
    trimming     bias by an integration that trims (:mod:`validation.predicted_trimming_bias`)

Scatter adds in squares, biases add with their signs, voxel by voxel. :func:`error_over_bound` puts
measured maps beside the noise.

What is not predicted: motion and encoders, drift of the beam, faults of the detector, a wrong
structure or profile of the recipe, a sample that changes, and methods other than filtered back
projection. Each module says where its own term fails.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from inverse.maps import Maps
from validation.bounds_counted import Counted, count_rays
from validation.bounds_fisher import bound, levers
from validation.bounds_fractions import fraction_bound
from validation.bounds_optics import Optics, prepare_optics
from validation.bounds_rays import Places, refuse_interlaced
from validation.experiment import Experiment
from validation.predicted_grains import variance_per_path
from validation.predicted_levers import material_levers, slopes_of
from validation.predicted_slice import Slice, sample_slice
from validation.predicted_systematic import systematic_errors
from validation.predicted_trimming_bias import Trimming, trimming_of
from validation.truth import Truth
from xrdct.compiled import single_threaded_algebra
from xrdct.errors import InputError
from xrdct.scan import Scan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TERMS = (
    "noise", "raw", "grains", "streaks", "blur", "parallax", "truncation", "trimming", "total",
)  # fmt: skip
_VOXELS = 200
"""Voxels looked at, unless said: typical terms are known to a twentieth then."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted errors of voxels, in Å and each of shape (voxel,) unless said."""

    row: Ints
    """Place of the voxel in the map."""
    column: Ints
    noise_A: Floats
    """Standard deviation by counting, the bound given the reconstruction."""
    raw_A: Floats
    """Least standard deviation from raw counts, everything else known, of an estimator that shows
    a change of this voxel alone as it is."""
    answer: Floats
    """Share of such a change that the reconstruction shows in the voxel, the rest in its
    neighbours: noise/answer is never below raw."""
    grains_A: Floats
    """Standard deviation by countable crystallites."""
    streaks_A: Floats
    """Standard deviation by too few angles."""
    blur_A: Floats
    """Bias, as the next three."""
    parallax_A: Floats
    truncation_A: Floats
    trimming_A: Floats
    """Zero for the plain mean."""
    amount: Floats
    """Volume fraction that the reconstruction shows, of what an integration keeps, and"""
    amount_noise: Floats
    """its standard deviation by counting."""
    weight_fraction_noise: Floats
    """Standard deviation by counting of the weight fractions of the refined and the fixed phases,
    shape (voxel, phase)."""

    @property
    def scatter_A(self) -> Floats:
        """Standard deviation of all that scatters."""
        return np.sqrt(self.noise_A**2 + self.grains_A**2 + self.streaks_A**2)

    @property
    def bias_A(self) -> Floats:
        """Sum of the biases."""
        return np.asarray(self.blur_A + self.parallax_A + self.truncation_A + self.trimming_A)

    @property
    def total_A(self) -> Floats:
        """Root of the expected squared error."""
        return np.hypot(self.scatter_A, self.bias_A)

    @property
    def typical_A(self) -> dict[str, float]:
        """RMS of every term over the voxels, and of the total."""
        return {name: _rms(getattr(self, f"{name}_A")) for name in _TERMS}


@dataclass(frozen=True, eq=False)
class RegionBound:
    """Bounds of the mean patterns of regions, each of shape (region,) unless said."""

    a_A: Floats
    """Of the mean lattice parameter given the reconstruction, in Å."""
    raw_A: Floats
    """Of one lattice parameter from raw counts, everything else known."""
    amount: Floats
    """Of the refined phase's volume fraction."""
    weight_fraction: Floats
    """Of the refined and the fixed phases' weight fractions, shape (region, phase)."""


@dataclass(frozen=True, eq=False)
class ErrorOverBound:
    """Measured errors beside the bound, over voxels that stand for all scored ones."""

    n_voxels: int
    bound_A: float
    """RMS of the bound given the reconstruction."""
    raw_bound_A: float
    """RMS of the bound from raw counts."""
    error_over_bound: float
    """RMS of error ÷ bound given the reconstruction; 1 where nothing but counting errs."""
    error_over_raw_bound: float
    """RMS of error ÷ bound from raw counts."""


def predict(
    experiment: Experiment,
    *,
    optics: Optics | None = None,
    region: str = "interior",
    n_voxels: int = _VOXELS,
    workers: int | None = None,
) -> Prediction:
    """Return predicted errors of voxels of the experiment's scan.

    The voxels are spread over all those of ``region``, interior or eroded, that hold one lattice.
    ``optics`` (:func:`validation.bounds_optics.prepare_optics`) may be given where several scans
    of one sample and instrument are asked about; only the experiment's scan and recipe are then
    its own. Voxels of which trimming leaves nothing to refine are left out.

    Raises InputError where there are no such voxels, the scan is interlaced, or an integration
    trims so much that nothing can be said.
    """
    optics = _optics(experiment, optics, workers)
    view = sample_slice(
        optics.lab.sample, scan=experiment.scan, beam=experiment.beam,
        effects=experiment.effects, workers=workers,
    )  # fmt: skip
    where = view.eroded if region == "eroded" else view.interior
    return predict_at(experiment, *_spread(where, n_voxels), optics=optics, view=view)


def predict_at(
    experiment: Experiment, row: Ints, column: Ints, *, optics: Optics, view: Slice
) -> Prediction:
    """Return predicted errors of the voxels at ``row`` and ``column`` of the map.

    Voxels are left out, and errors raised, as in :func:`predict`.
    """
    if row.size == 0:
        raise InputError("there are no voxels of one lattice inside a particle and in view")
    with single_threaded_algebra():  # products here are too small to share
        return _predicted(experiment.scan, row, column, optics=optics, view=view)


def _predicted(scan: Scan, row: Ints, column: Ints, *, optics: Optics, view: Slice) -> Prediction:
    places = Places.single(scan.offsets_um[column], scan.offsets_um[row])
    a_A, amount = view.view_a_A[row, column], view.view_amount[row, column]
    counted = count_rays(optics, places, scan=scan, a_A=a_A, amount=amount)
    # The analysis fits whole patterns, whatever an integration has kept of them.
    whole = np.ones(counted.kept.size)
    material = material_levers(
        optics, a_A=a_A, amount=amount, variance=counted.variance, kept=whole
    )
    found = systematic_errors(optics, view, material, scan=scan, row=row, column=column)
    shown = np.maximum(found.amount, 0.05 * amount)
    if optics.statistics is None:
        terms = _untrimmed(optics, counted, a_A=a_A, amount=shown, kept=whole)
    else:
        terms = trimming_of(optics, scan=scan, x_um=places.x_um, y_um=places.y_um)
    kept = (terms.amount / shown)[:, None, None]
    every = Prediction(
        row=row,
        column=column,
        noise_A=np.sqrt(terms.covariance[:, 0, 0]),
        raw_A=1.0 / np.sqrt(counted.raw_information),
        answer=counted.answer,
        grains_A=terms.grains_A,
        streaks_A=found.streaks_A,
        blur_A=found.blur_A,
        parallax_A=found.parallax_A,
        truncation_A=found.truncation_A,
        trimming_A=terms.bias_A,
        amount=terms.amount,
        amount_noise=np.sqrt(terms.covariance[:, 1, 1]),
        weight_fraction_noise=fraction_bound(
            optics, terms.covariance / kept**2, amount, view.view_extra[:, row, column], a_A
        ),
    )
    return _found(every)


def _untrimmed(
    optics: Optics, counted: Counted, *, a_A: Floats, amount: Floats, kept: Floats
) -> Trimming:
    """Return the same terms where nothing is trimmed."""
    slopes = slopes_of(optics, a_A=a_A, amount=amount, kept=kept)
    lever = levers(slopes, variance=counted.variance)[:, 0]
    per_path = variance_per_path(optics, lever, mean_path_um=counted.mean_path_um)
    return Trimming(
        bias_A=np.zeros(amount.size),
        grains_A=np.sqrt(np.einsum("vs,vs->v", counted.path_squares_um, per_path)),
        amount=amount,
        covariance=bound(slopes, variance=counted.variance),
    )


def _found(every: Prediction) -> Prediction:
    """Return the prediction without voxels in which the refinement finds nothing."""
    found = np.isfinite(every.trimming_A)
    return Prediction(**{part.name: getattr(every, part.name)[found] for part in fields(every)})


def region_bound(
    experiment: Experiment,
    label: Ints,
    *,
    optics: Optics | None = None,
    workers: int | None = None,
) -> RegionBound:
    """Return the bounds of the mean patterns of the regions 0, 1, … in ``label``, (y, x).

    −1 is none of them. Raises InputError where a region holds no spinel, or is not seen by every
    projection.
    """
    optics, scan = _optics(experiment, optics, workers), experiment.scan
    view = sample_slice(
        optics.lab.sample, scan=scan, beam=experiment.beam, effects=experiment.effects,
        workers=workers,
    )  # fmt: skip
    places = Places.of_labels(label, step_um=scan.step_um)
    if places.x_um.size and np.hypot(places.x_um, places.y_um).max() > scan.offsets_um[-1]:
        raise InputError("label must be −1 wherever a voxel is not seen by every projection")
    iy, ix = np.nonzero(label >= 0)

    def mean(values: Floats, weights: Floats | None = None) -> Floats:
        top = np.bincount(places.region, values if weights is None else values * weights)
        return np.asarray(top / np.bincount(places.region, weights))

    own = view.view_amount[iy, ix]
    amount = mean(own)
    if not np.all(amount > 0.0):
        raise InputError("every region must hold some of the refined phase")
    a_A = mean(view.view_a_A[iy, ix], own)
    counted = count_rays(optics, places, scan=scan, a_A=a_A, amount=own)
    slopes = slopes_of(optics, a_A=a_A, amount=amount, kept=counted.kept)
    covariance = bound(slopes, variance=counted.variance)
    extra = np.array([mean(phase[iy, ix]) for phase in view.view_extra])
    return RegionBound(
        a_A=np.sqrt(covariance[:, 0, 0]),
        raw_A=1.0 / np.sqrt(counted.raw_information),
        amount=np.sqrt(covariance[:, 1, 1]),
        weight_fraction=fraction_bound(optics, covariance, amount, extra, a_A),
    )


def error_over_bound(
    maps: Maps,
    truth: Truth,
    experiment: Experiment,
    *,
    n_voxels: int = 2 * _VOXELS,
    workers: int | None = None,
) -> ErrorOverBound | None:
    """Return measured errors over the bounds of the same voxels; None where none was recovered.

    Voxels are spread over the interior ones of one lattice. Raises InputError where maps and truth
    lie on different grids, or the scan is interlaced.
    """
    if maps.a_A.shape != truth.a_A.shape:
        raise InputError(
            f"maps of {maps.a_A.shape} voxels cannot be compared with a truth of {truth.a_A.shape}"
        )
    refuse_interlaced(experiment.scan)
    if (maps.scan.n_offsets, maps.scan.step_um) != (
        experiment.scan.n_offsets,
        experiment.scan.step_um,
    ):
        raise InputError("the maps are not those of the experiment's own scan")
    scored = truth.interior & ~truth.two_lattices & np.isfinite(maps.a_A)
    row, column = _spread(scored, n_voxels)
    if row.size == 0:
        return None
    optics, scan = _optics(experiment, None, workers), experiment.scan
    a_A, amount = truth.a_A[row, column], truth.volume_fraction[row, column]
    places = Places.single(scan.offsets_um[column], scan.offsets_um[row])
    counted = count_rays(optics, places, scan=scan, a_A=a_A, amount=amount)
    slopes = slopes_of(optics, a_A=a_A, amount=amount, kept=counted.kept)
    noise_A = np.sqrt(bound(slopes, variance=counted.variance)[:, 0, 0])
    raw_A = 1.0 / np.sqrt(counted.raw_information)
    error_A = maps.a_A[row, column] - a_A
    return ErrorOverBound(
        n_voxels=row.size,
        bound_A=_rms(noise_A),
        raw_bound_A=_rms(raw_A),
        error_over_bound=_rms(error_A / noise_A),
        error_over_raw_bound=_rms(error_A / raw_A),
    )


def _optics(experiment: Experiment, optics: Optics | None, workers: int | None) -> Optics:
    """Return what was prepared, with the experiment's own exposure and recipe."""
    if optics is None:
        return prepare_optics(experiment, workers=workers)
    calibration = optics.recipe.calibration
    recipe = experiment.recipe.model_copy(update={"calibration": calibration})
    return replace(optics, recipe=recipe)


def _spread(where: NDArray[np.bool_], most: int) -> tuple[Ints, Ints]:
    """Return the places of at most so many voxels, evenly spread."""
    row, column = np.nonzero(where)
    chosen = np.unique(np.linspace(0, max(row.size - 1, 0), min(row.size, most)).astype(np.int64))
    return row[chosen], column[chosen]


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
