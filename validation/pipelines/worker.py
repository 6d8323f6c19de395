"""What runs inside the pipeline's own process: its Python function, or our chain with parts of it.

    python -m validation.pipelines.worker JOB.json

The job says what to call, and where the copied scan lies; the result goes to ``maps.h5`` or
``maps.npz`` in the working directory. A complaint is the last line of the standard error, which the
scoring process shows.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.pipelines.arrays import save_arrays
from validation.pipelines.functions import Function, load_function
from xrdct.errors import InputError

if TYPE_CHECKING:
    from inverse.maps import Maps
    from inverse.recipe import Recipe


def main() -> None:
    """Do the job of a file; a complaint that is no accident is one line and exit code 2."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        _run(job)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error


def _run(job: Mapping[str, Any]) -> None:
    """Do a job. What it needs of ours is imported for it, as a pipeline's time is to be its own."""
    scan, output = Path(job["scan"]), Path(job["output"])
    if job["kind"] == "callable":
        save(call(job["function"])(scan), output)
        return
    from inverse.recipe import Recipe

    recipe = None if job["recipe"] is None else Recipe.model_validate(job["recipe"])
    if job["kind"] == "partial":
        from validation.pipelines.partial import recover_partly

        stages = {name: call(where) for name, where in job["stages"].items()}
        save(recover_partly(scan, stages=stages, recipe=recipe, workers=job["workers"]), output)
    else:
        save(_by_recipe(scan, recipe, job["workers"]), output)


def _by_recipe(scan: Path, recipe: Recipe | None, workers: int | None) -> Maps:
    """Return what our own chain recovers, as `xrdct-twin recover` does."""
    from inverse.recover import recover
    from validation.integrated_files import chosen_recipe
    from validation.run import read_others, read_patterns

    raw = read_patterns(scan, recipe, workers=workers)
    chosen = chosen_recipe(raw, recipe)
    others = read_others(scan, chosen, workers=workers)
    return recover(raw, others=others, recipe=chosen, workers=workers)


def call(where: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function of a module or of a file; InputError where there is none of that name."""
    return load_function(Function(**where))


def save(result: object, output: Path) -> None:
    """Write what a function returned to ``output``, or beside it as an npz file.

    Raises InputError for what cannot be maps, and for a file that is not there.
    """
    if isinstance(result, Mapping):
        save_arrays(result, output.with_suffix(".npz"))
    elif isinstance(result, str | Path):
        path = Path(result)
        if not path.is_file():
            raise InputError(f"it returned the path {path}, where there is no file")
        if path.resolve() != output.resolve():
            shutil.copyfile(path, output)
    elif result is not None:  # None: it wrote its maps where they are looked for
        from inverse.maps import Maps, write_maps

        if isinstance(result, Maps):
            write_maps(result, output)
            return
        raise InputError(
            "a pipeline returns Maps, the path of a file or a mapping of arrays, not "
            f"{type(result).__name__}"
        )


if __name__ == "__main__":
    main()
