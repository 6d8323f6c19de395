"""What a pipeline is, as a user writes it on the command line.

    LABEL=module:function            a Python callable: path of the scan file → maps
    LABEL=folder/file.py:function    the same, of a file that is in no package
    LABEL="program {scan} {output}"  a command line; its words are filled in, no shell is asked
    LABEL=recipe.toml                our own chain, by that recipe
    LABEL=reconstruct=module:function[,refine=module:function]
                                     a step of ours replaced (integrate, reconstruct, refine)

The label may be left out. What is written is checked here, before anything is simulated; nothing of
a pipeline is imported, as that would run its code in this process.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inverse.recipe import Recipe
from validation.experiment import load_recipe
from validation.pipelines.functions import Function, read_function
from xrdct.errors import InputError

Kind = Literal["callable", "command", "recipe", "partial"]

STAGES = ("integrate", "reconstruct", "refine")
"""Steps that can be replaced, in their order."""
PLACEHOLDERS = ("scan", "coarse", "broad", "output", "recipe")

_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]{0,39})=(.+)", re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}")
_INTERPRETERS = re.compile(r"(python[\d.]*|bash|sh|env)")
_FORMS = (
    "module:function, FILE.py:function, a command line with {scan}, RECIPE.toml, or "
    "integrate=, reconstruct= or refine= with a function"
)


@dataclass(frozen=True)
class Pipeline:
    """One pipeline to be scored."""

    label: str
    text: str
    """As the user wrote it, without the label."""
    kind: Kind
    function: Function | None = None
    """Of a callable."""
    words: tuple[str, ...] = ()
    """Of a command line, with its placeholders."""
    recipe: Recipe | None = None
    """Of a recipe file."""
    stages: Mapping[str, Function] = field(default_factory=dict)
    """Of a partial pipeline, by the step each replaces."""

    def fingerprint(self) -> str:
        """Return what changes when the pipeline does: its text, and the files it names."""
        digest = hashlib.sha256(self.text.encode())
        functions = [*self.stages.values(), *([self.function] if self.function else [])]
        files = [Path(f.place) for f in functions if f.is_file]
        files += [path for path in map(Path, self.words) if path.suffix and path.is_file()]
        for path in files:
            digest.update(path.read_bytes())
        if self.recipe is not None:
            digest.update(self.recipe.model_dump_json().encode())
        return digest.hexdigest()


def read_pipelines(texts: Iterable[str]) -> list[Pipeline]:
    """Return the pipelines that were written, each with a label of its own.

    Raises InputError for what is none, for files that are not there, and for a label given twice.
    """
    pipelines = [read_pipeline(text) for text in texts]
    counted = Counter(pipeline.label.casefold() for pipeline in pipelines)
    for pipeline in pipelines:
        if counted[pipeline.label.casefold()] > 1:
            raise InputError(
                f"{counted[pipeline.label.casefold()]} pipelines are called {pipeline.label}: "
                "give each a label of its own, as LABEL=PIPELINE"
            )
    return pipelines


def read_pipeline(text: str) -> Pipeline:
    """Return the pipeline that a text describes; InputError where it describes none."""
    label, rest = _label_of(text.strip())
    if "{" in rest or any(c.isspace() for c in rest.strip()):
        words = _words(rest)
        return Pipeline(label or _label_of_command(words), rest, "command", words=words)
    if rest.endswith(".toml"):
        path = Path(rest)
        return Pipeline(label or _safe(path.stem), rest, "recipe", recipe=load_recipe(path))
    if rest.partition("=")[0] in STAGES:
        stages = _stages(rest)
        return Pipeline(label or _label_of_stages(stages), rest, "partial", stages=stages)
    function = read_function(rest, forms=_FORMS)
    return Pipeline(label or _label_of_function(function), rest, "callable", function=function)


def _label_of(text: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(text)
    if found is None or found[1] in STAGES:
        return "", text
    return found[1], found[2].strip()


def _words(text: str) -> tuple[str, ...]:
    """Split a command line as a shell does, and look at its placeholders."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"the command line {text!r} cannot be read: {error}") from error
    named = {name for word in words for name in _BRACES.findall(word)}
    unknown = sorted(named - set(PLACEHOLDERS))
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InputError(f"a command line knows {known}, not {{{unknown[0]}}}: {text!r}")
    if "scan" not in named:
        raise InputError(f"a command line must say where it takes the {{scan}}: {text!r}")
    return words


def filled(words: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """Return the words of a command with what stands in ``places`` for their placeholders.

    Raises InputError where a command asks for a scan that the experiment does not have.
    """

    def place(found: re.Match[str]) -> str:
        if found[1] not in places:
            raise InputError(f"the experiment has no scan named {found[1]}")
        return places[found[1]]

    return [_BRACES.sub(place, word) for word in words]


def _stages(text: str) -> dict[str, Function]:
    stages: dict[str, Function] = {}
    for part in text.split(","):
        name, _, where = part.partition("=")
        if name not in STAGES:
            raise InputError(f"a step to replace is one of {', '.join(STAGES)}, not {name!r}")
        if name in stages:
            raise InputError(f"the step {name} is replaced twice in {text!r}")
        stages[name] = read_function(where, forms=_FORMS)
    return stages


def _label_of_function(function: Function) -> str:
    stem = Path(function.place).stem if function.is_file else function.place.rpartition(".")[2]
    return _safe(stem)


def _label_of_stages(stages: Mapping[str, Function]) -> str:
    return _safe("+".join(f"{name}-{_label_of_function(f)}" for name, f in stages.items()))


def _label_of_command(words: tuple[str, ...]) -> str:
    own = [word for word in words if not word.startswith("-")]
    programs = [Path(word).stem for word in own if not _INTERPRETERS.fullmatch(Path(word).name)]
    return _safe(programs[0] if programs else "command")


def _safe(text: str) -> str:
    """Return a text that can be a label, and the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text).lstrip("_.+-")[:40] or "pipeline"
