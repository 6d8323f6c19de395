"""Claims of figure 3: which of the two particles is in the window in which scan, and in one phase.

A share of n voxels has, beside its error, the uncertainty of those near the window's edges: each
voxel counts with the probability p that it lies inside, for a normal error of its own esd, and the
esd of the share is √Σ p(1 − p)·V/n, where V voxels err together (those within a beam's width).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from inverse.particle_spread import particle_averages
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.fractions import region_rows
from validation.paper.histograms import FORBIDDEN_A, LI_RICH_END_A
from validation.paper.particles import NAMES, Found, found_particle
from validation.paper.populations import true_means
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]

_TOGETHER = 2.0
"""Voxels that err together, of neighbours whose errors are correlated by back projection."""
_NEEDED_PERCENT = 10.0
_MOST = 50.0


def window_claims(study: Study) -> list[Claim]:
    """Return the share of each particle inside the window by scan, and above the Li-rich end."""
    slices = study.all_operando()
    first, second = ([found_particle(each, number) for each in slices] for number in range(2))
    inside = [
        _share(
            each, particle, FORBIDDEN_A, "3b",
            f"Most voxels of {NAMES[0]} lie inside the first window, scan {scan}", "squarely in it",
            above=_MOST,
        )
        for scan, (each, particle) in enumerate(zip(slices, first, strict=True), start=1)
    ]  # fmt: skip
    passing = [
        _share(
            slices[k], second[k], FORBIDDEN_A, "3c",
            f"Voxels of {NAMES[1]} inside the first window, scan {k + 1}", "passes across",
        )
        for k in (0, 1)
    ]  # fmt: skip
    beyond = _share(
        slices[3], first[3], (LI_RICH_END_A, np.inf), "3b",
        f"Some voxels of {NAMES[0]} exceed {LI_RICH_END_A:g} Å, scan 4", "some", above=0.0,
    )  # fmt: skip
    return [*inside, beyond, _one_phase(slices), *passing, _jump(slices, second)]


def share_inside(
    a_A: Floats, *, esd_A: Floats, limits_A: tuple[float, float]
) -> tuple[float, float]:
    """Return the share of values between two limits, and its standard uncertainty."""
    known = np.isfinite(a_A) & np.isfinite(esd_A)
    if not known.any():
        return float("nan"), float("nan")
    low, high = limits_A
    a, esd = a_A[known], np.maximum(esd_A[known], 1e-9)
    inside = ndtr((high - a) / esd) - ndtr((low - a) / esd)
    together = np.sum(inside * (1.0 - inside)) * _TOGETHER
    return float(np.mean((a > low) & (a < high))), float(np.sqrt(together) / a.size)


def _share(
    each: Slice,
    particle: Found,
    limits_A: tuple[float, float],
    figure: str,
    words: str,
    published: str,
    *,
    above: float | None = None,
) -> Claim:
    inside = particle.recovered
    share, esd = share_inside(
        each.maps.a_A[inside], esd_A=each.maps.a_esd_total_A[inside], limits_A=limits_A
    )
    true_A = each.true_a_A[particle.true]
    true, _ = share_inside(true_A, esd_A=np.zeros_like(true_A), limits_A=limits_A)
    return Claim(
        figure, words, published, recovered=1e2 * share, truth=1e2 * true,
        needed=_NEEDED_PERCENT if above is None else 0.0, unit="%", esd=1e2 * esd, digits=0,
        kind="amount" if above is None else "above", limit=above or 0.0,
    )  # fmt: skip


def _jump(slices: Sequence[Slice], found: Sequence[Found]) -> Claim:
    """Return whether Particle 2 gets from below the window to above it between scans 1 and 2."""
    means = []
    for each, particle in zip(slices[:2], found[:2], strict=True):
        inside = np.where(particle.recovered, 0, -1)
        own = particle_averages(
            each.maps.a_A, label=inside, esd=each.maps.a_esd_total_A,
            step_um=each.maps.scan.step_um, correlation=each.maps.recipe.reconstruction.filter,
        )  # fmt: skip
        true_A = true_means(
            each, label=inside, numbers=own.number, own=np.full_like(own.number, particle.number)
        )
        there = own.number.size > 0
        means.append((own.mean[0], own.esd[0], true_A[0]) if there else (np.nan, np.nan, np.nan))
    before, after = 1e3 * np.array(means)
    return Claim(
        "3c", f"{NAMES[1]} grows by more than the window's width, scan 1 to 2", "passes across",
        recovered=float(after[0] - before[0]), truth=float(after[2] - before[2]), needed=0.0,
        unit="mÅ", esd=float(np.hypot(after[1], before[1])), kind="above",
        limit=1e3 * (FORBIDDEN_A[1] - FORBIDDEN_A[0]),
    )  # fmt: skip


def _one_phase(slices: Sequence[Slice]) -> Claim:
    """Return in how many of its depth regions and scans Particle 1 is found with two lattices."""
    found = true = regions = 0
    for each in slices:
        table = each.maps.regions
        if table is None:
            continue
        for row in region_rows(table, each.truth.particle == 0).tolist():
            inside = table.label == row
            regions += 1
            found += int(table.n_lattices[row] > 1)
            true += int(np.mean(each.truth.two_lattices[inside]) > 0.5)
    known = float(found) if regions else float("nan")
    return Claim(
        "3b", f"Depth regions of {NAMES[0]} with two lattices, of {regions} in all scans",
        "lithiates as one phase", recovered=known, truth=float(true), needed=0.0, digits=0,
    )  # fmt: skip
