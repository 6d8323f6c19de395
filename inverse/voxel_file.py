"""Maps of every phase in the maps file: NXdata groups, and a list of what is there.

    /entry/phases/LABEL/a_A, a_A_esd, volume_fraction, weight_fraction, …     one group per phase
    /entry/rietveld/r_wp, chi2_reduced, status, residual_rms, background_0, … what is no phase's
    /entry/rietveld/substance_0/weight_fraction, esd_noise, esd_total         crystals, added up
    /entry/rietveld/second_lattice/decision, p_value, share, share_esd
    /entry/rietveld/contents                                                  the list, as JSON
    /entry/rietveld/covariance, residuals                                     where they were kept

Groups are called by their phases' labels, with underscores for what names of groups cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from inverse.voxel_maps import (
    PhaseMaps,
    Quantity,
    RietveldMaps,
    SecondLatticeMaps,
    SubstanceMaps,
)
from xrdct.errors import InputError
from xrdct.hdf5 import (
    nexus_group,
    own_array,
    own_dataset,
    own_group,
    own_json,
    write_image,
    write_text,
)
from xrdct.spec import Spec

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_MAPS = ("chi2_reduced", "r_wp", "residual_rms", "status")
_CHANNELS = ("mean_residual", "mean_square")
_UNITS = {"_A": "angstrom", "_A2": "angstrom^2", "_nm": "nm", "_deg": "degree", "_m": "m"}
_FRACTIONS = ("weight_fraction", "esd_noise", "esd_total")


class _Phase(Spec):
    label: str
    crystal: str
    group: str
    quantities: tuple[str, ...]


class _Contents(Spec):
    """What is in the file."""

    phases: tuple[_Phase, ...] = Field(max_length=64)
    substances: tuple[str, ...] = Field(max_length=64)
    common: tuple[str, ...]
    shared: dict[str, tuple[float | None, float | None]]
    covariance: tuple[str, ...]


def write_rietveld(entry: h5py.Group, maps: RietveldMaps, *, position_um: Floats) -> None:
    """Write all maps into an entry."""
    contents = _contents(maps)
    own = nexus_group(entry, "rietveld", "NXcollection")
    write_text(own, "contents", contents.model_dump_json())

    def image(group: h5py.Group, name: str, values: Floats) -> None:
        write_image(group, name, values, position_um=position_um, units=_unit(name))

    def pair(group: h5py.Group, name: str, quantity: Quantity) -> None:
        image(group, name, quantity.value)
        write_image(group, f"{name}_esd", quantity.esd, position_um=position_um, units=_unit(name))

    phases = nexus_group(entry, "phases", "NXcollection")
    for told, phase in zip(contents.phases, maps.phases, strict=True):
        group = nexus_group(phases, told.group, "NXcollection")
        for name, quantity in phase.quantities.items():
            pair(group, name, quantity)
    for name, quantity in maps.common.items():
        pair(own, _group_name(name), quantity)
    for number, substance in enumerate(maps.substances):
        group = nexus_group(own, f"substance_{number}", "NXcollection")
        for name in _FRACTIONS:
            image(group, name, getattr(substance, name))
    for name in _MAPS:
        image(own, name, getattr(maps, name))
    for name in _CHANNELS:
        own[name] = getattr(maps, name)
    if maps.second_lattice is not None:
        group = nexus_group(own, "second_lattice", "NXcollection")
        image(group, "p_value", maps.second_lattice.p_value)
        image(group, "decision", maps.second_lattice.decision)
        pair(group, "share", maps.second_lattice.share)
    for name in ("covariance", "residuals"):
        if getattr(maps, name) is not None:
            own[name] = getattr(maps, name)


def _contents(maps: RietveldMaps) -> _Contents:
    taken: list[str] = []
    phases = [
        _Phase(
            label=phase.label, crystal=phase.crystal, group=_free_name(phase.label, taken),
            quantities=tuple(phase.quantities),
        )
        for phase in maps.phases
    ]  # fmt: skip
    return _Contents(
        phases=tuple(phases),
        substances=tuple(substance.crystal for substance in maps.substances),
        common=tuple(maps.common),
        shared={name: (_number(value), _number(esd)) for name, (value, esd) in maps.shared.items()},
        covariance=maps.covariance_names,
    )


def _number(value: float) -> float | None:
    """Return None for what JSON has no number for."""
    return value if np.isfinite(value) else None


def _group_name(label: str) -> str:
    return re.sub(r"[/.\s]+", "_", label)


def _free_name(label: str, taken: list[str]) -> str:
    name = _group_name(label)
    while name in taken:
        name += "_"
    taken.append(name)
    return name


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def read_rietveld(entry: h5py.Group, shape: tuple[int, int], path: Path) -> RietveldMaps | None:
    """Read the maps, (y, x) of this shape, or None where there are none.

    Raises InputError where something is missing or damaged.
    """
    if "rietveld" not in entry:
        return None
    own, phases = own_group(entry, "rietveld", path), own_group(entry, "phases", path)
    contents = _read_contents(own, path)

    def image(group: h5py.Group, name: str) -> Floats:
        return own_array(own_group(group, name, path), "values", shape, path).astype(float)

    def pair(group: h5py.Group, name: str) -> Quantity:
        return Quantity(image(group, name), image(group, f"{name}_esd"))

    def phase(told: _Phase) -> PhaseMaps:
        group = own_group(phases, told.group, path)
        return PhaseMaps(
            told.label, told.crystal, {name: pair(group, name) for name in told.quantities}
        )

    def substance(number: int, crystal: str) -> SubstanceMaps:
        group = own_group(own, f"substance_{number}", path)
        return SubstanceMaps(crystal, *(image(group, name) for name in _FRACTIONS))

    second = None
    if "second_lattice" in own:
        group = own_group(own, "second_lattice", path)
        second = SecondLatticeMaps(
            image(group, "p_value"), image(group, "decision"), pair(group, "share")
        )
    maps = {name: image(own, name) for name in _MAPS}
    channels = _read_channels(own, path)
    refined = int(np.sum(np.isfinite(maps["chi2_reduced"])))
    covariance, residuals = _read_large(own, contents, shape, refined, path)
    return RietveldMaps(
        phases=tuple(phase(told) for told in contents.phases),
        substances=tuple(substance(k, crystal) for k, crystal in enumerate(contents.substances)),
        common={name: pair(own, _group_name(name)) for name in contents.common},
        chi2_reduced=maps["chi2_reduced"],
        r_wp=maps["r_wp"],
        residual_rms=maps["residual_rms"],
        status=maps["status"],
        mean_residual=channels["mean_residual"],
        mean_square=channels["mean_square"],
        shared=_numbers(contents.shared),
        second_lattice=second,
        covariance_names=contents.covariance,
        covariance=covariance,
        residuals=residuals,
    )


def _read_contents(own: h5py.Group, path: Path) -> _Contents:
    try:
        return _Contents.model_validate(own_json(own, "contents", path))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {own.name}/contents is not valid: {first['msg']}") from error


def _numbers(
    shared: Mapping[str, tuple[float | None, float | None]],
) -> dict[str, tuple[float, float]]:
    return {
        name: (np.nan if value is None else value, np.nan if esd is None else esd)
        for name, (value, esd) in shared.items()
    }


def _read_channels(own: h5py.Group, path: Path) -> dict[str, Floats]:
    channels = (own_dataset(own, _CHANNELS[0], path).size or 0,)
    return {name: own_array(own, name, channels, path).astype(float) for name in _CHANNELS}


def _read_large(
    own: h5py.Group, contents: _Contents, shape: tuple[int, int], refined: int, path: Path
) -> tuple[Singles | None, Singles | None]:
    """Read covariance and residuals as far as they were kept."""
    n, channels = len(contents.covariance), own_dataset(own, _CHANNELS[0], path).size or 0
    covariance, residuals = (
        own_array(own, name, full, path).astype(np.float32, copy=False) if name in own else None
        for name, full in (("covariance", (refined, n, n)), ("residuals", (*shape, channels)))
    )
    return covariance, residuals
