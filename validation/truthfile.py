"""The truth as a file: maps on the grid of the scan, and the experiment to draw any other grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from forward.instrument import TrueInstrument
from inverse.interlace import half_step_scan
from validation.experiment import Experiment
from validation.laboratory import compared_sample, laboratory
from validation.truth import N_BRANCHES, Truth, truth_on_grid
from xrdct.errors import InputError
from xrdct.hdf5 import (
    check_format,
    nexus_group,
    opened_hdf5,
    own_array,
    own_group,
    own_json,
    own_spec,
    own_text,
    safely_written,
    write_format,
    write_image,
    write_text,
)
from xrdct.scan import Scan
from xrdct.versions import versions

Floats = NDArray[np.float64]

FORMAT = "xrdct-twin truth 1"
_IMAGES = ("a_A", "volume_fraction", "depth_um")
_FLAGS = ("interior", "eroded", "two_lattices")
_STACKS = ("lattice_a_A", "lattice_fraction")


@dataclass(frozen=True, eq=False)
class KnownTruth:
    """A truth with the experiment it belongs to."""

    truth: Truth
    experiment: Experiment
    timing_s: Mapping[str, float]

    def measured_as(self, scan: Scan) -> Scan:
        """Return the scan that was measured for maps of ``scan``: that one, or interlaced."""
        measured = self.experiment.all_scans().values()
        return next((own for own in measured if half_step_scan(own) == scan), scan)

    def on_grid_of(self, scan: Scan) -> Truth:
        """Return the truth on the grid of ``scan``, drawn anew where it is not the stored one."""
        own = self.truth.scan
        if (own.n_offsets, own.step_um) == (scan.n_offsets, scan.step_um):
            return self.truth
        height_um = self.experiment.beam.height_um if self.experiment.effects.beam_size else 0.0
        sample = compared_sample(laboratory(self.experiment))
        return truth_on_grid(sample, scan=scan, beam_height_um=height_um)


def write_truth(
    truth: Truth,
    path: Path,
    *,
    experiment: Experiment,
    instrument: TrueInstrument,
    timing_s: Mapping[str, float],
) -> None:
    """Write the truth, the experiment, and what was drawn for the true instrument."""
    with safely_written(path) as file:
        write_format(file, FORMAT)
        entry = nexus_group(file, "entry", "NXentry")
        entry.attrs["default"] = "a_A"
        write_text(entry, "scan", truth.scan.model_dump_json())
        write_text(entry, "experiment", experiment.config_json())
        write_text(entry, "folder", str(experiment.folder))
        drawn = vars(instrument) | {
            "beam": instrument.beam.model_dump(), "geometry": instrument.geometry.model_dump()
        }  # fmt: skip
        write_text(entry, "instrument", json.dumps(drawn))
        write_text(entry, "timing_s", json.dumps(dict(timing_s)))
        write_text(entry, "versions", json.dumps(versions()))
        position_um = truth.scan.offsets_um
        for name in (*_IMAGES, *_FLAGS, "particle"):
            write_image(entry, name, getattr(truth, name), position_um=position_um)
        for name in _STACKS:
            entry[name] = getattr(truth, name)
        _write_phases(entry, "extra_fraction", truth.extra_fraction, position_um, units="")
        if truth.mass_g_per_cm3 is not None:
            _write_phases(entry, "mass", truth.mass_g_per_cm3, position_um, units="g/cm3")


def _write_phases(
    entry: h5py.Group, name: str, maps: Mapping[str, Floats], position_um: Floats, *, units: str
) -> None:
    """Write one map for each phase."""
    group = nexus_group(entry, name, "NXcollection")
    for number, (phase, values) in enumerate(maps.items()):
        write_image(group, f"phase_{number}", values, position_um=position_um, units=units)
        # The phase may be the path of a CIF file, which is no name for a group.
        write_text(group, f"phase_{number}/phase", phase)


def _read_phases(
    entry: h5py.Group, name: str, shape: tuple[int, int], path: Path
) -> dict[str, Floats]:
    """Read one map for each phase, in the order in which they were written."""
    group = own_group(entry, name, path)
    found = {}
    for child in sorted(group, key=lambda text: (len(text), text)):
        image = own_group(group, child, path)
        found[own_text(image, "phase", path)] = own_array(image, "values", shape, path).astype(
            float
        )
    return found


def read_truth(path: Path) -> KnownTruth:
    """Read a truth; InputError where the file is missing, damaged or of another kind."""
    with opened_hdf5(path) as file:
        check_format(file, FORMAT, "truth", path)
        entry = own_group(file, "entry", path)
        scan = own_spec(entry, "scan", Scan, path)
        shape = (scan.n_offsets, scan.n_offsets)

        def image(parent: h5py.Group, name: str) -> Any:
            return own_array(own_group(parent, name, path), "values", shape, path)

        stacks = {n: own_array(entry, n, (N_BRANCHES, *shape), path) for n in _STACKS}
        truth = Truth(
            scan=scan,
            extra_fraction=_read_phases(entry, "extra_fraction", shape, path),
            mass_g_per_cm3=_read_phases(entry, "mass", shape, path) if "mass" in entry else None,
            particle=image(entry, "particle").astype(np.int64),
            **{name: image(entry, name).astype(float) for name in _IMAGES},
            **{name: image(entry, name).astype(bool) for name in _FLAGS},
            **{name: stack.astype(float) for name, stack in stacks.items()},
        )
        return KnownTruth(truth, _experiment(entry, path), own_json(entry, "timing_s", path))


def _experiment(entry: h5py.Group, path: Path) -> Experiment:
    table = own_json(entry, "experiment", path) | {"folder": own_text(entry, "folder", path)}
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{path} holds an experiment that is not valid") from error
