"""Whatever a pipeline left, as maps: a maps file, or arrays in an npz or HDF5 file.

Arrays are indexed [y, x] on the grid of the scan (:mod:`inverse.geometry`):

    a_A                                          lattice parameter, Å; NaN: not recovered
    a_esd_A, or a_esd_noise_A and a_esd_total_A  its standard uncertainties, Å
    volume_fraction (or amount), …_esd           of the refined phase
    chi2_reduced
    weight_fraction_PHASE, …_esd                 share of a phase in the mass

Only ``a_A`` is needed. Nothing of a file is trusted: types, shapes, sizes and units are looked at,
no pickle is opened, no link followed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from inverse.geometry import field_of_view
from inverse.interlace import half_step_scan
from inverse.maps import FORMAT, Maps, read_maps
from inverse.recipe import Recipe
from inverse.refine import Status
from validation.pipelines.arrays import FRACTION, is_known
from validation.pipelines.wrapped_regions import wrapped_regions
from xrdct.errors import InputError
from xrdct.hdf5 import own_array, own_dataset
from xrdct.scan import Scan

Floats = NDArray[np.float64]

NAMES = ("maps.h5", "maps.npz", "maps.h5.npz", "maps.hdf5", "maps.nxs")
"""Where a pipeline's maps are looked for in its working directory."""
UNITS = {"nm": 0.1, "pm": 100.0, "mÅ": 1000.0, "µm": 1e-4, "m": 1e-10}
"""Units that lattice parameters are given in by mistake, in Å."""

_LARGEST_BYTES = 2 * 2**30
_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
_FARTHEST = 0.2
"""Share by which the typical lattice parameter may lie beyond the recipe's limits."""
_RIM = 4
"""Steps by which the circle that is seen at every angle may be narrower than the nominal one."""


@dataclass(frozen=True, eq=False)
class Wrapped:
    """Maps of a pipeline, and what a reader should know of them."""

    maps: Maps
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measurement:
    """What maps are of: the scan, how it would be analysed, and whose it is."""

    scan: Scan
    """As it was measured."""
    recipe: Recipe
    experiment_hash: str
    versions: Mapping[str, str]

    @property
    def grid(self) -> Scan:
        """The scan that has the grid of the maps."""
        return half_step_scan(self.scan)


def maps_in(work: Path) -> Path:
    """Return the file of maps that a pipeline left; InputError where there is none."""
    for name in NAMES:
        path = work / name
        if path.is_symlink():
            raise InputError(f"it left a link named {name}, not a file")
        if path.is_file():
            return path
    raise InputError("it wrote no maps: neither maps.h5 nor maps.npz is in its working directory")


