"""The mean of a map over shells of depth in every particle, with what is known of its error.

The study that is reproduced averages the lattice parameter over whole micrometres of depth,
LPdepth, and divides it by that of the particle, LPmean (Finegan et al., Nat. Commun. 11 (2020) 631,
figure 4). All results are linear in the shells' means m_k = Σ w_i a_i, so that one covariance of
these (:mod:`inverse.voxel_correlation`) gives all esds; of the ratio r_k = m_k/m̄ to first order,
δr_k = (δm_k − r_k δm̄)/m̄. The slope is that of the straight line through the shells, weighted by
their voxels. Voxels above or below all depths that are asked for are shells too, which are not told
of: they count in m̄, and in what the blur mixes, but not in the slope.

What a voxel's esd does not hold is not in them, above all the blur of the map
(:mod:`inverse.depth_blur`). Where it is known, every ``esd_total`` has, beside the esd, all of
what it does to the value, the ratio or the slope where it is left in, and half of that where it is
corrected for. Blur moves the shells of a gradient towards their mean: a slope is too flat by far
more than its esd, which is small because all voxels of a particle take part.

Correction takes noise along: of U·m the covariance is U C Uᵀ. For shells one voxel thick and a beam
as wide, esds of shells become 1.5 to 1.8 times as large at the surface and 2 to 3 times within, and
as U undoes averages, errors of neighbouring shells alternate in sign (correlation −0.7). A slope's
esd becomes 1.1 to 1.2 times as large only. So a single shell may well be worse with correction than
without; it pays for slopes, and for shells where the blur's part of ``esd_total`` is much the
larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inverse.boxes import Box
from inverse.depth_blur import unmixing
from inverse.depth_voxels import (
    boxes_of,
    inner_voxels,
    particle_means,
    voxels_clear_of_others,
)
from inverse.region_settings import Regions
from inverse.segment import Particles
from inverse.voxel_correlation import Correlation, covariance_of_sums
from xrdct.errors import InputError
from xrdct.spec import Spec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class DepthAverages(Spec):
    """Which voxels are averaged, and how."""

    edges_um: tuple[float, ...] | None = None
    """Depths between which shells lie, rising; None: every whole micrometre."""
    voxels: Literal["all", "inner"] = "all"
    """``inner`` leaves out voxels of which one of the eight neighbours is not the same particle."""
    clear_of_others_um: float = Field(0.0, ge=0.0)
    """Voxels nearer than this to another particle are left out."""
    weights: Literal["equal", "amount"] = "equal"
    """Every voxel counts alike, as in the study, or by the material in it."""
    correlation: Correlation = "ramp"
    """Of neighbouring voxels' errors: see :mod:`inverse.voxel_correlation`."""
    blur_um: float | None = Field(None, gt=0.0)
    """Standard deviation of the blur of the map (:func:`inverse.depth_blur.blur_sigma_um`); None:
    not known."""
    correct_blur: bool = False
    """Correct for it, where it is known; otherwise it only adds to ``esd_total``. It costs noise:
    see the module."""
    smallest_section_um: float = Field(3.0, ge=0.0)
    """Diameter of the smallest section that is evaluated."""
    fewest_voxels: int = Field(4, ge=1)
    """In a shell, or it is not told of; it counts in the particle's mean all the same."""

    @model_validator(mode="after")
    def _edges_rise(self) -> DepthAverages:
        # The rule is that of the shells of weight fractions.
        Regions(depth_edges_um=self.edges_um)
        return self


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """One particle's map by depth; esds are NaN where none were given for the voxels."""

    particle: int
    """Its number in the segmentation."""
    edges_um: Floats
    """Depths between which a shell lies, shape (shell, 2); the first shell is the outermost."""
    depth_um: Floats
    """Mean depth of the voxels of a shell, shape (shell,), as all that follow unless said."""
    n_voxels: Ints
    value: Floats
    """Mean of the map: LPdepth, Å, where it is one of lattice parameters."""
    esd: Floats
    esd_total: Floats
    """With what the blur does, where it is known."""
    mean: float
    """Over all voxels of the particle that count, whatever the depths asked for: LPmean."""
    mean_esd: float
    ratio: Floats
    """LPdepth/LPmean."""
    ratio_esd: Floats
    ratio_esd_total: Floats
    covariance: Floats
    """Of ``value``, shape (shell, shell)."""
    slope_per_um: float
    """Rise of the value per µm of depth; NaN where there is one shell only."""
    slope_esd_per_um: float
    slope_esd_total_per_um: float
    """With what the blur does to the slope, where it is known."""
    core_minus_surface: float
    """The slope times the largest depth."""
    core_minus_surface_esd: float
    core_minus_surface_esd_total: float
    """The slope's, times the largest depth, which counts as known."""


