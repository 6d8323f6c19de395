"""Claims of figure 1 g: peaks of a single point of each scan shift with lithium.

The pattern of the first point, one exposure through all that the ray meets, is refined as a region
is. It is the electrode's along that ray, which the truth does not hold beyond the window: truth is
the mean over the slice's spinel.
"""

from __future__ import annotations

import numpy as np

from inverse.lattice_model import shared_start
from inverse.recover import instrument_of, model_builder
from inverse.region_refinement import RegionContents, region_contents
from inverse.regions import RegionPatterns, rays_of_counts
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.prepared import Slice

_NEEDED_MA = 5.0


def point_claims(study: Study) -> list[Claim]:
    """Return how the lattice parameter of the first point's pattern moves, scan 1 to 5."""
    first, last = (study.operando(scan) for scan in (1, 5))
    (before, before_esd), (after, after_esd) = (_lattice_A(each) for each in (first, last))
    growth = 1e3 * (after - before)
    true = 1e3 * (_true_A(last) - _true_A(first))
    esd = 1e3 * float(np.hypot(before_esd, after_esd))
    words = "Lattice parameter of the first point's pattern, scan 5 less scan 1"
    return [
        Claim(
            "1g", f"{words}: grows", "peaks shift", recovered=growth, truth=true,
            needed=_NEEDED_MA, unit="mÅ", esd=esd, kind="above",
        ),
        Claim(
            "1g", words, "peaks shift", recovered=growth, truth=true, needed=_NEEDED_MA, unit="mÅ",
            esd=esd, note="one ray for the electrode: particles on it are a sample",
        ),
    ]  # fmt: skip


def _lattice_A(each: Slice) -> tuple[float, float]:
    found = first_point(each)
    inflation = float(np.sqrt(max(1.0, found.chi2_reduced[0])))
    return float(found.a_A[0]), inflation * float(found.a_esd_A[0])


def first_point(each: Slice) -> RegionContents:
    """Return what the pattern of the scan's first point holds, as it was counted."""
    raw, recipe = each.raw(), each.maps.recipe
    rays = rays_of_counts(raw, recipe=recipe)
    values, variance = (
        np.asarray(source(slice(0, 1), slice(None))[0, :1], float)
        for source in (rays.values, rays.variances)
    )
    shared = shared_start(each.maps.shared, recipe=recipe)
    return region_contents(
        RegionPatterns(values, variance, np.zeros_like(values)), recipe=recipe, shared=shared,
        lattices=model_builder(raw, recipe)(shared), instrument=instrument_of(raw, recipe),
        workers=each.workers,
    )  # fmt: skip


def _true_A(each: Slice) -> float:
    a_A, amount = each.true_a_A, each.truth.volume_fraction
    known = np.isfinite(a_A)
    return float(np.average(a_A[known], weights=amount[known])) if known.any() else float("nan")
