"""Amounts of one sample as differently placed and lit detectors tell them: polarisation, trimming.

The scale s of amounts (least squares of amounts against the truth, deep inside) may be any, but for
one sample it is the same wherever the detector stands and however bright the beam is.

- Beside the beam the rings of horizontally polarised light are dimmed by cos²2θ, above it they are
  not. A pipeline that forgets this finds s smaller beside than above, by a factor that lies between
  those of the smallest and largest 2θ.
- Leaving out the brightest pixels of a ring cannot raise an amount, and the less so the fewer the
  photons are; leaving out the faintest does.

Allowed are a fiftieth beside the normal quantile of the noise.
"""

from __future__ import annotations

import math

import numpy as np

from validation.properties.placed_detector import FAINTER
from validation.properties.statistics import critical_z
from validation.selftest.evidence import Evidence
from validation.selftest.verdict import Verdict, failed, not_asked, passed
from xrdct.instrument import live_share, ring_acceptance

_ALLOWED = 0.02
_LEAST = 0.4
"""Of an amount must be left by any trimming."""
_CHECKS = ("polarisation", "trimming")


def polarisation_verdict(beside: Evidence, above: Evidence) -> Verdict:
    """Return whether amounts depend on where the detector stands."""
    check = _CHECKS[0]
    scales = _scales(beside, above)
    if isinstance(scales, str):
        return not_asked(check, scales)
    ratio, esd = scales
    low, high = _forgotten(beside, above)
    told = (
        f"amounts with the detector beside the beam are {ratio:.4f} ± {esd:.4f} of those with it "
        f"above, where {low:.3f} to {high:.3f} are those of a forgotten polarisation"
    )
    if abs(math.log(ratio)) <= _ALLOWED + critical_z(1) * esd:
        return passed(check, told)
    if low <= ratio <= high:
        return failed(check, told, named="polarisation")
    return failed(check, told, named="polarisation_twice" if low <= 1.0 / ratio <= high else "")


def trim_verdict(faint: Evidence, beside: Evidence) -> Verdict:
    """Return whether leaving out the brightest pixels raises amounts."""
    check = _CHECKS[1]
    if faint.experiment.mode != "frames":
        return not_asked(check, "a pipeline that takes patterns trims nothing")
    scales = _scales(faint, beside)
    if isinstance(scales, str):
        return not_asked(check, scales)
    ratio, esd = scales
    most = 1.0 + _ALLOWED + critical_z(1) * esd
    told = (
        f"amounts of few photons and a ring's brightest tenth left out are {ratio:.3f} ± {esd:.3f} "
        f"of those of many photons, where {_LEAST:.2f} to {most:.2f} are due"
    )
    if _LEAST <= ratio <= most:
        return passed(check, told)
    if ratio > most:
        return failed(check, told, named="trim")
    close = abs(math.log(max(ratio, 1e-9) * FAINTER)) < math.log(2.0)
    return failed(check, told, named="monitor" if close else "")


def _scales(one: Evidence, other: Evidence) -> tuple[float, float] | str:
    """Return the ratio of the scales of amounts and its relative esd, or why there is none."""
    found = []
    for evidence in (one, other):
        if evidence.maps is None:
            return f"there are no maps of {evidence.experiment.name}"
        if evidence.amount is None:
            return "the pipeline tells no amounts"
        chosen = evidence.truth.eroded
        y, t = evidence.amount[chosen], evidence.true_amount[chosen]
        scale = float(y @ t / (t @ t))
        if scale <= 0.0:
            return f"the amounts of {evidence.experiment.name} are nothing"
        left = y - scale * t
        # Neighbours share their noise, so each voxel is counted as a third of one.
        spread = float(np.sqrt(left @ left / max(y.size - 1, 1) * 3.0 / (t @ t)))
        found.append((scale, spread / scale))
    (first, first_esd), (second, second_esd) = found
    return first / second, float(np.hypot(first_esd, second_esd))


def _forgotten(beside: Evidence, above: Evidence) -> tuple[float, float]:
    """Return between what the ratio of amounts lies if polarisation is forgotten."""
    factors = [_mean_polarisation(found) for found in (beside, above)]
    ratio = factors[0] / factors[1]
    return float(np.nanmin(ratio)), float(np.nanmax(ratio))


def _mean_polarisation(found: Evidence) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the mean polarisation factor of what is seen of each ring, (channel,)."""
    experiment = found.experiment
    geometry, detector = experiment.geometry, experiment.detector
    with_it = ring_acceptance(
        geometry, detector=detector, polarisation=experiment.beam.polarisation
    )
    seen = live_share(
        geometry, detector=detector, two_theta_rad=geometry.two_theta_rad, n_sectors=1
    )[:, 0]  # fmt: skip
    return np.where(seen > 0.0, with_it / np.where(seen > 0.0, seen, 1.0), np.nan)
