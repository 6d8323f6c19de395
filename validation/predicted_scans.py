"""Errors of many scans of one sample and instrument: what they share is worked out once.

The terms are those of :mod:`validation.bounds`, by the same formulae. What a scan's step and view
decide is a :class:`Sight`; angles and exposure enter in closed form:

    noise² ∝ P/(exposure · angles)      grains² ∝ P/angles
    streaks²  from the number of distinct angles,  blur, truncation  from neither
    parallax  none over a full turn

with P what interpolation between rays leaves (:func:`validation.bounds_rays.mean_power`), the mean
over the scan's own angles. Noise is worked out for few voxels and angles, and goes to all voxels
looked at by the mean of P/φ², φ the amount that they show.

Levers, the images of parallax and the spectra that streaks come from are those of one reference
scan: they depend on the scan through the shape of the noise over the channels alone.

Where this fails: as :mod:`validation.bounds` says; besides, integrations that trim are taken to
scatter as the mean of what they keep, levers to be the same for all views, and the bias that
trimming adds (:mod:`validation.predicted_trimming_bias`) is left out: it changes with step, view
and exposure, and takes seconds for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inverse.recipe import Recipe
from validation.bounds_fisher import bound, levers
from validation.bounds_fractions import fraction_bound
from validation.bounds_optics import Optics, prepare_optics
from validation.bounds_rays import mean_power
from validation.experiment import Experiment
from validation.predicted_beyond import Whole, beyond, whole_of
from validation.predicted_fields import Field, fields_of
from validation.predicted_grains import variance_per_path
from validation.predicted_levers import Levers, material_levers, slopes_of
from validation.predicted_mixtures import biases_of
from validation.predicted_rays import RayTable, ray_table, squared_shares
from validation.predicted_scene import Scene, Voxels, scene_of, voxels_of
from validation.predicted_shown import bins_of, resolution_um, spread_of
from validation.predicted_streaks import distinct_angles, streak_kernel
from validation.predicted_transfer import Transfer, transfer_of
from validation.predicted_trimming import check_kept
from xrdct.compiled import single_threaded_algebra
from xrdct.errors import InputError
from xrdct.scan import Scan

Floats = NDArray[np.float64]

_VOXELS, _NOISE_VOXELS = 240, 48
"""Looked at for biases, which few voxels at surfaces rule, and for noise, which is even."""
_BIN_A = 1e-3
_NODES = 8
"""Distances from the axis at which streaks are worked out."""
_HALF_TURN_DEG = 180.0


class Errors(NamedTuple):
    """Typical errors of one scan: RMS over voxels, in Å."""

    noise_A: float
    grains_A: float
    streaks_A: float
    blur_A: float
    parallax_A: float
    truncation_A: float
    bias_A: float
    """Mean of blur, parallax and truncation together, with its sign."""
    bias_rms_A: float
    """RMS of the same."""
    total_A: float
    weight_fraction: float | None
    """By counting, of one voxel, of the phase known worst; None where only one is refined."""
    resolution_um: float
    n_voxels: int
    """Voxels of the region that there are."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What a scan's step and view decide; arrays (voxel,) unless said."""

    n_voxels: int
    blur_A: Floats
    parallax_A: Floats
    """Over a half turn."""
    truncation_A: Floats
    weight: Floats
    """Of each class, over its amount and slope, (class, voxel): turns a field's standard deviation
    into that of the lattice parameter."""
    radius_um: Floats
    transfer: Transfer
    resolution_um: float
    x_um: Floats
    y_um: Floats
    amount: Floats
    """Volume fraction that is shown, at least a twentieth of the true one."""
    noise_A2: float
    """Mean square for Σ w² = 1 (:func:`validation.predicted_rays.squared_shares`), 1 s and
    P/φ² = 1."""
    grains_A2: float
    """The same, of any exposure."""
    fraction_2: float | None
    """Mean square of the weight fraction of the phase known worst, as ``noise_A2``."""


