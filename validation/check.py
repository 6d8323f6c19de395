"""What an experiment costs, and what is likely to go wrong, told without simulating it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xraylib

from validation.check_crystallites import crystallite_warnings
from validation.experiment import Experiment, ParticleList
from xrdct.composition import number_density_per_A3
from xrdct.crystal import atomic_number, load_crystal
from xrdct.instrument import ring_acceptance
from xrdct.scan import Scan

_JOULE_PER_KEV = 1.602176634e-16
_GRAY_PER_J_PER_G = 1e3
_MANY_FRAMES = 50_000
_SMALLEST_ACCEPTANCE = 0.02
"""Share of a ring below which the reconstruction leaves its channel out."""


@dataclass(frozen=True)
class Forecast:
    """Figures of one experiment; sums run over all its scans."""

    n_points: int
    beam_time_s: float
    dose_MGy: float
    """Energy that a gram of LiMn2O4 in the scanned slice absorbs, in the scan to reconstruct."""
    photons: float
    memory_MB: float
    """Largest arrays held at once: raw counts, reconstruction and its variance."""
    file_MB: float
    """Raw files before compression; in frame mode those of frames, where these are kept."""
    alias_free_diameter_um: float
    sample_diameter_um: float
    warnings: tuple[str, ...]


def forecast(experiment: Experiment) -> Forecast:
    """Return the figures; raises InputError for a sample that cannot be built."""
    scans = [experiment.scan, *experiment.scans.values()]
    sample_um = _sample_diameter_um(experiment)
    channels = experiment.geometry.n_channels
    raw_bytes = 4.0 * channels * sum(scan.n_points for scan in scans)
    voxels = _scan_of_maps(experiment.scan).n_offsets ** 2
    return Forecast(
        n_points=sum(scan.n_points for scan in scans),
        beam_time_s=sum(scan.beam_time_s for scan in scans),
        dose_MGy=dose_MGy(experiment),
        photons=sum(scan.n_points * scan.exposure_s * experiment.beam.flux_per_s for scan in scans),
        memory_MB=(_variances(experiment) * raw_bytes + 2 * 4.0 * channels * voxels) / 1e6,
        file_MB=_file_bytes(experiment, raw_bytes) / 1e6,
        alias_free_diameter_um=experiment.scan.alias_free_diameter_um,
        sample_diameter_um=sample_um,
        warnings=tuple(_warnings(experiment, sample_um)),
    )


def _scan_of_maps(scan: Scan) -> Scan:
    """Return the scan whose grid maps have; what halves the steps of another takes long to load."""
    if not scan.interlaced:
        return scan
    from inverse.interlace import half_step_scan

    return half_step_scan(scan)


def _file_bytes(experiment: Experiment, pattern_bytes: float) -> float:
    if experiment.mode == "patterns":
        return _variances(experiment) * pattern_bytes
    rows, columns = experiment.detector.shape
    frames = sum(scan.n_points for scan in experiment.all_scans().values())
    return 4.0 * rows * columns * frames


def _variances(experiment: Experiment) -> int:
    """Return how many numbers are kept for each channel: two where it has a variance of its own."""
    return 2 if experiment.mode == "frames" or any(experiment.recipe.integration.left_out) else 1


def dose_MGy(experiment: Experiment) -> float:
    """Return the dose in LiMn2O4 of the slice that the main scan reconstructs.

    Every rotation spreads flux · exposure photons over an area of step × beam height, so the dose
    is n_angles · N0 E (µ_en/ρ) / (step · height). Source: PHYSICS 10; xraylib CS_Energy.
    """
    beam, scan = experiment.beam, experiment.scan
    densities = number_density_per_A3(load_crystal("LiMn2O4"))
    mass = {e: n * float(xraylib.AtomicWeight(atomic_number(e))) for e, n in densities.items()}
    absorption = sum(
        m * float(xraylib.CS_Energy(atomic_number(e), beam.energy_keV)) for e, m in mass.items()
    ) / sum(mass.values())
    area_cm2 = scan.step_um * 1e-4 * beam.height_um * 1e-4
    energy_J = beam.flux_per_s * scan.exposure_s * beam.energy_keV * _JOULE_PER_KEV
    return scan.n_angles * energy_J * absorption / area_cm2 * _GRAY_PER_J_PER_G * 1e-6


def _sample_diameter_um(experiment: Experiment) -> float:
    if isinstance(experiment.sample, ParticleList):
        return experiment.build_sample().diameter_um
    return experiment.sample.diameter_um


def _warnings(experiment: Experiment, sample_um: float) -> list[str]:
    scan = experiment.scan
    found = []
    if sample_um > scan.width_um:
        found.append(
            f"the sample ({sample_um:.0f} µm) is wider than the scan ({scan.width_um:.0f} µm): "
            "what lies outside falsifies the reconstruction"
        )
    if scan.alias_free_diameter_um < sample_um:  # streaks from outside the view reach into it
        needed = int(np.ceil(scan.n_angles * sample_um / scan.alias_free_diameter_um))
        found.append(
            f"{scan.n_angles} angles are too few for {sample_um:.0f} µm of sample: what lies "
            f"outside {scan.alias_free_diameter_um:.0f} µm streaks (about {needed} angles needed)"
        )
    height_um = experiment.sample.z_um
    if _is_empty_slice(experiment):
        found.append(f"no particle reaches the measured plane, z = {height_um:g} µm")
    found += _ring_warnings(experiment)
    found += crystallite_warnings(experiment)
    if experiment.mode == "frames" and scan.n_points > _MANY_FRAMES:
        found.append(
            f"{scan.n_points} frames take hours: `--mode patterns` imitates their statistics"
        )
    if experiment.cell is not None and abs(height_um) > _electrode_reach(experiment):
        found.append(f"the measured plane, z = {height_um:g} µm, lies outside the electrode")
    if scan.n_planes > 1:
        found.append("pattern mode simulates one plane at a time")
    if _scan_of_maps(scan).step_um > 1.5 * experiment.beam.width_um:
        found.append(_gap_warning(scan, experiment.beam.width_um))
    return found


def _gap_warning(scan: Scan, width_um: float) -> str:
    return (
        f"steps of {scan.step_um:g} µm with a beam of {width_um:g} µm leave material between them "
        "unmeasured"
    )


def _ring_warnings(experiment: Experiment) -> list[str]:
    """Warn of channels whose rings miss the detector, wholly or for the most part."""
    acceptance = ring_acceptance(
        experiment.geometry, detector=experiment.detector,
        polarisation=experiment.beam.polarisation,
    )  # fmt: skip
    angles_deg = np.rad2deg(experiment.geometry.two_theta_rad)
    off = np.flatnonzero(acceptance < _SMALLEST_ACCEPTANCE)
    ranges = np.split(off, np.flatnonzero(np.diff(off) > 1) + 1) if off.size else []
    return [
        f"rings at 2θ from {angles_deg[part[0]]:.2f}° to {angles_deg[part[-1]]:.2f}° fall off the "
        "detector at this distance"
        for part in ranges
    ]


def _electrode_reach(experiment: Experiment) -> float:
    """Return how far from the middle of the measured slice the electrode ends, µm."""
    cell = experiment.cell
    if cell is None:
        return np.inf
    return min(cell.slice_height_um, cell.electrode_thickness_um - cell.slice_height_um)


def _is_empty_slice(experiment: Experiment) -> bool:
    """Return whether no particle reaches the plane that is measured (never said of a packing)."""
    sample = experiment.sample
    if not isinstance(sample, ParticleList):
        return not sample.in_plane
    return all(abs(p.centre_um[2] - sample.z_um) >= p.radius_um for p in sample.particles)
