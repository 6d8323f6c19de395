"""Every scan that could be made, with what it costs and what it would tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from validation.check import dose_MGy, forecast
from validation.experiment import Experiment
from validation.plan.grid import Grid, Point, widest
from validation.plan.wish import DATA, DOSE, FRACTION, LATTICE, RESOLUTION, TIME, Wish
from validation.predicted_scans import Errors, many_scans
from xrdct.errors import InputError
from xrdct.scan import Scan

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Row:
    """One scan."""

    point: Point
    beam_time_s: float
    """Of all scans that are made and used."""
    dose_MGy: float
    """Of all of them, in the slice."""
    data_MB: float
    """Of raw files before compression, in the experiment's mode."""
    errors: Errors | None
    """None where nothing can be said."""
    refused: str | None = None
    """Why."""

    @property
    def costs(self) -> dict[str, float]:
        """Return what is limited, by name, in s, MGy and MB."""
        return {TIME: self.beam_time_s, DOSE: self.dose_MGy, DATA: self.data_MB}

    @property
    def unpredicted(self) -> tuple[str, ...]:
        """Return what adds to the error and is not in it, in a word each."""
        trims = self.errors is not None and self.point.recipe.integration.left_out[1] > 0.0
        return ("trimming",) if trims else ()

    @property
    def reached(self) -> dict[str, float | None]:
        """Return what is aimed at, by name."""
        found = self.errors
        if found is None:
            return {}
        return {
            LATTICE: found.total_A,
            FRACTION: found.weight_fraction,
            RESOLUTION: found.resolution_um,
        }


def rows_of(
    grid: Grid, wish: Wish, *, workers: int | None = None, progress: Progress | None = None
) -> list[Row]:
    """Return all scans of a grid, in order.

    Raises InputError for samples that cannot be built, and for a target that has no meaning.
    """
    tell = progress or (lambda _step, _fraction: None)
    made: dict[int, Row] = {}
    for number, group in enumerate(grid.groups):
        extent_um, experiment = widest(grid, number)
        if FRACTION in wish.targets and not experiment.recipe.fixed_phases:
            raise InputError(
                "--target weight_fraction needs recipe.fixed_phases: one phase is all of the weight"
            )
        many = many_scans(experiment, region=wish.region, extent_um=extent_um, workers=workers)
        costs = _Costs(group.experiment)
        for index, point in enumerate(grid.points):
            if point.group == number:
                errors, refused = None, None
                try:
                    coarse = group.experiment.scans.get("coarse")
                    errors = many.errors(point.scan, point.recipe, coarse=coarse)
                except InputError as error:
                    refused = str(error)
                made[index] = costs.row(point, errors, refused)
        tell("predict", (number + 1) / len(grid.groups))
    return [made[index] for index in range(len(grid.points))]


class _Costs:
    """Scales the figures of :mod:`validation.check` of one scan to others, all being in step."""

    def __init__(self, experiment: Experiment) -> None:
        one = Scan(n_offsets=2, step_um=1.0, n_angles=1, exposure_s=1.0)
        self._experiment = experiment
        self._dose_MGy = dose_MGy(experiment.model_copy(update={"scan": one}))
        told = forecast(experiment)
        frames = sum(scan.n_points for scan in experiment.all_scans().values())
        self._point_MB = told.file_MB / frames

    def row(self, point: Point, errors: Errors | None, refused: str | None) -> Row:
        scans = [point.scan, *(self._experiment.scans[name] for name in point.others)]
        return Row(
            point=point,
            beam_time_s=sum(scan.beam_time_s for scan in scans),
            dose_MGy=self._dose_MGy
            * sum(scan.n_angles * scan.exposure_s / scan.step_um for scan in scans),
            data_MB=self._point_MB * sum(scan.n_points for scan in scans),
            errors=errors,
            refused=refused,
        )
