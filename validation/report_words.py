"""The result in words and numbers: what the report says of a scorecard.

Numbers come out as text for people: lattice errors in mÅ with three decimals, counts with thin
spaces between thousands, a true minus sign, and a dash for a figure that does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Figures = Mapping[str, Any]

TRUSTED_STD_Z = (0.8, 1.25)
"""Standard deviations of error / stated uncertainty at which the latter counts as right."""
FEWEST_VOXELS_TO_JUDGE = 50
"""Independent voxels that give std_z to 10 %, its relative standard error being 1/√(2n)."""
SHIFTED_MEAN_Z = 0.5
"""|mean_z| from which on the report says that the errors share a sign."""
HEAVY_TAILS = 2.0
"""Ratio of RMS error to robust σ from which on the report speaks of outliers."""

MISSING = "—"


class ScoreRow(NamedTuple):
    """One line of the scorecard: its name, its ideal value, and a number for each column."""

    name: str
    ideal: str
    values: list[str]


def count(n: int) -> str:
    """Write a count."""
    return f"{n:,}".replace(",", "\u202f")


def milli(value: float | None) -> str:
    """Write a length given in Å in mÅ."""
    return plain(None if value is None else 1000.0 * value, decimals=3)


def plain(value: float | None, *, decimals: int = 2) -> str:
    """Write a number."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{decimals}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, length_s in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.2f} s"


_ROWS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    ("voxels scored", "n_voxels", "", count),
    ("voxels not recovered", "n_not_recovered", "0", count),
    ("voxels with two lattices, counted apart", "n_two_lattices", "", count),
    ("voxels outside the reconstructed circle", "n_outside_field", "", count),
    ("bias (mÅ)", "bias_A", "0", milli),
    ("RMS error (mÅ)", "rms_A", "0", milli),
    ("robust σ of the error (mÅ)", "robust_sigma_A", "0", milli),
    ("95th percentile of |error| (mÅ)", "p95_abs_A", "0", milli),
    ("mean of error / stated uncertainty", "mean_z", "0", plain),
    ("std of error / stated uncertainty", "std_z", "1", plain),
    ("std of error / counting-noise uncertainty", "std_z_noise", "", plain),
)


def score_table(lattice: Mapping[str, Mapping[str, Figures]]) -> tuple[list[str], list[ScoreRow]]:
    """Return the heading of each column, and the rows, from ``metrics["lattice"]``."""
    columns = [(phase, region) for phase, regions in lattice.items() for region in regions]
    headings = [f"{phase}, {region}" for phase, region in columns]
    rows = [
        ScoreRow(name, ideal, [_cell(lattice[p][r].get(key), written) for p, r in columns])
        for name, key, ideal, written in _ROWS
    ]
    return headings, rows


def _cell(value: Any, written: Callable[[Any], str]) -> str:
    return MISSING if value is None else written(value)


def summary(phase: str, regions: Mapping[str, Figures]) -> list[str]:
    """Say in sentences what the figures of one phase mean, from ``metrics["lattice"][phase]``."""
    interior, eroded = regions["interior"], regions["eroded"]
    sentences = [_accuracy(phase, interior)]
    if interior["n_voxels"]:
        sentences += [_tails(interior), _uncertainties(interior), _shift(interior)]
    sentences += [_left_out(interior), _away_from_surfaces(eroded)]
    return [sentence for sentence in sentences if sentence]


def _voxels(n: int) -> str:
    return f"{count(n)} interior voxel{'' if n == 1 else 's'}"


def _accuracy(phase: str, interior: Figures) -> str:
    n = interior["n_voxels"]
    if n:
        return (
            f"The lattice parameter of {_voxels(n)} of {phase} was recovered with a bias of "
            f"{milli(interior['bias_A'])} mÅ and an RMS error of {milli(interior['rms_A'])} mÅ."
        )
    if interior["n_not_recovered"]:
        return f"The lattice parameter of {phase} was not recovered in a single interior voxel."
    return (
        f"No voxel lies wholly inside one particle with a single lattice of {phase}, so there is "
        "nothing to score."
    )


def _tails(interior: Figures) -> str:
    rms_A, sigma_A = interior["rms_A"], interior["robust_sigma_A"]
    text = f"Of these voxels 95 % are within {milli(interior['p95_abs_A'])} mÅ of the truth."
    if rms_A > HEAVY_TAILS * math.hypot(sigma_A, interior["bias_A"]):
        text += (
            f" The RMS error comes mostly from a minority of voxels that are far off: the robust "
            f"standard deviation is only {milli(sigma_A)} mÅ."
        )
    return text


def _uncertainties(interior: Figures) -> str:
    n, std_z = interior["n_voxels"], interior["std_z"]
    if n < FEWEST_VOXELS_TO_JUDGE:
        return (
            f"{count(n)} voxels are too few to judge the stated uncertainties "
            f"(at least {FEWEST_VOXELS_TO_JUDGE} are asked for)."
        )
    low, high = TRUSTED_STD_Z
    if std_z > high:
        return f"The stated uncertainties are too small, by a factor of {plain(std_z)}."
    if std_z <= 0.0:
        return "The errors do not scatter at all, so the stated uncertainties are too large."
    if std_z < low:
        return f"The stated uncertainties are too large, by a factor of {plain(1.0 / std_z)}."
    return (
        "The stated uncertainties agree with the scatter of the errors: error over uncertainty "
        f"has a standard deviation of {plain(std_z)}."
    )


def _shift(interior: Figures) -> str:
    mean_z = interior["mean_z"]
    if interior["n_voxels"] < FEWEST_VOXELS_TO_JUDGE or abs(mean_z) < SHIFTED_MEAN_Z:
        return ""
    return (
        f"They do not cover the systematic error: on average it is {plain(abs(mean_z))} stated "
        f"uncertainties, towards {'larger' if mean_z > 0 else 'smaller'} lattice parameters."
    )


def _left_out(interior: Figures) -> str:
    missed, apart = interior["n_not_recovered"], interior["n_two_lattices"]
    asked = interior["n_voxels"] + missed
    text = ""
    if missed:
        text = (
            f"{_voxels(missed)} of {count(asked)} "
            f"({100.0 * missed / asked:.2g} %) should have been recovered and "
            f"{'was' if missed == 1 else 'were'} not."
        )
    if apart:
        verb = "holds" if apart == 1 else "hold"
        text += f" {_voxels(apart)} {verb} two lattices at once and enter none of these figures."
    return text.strip()


def _away_from_surfaces(eroded: Figures) -> str:
    n = eroded["n_voxels"]
    if not n:
        return ""
    return (
        "Away from the particles' surfaces, in voxels whose eight neighbours are interior too "
        f"({count(n)}), the bias is {milli(eroded['bias_A'])} mÅ and the RMS error "
        f"{milli(eroded['rms_A'])} mÅ."
    )


def told_bound(bound: Mapping[str, Any]) -> str:
    """Return a sentence about the error over the bound."""
    if "refused" in bound:
        return f"no bound was computed: {bound['refused']}"
    return (
        f"error over the Cramér–Rao bound of the reconstructed counts: "
        f"{bound['error_over_bound']:.2f} (RMS of {bound['n_voxels']} interior voxels; the bound "
        f"is {bound['bound_A'] * 1e3:.3f} mÅ)"
    )