def wrapped_file(path: Path, measurement: Measurement) -> Wrapped:
    """Return the maps of a file, of ours or of arrays.

    Raises InputError, in words about what the pipeline did, where they are not understood.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise InputError(f"it wrote {path.name} of more than 2 GB")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == _ZIP:
        return wrapped_arrays(_npz_arrays(path, measurement), measurement)
    if start != _HDF5:
        raise InputError(f"{path.name} is neither an HDF5 nor an npz file")
    if _is_maps(path):
        try:
            return checked_maps(read_maps(path), measurement)
        except InputError as error:
            raise InputError(str(error).replace(str(path), path.name)) from error
    return wrapped_arrays(_hdf5_arrays(path, measurement), measurement)


def _is_maps(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format")
    except (OSError, RuntimeError, ValueError, KeyError):
        return False
    return isinstance(found, bytes) and found == FORMAT.encode()


def _hdf5_arrays(path: Path, measurement: Measurement) -> dict[str, Floats]:
    """Read the arrays at the root of a file, or in its group ``entry``; NXdata ones too."""
    shape = (measurement.grid.n_offsets,) * 2
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            link = file.get("entry", getlink=True)
            inside = "a_A" not in file and isinstance(link, h5py.HardLink)
            group = file["entry"] if inside and isinstance(file["entry"], h5py.Group) else file
            for name in filter(is_known, group):
                parent, child = group, name
                if isinstance(group.get(name), h5py.Group):
                    parent, child = group[name], "values"
                found = own_dataset(parent, child, Path(path.name)).shape
                _check_shape(name, tuple(found), shape)
                arrays[name] = own_array(parent, child, shape, Path(path.name)).astype(float)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} cannot be read: {_one_line(error)}") from error
    return arrays


def _npz_arrays(path: Path, measurement: Measurement) -> dict[str, Floats]:
    shape = (measurement.grid.n_offsets,) * 2
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            stated = sum(info.file_size for info in archive.infolist())
        if stated > _LARGEST_BYTES:
            raise InputError(f"{path.name} would take {stated / 2**30:.0f} GB of memory")
        with np.load(path, allow_pickle=False) as file:
            for name in filter(is_known, file.files):
                values = np.asarray(file[name])
                _check_shape(name, values.shape, shape)
                if values.dtype.kind not in "iuf":
                    raise InputError(f"{name} holds {values.dtype}, not numbers")
                arrays[name] = values.astype(float)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name} cannot be read: {_one_line(error)}") from error
    return arrays


def _check_shape(name: str, found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if found != shape:
        raise InputError(
            f"{name} has the shape {found}, but maps of this scan have {shape[0]} × {shape[1]} "
            "voxels, indexed [y, x]"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def wrapped_arrays(arrays: Mapping[str, Floats], measurement: Measurement) -> Wrapped:
    """Return plain arrays (see the module) as maps.

    Raises InputError where ``a_A`` is missing, has another shape than the scan's grid, holds no
    number, or is in another unit.
    """
    if "a_A" not in arrays:
        raise InputError("it gave no a_A, the lattice parameter of every voxel in Å")
    shape = (measurement.grid.n_offsets,) * 2
    for name, values in arrays.items():
        _check_shape(name, values.shape, shape)
    a_A = _finite(arrays["a_A"])
    nothing = np.full(shape, np.nan)
    amount = _finite(_first(arrays, "volume_fraction", "amount", default=nothing))
    amount_esd = _positive(_first(arrays, "volume_fraction_esd", "amount_esd", default=nothing))
    noise_A = _first(arrays, "a_esd_noise_A", "a_esd_A", "a_esd_total_A", default=nothing)
    total_A = _first(arrays, "a_esd_total_A", "a_esd_A", "a_esd_noise_A", default=nothing)
    maps = Maps(
        phase=measurement.recipe.phase.crystal,
        scan=measurement.grid,
        a_A=a_A,
        a_esd_noise_A=noise_A,
        a_esd_total_A=total_A,
        volume_fraction=amount,
        volume_fraction_esd_noise=amount_esd,
        volume_fraction_esd_total=amount_esd,
        chi2_reduced=_finite(arrays.get("chi2_reduced", nothing)),
        status=np.where(np.isfinite(a_A), float(Status.CONVERGED), float(Status.NO_MATERIAL)),
        example=None,
        recipe=measurement.recipe,
    )
    wrapped = checked_maps(maps, measurement)
    fractions = {n: v for n, v in arrays.items() if n.startswith(FRACTION)}
    regions = wrapped_regions(wrapped.maps, fractions)
    return replace(wrapped, maps=replace(wrapped.maps, regions=regions))


def _first(arrays: Mapping[str, Floats], *names: str, default: Floats) -> Floats:
    return next((arrays[name] for name in names if name in arrays), default)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _positive(values: Floats) -> Floats:
    """Return uncertainties, NaN where they cannot be any."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def checked_maps(maps: Maps, measurement: Measurement) -> Wrapped:
    """Return maps with what is wrong in them told, labelled as those of this scan.

    A voxel counts as not measured only outside the circle that the scan sees at every angle,
    whatever a pipeline says: none may choose what it is scored on.

    Raises InputError for maps of another scan or experiment, without a number, or in another unit.
    """
    grid, recipe = measurement.grid, measurement.recipe
    if maps.experiment_hash and maps.experiment_hash != measurement.experiment_hash:
        raise InputError("its maps are of another experiment")
    _check_shape("a_A", maps.a_A.shape, (grid.n_offsets,) * 2)
    if maps.scan.step_um != grid.step_um:
        raise InputError(
            f"its maps have voxels of {maps.scan.step_um:g} µm, but the scan {grid.step_um:g} µm"
        )
    a_A = _finite(maps.a_A)
    _check_values(a_A, recipe)
    noise_A, total_A, remarks = _uncertainties(maps, a_A, recipe)
    labelled = replace(
        maps, scan=grid, a_A=a_A, a_esd_noise_A=noise_A, a_esd_total_A=total_A,
        status=_status(maps.status, a_A, grid), experiment_hash=measurement.experiment_hash,
        versions=maps.versions or measurement.versions,
    )  # fmt: skip
    return Wrapped(labelled, tuple(remarks))


