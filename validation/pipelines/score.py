"""From pipelines and an experiment to scores and the page that compares them: the orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inverse.recipe import Recipe
from validation.experiment import Experiment
from validation.outputs import prepare_folder
from validation.pipelines.report import write_score_report
from validation.pipelines.sandbox import Limits
from validation.pipelines.scoring import scores
from validation.pipelines.session import ScoreFiles, measured, measurement_of, outcome_of
from validation.pipelines.sources import Pipeline
from validation.scorecard import write_metrics
from xrdct.errors import InputError

Tell = Callable[[str], None]


def score_pipelines(
    pipelines: Sequence[Pipeline],
    experiment: Experiment,
    folder: Path,
    *,
    recipe: Recipe | None = None,
    limits: Limits | None = None,
    force: bool = False,
    workers: int | None = None,
    tell: Tell | None = None,
) -> tuple[dict[str, Any], ScoreFiles]:
    """Score pipelines on one simulated scan into ``folder``; return what is in `scores.json`.

    Whatever a pipeline does is told in the scores. Raises InputError for what the caller can mend:
    no pipeline, an experiment that cannot be simulated, a folder that holds another one, a step of
    frames where there are none.
    """
    say = tell or (lambda _text: None)
    if not pipelines:
        raise InputError("there is no pipeline to score")
    for pipeline in pipelines:
        if "integrate" in pipeline.stages and experiment.mode != "frames":
            raise InputError(
                f"{pipeline.label} integrates frames, but the experiment makes patterns: use "
                "--mode frames"
            )
    files = ScoreFiles(folder.absolute())
    prepare_folder(files.folder)
    told: set[str] = set()

    def progress(step: str, _fraction: float) -> None:
        if step not in told:
            told.add(step)
            say(f"{step} …")

    known = measured(experiment, files, force=force, workers=workers, progress=progress)
    measurement = measurement_of(files.scan, recipe)
    outcomes = []
    for pipeline in pipelines:
        say(f"{pipeline.label} …")
        outcomes.append(
            outcome_of(
                pipeline,
                files,
                measurement=measurement,
                recipe=recipe,
                limits=limits or Limits(),
                force=force,
                workers=workers,
            )
        )
    scored, truths = scores(outcomes, known)
    maps = {outcome.label: outcome.maps for outcome in outcomes if outcome.maps is not None}
    write_score_report(scored, maps=maps, truths=truths, path=files.report)
    write_metrics(scored, files.scores)
    return scored, files