@dataclass(frozen=True, eq=False)
class ManyScans:
    """A sample in front of an instrument, ready to be asked about any scan."""

    optics: Optics
    region: str
    scene: Scene
    table: RayTable
    levers: Levers
    fields: tuple[Field, ...]

    def errors(
        self, scan: Scan, recipe: Recipe | None = None, *, coarse: Scan | None = None
    ) -> Errors:
        """Return the typical errors of a scan by a recipe (its view within the widest one).

        ``coarse`` is the scan that the recipe subtracts, where it does.

        Raises InputError where no voxel lies inside a particle, for interlaced scans, and where an
        integration trims away what there is.
        """
        recipe = recipe or self.optics.recipe
        check_kept(self.optics, self.table.counts_per_s * scan.exposure_s)
        with single_threaded_algebra():
            sight = _sight_of(self, scan.n_offsets, scan.step_um, _means(recipe, coarse))
            shares = squared_shares(scan) * _power(sight, scan, recipe.reconstruction.filter)
            streaks_2 = _streaks_A2(self, sight, distinct_angles(scan))
        full_turn = scan.angle_range_deg > _HALF_TURN_DEG
        parallax_A = sight.parallax_A * (0.0 if full_turn else 1.0)
        bias_A = sight.blur_A + parallax_A + sight.truncation_A
        noise_2, grains_2 = sight.noise_A2 * shares / scan.exposure_s, sight.grains_A2 * shares
        fraction_2 = sight.fraction_2
        return Errors(
            noise_A=noise_2**0.5,
            grains_A=grains_2**0.5,
            streaks_A=streaks_2**0.5,
            blur_A=_rms(sight.blur_A),
            parallax_A=_rms(parallax_A),
            truncation_A=_rms(sight.truncation_A),
            bias_A=float(bias_A.mean()),
            bias_rms_A=_rms(bias_A),
            total_A=float(np.sqrt(noise_2 + grains_2 + streaks_2 + np.mean(bias_A**2))),
            weight_fraction=None
            if fraction_2 is None
            else float(np.sqrt(fraction_2 * shares / scan.exposure_s)),
            resolution_um=sight.resolution_um,
            n_voxels=sight.n_voxels,
        )


class _Means(NamedTuple):
    """What of a recipe decides how rays become voxels."""

    filter_name: str
    padding: str
    mended: bool
    """Whether projections are completed to the sample's edge."""
    coarse: Scan | None
    """The scan that is subtracted outside the view; None where none is."""


def many_scans(
    experiment: Experiment,
    *,
    region: str = "interior",
    extent_um: float | None = None,
    workers: int | None = None,
) -> ManyScans:
    """Return an experiment's sample and instrument ready for any scan.

    Views may reach ``extent_um`` from the first offset to the last; None: the experiment's own.

    Raises InputError for a sample that cannot be built, or has no voxel inside a particle.
    """
    scan = experiment.scan
    extent_um = 2.0 * float(scan.offsets_um[-1]) if extent_um is None else extent_um
    optics = prepare_optics(experiment, rough=True, workers=workers)
    sample, beam, effects = optics.lab.sample, experiment.beam, experiment.effects
    with single_threaded_algebra():
        scene = scene_of(sample, view_um=extent_um, beam=beam, effects=effects, workers=workers)
        table = ray_table(optics, extent_um=extent_um, exposure_s=scan.exposure_s)
        voxels = _some(scene, scan, region, _NOISE_VOXELS)
        means = _means(optics.recipe)
        variance, _ = table.gathered(
            voxels, scan=scan, filter_name=means.filter_name, padding=means.padding
        )
        found = material_levers(
            optics, a_A=voxels.a_A, amount=voxels.amount, variance=variance, kept=table.kept
        )
        return ManyScans(
            optics=optics,
            region=region,
            scene=scene,
            table=table,
            levers=found,
            fields=fields_of(optics, scene, found, effects),
        )


def _means(recipe: Recipe, coarse: Scan | None = None) -> _Means:
    method = recipe.truncation.method
    subtracted = coarse is not None and method == "coarse"
    return _Means(
        filter_name=recipe.reconstruction.filter,
        padding=recipe.padding,
        mended=method != "none" and not subtracted,
        coarse=coarse if subtracted else None,
    )


def _some(scene: Scene, scan: Scan, region: str, most: int) -> Voxels:
    voxels = voxels_of(scene, scan, region=region, most=most)
    if voxels.x_um.size == 0:
        raise InputError(
            f"at steps of {scan.step_um:g} µm no voxel in view lies inside one particle"
        )
    return voxels


