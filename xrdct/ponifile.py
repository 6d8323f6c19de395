"""Write where the detector stands as a PONI file, version 2.1, which pyFAI reads.

Axis 1 is vertical (rows), 2 horizontal (columns); lengths in metres, angles in radians. The file
holds the nominal geometry and no date: the same experiment gives the same bytes.

Source: pyFAI, `io/ponifile.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from xrdct.instrument import Beam, Detector, Geometry, detector_plane

_ORIENTATION = 3
"""Of the detector's rows and columns as seen from the sample; 3 is pyFAI's usual one."""


def poni_text(*, beam: Beam, detector: Detector, geometry: Geometry) -> str:
    """Return the text of a PONI file."""
    from pyFAI.detectors import detector_factory

    plane = detector_plane(geometry, detector)
    numbers = {
        "Distance": plane.distance_m,
        "Poni1": plane.poni1_m,
        "Poni2": plane.poni2_m,
        "Rot1": plane.rot1_rad,
        "Rot2": plane.rot2_rad,
        "Rot3": plane.rot3_rad,
        "Wavelength": beam.wavelength_A * 1e-10,
    }
    entries = {
        "poni_version": "2.1",
        "Detector": type(detector_factory(detector.name)).__name__,
        "Detector_config": json.dumps({"orientation": _ORIENTATION}),
        **{key: repr(float(value)) for key, value in numbers.items()},
    }
    lines = ["# Nominal geometry, 1 is vertical (rows), 2 horizontal (columns)"]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in entries.items())]) + "\n"


def write_poni(path: Path, *, beam: Beam, detector: Detector, geometry: Geometry) -> None:
    """Write a PONI file that gets its name only when it is complete and on the disk."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="ascii") as file:
            file.write(poni_text(beam=beam, detector=detector, geometry=geometry))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
