"""The study's measurements as experiments, by the names its figures call for.

Scans are those of its section Methods (Finegan et al., Nat. Commun. 11 (2020) 631); what it does
not tell of the beam (flux, distance, stages) is that of `examples/roi.toml`. The true instrument is
drawn from ranges that the recipe does not know. *Quick* ones keep step, beam and particles, and
scale electrode, offsets and angles down together, without the cell. Their patterns are integrated
by the plain mean: of the few crystallites in a short path a trimmed one leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phantoms.operando_electrode import micro_cell, volume_planes
from phantoms.operando_options import OperandoElectrode
from validation.experiment import Experiment
from validation.paper.phases import SEGREGATED
from xrdct.scan import SCAN_PRESETS

N_SCANS = 5
N_PLANES = 20
_QUICK_PLANES = 4
REGION_PHASES = (*SEGREGATED, "Li0.5Mn2O4")
"""Looked for beside the spinel wherever patterns of many voxels are summed."""
DEPTH_EDGES_UM = (0.0, 2.0, 4.0, 6.5, 10.0)
"""Between which the four depth regions of a particle lie."""

_AS_SPINEL = {"cell": "fixed"} | dict.fromkeys(("size", "strain", "b_iso"), "=LiMn2O4")
"""Minor phases are in the spinel's particles: widths and displacements, of which their few lines
tell little, are taken to be its own."""

_TILT_MRAD = 3.0

_COMMON: dict[str, Any] = {
    "beam": {"flux_per_s": 1e11},
    "geometry": {"distance_m": 0.7},
    "unknowns": {
        "b_iso_factor": [0.8, 1.2],
        "air_factor": [0.5, 2.0],
        "bandwidth_factor": [0.8, 1.25],
        "divergence_factor": [0.8, 1.25],
        "distance_ppm": [-200.0, 200.0],
        "tail_fraction": [0.01, 0.03],
        "tail_um": [8.0, 15.0],
    },
    "motion": {"jitter_um": 0.05, "encoder_noise_um": 0.01, "wobble_um": 0.05},
    "flux": {
        "decay_per_h": 0.02, "refill_h": 1.0, "flicker_rms": 0.002, "monitor_efficiency": 1e-4,
    },
}  # fmt: skip
_LINES: dict[str, Any] = {"order": "zigzag", "line_gap_s": 0.1}


@dataclass(frozen=True)
class Size:
    """How large the scans are."""

    quick: bool = False

    @property
    def electrode(self) -> dict[str, Any]:
        """Options of the operando electrode that follow from the size."""
        if not self.quick:
            return {}
        return {"diameter_um": 130.0, "particle_1_um": [-22.0, 8.0], "particle_2_um": [20.0, -12.0]}

    @property
    def planes(self) -> int:
        """Planes of the volume."""
        return _QUICK_PLANES if self.quick else N_PLANES


def operando(scan: int, *, size: Size, seed: int, trimmed: bool = True) -> Experiment:
    """Return the scan, 1 to 5, of the cell under discharge.

    Not ``trimmed``, patterns are integrated by the plain mean.
    """
    sample = {"library": "operando_electrode", "scan": scan, "grain_um": 0.2} | size.electrode
    own, others = (
        ({"n_offsets": 101, "n_angles": 100, "step_um": 1.0}, {"coarse": _QUICK_COARSE})
        if size.quick
        else ({"preset": "roi"}, {"coarse": {"preset": "coarse"}, "broad": {"preset": "broad"}})
    )
    trimmed = trimmed and not size.quick
    name = f"operando {scan}" if trimmed else f"operando {scan}, plain mean"
    return _experiment(
        name, sample, own, others, seed=seed, trimmed=trimmed,
        cell=None if size.quick else _micro_cell(),
    )  # fmt: skip


def _micro_cell(*, z_um: float = 0.0) -> dict[str, Any]:
    """Return the cell round the electrode, which leans a little, cut at a height."""
    cell = micro_cell(OperandoElectrode(z_um=z_um), tilt_mrad=_TILT_MRAD)
    return cell.model_dump(mode="json", exclude_defaults=True)


def volume_plane(number: int, *, size: Size, seed: int) -> Experiment:
    """Return a plane, from 0, of the volume taken before the discharge went on (scan 1)."""
    volume = SCAN_PRESETS["volume"].model_copy(update={"n_planes": size.planes})
    height_um = volume_planes(OperandoElectrode(), scan=volume)[number].z_um
    sample = {
        "library": "operando_electrode", "scan": 1, "grain_um": 0.2, "z_um": height_um,
    } | size.electrode  # fmt: skip
    own = (
        {"n_offsets": 51, "n_angles": 50, "step_um": 2.0}
        if size.quick
        else {"preset": "volume", "n_planes": 1, "plane_step_um": 0.0}
    )
    return _experiment(
        f"volume, plane {number + 1}",
        sample,
        own,
        {},
        seed=seed,
        trimmed=not size.quick,
        cell=None if size.quick else _micro_cell(z_um=height_um),
    )


def degraded(*, size: Size, seed: int, trimmed: bool = True) -> Experiment:
    """Return the scan of the electrode after 150 cycles, out of its cell."""
    sample: dict[str, Any] = {"library": "degraded_electrode", "grain_um": 0.2}
    own: dict[str, Any] = {"preset": "roi_degraded"}
    coarse: dict[str, Any] = {"preset": "coarse_degraded"}
    if size.quick:
        sample["diameter_um"] = 130.0
        own, coarse = {"n_offsets": 81, "n_angles": 80, "step_um": 1.0}, _QUICK_COARSE
    trimmed = trimmed and not size.quick
    name = "degraded" if trimmed else "degraded, plain mean"
    return _experiment(name, sample, own, {"coarse": coarse}, seed=seed, trimmed=trimmed, cell=None)


_QUICK_COARSE = {"n_offsets": 41, "n_angles": 41, "step_um": 4.0}


def _experiment(
    name: str,
    sample: Mapping[str, Any],
    scan: Mapping[str, Any],
    scans: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    trimmed: bool,
    cell: Mapping[str, Any] | None,
) -> Experiment:
    described = _COMMON | {
        "name": name,
        "seed": seed,
        "sample": dict(sample),
        "scan": dict(scan) | _LINES,
        "scans": {key: dict(value) for key, value in scans.items()},
        "recipe": recipe_table(others=tuple(scans), trimmed=trimmed),
    }
    if cell is not None:
        described["cell"] = dict(cell)
    return Experiment.model_validate(described)


def recipe_table(*, others: tuple[str, ...], trimmed: bool) -> dict[str, Any]:
    """Return the study's way from patterns to maps, with what scans of the surroundings allow.

    The steps are those of `examples/recipes/paper.toml`. In voxels the spinel alone is refined, as
    in the study; of summed patterns its further phases are looked for.
    """
    table: dict[str, Any] = {
        "n_background": 12,
        "integration": {"method": "trimmed_5_5" if trimmed else "mean"},
        "sinogram": {"regrid": True},
        "reconstruction": {"method": "fbp", "filter": "ramp"},
        "regions": {
            "depth_edges_um": list(DEPTH_EDGES_UM),
            "phases": [{"crystal": crystal} | _AS_SPINEL for crystal in REGION_PHASES],
        },
    }
    if "coarse" in others:  # planes of a volume are too coarse to find the axis in
        table["sinogram"]["rotation_axis"] = "find"
        table["truncation"] = {
            "air": True, "method": "coarse", "use_broad": "broad" in others, "parallax": True,
        }  # fmt: skip
        table["reconstruction"]["padding"] = "zero"
    return table
