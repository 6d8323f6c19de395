"""Our own chain with a mistake planted in it, one for each that the self-test names.

Each is a pipeline as `score` and `selftest` take it, from the path of a raw scan to maps:

    xrdct-twin selftest --planted axis
    xrdct-twin score axis=validation.planted:axis examples/particle.toml -o out/planted

Mistakes of the analysis are made in the data or in the recipe that our chain is given, so that all
that follows is what it would be; those of the end, in the maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.integration import Integration
from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.recover import recover
from validation.integrated_files import chosen_recipe
from validation.run import read_others, read_patterns
from xrdct.framefile import is_frame_scan, read_frame_scan
from xrdct.instrument import live_share, ring_acceptance
from xrdct.rawfile import RawScan, read_raw_scan

Floats = NDArray[np.float64]
FromScan = Callable[[Path], Maps | dict[str, Floats]]

_IMAGES = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced", "status",
)  # fmt: skip
_LINE = 16
"""h² + k² + l² of the line 400, by whose place a pipeline of one peak tells a."""


def _recovered(
    scan: Path,
    *,
    seen: Callable[[RawScan], RawScan] = lambda raw: raw,
    done: Callable[[Recipe], Recipe] = lambda recipe: recipe,
) -> Maps:
    """Return what our chain recovers, given other data or another recipe."""
    stored = read_frame_scan(scan) if is_frame_scan(scan) else read_raw_scan(scan)
    recipe = done(chosen_recipe(stored, None))
    raw = seen(read_patterns(scan, recipe))
    others = {name: seen(other) for name, other in read_others(scan, recipe).items()}
    return recover(raw, others=others, recipe=recipe)


def _of_images(maps: Maps, change: Callable[[Floats], Floats]) -> Maps:
    changes: dict[str, Any] = {name: change(getattr(maps, name)) for name in _IMAGES}
    return replace(maps, **changes)


def _with_steps(recipe: Recipe, **steps: Any) -> Recipe:
    return recipe.model_copy(update={"sinogram": recipe.sinogram.model_copy(update=steps)})


def _with_integration(recipe: Recipe, integration: Integration) -> Recipe:
    return recipe.model_copy(update={"integration": integration})


def other_way_round(raw: RawScan) -> RawScan:
    """Return the scan as if the sample had turned the other way."""
    angles_deg = tuple(float(angle) for angle in -np.rad2deg(raw.scan.angles_rad))
    update = {"angles_deg": angles_deg, "angle_range_deg": 180.0}
    return replace(raw, scan=raw.scan.model_copy(update=update))


def unmonitored(raw: RawScan) -> RawScan:
    """Return the scan as if every point had had the same number of photons, 1e9."""
    return replace(raw, transmitted=raw.transmitted / raw.monitor * 1e9)


def polarised(raw: RawScan) -> RawScan:
    """Return patterns from which polarisation was not taken out: those of the ring as it is."""
    live = live_share(
        raw.geometry, detector=raw.detector, two_theta_rad=raw.geometry.two_theta_rad, n_sectors=1
    )[:, 0]  # fmt: skip
    acceptance = ring_acceptance(
        raw.geometry, detector=raw.detector, polarisation=raw.beam.polarisation
    )
    factor = np.where(live > 0.0, acceptance / np.where(live > 0.0, live, 1.0), 1.0)
    variance = raw.counts if raw.variance is None else raw.variance
    return replace(
        raw, counts=(raw.counts * factor).astype(np.float32),
        variance=(variance * factor**2).astype(np.float32),
    )  # fmt: skip


def swapped(integration: Integration) -> Integration:
    """Return the integration with what is left out below and above exchanged."""
    lower, upper = integration.trimmed_fractions
    if not integration.method.startswith("trimmed"):
        return integration
    update = {"method": "trimmed", "lower_percent": 100.0 * upper, "upper_percent": 100.0 * lower}
    return integration.model_copy(update=update)


def rotation_sign(scan: Path) -> Maps:
    """Back project along −ω."""
    return _recovered(scan, seen=other_way_round)


def axis(scan: Path) -> Maps:
    """Take the rotation axis half a step beside where it is."""
    return _recovered(
        scan, done=lambda r: _with_steps(r, rotation_axis=0.5 * _step_um(scan))
    )  # fmt: skip


def _step_um(scan: Path) -> float:
    stored = read_frame_scan(scan) if is_frame_scan(scan) else read_raw_scan(scan)
    return stored.scan.step_um


def mirrored(scan: Path) -> Maps:
    """Give maps mirrored along x."""
    return _of_images(_recovered(scan), lambda image: image[:, ::-1])


def transposed(scan: Path) -> Maps:
    """Give maps indexed [x, y]."""
    return _of_images(_recovered(scan), np.transpose)


def monitor(scan: Path) -> Maps:
    """Leave out to divide by the photons of each point."""
    return _recovered(scan, seen=unmonitored)


def polarisation(scan: Path) -> Maps:
    """Leave out to divide by the polarisation factor."""
    if not is_frame_scan(scan):
        return _recovered(scan, seen=polarised)

    def without(recipe: Recipe) -> Recipe:
        update = {"polarisation": False}
        return _with_integration(recipe, recipe.integration.model_copy(update=update))

    return _recovered(scan, done=without)


def trim(scan: Path) -> Maps:
    """Leave out the faintest pixels where the brightest should be, and the other way about."""
    return _recovered(scan, done=lambda r: _with_integration(r, swapped(r.integration)))


def lattice_scale(scan: Path) -> Maps:
    """Give lattice parameters that are too large by a relative 1e-4."""
    maps = _recovered(scan)
    return replace(maps, a_A=maps.a_A * (1.0 + 1e-4))


def esd_small(scan: Path) -> Maps:
    """State uncertainties of lattice parameters too small by √2."""
    maps = _recovered(scan)
    esds: dict[str, Any] = {
        name: getattr(maps, name) / np.sqrt(2.0) for name in ("a_esd_noise_A", "a_esd_total_A")
    }
    return replace(maps, **esds)


def degrees(scan: Path) -> dict[str, Floats]:
    """Turn 2θ of a line from degrees to radians twice, and tell a of it."""
    maps = _recovered(scan)
    stored = read_frame_scan(scan) if is_frame_scan(scan) else read_raw_scan(scan)
    half_wave_A = 0.5 * stored.beam.wavelength_A * np.sqrt(_LINE)
    theta_rad = np.arcsin(half_wave_A / maps.a_A)
    return {"a_A": half_wave_A / np.sin(np.deg2rad(theta_rad)), "amount": maps.volume_fraction}


PLANTED: dict[str, tuple[FromScan, tuple[str, ...]]] = {
    "rotation_sign": (rotation_sign, ("trio",)),
    "axis": (axis, ("trio",)),
    "mirrored": (mirrored, ("trio",)),
    "transposed": (transposed, ("trio",)),
    "monitor": (monitor, ("trio",)),
    "polarisation": (polarisation, ("beside", "above")),
    "trim": (trim, ("beside", "faint")),
    "lattice_scale": (lattice_scale, ("trio", "ball")),
    "esd_small": (esd_small, ("trio", "ball")),
    "degrees": (degrees, ("trio", "ball")),
}
"""Each mistake, by the name under which the self-test tells it, with the cases that do."""