@lru_cache(maxsize=256)
def _sight_of(many: ManyScans, n_offsets: int, step_um: float, means: _Means) -> Sight:
    """Return what a step and a view decide."""
    scene = many.scene
    scan = Scan(n_offsets=n_offsets, step_um=step_um, n_angles=1)
    most = _VOXELS if means.coarse is None else 2 * _VOXELS  # those at the rim rule then
    voxels = _some(scene, scan, many.region, most)
    transfer = _transfer(many, step_um, means)
    spread = spread_of(scene, voxels, transfer=transfer)
    bins_A = bins_of(np.append(scene.a_A[scene.a_A > 0.0], voxels.a_A), spacing_A=_BIN_A)
    shown = spread.mixture(scene, bins_A)
    more = None
    if not means.mended and 0.5 * scene.diameter_um > scan.offsets_um[-1]:
        more = beyond(
            _whole(many), voxels, scan=scan, filter_name=means.filter_name, padding=means.padding,
            coarse=means.coarse,
        )  # fmt: skip
    terms, weight = biases_of(
        many.levers, many.fields, voxels, spread, shown, more, emptied=means.coarse is not None
    )
    every = max(1, voxels.x_um.size // _NOISE_VOXELS)
    amount = np.maximum(terms[3], 0.05 * voxels.amount)
    noise_2, grains_2, fraction_2 = _scatter(many, voxels, amount, scan, means, every)
    return Sight(
        n_voxels=voxels.n_all,
        blur_A=terms[0],
        parallax_A=terms[1],
        truncation_A=terms[2],
        weight=weight,
        radius_um=np.hypot(voxels.x_um, voxels.y_um),
        transfer=transfer,
        resolution_um=resolution_um(transfer),
        x_um=voxels.x_um,
        y_um=voxels.y_um,
        amount=amount,
        noise_A2=noise_2,
        grains_A2=grains_2,
        fraction_2=fraction_2,
    )


def _transfer(many: ManyScans, step_um: float, means: _Means) -> Transfer:
    """Return the transfer function of a scan of the experiment's beam."""
    return transfer_of(
        many.optics.lab.instrument, effects=many.optics.lab.experiment.effects, step_um=step_um,
        filter_name=means.filter_name,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _whole(many: ManyScans) -> Whole:
    """Return the whole slice, which scans of samples in view do without."""
    experiment = many.optics.lab.experiment
    return whole_of(many.optics.lab.sample, beam=experiment.beam, effects=experiment.effects)


@lru_cache(maxsize=4096)
def _streaks_A2(many: ManyScans, sight: Sight, number: int) -> float:
    """Return the mean square of streaks of so many distinct angles."""
    spectra = [field.spectrum for field in many.fields]
    nodes = np.linspace(0.0, max(float(sight.radius_um.max()), 1e-9), _NODES)
    kernel = streak_kernel(
        spectra[0].per_um, nodes, transfer=sight.transfer, number=number,
        sample_radius_um=0.5 * many.scene.diameter_um,
    )  # fmt: skip
    variance = np.stack([s.density for s in spectra]) @ kernel
    deviation = [np.interp(sight.radius_um, nodes, np.sqrt(of_class)) for of_class in variance]
    return float(np.mean(np.sum(sight.weight * np.stack(deviation), axis=0) ** 2))


def _power(sight: Sight, scan: Scan, filter_name: str) -> float:
    """Return the mean of P/φ² over the voxels, of a scan's angles."""
    return _power_of(sight, scan.model_copy(update={"exposure_s": 1.0}), filter_name)


@lru_cache(maxsize=4096)
def _power_of(sight: Sight, scan: Scan, filter_name: str) -> float:
    power = mean_power(
        sight.x_um, sight.y_um, scan=scan, angles_rad=scan.angles_rad, filter_name=filter_name
    )
    return float((power / sight.amount**2).mean())


def _scatter(
    many: ManyScans, voxels: Voxels, shown: Floats, scan: Scan, means: _Means, every: int
) -> tuple[float, float, float | None]:
    """Return mean squares of noise, grains and the weight fraction known worst, over P/φ²."""
    optics, kept = many.optics, many.table.kept
    some = np.argsort(voxels.a_A, kind="stable")[every // 2 :: every]  # noise goes with a
    few = replace(
        voxels, x_um=voxels.x_um[some], y_um=voxels.y_um[some], amount=voxels.amount[some],
        a_A=voxels.a_A[some], extra=voxels.extra[:, some],
    )  # fmt: skip
    variance, paths = many.table.gathered(
        few, scan=scan, filter_name=means.filter_name, padding=means.padding
    )
    power = mean_power(
        few.x_um, few.y_um, scan=scan, angles_rad=many.table.angles_rad,
        filter_name=means.filter_name,
    ) / shown[some] ** 2  # fmt: skip
    slopes = slopes_of(optics, a_A=few.a_A, amount=shown[some], kept=kept)
    covariance = bound(slopes, variance=variance)
    grains = 0.0
    if optics.rings.rings.line.size:
        lever = levers(slopes, variance=variance)[:, 0]
        mean_path = many.table.path_um.mean(axis=(0, 1))
        per_path = variance_per_path(optics, lever, mean_path_um=mean_path)
        grains = float((np.einsum("vs,vs->v", paths, per_path) / power).mean())
    fraction = None
    if optics.recipe.fixed_phases:
        spread = fraction_bound(optics, covariance, few.amount, few.extra, few.a_A)
        fraction = float(np.mean(spread**2 / power[:, None], axis=0).max())
    return float((covariance[:, 0, 0] / power).mean()), grains, fraction


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
