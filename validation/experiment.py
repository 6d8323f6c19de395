"""An experiment as a file: sample, instrument, scans, and the recipe to analyse it.

A TOML file, or the same as Python objects, describes everything; :func:`load_experiment` turns
every mistake in it into one sentence that says where it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from forward.calibrant import Calibrant
from forward.faults import DetectorFaults
from forward.flux import BeamDecay
from forward.grains import Grains
from forward.instrument import Unknowns
from forward.motion import Motion
from forward.settings import Accuracy, Effects
from inverse.recipe import Recipe
from inverse.suited import check_interlaced
from phantoms.cell import Cell
from phantoms.library import LibrarySpec, build, library_names, library_spec
from phantoms.operando import Operando
from phantoms.particle import Coordinate, Particle
from phantoms.sample import Sample
from validation.complaints import quoted, sentence
from validation.crystals import check_crystal, check_lines, check_recipe, placed_recipe
from validation.feasible import check_half_turn, check_photons, check_rings
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError, told_of
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.rawfile import MAIN
from xrdct.scan import Scan
from xrdct.spec import Spec

SpecT = TypeVar("SpecT", bound=Spec)
_LARGEST_FILE_BYTES = 50 * 2**20
_FEWEST_CALIBRANT_LINES = 3
_SCAN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class ParticleList(Spec):
    """A sample written particle by particle."""

    particles: tuple[Particle, ...]
    z_um: Coordinate = 0.0


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
    mode: Literal["patterns", "frames"] = "patterns"
    """Whether channels of 2θ are simulated, or every pixel of the detector."""
    cell: Cell | None = None
    """What surrounds the particles; bare ones without it."""
    motion: Motion = Motion()
    flux: BeamDecay = BeamDecay()
    operando: Operando = Operando()
    grains: Grains = Grains()
    faults: DetectorFaults = DetectorFaults()
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
            if not _SCAN_NAME.fullmatch(name) or name in {MAIN, "entry"}:
                raise ValueError(
                    f"a scan cannot be named {name[:40]!r}: use up to 40 letters, digits and _, "
                    f"and neither {MAIN!r} nor 'entry'"
                )
        return scans

    def check(self) -> None:
        """Raise InputError, naming the key, for what would stop the simulation later.

        That is a list of particles that cannot be, a crystal that is missing or broken or shows no
        line, or a scan that cannot be reconstructed. A random sample is not drawn.
        """
        if isinstance(self.sample, ParticleList):
            for phase, key in _shell_phases(self.sample).items():
                check_crystal(phase, key=key, folder=self.folder)
            with told_of("sample"):
                self.build_sample()
        check_half_turn(self.scan, key="scan")
        with told_of("scan"):
            check_interlaced(self.scan)
        exposures_s = {key: scan.exposure_s for key, scan in self.all_scans().items()}
        check_photons(self.beam, exposures_s | {"calibrant": self.calibrant.exposure_s})
        check_recipe(self.recipe, folder=self.folder, key="recipe.")
        check_crystal(self.calibrant.crystal, key="calibrant.crystal", folder=self.folder)
        shown = {
            "recipe.phase.crystal": (self.recipe.phase.crystal, 1),
            "calibrant.crystal": (self.calibrant.crystal, _FEWEST_CALIBRANT_LINES),
        }
        for key, (crystal, least) in shown.items():
            check_lines(
                crystal, key=key, folder=self.folder, least=least, beam=self.beam,
                geometry=self.geometry,
            )  # fmt: skip
        check_rings(self.geometry, detector=self.detector, beam=self.beam)

    def all_scans(self) -> dict[str, Scan]:
        """Return all scans by their keys in a file, the one to reconstruct first."""
        return {"scan": self.scan, **{f"scans.{name}": s for name, s in self.scans.items()}}

    def build_sample(self) -> Sample:
        """Return the sample; random ones are drawn with the experiment's seed."""
        if not isinstance(self.sample, ParticleList):
            return build(self.sample, seed=self.seed)
        crystals = {p: find_crystal(p, folder=self.folder) for p in _shell_phases(self.sample)}
        return Sample(self.sample.particles, z_um=self.sample.z_um, crystals=crystals)

    def config_json(self) -> str:
        """Return the whole experiment as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def config_sha256(self) -> str:
        """Return the hash of the whole experiment."""
        return hashlib.sha256(self.config_json().encode()).hexdigest()


def _shell_phases(sample: ParticleList) -> dict[str, str]:
    """Return the phases of all shells, each with the key where it is named first."""
    first: dict[str, str] = {}
    for i, particle in enumerate(sample.particles):
        for j, shell in enumerate(particle.shells):
            first.setdefault(shell.phase, f"sample.particles[{i}].shells[{j}].phase")
    return first


def _sample_spec(table: Mapping[str, Any]) -> LibrarySpec | ParticleList:
    """Choose between a library sample and a list of particles before checking either."""
    if "library" in table and "particles" in table:
        raise InputError("[sample] takes either a library name or particles, not both")
    if not {"library", "particles"} & set(table):
        names = ", ".join(library_names())
        raise InputError(f"[sample] needs particles, or a library name: one of {names}")
    model: type[LibrarySpec | ParticleList] = ParticleList
    if "library" in table:
        with told_of("sample.library"):
            model = type(library_spec({"library": table["library"]}))
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise InputError(sentence(error, table, model, prefix="sample")) from error


def load_experiment(path: Path, *, seed: int | None = None, mode: str | None = None) -> Experiment:
    """Read an experiment from a TOML file; ``seed`` and ``mode`` replace the file's.

    Raises InputError, naming the file and the key, for whatever a user can mend.
    """
    table = read_toml(path)
    if "folder" in table:
        raise InputError(f"{path}: unknown key folder: CIF files are looked for beside this file")
    if seed is not None:
        table["seed"] = seed
    if mode is not None:
        table["mode"] = mode
    experiment = validated(Experiment, table, source=path)
    experiment = experiment.model_copy(update={"folder": path.parent.resolve()})
    with told_of(path):
        experiment.check()
    return experiment


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file; CIF files named in it are looked for beside it.

    Raises InputError, naming the file and the key, for whatever a user can mend.
    """
    recipe = validated(Recipe, read_toml(path), source=path)
    with told_of(path):
        check_recipe(recipe, folder=path.parent)
    return placed_recipe(recipe, folder=path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of bounded size."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    if path.stat().st_size > _LARGEST_FILE_BYTES:
        raise InputError(f"{path} is larger than 50 MB")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors add the sig
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers of 4300 digits
        raise InputError(f"{path} is not valid TOML: {error}") from error


def validated(model: type[SpecT], table: Mapping[str, Any], *, source: Path) -> SpecT:
    """Return ``table`` as a checked object, or raise InputError with one sentence."""
    try:
        accepted = model.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{source}: {sentence(error, table, model)}") from error
    complaint = quoted(table, accepted)
    if complaint:
        raise InputError(f"{source}: {complaint}")
    return accepted
