"""Write a scan of patterns as a beamline would: NeXus, NXxrdct for others beside our own layout.

    /entry                       NXentry, NXxrdct: definition, title, start_time, end_time,
                                 experiment_hash, recipe, versions
      data                       NXdata: intensity, variance over (rotation, offset, two_theta)
      monitor, transmitted       photons of each point, (rotation, offset)
      readings                   what encoders and clock said
      instrument/detector        NXdetector; its data turned to (translation, rotation, radial)
      instrument/monochromator, source, beam, sample, control
      xrdct_twin                 the specifications as JSON
      other_scans                links to the files of the experiment's other scans

The links are inside the entry because nxxrdct, which looks for entries up to where it finds one,
would take those beside it for further entries of the same name.

Nothing is stored twice: what others look for elsewhere is a link within the file, and what they
want turned a virtual dataset over ours. Both are for others: :mod:`xrdct.rawfile` reads neither.

Source: NeXus classes NXdata, NXdetector, NXbeam, NXmonitor; NXxrdct as nxxrdct 0.1.0b0 loads it,
which parses units with pint and takes "2theta" from the radial axis's ``long_name``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import h5py
import hdf5plugin
import numpy as np

from xrdct.hdf5 import (
    SPECS,
    VirtualPart,
    nexus_group,
    write_quantity,
    write_text,
    write_virtual,
)

if TYPE_CHECKING:
    from xrdct.rawfile import RawScan

OTHER_SCANS = "other_scans"
READINGS = {"encoder_offset_um": "um", "encoder_rotation_rad": "rad", "time_s": "s"}
"""What is read at each point, with its units."""
_DEFINITION, _DEFINITION_VERSION = "NXxrdct", 1.0


def write_entry(
    entry: h5py.Group, raw: RawScan, *, clock_start: datetime, linked: Mapping[str, str]
) -> None:
    """Write a scan into its NXentry.

    The experiment's clock began at ``clock_start``; ``linked`` are the names of the files that hold
    other scans, by what these are called.
    """
    entry.attrs["default"] = "data"
    entry.attrs["definition"] = _DEFINITION
    entry.attrs["version"] = _DEFINITION_VERSION
    write_text(entry, "definition", _DEFINITION)
    write_text(entry, "title", raw.title)
    for name, since_s in zip(("start_time", "end_time"), _duration_s(raw), strict=True):
        write_text(entry, name, (clock_start + timedelta(seconds=since_s)).isoformat())
    write_text(entry, "experiment_hash", raw.experiment_hash)
    write_text(entry, "recipe", json.dumps(raw.recipe))
    write_text(entry, "versions", json.dumps(dict(raw.versions)))
    specs = nexus_group(entry, SPECS, "NXcollection")
    for name in ("scan", "beam", "detector", "geometry"):
        write_text(specs, name, getattr(raw, name).model_dump_json())
    entry["monitor"] = raw.monitor
    entry["transmitted"] = raw.transmitted
    if raw.readings is not None:
        readings = nexus_group(entry, "readings", "NXcollection")
        for name, units in READINGS.items():
            write_quantity(readings, name, getattr(raw.readings, name), units)
    _write_data(nexus_group(entry, "data", "NXdata"), raw)
    _write_instrument(entry, raw)
    _write_sample_and_beam(entry, raw)
    others = nexus_group(entry, OTHER_SCANS, "NXcollection")
    for name, file_name in linked.items():
        others[name] = h5py.ExternalLink(file_name, "/entry")


def _duration_s(raw: RawScan) -> tuple[float, float]:
    """Return begin and end of the scan, since the clock's start."""
    if raw.readings is None:
        return 0.0, raw.scan.beam_time_s
    times_s = raw.readings.time_s
    return float(times_s.min()), float(times_s.max()) + raw.scan.exposure_s


def _write_data(data: h5py.Group, raw: RawScan) -> None:
    data.attrs["signal"] = "intensity"
    data.attrs["axes"] = ["rotation", "offset", "two_theta"]
    stacks = {"intensity": raw.counts} | (
        {} if raw.variance is None else {"variance": raw.variance}
    )
    for name, stack in stacks.items():
        data.create_dataset(
            name,
            data=stack,
            chunks=(1, *stack.shape[1:]),
            fletcher32=True,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        ).attrs["units"] = "counts"
    # To a viewer each rotation is an image: offset against 2θ.
    data["intensity"].attrs["interpretation"] = "image"
    write_quantity(data, "rotation", np.rad2deg(raw.scan.angles_rad), "deg")
    write_quantity(data, "offset", raw.scan.offsets_um, "um")
    write_quantity(data, "two_theta", np.rad2deg(raw.geometry.two_theta_rad), "deg")
    data["two_theta"].attrs["long_name"] = "2theta (deg)"


def _write_instrument(entry: h5py.Group, raw: RawScan) -> None:
    instrument = nexus_group(entry, "instrument", "NXinstrument")
    write_text(instrument, "name", "xrdct-twin")
    source = nexus_group(instrument, "source", "NXsource")
    write_text(source, "name", "xrdct-twin")
    write_text(source, "type", "Synchrotron X-ray Source")
    write_text(source, "probe", "x-ray")
    monochromator = nexus_group(instrument, "monochromator", "NXmonochromator")
    write_quantity(monochromator, "wavelength", raw.beam.wavelength_A, "angstrom")
    detector = nexus_group(instrument, "detector", "NXdetector")
    write_text(detector, "description", raw.detector.name)
    pixel_m = raw.detector.pixel_um / 1e6
    write_quantity(detector, "x_pixel_size", pixel_m, "m")
    write_quantity(detector, "y_pixel_size", pixel_m, "m")
    write_quantity(detector, "distance", raw.geometry.distance_m, "m")
    write_quantity(detector, "count_time", raw.scan.exposure_s, "s")
    detector["radial_axis"] = entry["data/two_theta"]
    _write_turned(detector, entry["data/intensity"])


def _write_sample_and_beam(entry: h5py.Group, raw: RawScan) -> None:
    sample = nexus_group(entry, "sample", "NXsample")
    sample["rotation_angles"] = entry["data/rotation"]
    sample["translation_values"] = entry["data/offset"]
    beam = nexus_group(entry, "beam", "NXbeam")
    write_quantity(beam, "incident_energy", raw.beam.energy_keV, "keV")
    control = nexus_group(entry, "control", "NXmonitor")
    write_text(control, "mode", "timer")
    write_quantity(control, "preset", raw.scan.exposure_s, "s")
    _write_turned(control, entry["monitor"])


def _write_turned(group: h5py.Group, ours: h5py.Dataset) -> None:
    """Show an array over (rotation, offset, ...) of this file as (offset, rotation, ...)."""
    n_rotations, n_offsets, *rest = ours.shape
    zeros = (0,) * len(rest)
    parts = [
        VirtualPart(
            ".", ours.name, ours.shape, (rotation, 0, *zeros), (1, n_offsets, *rest),
            (0, rotation, *zeros), (n_offsets, 1, *rest),
        )
        for rotation in range(n_rotations)
    ]  # fmt: skip
    shape = (n_offsets, n_rotations, *rest)
    turned = write_virtual(group, "data", shape=shape, dtype=ours.dtype, parts=parts)
    turned.attrs["units"] = "counts"
