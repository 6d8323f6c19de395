"""Claims of figure 2: whether the stated error of a voxel's lattice parameter is its error.

The study's error is that of its refinement: what counting and misfit say. Recovered is the root
mean square of the stated uncertainties over interior voxels of one lattice, truth that of their
actual errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from validation.paper.claims import Claim
from validation.paper.drawing import Study
from validation.paper.prepared import Slice
from validation.paper.residuals import interior_residuals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NEEDED_SHARE = 0.25


def error_claims(study: Study) -> list[Claim]:
    """Return both kinds of stated uncertainty against the actual error, over all scans."""
    slices = study.all_operando()
    used = [np.isfinite(interior_residuals(each).z) for each in slices]
    error = _rms(slices, used, lambda each: each.maps.a_A - each.truth.a_A)
    return [
        Claim(
            "2a", f"Stated error of a voxel's lattice parameter is its error ({words})",
            "below 1.5 mÅ", recovered=1e3 * stated, truth=1e3 * error,
            needed=_NEEDED_SHARE * 1e3 * error, unit="mÅ",
            note="RMS over interior voxels of all scans",
        )
        for words, stated in (
            ("counting", _rms(slices, used, lambda each: each.maps.a_esd_noise_A)),
            ("counting, misfit and streaks", _rms(slices, used, lambda e: e.maps.a_esd_total_A)),
        )
    ]  # fmt: skip


def _rms(slices: Sequence[Slice], used: Sequence[Bools], of: Callable[[Slice], Floats]) -> float:
    values = np.concatenate([of(each)[own] for each, own in zip(slices, used, strict=True)])
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")
