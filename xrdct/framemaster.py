"""Write the master of a scan of frames as a beamline would: NeXus, readable by others unchanged.

    /entry                       NXentry: title, start_time, end_time, experiment_hash
      data/data                  virtual dataset over the shards, (frame, row, column)
      instrument/detector        NXdetector; its data is the same dataset
      instrument/beam, source    NXbeam, NXsource
      instrument/positioners     set-points of each frame; encoders: what was read
      monitor, transmitted       NXmonitor, of each frame
      measurement                epoch and elapsed_time of each frame, and links to the above
      xrdct_twin                 the specifications as JSON, and the list of shards

The frames are one virtual dataset and no links to single shards: readers for Eiger files take
every dataset in `data` whose name begins with `data`, so links beside it would count frames twice.
Where a shard is lost, other programs read −1, which is masked, not the zeros of HDF5's default.

Source: NeXus definitions NXdetector, NXbeam, NXmonitor.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from xrdct.hdf5 import (
    SPECS,
    VirtualPart,
    nexus_group,
    safely_written,
    write_format,
    write_quantity,
    write_text,
    write_virtual,
)
from xrdct.instrument import detector_plane
from xrdct.manifest import Layout, sync
from xrdct.plane import place_m
from xrdct.ponifile import write_poni
from xrdct.shards import told_if_unwritable

if TYPE_CHECKING:
    from xrdct.framefile import FrameScan

FRAMES_FORMAT = "xrdct-twin raw frames 1"
_LOST = -1
"""What other programs read where a shard is missing: a masked pixel."""


def shard_file_name(layout: Layout, index: int) -> str:
    """Return where a shard lies, as seen from the folder of the master."""
    return f"{layout.folder_name}/{layout.shard_name(index)}"


def write_master(scan: FrameScan, path: Path) -> None:
    """Write the PONI file and then the master."""
    with told_if_unwritable(path):
        write_poni(
            path.with_suffix(".poni"),
            beam=scan.beam,
            detector=scan.detector,
            geometry=scan.geometry,
        )
        with safely_written(path) as file:
            write_format(file, FRAMES_FORMAT)
            entry = nexus_group(file, "entry", "NXentry")
            entry.attrs["default"] = "data"
            _write_entry(entry, scan)
        sync(path.parent)


def _write_entry(entry: h5py.Group, scan: FrameScan) -> None:
    write_text(entry, "title", scan.title)
    write_text(entry, "experiment_hash", scan.experiment_hash)
    last_s = float(scan.elapsed_s.max()) + scan.scan.exposure_s
    for name, since_s in (("start_time", float(scan.elapsed_s.min())), ("end_time", last_s)):
        write_text(entry, name, (scan.clock_start + timedelta(seconds=since_s)).isoformat())
    _write_frames(entry, scan.shards.layout)
    instrument = nexus_group(entry, "instrument", "NXinstrument")
    write_text(instrument, "name", "xrdct-twin")
    _write_detector(instrument, scan)
    _write_beam(instrument, scan)
    _write_positions(instrument, scan)
    for name, photons in (("monitor", scan.monitor), ("transmitted", scan.transmitted)):
        group = nexus_group(entry, name, "NXmonitor")
        write_text(group, "mode", "timer")
        write_quantity(group, "preset", scan.scan.exposure_s, "s")
        write_quantity(group, "data", photons, "counts")
    _write_measurement(entry, scan)
    _write_specs(entry, scan)


def _write_frames(entry: h5py.Group, layout: Layout) -> None:
    data = nexus_group(entry, "data", "NXdata")
    data.attrs["signal"] = "data"
    shape, nowhere = layout.frame_shape, (0, 0, 0)
    parts = []
    for index in range(layout.n_shards):
        frames = layout.frames_of(index)
        whole = (len(frames), *shape)
        parts.append(
            VirtualPart(
                shard_file_name(layout, index), "entry/data/data", whole, nowhere, whole,
                (frames.start, 0, 0), whole,
            )
        )  # fmt: skip
    dataset = write_virtual(
        data, "data", shape=(layout.n_frames, *shape), dtype="<i4", parts=parts, fill=_LOST
    )
    dataset.attrs["interpretation"] = "image"
    dataset.attrs["units"] = "counts"


def _write_detector(instrument: h5py.Group, scan: FrameScan) -> None:
    detector = nexus_group(instrument, "detector", "NXdetector")
    pixel_m = scan.detector.pixel_um * 1e-6
    plane = detector_plane(scan.geometry, scan.detector)
    centre1_m, centre2_m = place_m(plane, 0.0, 0.0)
    detector["data"] = instrument.parent["data/data"]
    write_text(detector, "description", scan.detector.name)
    write_text(detector, "sensor_material", "CdTe")
    write_quantity(detector, "sensor_thickness", scan.detector.sensor_um * 1e-6, "m")
    write_quantity(detector, "threshold_energy", scan.detector.threshold_keV, "keV")
    write_quantity(detector, "x_pixel_size", pixel_m, "m")
    write_quantity(detector, "y_pixel_size", pixel_m, "m")
    write_quantity(detector, "distance", plane.distance_m, "m")
    write_quantity(detector, "beam_center_x", centre2_m / pixel_m, "pixel")
    write_quantity(detector, "beam_center_y", centre1_m / pixel_m, "pixel")
    write_quantity(detector, "count_time", scan.scan.exposure_s, "s")
    detector.create_dataset(
        "pixel_mask", data=scan.pixel_mask.astype(np.uint32), compression="gzip", fletcher32=True
    )
    if scan.flat_field is not None:
        detector.create_dataset("flatfield", data=scan.flat_field, fletcher32=True, chunks=True)
    if scan.saturation is not None:
        detector["saturation_value"] = scan.saturation


def _write_beam(instrument: h5py.Group, scan: FrameScan) -> None:
    source = nexus_group(instrument, "source", "NXsource")
    write_text(source, "type", "Synchrotron X-ray Source")
    write_text(source, "probe", "x-ray")
    beam = nexus_group(instrument, "beam", "NXbeam")
    write_quantity(beam, "incident_energy", scan.beam.energy_keV, "keV")
    write_quantity(beam, "incident_energy_spread", scan.beam.bandwidth, "")
    write_quantity(beam, "incident_wavelength", scan.beam.wavelength_A, "angstrom")
    write_quantity(beam, "flux", scan.beam.flux_per_s, "1/s")
    write_quantity(beam, "extent", [scan.beam.width_um, scan.beam.height_um], "um")
    stokes = [1.0, scan.beam.polarisation, 0.0, 0.0]
    write_quantity(beam, "incident_polarization_stokes", stokes, "")


def _write_positions(instrument: h5py.Group, scan: FrameScan) -> None:
    positioners = nexus_group(instrument, "positioners", "NXcollection")
    write_quantity(positioners, "offset", scan.offset_um, "um")
    write_quantity(positioners, "rotation", np.rad2deg(scan.rotation_rad), "deg")
    encoders = nexus_group(instrument, "encoders", "NXcollection")
    write_quantity(encoders, "offset", scan.encoder_offset_um, "um")
    write_quantity(encoders, "rotation", np.rad2deg(scan.encoder_rotation_rad), "deg")


def _write_measurement(entry: h5py.Group, scan: FrameScan) -> None:
    measurement = nexus_group(entry, "measurement", "NXcollection")
    write_quantity(measurement, "elapsed_time", scan.elapsed_s, "s")
    write_quantity(measurement, "epoch", scan.clock_start.timestamp() + scan.elapsed_s, "s")
    measurement["monitor"] = entry["monitor/data"]
    measurement["transmitted"] = entry["transmitted/data"]
    for name in ("offset", "rotation"):
        measurement[name] = entry[f"instrument/encoders/{name}"]


def _write_specs(entry: h5py.Group, scan: FrameScan) -> None:
    specs = nexus_group(entry, SPECS, "NXcollection")
    for name in ("scan", "beam", "detector", "geometry"):
        write_text(specs, name, getattr(scan, name).model_dump_json())
    write_text(specs, "shards", scan.shards.manifest.model_dump_json())
    write_text(specs, "recipe", json.dumps(scan.recipe))
    write_text(specs, "versions", json.dumps(dict(scan.versions)))
    write_text(specs, "clock_start", scan.clock_start.isoformat())
    specs["raster"] = scan.raster.astype(np.int64)
