"""The mean of a map over shells of depth in every particle, with what is known of its error.

The study that is reproduced averages the lattice parameter over whole micrometres of depth,
LPdepth, and divides it by that of the particle, LPmean (Finegan et al., Nat. Commun. 11 (2020) 631,
figure 4). All results are linear in the shells' means m_k = Σ w_i a_i, so that one covariance of
these (:mod:`inverse.voxel_correlation`) gives all esds; of the ratio r_k = m_k/m̄ to first order,
δr_k = (δm_k − r_k δm̄)/m̄. The slope is that of the straight line through the shells, weighted by
their voxels.

What a voxel's esd does not hold is not in them, above all the blur of the map
(:mod:`inverse.depth_blur`). Where it is known, ``esd_total`` has, beside the esd, all of what it
does where it is left in, and half of that where it is corrected for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.ndimage import distance_transform_edt

from inverse.depth_blur import box_of, unmixing
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
    """Correct for it, where it is known; otherwise it only adds to ``esd_total``."""
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
    """Over the whole particle: LPmean."""
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
    core_minus_surface: float
    """The slope times the largest depth."""
    core_minus_surface_esd: float


def depth_profiles(
    values: Floats,
    *,
    particles: Particles,
    step_um: float,
    amount: Floats | None = None,
    esd: Floats | None = None,
    settings: DepthAverages | None = None,
) -> tuple[DepthProfile, ...]:
    """Return the profile of every particle that lies in view as a whole and is large enough.

    values, amount and esd (y, x); voxels of which the value is NaN are left out, as are those
    without an esd where esds are given. ``amount`` is needed for weights by it only.

    Raises InputError where shapes differ from that of the particles' map, or an amount is missing.
    """
    chosen = settings or DepthAverages()
    _check(values, particles, amount, esd, chosen)
    profiles = []
    used = _used(values, particles, esd, step_um, chosen)
    weight = used.astype(float)
    if chosen.weights == "amount" and amount is not None:
        weight *= np.maximum(np.nan_to_num(amount), 0.0)
    means = _particle_means(values, particles, weight)
    for number in np.flatnonzero(
        particles.whole & (particles.diameter_um >= chosen.smallest_section_um)
    ):
        own = (particles.label == number) & (weight > 0.0)
        if own.any():
            profiles.append(
                _profile(int(number), own, weight, values, esd, particles, means, step_um, chosen)
            )
    return tuple(profiles)


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


def _check(
    values: Floats,
    particles: Particles,
    amount: Floats | None,
    esd: Floats | None,
    settings: DepthAverages,
) -> None:
    for name, given in (("values", values), ("amount", amount), ("esd", esd)):
        if given is not None and given.shape != particles.label.shape:
            raise InputError(
                f"{name} must have the shape {particles.label.shape} of the particles' map, not "
                f"{given.shape}."
            )
    if settings.weights == "amount" and amount is None:
        raise InputError('weights = "amount" needs a map of amounts.')


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
        used &= _inner(particles.label)
    if settings.clear_of_others_um > 0.0:
        used &= _distance_to_others_um(particles, step_um) >= settings.clear_of_others_um
    return np.asarray(used)


def _inner(label: Ints) -> Bools:
    """Return the voxels of which all eight neighbours are the same particle."""
    padded = np.pad(label, 1, constant_values=-2)
    n_y, n_x = label.shape
    inner = label >= 0
    for dy in range(3):
        for dx in range(3):
            inner &= padded[dy : dy + n_y, dx : dx + n_x] == label
    return np.asarray(inner)


def _distance_to_others_um(particles: Particles, step_um: float) -> Floats:
    """Return how far every particle's voxels lie from the next other particle, (y, x)."""
    label = particles.label
    distance = np.full(label.shape, np.inf)
    for number in range(particles.whole.size):
        own = label == number
        others = (label >= 0) & ~own
        if own.any() and others.any():
            distance[own] = step_um * (distance_transform_edt(~others)[own] - 0.5)
    return distance


def _particle_means(values: Floats, particles: Particles, weight: Floats) -> Floats:
    """Return the mean of the map in every particle, NaN where nothing is known, (particle,)."""
    inside = (particles.label >= 0) & (weight > 0.0)
    n = particles.whole.size
    total = np.bincount(particles.label[inside], weight[inside], n)
    summed = np.bincount(particles.label[inside], (weight * np.nan_to_num(values))[inside], n)
    with np.errstate(invalid="ignore"):
        return np.asarray(summed / np.where(total > 0.0, total, np.nan))


