"""Scans of the surroundings that a user names: one may serve a whole series of scans.

A raw scan links to the scans of its own experiment only. A user knows better that a sample was not
moved between two, and says so by naming the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np

from inverse.recipe import OTHER_SCANS, Recipe
from xrdct.errors import InputError
from xrdct.rawfile import RawScan

_CALIBRATED = 0.01
"""Share by which calibrations of one distance may differ; widths of lines and parallax change by as
much."""


def named_files(given: Sequence[str]) -> dict[str, Path]:
    """Return files by the name of their scan, of texts such as ``broad=FILE``.

    Raises InputError for another text, and for a name given twice.
    """
    files: dict[str, Path] = {}
    for text in given:
        name, _, file = text.partition("=")
        if name not in OTHER_SCANS or not file:
            raise InputError(f"--linked is coarse=FILE or broad=FILE, not {text!r}")
        if name in files:
            raise InputError(f"--linked names {name} twice: {files[name]} and {file}")
        files[name] = Path(file)
    return files


def check_used(files: Mapping[str, Path], recipe: Recipe) -> None:
    """Raise InputError for a file of which the recipe makes no use."""
    for name, file in files.items():
        if name not in recipe.helpful_scans:
            used = " and ".join(recipe.helpful_scans) or "none"
            raise InputError(
                f"--linked {name}={file}: of linked scans the recipe uses {used} (see its "
                "truncation.method and use_broad)"
            )


def check_same_instrument(raw: RawScan, other: RawScan, *, path: Path, key: str) -> None:
    """Raise InputError where a scan's patterns cannot be compared with those of ``raw``.

    ``key`` is how the scan was named, ``path`` the file of ``raw``. Calibrations and the number of
    channels may differ.
    """
    own, its = raw.geometry, other.geometry
    channel_deg = float(np.rad2deg(own.channel_width_rad))
    wrong = {
        "beam.energy_keV": raw.beam.energy_keV != other.beam.energy_keV,
        "geometry.distance_m": abs(its.distance_m / own.distance_m - 1.0) > _CALIBRATED,
        "geometry.two_theta_min_deg": its.two_theta_min_deg > own.two_theta_min_deg + channel_deg,
        "geometry.two_theta_max_deg": its.two_theta_max_deg < own.two_theta_max_deg - channel_deg,
        **{
            f"detector.{name}": value != getattr(other.detector, name)
            for name, value in raw.detector.model_dump().items()
        },
    }
    for name, differs in wrong.items():
        if differs:
            measured, expected = (attrgetter(name)(scan) for scan in (other, raw))
            raise InputError(
                f"{key}: measured with {name} = {measured}, but {path} with {expected}: only "
                "patterns of one instrument can be compared"
            )