def _status(stated: Floats, a_A: Floats, grid: Scan) -> Floats:
    """Return what became of each voxel, with NOT_MEASURED only where the scan does not see."""
    n, found = grid.n_offsets, np.isfinite(a_A)
    seen = field_of_view(n, n_offsets=n, step_um=grid.step_um)
    # A rotation axis that was found beside the middle makes the circle smaller.
    surely = field_of_view(n, n_offsets=max(n - _RIM, 2), step_um=grid.step_um)
    outside = (~seen | (~surely & (stated == Status.NOT_MEASURED))) & ~found
    status = np.where(outside, float(Status.NOT_MEASURED), stated)
    denied = (status == Status.NOT_MEASURED) & ~outside
    return np.where(
        denied, np.where(found, float(Status.CONVERGED), float(Status.NO_MATERIAL)), status
    )


def _check_values(a_A: Floats, recipe: Recipe) -> None:
    known = a_A[np.isfinite(a_A)]
    if known.size == 0:
        raise InputError("a_A holds no number in any voxel")
    typical = float(np.median(known))
    low, high = recipe.phase.a_min_A, recipe.phase.a_max_A

    def plausible(value: float) -> bool:
        return low * (1.0 - _FARTHEST) <= value <= high * (1.0 + _FARTHEST)

    if plausible(typical):
        return
    for unit, per_A in UNITS.items():
        if plausible(typical / per_A):
            raise InputError(
                f"a_A has a median of {typical:.4g}, which is a lattice parameter in {unit}, but "
                "it must be in Å"
            )
    raise InputError(
        f"a_A has a median of {typical:.4g} Å, but the lattice parameter of {recipe.phase.crystal} "
        f"lies between {low:g} and {high:g} Å"
    )


def _uncertainties(maps: Maps, a_A: Floats, recipe: Recipe) -> tuple[Floats, Floats, list[str]]:
    """Return noise and total uncertainties, NaN where they cannot be any, and what to say."""
    noise_A, total_A = _positive(maps.a_esd_noise_A), _positive(maps.a_esd_total_A)
    stated = total_A[np.isfinite(a_A)]
    if stated.size == 0 or not np.isfinite(stated).any():
        return noise_A, total_A, ["it states no uncertainties"]
    span_A = recipe.phase.a_max_A - recipe.phase.a_min_A
    typical = float(np.nanmedian(stated))
    if typical > span_A:
        nothing = np.full(a_A.shape, np.nan)
        return nothing, nothing, [
            f"its uncertainties, of {typical:.3g} in the median, cannot be in Å (mÅ?) and are "
            "left out"
        ]  # fmt: skip
    lacking = int(np.sum(~np.isfinite(stated)))
    remarks = [f"{lacking} recovered voxels have no uncertainty"] if lacking else []
    return noise_A, total_A, remarks