def _profile(
    number: int,
    own: Bools,
    weight: Floats,
    values: Floats,
    esd: Floats | None,
    particles: Particles,
    means: Floats,
    step_um: float,
    settings: DepthAverages,
) -> DepthProfile:
    """Return one particle's profile."""
    box = box_of(particles.label == number)
    depth_um, own, weight = particles.depth_um[box], own[box], np.where(own, weight, 0.0)[box]
    edges_um = _edges_um(depth_um[own], settings)
    shell = np.where(own, np.searchsorted(edges_um, depth_um, side="right") - 1, -1)
    shells = np.array([k for k in range(edges_um.size - 1) if np.any(shell == k)], int)
    if shells.size == 0:
        raise InputError(
            f"no voxel of particle {number} lies within the depths "
            f"{edges_um[0]:g} to {edges_um[-1]:g} µm."
        )
    rows = np.stack([np.where(shell == k, weight, 0.0) for k in shells])
    sums = rows.sum(axis=(1, 2))
    rows /= sums[:, None, None]
    middle_um = np.einsum("kyx,yx->k", rows, np.nan_to_num(depth_um))
    # A law of differences: a constant map has no rounding left in its ratio.
    local = np.nan_to_num(values[box])
    offset = float(local[own][0])
    m = offset + np.einsum("kyx,yx->k", rows, np.where(own, local - offset, 0.0))
    covariance = np.full((shells.size, shells.size), np.nan)
    if esd is not None:
        covariance = covariance_of_sums(
            rows, esd=esd[box], correlation=settings.correlation, step_um=step_um
        )
    share = sums / sums.sum()
    change = np.zeros((2, shells.size))
    if settings.blur_um is not None:
        inverse, leaked = unmixing(
            number, rows, middle_um, particles, means, offset, step_um, settings.blur_um
        )
        corrected = offset + inverse @ (m - offset - leaked)
        change[0] = corrected - m
        change[1] = corrected / (share @ corrected) - m / (share @ m)
        if settings.correct_blur:
            m, covariance, change = corrected, inverse @ covariance @ inverse.T, 0.5 * change
    counts = np.array([(shell == k).sum() for k in shells])
    return _summary(
        number, m, covariance, change, share, counts, middle_um,
        np.stack([edges_um[shells], edges_um[shells + 1]], axis=1),
        float(depth_um[own].max()), settings.fewest_voxels,
    )  # fmt: skip


def _summary(
    number: int,
    m: Floats,
    covariance: Floats,
    blur: Floats,
    share: Floats,
    counts: Ints,
    middle_um: Floats,
    edges_um: Floats,
    deepest_um: float,
    fewest: int,
) -> DepthProfile:
    """Return what follows from the shells' values and their covariance."""
    mean = float(m[0] + share @ (m - m[0]))
    ratio = m / mean
    # Rows: δr_k = (δm_k − r_k Σ share δm)/mean.
    change = (np.eye(m.size) - np.outer(ratio, share)) / mean
    line = share * (middle_um - share @ middle_um)
    squared = float(line @ middle_um)
    slope = line / squared if m.size > 1 and squared > 0.0 else np.full(m.size, np.nan)
    kept = counts >= fewest
    slope_esd = float(np.sqrt(slope @ covariance @ slope))
    esd = np.sqrt(np.diag(covariance))
    ratio_esd = np.sqrt(np.maximum(np.diag(change @ covariance @ change.T), 0.0))
    return DepthProfile(
        particle=number,
        edges_um=edges_um[kept],
        depth_um=middle_um[kept],
        n_voxels=counts[kept].astype(np.int64),
        value=m[kept],
        esd=esd[kept],
        esd_total=np.hypot(esd, blur[0])[kept],
        mean=mean,
        mean_esd=float(np.sqrt(share @ covariance @ share)),
        ratio=ratio[kept],
        ratio_esd=ratio_esd[kept],
        ratio_esd_total=np.hypot(ratio_esd, blur[1])[kept],
        covariance=covariance[np.ix_(kept, kept)],
        slope_per_um=float(slope @ (m - m[0])),
        slope_esd_per_um=slope_esd,
        core_minus_surface=float(slope @ (m - m[0])) * deepest_um,
        core_minus_surface_esd=slope_esd * deepest_um,
    )


def _edges_um(depth_um: Floats, settings: DepthAverages) -> Floats:
    return np.array(settings.edges_um or range(int(np.floor(depth_um.max())) + 2), dtype=np.float64)
