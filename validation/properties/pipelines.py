"""What a user's pipeline is, what it gave, and where it fails before any law is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from inverse.interlace import half_step_scan
from inverse.maps import Maps
from inverse.recover import recover
from inverse.refine import Status
from validation.experiment import Experiment
from validation.pipelines.functions import load_function, read_function
from validation.properties.failure import PropertyError
from validation.steps import simulate
from validation.truth import Truth
from xrdct.errors import InputError
from xrdct.rawfile import RawScan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pipeline: TypeAlias = Callable[[RawScan, Mapping[str, RawScan]], Maps]
"""From the scan to reconstruct, and the further ones by name, to maps."""

_MAPS = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced", "status",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Measured:
    """An experiment, what a pipeline made of it, and the truth."""

    experiment: Experiment
    maps: Maps
    truth: Truth

    @property
    def converged(self) -> Bools:
        """Voxels that carry a lattice parameter, by the pipeline's own word, (y, x)."""
        return np.asarray(self.maps.status == Status.CONVERGED)


def own_pipeline(raw: RawScan, others: Mapping[str, RawScan]) -> Maps:
    """Recover by the recipe stored with the scan."""
    return recover(raw, others=others)


def load_pipeline(name: str) -> Pipeline:
    """Return the callable that ``module:function``, or ``FILE.py:function``, names.

    Raises InputError where there is none.
    """
    function = read_function(name)
    try:
        pipeline: Pipeline = load_function(function)
    except ImportError as error:
        raise InputError(f"pipeline {name!r} cannot be imported: {error}") from error
    except InputError as error:
        raise InputError(f"pipeline {name!r}: {error}") from error
    return pipeline


def measure(pipeline: Pipeline, experiment: Experiment, *, law: str) -> Measured:
    """Simulate an experiment and give its scans to the pipeline.

    Raises PropertyError where the pipeline raises anything, or returns maps of another shape than
    the scan's, or lattice parameters of converged voxels without an uncertainty.
    """
    simulated = simulate(experiment)
    try:
        maps = pipeline(simulated.raw, simulated.others)
    except Exception as error:
        raise PropertyError(
            law, f"the pipeline raises {type(error).__name__}: {error}", [experiment]
        ) from error
    _check_shapes(maps, experiment, law)
    found = Measured(experiment, maps, simulated.truth)
    _check_uncertainties(found, law)
    return found


def _check_shapes(maps: Maps, experiment: Experiment, law: str) -> None:
    n = half_step_scan(experiment.scan).n_offsets
    for name in _MAPS:
        shape = np.shape(getattr(maps, name))
        if shape != (n, n):
            sentence = f"the map {name} has shape {shape}, where the scan gives {(n, n)}"
            raise PropertyError(law, sentence, [experiment])


def _check_uncertainties(found: Measured, law: str) -> None:
    maps = found.maps
    for name in ("a_esd_noise_A", "volume_fraction_esd_noise"):
        esd = getattr(maps, name)
        told = np.isfinite(esd) & (esd > 0.0)
        bare = found.converged & np.isfinite(maps.a_A) & ~told
        if bare.any():
            iy, ix = np.argwhere(bare)[0]
            sentence = f"voxel ({iy}, {ix}) has a lattice parameter but {name} = {esd[iy, ix]:g}"
            raise PropertyError(law, sentence, [found.experiment])
