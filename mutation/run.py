"""Mutation testing of the physics: change one thing in a module, and see whether a test notices.

    python -m mutation.run [--share 0.02] [--seed 0] [MODULE...]

Mutants (cosmic-ray) of the modules of `tests.toml` are made in a copy of the checkout, never in the
checkout itself, and asked of the tests named there. Of each module a random share is tried. What
survived is printed as a Markdown list, without the mutants that `survivors.md` explains. Exit code
0: none; 1: some survived; 2: the tests fail without any mutant, or wrong arguments.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KNOWN = HERE / "survivors.md"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "out", "__pycache__", ".*_cache", ".hypothesis", "*.nbi", "*.nbc"
)
_ENTRY = re.compile(r"- `(?P<module>[^`]+)`: `(?P<old>.*?)` → `(?P<new>.*?)`")


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed."""

    module: str
    old: str
    """The line before."""
    new: str
    """And with the mutation; empty where it was taken away."""

    def line(self) -> str:
        """Return it as an entry of a Markdown list."""
        return f"- `{self.module}`: `{self.old}` → `{self.new}`"


@dataclass(frozen=True)
class Tried:
    """What became of the mutants of one module."""

    n_mutants: int
    n_tried: int
    survivors: tuple[Survivor, ...]
    seconds: float


def main() -> int:
    """Try a share of the mutants and print what survived."""
    asked = _arguments()
    mapping: dict[str, list[str]] = tomllib.loads((HERE / "tests.toml").read_text("utf-8"))
    unknown = sorted(set(asked.modules) - set(mapping))
    if unknown:
        sys.stderr.write(f"error: tests.toml names no tests for {unknown[0]}\n")
        return 2
    explained = known_survivors(KNOWN.read_text("utf-8")) if KNOWN.exists() else set()
    found: list[Survivor] = []
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=asked.folder) as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(HERE.parent, copy, ignore=_LEFT_OUT)
        for module in asked.modules or mapping:
            try:
                tried = _try_module(
                    copy, module, mapping[module], share=asked.share, seed=asked.seed
                )
            except subprocess.CalledProcessError as error:
                sys.stderr.write(f"error: {module} without a mutant: {error}\n{error.stdout}\n")
                return 2
            new = [one for one in tried.survivors if one not in explained]
            found += new
            sys.stderr.write(
                f"{module}: {tried.n_tried} of {tried.n_mutants} mutants tried in "
                f"{tried.seconds:.0f} s, {len(tried.survivors)} survived, {len(new)} of them "
                "unexplained\n"
            )
    for survivor in found:
        sys.stdout.write(survivor.line() + "\n")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all of tests.toml")
    parser.add_argument("--share", type=float, default=0.02, help="of the mutants, default 0.02")
    parser.add_argument("--seed", type=int, default=None, help="of the choice, default: another")
    parser.add_argument("--folder", type=Path, default=None, help="where the copy is made")
    asked = parser.parse_args()
    if not 0.0 < asked.share <= 1.0:
        parser.error(f"--share lies above 0 and up to 1, got {asked.share:g}")
    return asked


def known_survivors(text: str) -> set[Survivor]:
    """Return the mutants that a Markdown list explains."""
    return {Survivor(e["module"], e["old"], e["new"]) for e in _ENTRY.finditer(text)}


def _try_module(
    copy: Path, module: str, tests: list[str], *, share: float, seed: int | None
) -> Tried:
    start = time.monotonic()
    source = (copy / module).read_text("utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*words: str) -> None:
        subprocess.run(
            words, cwd=copy, env=environment, check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    config, session = copy / "cosmic-ray.toml", copy / "session.sqlite"
    session.unlink(missing_ok=True)
    config.write_text(_config(module, [*command, *tests]), "utf-8")
    cosmic_ray = [sys.executable, "-c", "from cosmic_ray.cli import main; main()"]
    run(*cosmic_ray, "baseline", str(config))  # else every mutant of a broken command is "killed"
    run(*cosmic_ray, "init", str(config), str(session))
    n_mutants = _thin(session, source, share=share, seed=seed)
    run(*cosmic_ray, "exec", str(config), str(session))
    if (copy / module).read_text("utf-8") != source:
        raise RuntimeError(f"{module} of the copy was left mutated")
    n_tried, survivors = _results(session, module)
    return Tried(n_mutants, n_tried, tuple(survivors), time.monotonic() - start)


def _config(module: str, command: list[str]) -> str:
    """Return the configuration of one module."""
    common = (HERE / "cosmic-ray.toml").read_text("utf-8")
    own = f'module-path = "{module}"\ntest-command = {json.dumps(shlex.join(command))}\n'
    return common.replace("[cosmic-ray]\n", f"[cosmic-ray]\n{own}", 1)


def _thin(session: Path, source: str, *, share: float, seed: int | None) -> int:
    """Mark mutants that are not tried as skipped; return how many there are.

    Never tried are those of annotations, which are not run, and of the ``*`` before keyword-only
    arguments, whose place calls do not depend on.
    """
    from cosmic_ray.work_db import use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    annotations = _annotations(source)
    with use_db(str(session)) as database:
        items = sorted(database.work_items, key=_order)
        live = [
            item
            for item in items
            if not _inside(item.mutations[0].start_pos, annotations)
            and not _before_keywords(item.mutations[0].start_pos, source)
        ]
        number = max(1, round(share * len(live))) if live else 0
        chosen = {item.job_id for item in random.Random(seed).sample(live, number)}
        skipped = [item.job_id for item in items if item.job_id not in chosen]
        database.set_multiple_results(skipped, WorkResult(WorkerOutcome.SKIPPED))
    return len(live)


def _order(item: Any) -> tuple[Any, ...]:
    mutation = item.mutations[0]
    return (mutation.start_pos, mutation.operator_name, mutation.occurrence)


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return from where to where annotations stand, as (line, column)."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            its = getattr(node, name, None)
            if isinstance(its, ast.expr) and its.end_lineno and its.end_col_offset is not None:
                spans.append(((its.lineno, its.col_offset), (its.end_lineno, its.end_col_offset)))
    return spans


def _inside(place: tuple[int, int], spans: list[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    return any(first <= tuple(place) < last for first, last in spans)


def _before_keywords(place: tuple[int, int], source: str) -> bool:
    line, column = place
    return source.splitlines()[line - 1][column:].startswith("*,")


def _results(session: Path, module: str) -> tuple[int, list[Survivor]]:
    """Return how many mutants were tried, and which survived."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome

    with use_db(str(session), WorkDB.Mode.open) as database:
        tried = [
            result
            for _, result in database.completed_work_items
            if result.worker_outcome != WorkerOutcome.SKIPPED
        ]
    survivors = [_survivor(module, r.diff or "") for r in tried if not r.is_killed]
    return len(tried), sorted(set(survivors), key=lambda one: (one.old, one.new))


def _survivor(module: str, diff: str) -> Survivor:
    """Return a survivor by the lines that its diff takes away and puts in."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    old = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    new = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Survivor(module, old, new)


if __name__ == "__main__":
    sys.exit(main())