def depth_profiles(
    values: Floats,
    *,
    particles: Particles,
    step_um: float,
    amount: Floats | None = None,
    esd: Floats | None = None,
    settings: DepthAverages | None = None,
    only: Sequence[int] | None = None,
) -> tuple[DepthProfile, ...]:
    """Return the profile of every particle that lies in view as a whole and is large enough.

    values, amount and esd (y, x); voxels of which the value is NaN are left out, as are those
    without an esd where esds are given. ``amount`` is needed for weights by it only. Particles are
    left out of which no voxel lies within the depths asked for. ``only`` are the numbers of the
    particles that are wanted, by default all; the others count as neighbours all the same.

    Raises InputError where shapes differ from that of the particles' map, an amount is missing, or
    there is no particle of a number in ``only``.
    """
    chosen = settings or DepthAverages()
    _check(values, particles, amount, esd, chosen, only)
    weight = _used(values, particles, esd, step_um, chosen).astype(float)
    if chosen.weights == "amount" and amount is not None:
        weight *= np.maximum(np.nan_to_num(amount), 0.0)
    given = _Given(
        values, esd, weight, particles,
        particle_means(values, particles=particles, weight=weight), step_um, chosen,
    )  # fmt: skip
    wanted = particles.whole & (particles.diameter_um >= chosen.smallest_section_um)
    if only is not None:
        wanted &= np.isin(np.arange(wanted.size), np.asarray(only, np.int64))
    boxes = boxes_of(particles)
    found = (_profile(int(number), boxes[number], given) for number in np.flatnonzero(wanted))
    return tuple(profile for profile in found if profile is not None)


def scale_of_halves(
    half_difference: Floats, *, profiles: tuple[DepthProfile, ...], particles: Particles
) -> float:
    """Return by how much errors are larger than the profiles' esds, from two half scans.

    ``half_difference`` (y, x) is half of the map of even projections less that of odd ones, whose
    error is as large as that of the map of all. The result is the root mean square of its shells'
    means over their esds, for the shells of all profiles; 1/√(2n) of it is its own uncertainty.

    Raises InputError where there is no shell with an esd.
    """
    ratios = []
    for profile in profiles:
        for edges, esd in zip(profile.edges_um, profile.esd, strict=True):
            shell = (particles.label == profile.particle) & np.isfinite(half_difference)
            shell &= (particles.depth_um >= edges[0]) & (particles.depth_um < edges[1])
            if shell.any() and esd > 0.0:
                ratios.append(half_difference[shell].mean() / esd)
    if not ratios:
        raise InputError("halves cannot be compared: no shell of any profile has an esd.")
    return float(np.sqrt(np.mean(np.square(ratios))))


@dataclass(frozen=True, eq=False)
class _Given:
    """What is the same for all particles; maps (y, x)."""

    values: Floats
    esd: Floats | None
    weight: Floats
    """Zero where a voxel does not count."""
    particles: Particles
    means: Floats
    """Of every particle's map, shape (particle,)."""
    step_um: float
    settings: DepthAverages


@dataclass(frozen=True, eq=False)
class _Shells:
    """The shells of one particle, in its box."""

    rows: Floats
    """Weights of the voxels in each shell's mean, adding up to one, shape (shell, y, x)."""
    share: Floats
    """Of each shell in the particle's mean, shape (shell,), as all that follow unless said."""
    n_voxels: Ints
    middle_um: Floats
    edges_um: Floats
    """Shape (shell, 2)."""
    asked: Bools
    """Whether it lies within the depths that are asked for."""
    deepest_um: float
    """Depth of the deepest voxel that counts."""


def _check(
    values: Floats,
    particles: Particles,
    amount: Floats | None,
    esd: Floats | None,
    settings: DepthAverages,
    only: Sequence[int] | None,
) -> None:
    for name, given in (("values", values), ("amount", amount), ("esd", esd)):
        if given is not None and given.shape != particles.label.shape:
            raise InputError(
                f"{name} must have the shape {particles.label.shape} of the particles' map, not "
                f"{given.shape}."
            )
    if settings.weights == "amount" and amount is None:
        raise InputError('weights = "amount" needs a map of amounts.')
    count = particles.whole.size
    for number in () if only is None else only:
        if not 0 <= number < count:
            raise InputError(
                f"only must hold numbers of particles, from 0 to less than {count}, not {number}."
            )


def _used(
    values: Floats,
    particles: Particles,
    esd: Floats | None,
    step_um: float,
    settings: DepthAverages,
) -> Bools:
    """Return the voxels that count, (y, x)."""
    used = (particles.label >= 0) & np.isfinite(values)
    if esd is not None:
        used &= np.isfinite(esd)
    if settings.voxels == "inner":
        used &= inner_voxels(particles.label)
    if settings.clear_of_others_um > 0.0:
        used &= voxels_clear_of_others(
            particles, step_um=step_um, distance_um=settings.clear_of_others_um
        )
    return np.asarray(used)


