"""An experiment as a file: sample, instrument, scans, and the recipe to analyse it.

A TOML file, or the same as Python objects, describes everything; :func:`load_experiment` turns
every mistake in it into one sentence that says where it is.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from forward.calibrant import Calibrant
from forward.instrument import Unknowns
from forward.settings import Accuracy, Effects
from inverse.recipe import Recipe
from phantoms.library import LibrarySpec, build, library_spec
from phantoms.particle import Particle
from phantoms.sample import Sample
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawfile import MAIN
from xrdct.scan import Scan
from xrdct.spec import Spec

SpecT = TypeVar("SpecT", bound=Spec)
_LARGEST_FILE_BYTES = 50 * 2**20


class ParticleList(Spec):
    """A sample written particle by particle."""

    particles: tuple[Particle, ...]
    z_um: float = 0.0


class Experiment(Spec):
    """Everything that determines a simulated measurement and its analysis."""

    name: str = Field("experiment", min_length=1, max_length=200)
    seed: int = Field(0, ge=0, lt=2**63)
    sample: LibrarySpec | ParticleList
    scan: Scan
    """The scan that is reconstructed."""
    scans: dict[str, Scan] = Field(default_factory=dict)
    """Further scans of the same sample, by name (such as coarse and broad)."""
    beam: Beam = Beam()
    detector: Detector = Detector()
    geometry: Geometry = Geometry()
    effects: Effects = Effects()
    unknowns: Unknowns = Unknowns()
    calibrant: Calibrant = Calibrant()
    accuracy: Accuracy = Accuracy()
    recipe: Recipe = Recipe()
    folder: Path = Field(default=Path(), exclude=True, repr=False)
    """Where CIF files named in the experiment are looked for."""

    @model_validator(mode="before")
    @classmethod
    def _from_tables(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        sample = data.get("sample")
        if isinstance(sample, Mapping):
            data["sample"] = _sample_spec(sample)
        return data

    @field_validator("scans")
    @classmethod
    def _names(cls, scans: dict[str, Scan]) -> dict[str, Scan]:
        for name in scans:
            if not name.isidentifier() or name in {MAIN, "entry"}:
                raise ValueError(
                    f"a scan cannot be named {name!r}: use letters, digits and _, and neither "
                    f"{MAIN!r} nor 'entry'"
                )
        return scans

    def build_sample(self) -> Sample:
        """Return the sample; random ones are drawn with the experiment's seed."""
        if not isinstance(self.sample, ParticleList):
            return build(self.sample, seed=self.seed)
        phases = {s.phase for p in self.sample.particles for s in p.shells}
        crystals = {phase: find_crystal(phase, folder=self.folder) for phase in phases}
        return Sample(self.sample.particles, z_um=self.sample.z_um, crystals=crystals)

    def config_json(self) -> str:
        """Return the whole experiment as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def config_sha256(self) -> str:
        """Return the hash of the whole experiment."""
        return hashlib.sha256(self.config_json().encode()).hexdigest()


def _sample_spec(table: Mapping[str, Any]) -> LibrarySpec | ParticleList:
    """Choose between a library sample and a list of particles before checking either."""
    if "library" in table and "particles" in table:
        raise InputError("[sample] takes either a library name or particles, not both")
    try:
        return library_spec(table) if "library" in table else ParticleList.model_validate(table)
    except ValidationError as error:
        raise InputError(_sentence(error, ("sample",), _sample_model(table))) from error


def _sample_model(table: Mapping[str, Any]) -> type[BaseModel]:
    return type(library_spec({"library": table["library"]})) if "library" in table else ParticleList


def load_experiment(path: Path, *, seed: int | None = None) -> Experiment:
    """Read an experiment from a TOML file; ``seed`` replaces the file's.

    Raises InputError, naming the file and the key, for whatever a user can mend.
    """
    table = read_toml(path)
    if seed is not None:
        table["seed"] = seed
    return validated(Experiment, table | {"folder": path.parent}, source=path)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file."""
    return validated(Recipe, read_toml(path), source=path)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of bounded size."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    if path.stat().st_size > _LARGEST_FILE_BYTES:
        raise InputError(f"{path} is larger than 50 MB")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error


def validated(model: type[SpecT], table: Mapping[str, Any], *, source: Path) -> SpecT:
    """Return ``table`` as a checked object, or raise InputError with one sentence."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{source}: {_sentence(error, (), model)}") from error
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _sentence(error: ValidationError, prefix: tuple[str, ...], model: type[BaseModel]) -> str:
    """Describe the first mistake: where, which rule, what was found."""
    details = _most_telling(error.errors(include_url=False))
    where = ".".join((*prefix, *_keys(details["loc"])))
    if details["type"] == "extra_forbidden":
        return f"unknown key {where}{_suggestion(details, model)}"
    if details["type"] == "missing":
        return f"missing key {where}"
    message = details["msg"].removeprefix("Value error, ")
    if not where:
        return message
    message = message[0].lower() + message[1:]
    found = details["input"]
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return f"{where}: {message}{shown}"


def _most_telling(errors: list[ErrorDetails]) -> ErrorDetails:
    """Prefer an unknown key to what follows from it, such as its correct form being missing."""
    return next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """Drop the names of union members, which are not keys of the file."""
    kept = (p for p in location if isinstance(p, int) or p[:1].islower())
    return [str(p) for p in kept if p != "float" and not str(p).startswith("tuple[")]


def _suggestion(details: ErrorDetails, model: type[BaseModel]) -> str:
    """Return ': did you mean …?' from the keys of the table in which the mistake is."""
    *path, wrong = (p for p in details["loc"] if isinstance(p, str))
    fields: dict[str, Any] = dict(model.model_fields)
    for part in path:
        if part in fields:
            fields = _inner_fields(fields[part].annotation)
    stems = {name.rsplit("_", 1)[0]: name for name in fields}
    matches = get_close_matches(wrong, fields, n=1, cutoff=0.6)
    near = matches[0] if matches else stems.get(wrong.rsplit("_", 1)[0])
    return f": did you mean {near}?" if near else f" (known here: {', '.join(sorted(fields))})"


def _inner_fields(annotation: Any) -> dict[str, Any]:
    """Return the fields of the first specification found in a type, through unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return dict(annotation.model_fields)
    for argument in getattr(annotation, "__args__", ()):
        fields = _inner_fields(argument)
        if fields:
            return fields
    return {}
