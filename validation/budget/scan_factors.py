"""Instrument, integration and scan as factors: what is not known, trimmed away or not measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from forward.instrument import Unknowns
from inverse.integration import Integration
from validation.budget.factors import Factor, Skipped
from validation.experiment import Experiment, ParticleList
from xrdct.scan import Scan

MOST_POINTS = {"patterns": 150_000, "frames": 5_000}
"""Exposures of the largest scan that is simulated to see what a better scan would give, by mode."""
_MOST_ANGLES = 4
"""Times as many angles as there are, at most."""
_BEAM_TAILS = {"tail_fraction", "tail_um"}  # an effect of their own
_MARGIN = 1.02


def instrument(experiment: Experiment) -> Iterator[Factor | Skipped]:
    """Yield the instrument that the analysis does not know as a factor, or why it is none."""
    name = "an instrument known only in part"
    known = _known(experiment).unknowns
    if known == experiment.unknowns:
        yield Skipped(name, "the analysis knows the instrument (no unknowns)")
        return
    yield Factor(
        "unknowns", name, "instrument", _known, "unknowns of zero width",
        "A calibrant at the sample's place, measured on the day, and refine_shared = true for what "
        "it does not tell.",
    )  # fmt: skip


def _known(experiment: Experiment) -> Experiment:
    tails = {name: getattr(experiment.unknowns, name) for name in _BEAM_TAILS}
    return experiment.model_copy(update={"unknowns": Unknowns(**tails)})


def trimming(experiment: Experiment) -> Iterator[Factor | Skipped]:
    """Yield the estimator of a channel's intensity as a factor, or why it is none."""
    integration = experiment.recipe.integration
    trims = any(integration.left_out)
    if not trims and integration.method != "sigma_clip":
        yield Skipped("trimming", "integration is by the plain mean")
    elif not trims and experiment.mode == "patterns":
        yield Skipped("clipping", "in frames only: patterns have no outliers")
    else:
        yield Factor(
            "recipe.integration.method", f"integration by {integration.method}", "integration",
            _by_mean, 'integration.method = "mean"',
            "Integration by the plain mean, with known bad pixels masked and zingers removed in "
            "the sinogram (zingers_sigma).",
        )  # fmt: skip


def _by_mean(experiment: Experiment) -> Experiment:
    kept = experiment.recipe.integration.model_dump()
    integration = Integration(**kept | {"method": "mean"})
    recipe = experiment.recipe.model_copy(update={"integration": integration})
    return experiment.model_copy(update={"recipe": recipe})


def scan_factors(experiment: Experiment) -> Iterator[Factor | Skipped]:
    """Yield what a better scan would remove, as long as scans remain that can be simulated."""
    scan = experiment.scan
    if scan.angles_deg is not None or scan.interlaced:
        yield Skipped("the scan", "its angles are given one by one, or interlaced")
        return
    diameter_um = sample_diameter_um(experiment)
    for found in (_angles(scan, diameter_um), _window(scan, diameter_um), _half_turn(scan)):
        if isinstance(found, Skipped):
            yield found
            continue
        points = found.off(experiment).scan.n_points
        if points > MOST_POINTS[experiment.mode]:
            most = MOST_POINTS[experiment.mode]
            yield Skipped(found.name, f"to see it takes {points} exposures, above {most}")
            continue
        experiment = found.off(experiment)  # the next must be possible beside it
        yield found


def _angles(scan: Scan, diameter_um: float) -> Factor | Skipped:
    lack = diameter_um / scan.alias_free_diameter_um
    if lack <= 1.0:
        return Skipped("few angles", "there are enough of them")
    factor = min(lack, _MOST_ANGLES)
    needed, simulated = math.ceil(lack * scan.n_angles), math.ceil(factor * scan.n_angles)
    capped = f"; {simulated} were simulated" if simulated < needed else ""
    return Factor(
        "scan.n_angles", "few angles", "scan",
        _MoreAngles(simulated / scan.angle_range_deg), f"{simulated} angles",
        f"{needed} angles (π/2 times the sample's width over the step){capped}.",
    )  # fmt: skip


def _window(scan: Scan, diameter_um: float) -> Factor | Skipped:
    if diameter_um <= scan.width_um:
        return Skipped("a window narrower than the sample", "the sample is wholly in view")
    n_offsets = math.ceil(_MARGIN * diameter_um / scan.step_um) + 2
    n_offsets += (n_offsets - scan.n_offsets) % 2  # so that voxels stay where they are
    return Factor(
        "scan.n_offsets", "a window narrower than the sample", "scan", _Wider(n_offsets),
        f"{n_offsets} offsets", "A scan of the whole sample; or what lies outside it fitted "
        "(method = 'direct') or subtracted (truncation.method = 'coarse' with a coarse scan).",
    )  # fmt: skip


def _half_turn(scan: Scan) -> Factor | Skipped:
    if scan.angle_range_deg > 180.0:
        return Skipped("half a turn only", "the scan is a full turn")
    return Factor(
        "scan.angle_range_deg", "half a turn only", "scan", _full_turn,
        "360° at the same angular step",
        "A scan of 360°, in which parallax cancels; it takes twice the time and dose at the same "
        "angular step.",
    )  # fmt: skip


@dataclass(frozen=True)
class _MoreAngles:
    per_degree: float

    def __call__(self, experiment: Experiment) -> Experiment:
        n_angles = round(self.per_degree * experiment.scan.angle_range_deg)
        return _with_scan(experiment, n_angles=n_angles)


@dataclass(frozen=True)
class _Wider:
    n_offsets: int

    def __call__(self, experiment: Experiment) -> Experiment:
        return _with_scan(experiment, n_offsets=self.n_offsets)


def _full_turn(experiment: Experiment) -> Experiment:
    turn = {"n_angles": 2 * experiment.scan.n_angles, "angle_range_deg": 360.0}
    return _with_scan(experiment, **turn)


def _with_scan(experiment: Experiment, **changes: float) -> Experiment:
    return experiment.model_copy(update={"scan": experiment.scan.model_copy(update=changes)})


def sample_diameter_um(experiment: Experiment) -> float:
    """Return the diameter of the circle about the axis that holds the sample."""
    if isinstance(experiment.sample, ParticleList):
        return experiment.build_sample().diameter_um
    return experiment.sample.diameter_um