def _profile(number: int, box: Box | None, given: _Given) -> DepthProfile | None:
    """Return one particle's profile; None where no voxel counts that is as deep as asked for."""
    if box is None:
        return None
    settings = given.settings
    own = (given.particles.label[box] == number) & (given.weight[box] > 0.0)
    shells = _shells(own, given.weight[box], given.particles.depth_um[box], settings)
    if shells is None:
        return None
    # A law of differences: a constant map has no rounding left in its ratio.
    local = np.nan_to_num(given.values[box])
    offset = float(local[own][0])
    m = offset + np.einsum("kyx,yx->k", shells.rows, np.where(own, local - offset, 0.0))
    covariance = np.full((m.size, m.size), np.nan)
    if given.esd is not None:
        covariance = covariance_of_sums(
            shells.rows, esd=given.esd[box], correlation=settings.correlation,
            step_um=given.step_um,
        )  # fmt: skip
    if settings.blur_um is None:
        return _summary(number, shells, m, covariance, None, 0.0, settings.fewest_voxels)
    inverse, leaked = unmixing(
        number, box, shells.rows, shells.middle_um, given.particles, given.means, offset,
        given.step_um, settings.blur_um,
    )  # fmt: skip
    sharp = offset + inverse @ (m - offset - leaked)
    if settings.correct_blur:
        covariance = inverse @ covariance @ inverse.T
        return _summary(number, shells, sharp, covariance, m, 0.5, settings.fewest_voxels)
    return _summary(number, shells, m, covariance, sharp, 1.0, settings.fewest_voxels)


def _shells(
    own: Bools, weight: Floats, depth_um: Floats, settings: DepthAverages
) -> _Shells | None:
    """Return the shells of the voxels ``own``, (y, x); None where none is asked for."""
    if not own.any():
        return None
    deepest_um = float(depth_um[own].max())
    asked_um = settings.edges_um or range(int(np.floor(deepest_um)) + 2)
    edges_um = np.array([-np.inf, *asked_um, np.inf])
    shell = np.where(own, np.searchsorted(edges_um, depth_um, side="right") - 1, -1)
    n_voxels = np.bincount(shell[own], minlength=edges_um.size - 1)
    there = np.flatnonzero(n_voxels)
    asked = (there > 0) & (there < edges_um.size - 2)
    if not asked.any():
        return None
    rows = np.where(shell == there[:, None, None], weight, 0.0)
    sums = rows.sum(axis=(1, 2))
    rows /= sums[:, None, None]
    return _Shells(
        rows=rows,
        share=sums / sums.sum(),
        n_voxels=n_voxels[there].astype(np.int64),
        middle_um=np.einsum("kyx,yx->k", rows, np.nan_to_num(depth_um)),
        edges_um=np.stack([edges_um[there], edges_um[there + 1]], axis=1),
        asked=asked,
        deepest_um=deepest_um,
    )


def _summary(
    number: int,
    shells: _Shells,
    m: Floats,
    covariance: Floats,
    other: Floats | None,
    part: float,
    fewest: int,
) -> DepthProfile:
    """Return what follows from the shells' values and their covariance.

    ``other`` are the values with the blur treated the other way; that part of the difference
    counts in total uncertainties.
    """
    other = m if other is None else other
    mean, other_mean = (float(v[0] + shells.share @ (v - v[0])) for v in (m, other))
    ratio = m / mean
    # Rows: δr_k = (δm_k − r_k Σ share δm)/mean.
    change = (np.eye(m.size) - np.outer(ratio, shells.share)) / mean
    slope = _slope(shells)
    slope_per_um = float(slope @ (m - m[0]))
    slope_esd = float(np.sqrt(slope @ covariance @ slope))
    slope_esd_total = float(np.hypot(slope_esd, part * (slope @ (other - m))))
    kept = shells.asked & (shells.n_voxels >= fewest)
    esd = np.sqrt(np.diag(covariance))
    ratio_esd = np.sqrt(np.maximum(np.diag(change @ covariance @ change.T), 0.0))
    return DepthProfile(
        particle=number,
        edges_um=shells.edges_um[kept],
        depth_um=shells.middle_um[kept],
        n_voxels=shells.n_voxels[kept],
        value=m[kept],
        esd=esd[kept],
        esd_total=np.hypot(esd, part * (other - m))[kept],
        mean=mean,
        mean_esd=float(np.sqrt(shells.share @ covariance @ shells.share)),
        ratio=ratio[kept],
        ratio_esd=ratio_esd[kept],
        ratio_esd_total=np.hypot(ratio_esd, part * (other / other_mean - ratio))[kept],
        covariance=covariance[np.ix_(kept, kept)],
        slope_per_um=slope_per_um,
        slope_esd_per_um=slope_esd,
        slope_esd_total_per_um=slope_esd_total,
        core_minus_surface=slope_per_um * shells.deepest_um,
        core_minus_surface_esd=slope_esd * shells.deepest_um,
        core_minus_surface_esd_total=slope_esd_total * shells.deepest_um,
    )


def _slope(shells: _Shells) -> Floats:
    """Return the weights of the shells' values in the slope, NaN where there is none, (shell,)."""
    share = np.where(shells.asked, shells.share, 0.0)
    share /= share.sum()
    line = share * (shells.middle_um - share @ shells.middle_um)
    squared = float(line @ shells.middle_um)
    if shells.asked.sum() < 2 or not squared > 0.0:
        return np.full(share.size, np.nan)
    return np.asarray(line / squared)
