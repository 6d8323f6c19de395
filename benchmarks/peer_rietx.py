"""Patterns simulated and refined by rietx, from and into our units and words.

See `benchmarks.peer_phases` for the conventions.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rietx
from rietx.schemas.instrument import BackgroundChebyshev

from benchmarks.peer_phases import (
    GAUSSIAN_FWHM2,
    Floats,
    PeerFit,
    PeerPhase,
    channel_means,
    channel_variance_deg2,
    channels_deg,
    fine_angles_deg,
    scale_unit,
    whole_ring,
)
from inverse.model import Instrument

_SCHERRER_CONSTANT = 0.9
_CELL = {"a_A": "a", "b_A": "b", "c_A": "c"} | {
    f"{angle}_deg": angle for angle in ("alpha", "beta", "gamma")
}


def version() -> str:
    """Return the version of rietx."""
    return str(rietx.__version__)


def simulate(phases: Sequence[PeerPhase], *, instrument: Instrument) -> Floats:
    """Return the pattern of a mixture, (channel,), 1/µm/rad, by rietx's forward model."""
    fine = fine_angles_deg(instrument)
    setup = _instrument(instrument, channel_deg2=0.0, n_background=0)
    program = rietx.Refinement(_structure(phases, instrument), setup, history=False)
    pattern = np.asarray(program.predict(fine.ravel())).reshape(fine.shape)
    return channel_means(pattern * whole_ring(fine))


def refine(
    pattern: Floats,
    *,
    variance: Floats,
    phases: Sequence[PeerPhase],
    instrument: Instrument,
    n_background: int = 5,
    with_widths: bool = False,
) -> PeerFit:
    """Refine scales, cells and background, and sizes and strains if asked, from ``phases``."""
    angles = channels_deg(instrument)
    ring = whole_ring(angles)
    program = rietx.Refinement(
        _structure(phases, instrument),
        _instrument(
            instrument, channel_deg2=channel_variance_deg2(instrument), n_background=n_background
        ),
        history=False,
    )
    data = rietx.PatternData(
        two_theta=angles.tolist(),
        intensity=(pattern / ring).tolist(),
        sigma=(np.sqrt(variance) / ring).tolist(),
    )
    stages = [
        rietx.Stage("scale", ["phases.*.scale", "instrument.background.*"]),
        rietx.Stage("cell", ["phases.*.cell.*"]),
    ]
    if with_widths:
        stages.append(rietx.Stage("widths", ["phases.*.lor_size", "phases.*.gauss_strain"]))
    with warnings.catch_warnings():
        # Its survey of the peaks warns of those without a prominence; the fit does not use it.
        warnings.filterwarnings("ignore", category=Warning, module=r"rietx\.")
        result = program.fit(data, plan=rietx.RefinementPlan(stages=stages), telemetry=False)
    return _fit(result, phases, instrument, with_widths=with_widths)


def _structure(phases: Sequence[PeerPhase], instrument: Instrument) -> Any:
    wavelength_A = instrument.beam.wavelength_A
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for phase in phases:
            file = Path(folder) / f"{phase.name}.cif"
            file.write_text(phase.stretched_cif(), encoding="utf-8")
            found.append(rietx.Structure.from_cif(file, phase_name=phase.name).phases[0])
    for phase, theirs in zip(phases, found, strict=True):
        unit = scale_unit(phase.crystal.cell_A_deg, wavelength_A=wavelength_A)
        theirs.scale.value = phase.volume_fraction / unit
        theirs.lor_size.value = _size_deg(phase.crystallite_size_nm, wavelength_A)
        theirs.gauss_strain.value = np.rad2deg(4.0 * phase.strain) ** 2
    return rietx.Structure(phases=found)


def _instrument(instrument: Instrument, *, channel_deg2: float, n_background: int) -> Any:
    profile = instrument.calibration.profile
    setup = rietx.Instrument.debye_scherrer(instrument.beam.wavelength_A, polarization=1.0)
    setup.profile.u.value = profile.U_deg2
    setup.profile.v.value = profile.V_deg2
    setup.profile.w.value = profile.W_deg2 + GAUSSIAN_FWHM2 * channel_deg2
    setup.profile.x.value = profile.Y_deg
    setup.profile.y.value = profile.X_deg
    setup.background = BackgroundChebyshev.with_terms(max(n_background, 1))
    return setup


def _size_deg(size_nm: float, wavelength_A: float) -> float:
    return float(np.rad2deg(_SCHERRER_CONSTANT * wavelength_A / (10.0 * size_nm)))


def _fit(
    result: Any, phases: Sequence[PeerPhase], instrument: Instrument, *, with_widths: bool
) -> PeerFit:
    """Return the result in our units; their uncertainties without √χ² and what comes on top."""
    wavelength_A = instrument.beam.wavelength_A
    found = {p.path: p for p in result.parameters}
    chi2 = float(result.statistics.chi2)

    def pair(path: str) -> tuple[float, float]:
        return float(found[path].value), float(found[path].stderr_uncorrected) / np.sqrt(chi2)

    scales: dict[str, tuple[float, float]] = {}
    others: dict[str, tuple[float, float]] = {}
    for i, phase in enumerate(phases):
        law = phase.law
        cell = {name: pair(f"phases.{i}.cell.{_CELL[name]}") for name in law.names}
        full = law.cell(np.array([value for value, _ in cell.values()]))
        unit = scale_unit(full, wavelength_A=wavelength_A)
        value, esd = pair(f"phases.{i}.scale")
        scales[f"{phase.name}.scale"] = (value * unit, esd * unit)
        others |= {f"{phase.name}.{name}": both for name, both in cell.items()}
        if with_widths:
            value, esd = pair(f"phases.{i}.lor_size")
            size_nm = _size_deg(1.0, wavelength_A) / value
            others[f"{phase.name}.size_nm"] = (size_nm, size_nm * esd / value)
            value, esd = pair(f"phases.{i}.gauss_strain")
            strain = np.deg2rad(np.sqrt(value)) / 4.0
            others[f"{phase.name}.strain"] = (strain, 0.5 * strain * esd / value)
    both = scales | others
    return PeerFit(
        names=tuple(both),
        values=np.array([value for value, _ in both.values()]),
        esd=np.array([esd for _, esd in both.values()]),
        chi2_reduced=chi2,
        weight_fractions={p.name: float(p.weight_fraction) for p in result.qpa.phases}
        if result.qpa
        else {},
    )
