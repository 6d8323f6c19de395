"""Patterns simulated and refined by phasesmith, from and into our units and words.

See `benchmarks.peer_phases` for the conventions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import phasesmith
from phasesmith.refinement import ChebyshevBackground, rietveld

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
from xrdct.cell import cell_volume_A3
from xrdct.formfactor import anomalous_dispersion, atomic_form_factor

_CELL = {"a_A": "a_angstrom", "b_A": "b_angstrom", "c_A": "c_angstrom"}
_SIZE, _STRAIN = "isotropic_size.crystallite_size_nm", "isotropic_microstrain.rms"
_RMS = 2.0 / np.sqrt(GAUSSIAN_FWHM2)
"""Root mean square of Δd/d, for a strain e0 of one."""
_REACH_FWHM = 60.0
"""Where their tails end: 1.5° for lines of 0.025°, as ours."""
_LATTICE_RANGE = 0.01
_SAME_POSITION = 1e-6
"""A third written with nine digits is a third."""
_STEP_PER_A = 1e-5
_START = 1e-6
"""First coefficient of a background, in the height of the pattern: it must not be zero."""


def version() -> str:
    """Return the version of phasesmith."""
    return str(phasesmith.__version__)


class RingLorentz:
    """The factor of a whole ring, 1/sinθ, in place of 1/(sin²θ cosθ) at the line."""

    thread_safe: ClassVar[bool] = True

    def __init__(self, wavelength_A: float) -> None:
        self._half_A = 0.5 * wavelength_A

    def evaluate(self, q_squared_inverse_angstrom2: Any) -> Any:
        """Return 1/sinθ of 1/d², and its slope."""
        square = np.asarray(q_squared_inverse_angstrom2)
        factor = 1.0 / (self._half_A * np.sqrt(square))
        return phasesmith.IntegratedIntensityCorrection(factor, -0.5 * factor / square, "ring")


class OurFormFactors:
    """Our form factors, for their structure factors."""

    descriptor = phasesmith.ScatteringProviderDescriptor(
        "xrdct.xraylib", "1", "xray", "electrons", thread_safe=True
    )

    def __init__(self, energy_keV: float) -> None:
        self._energy_keV = energy_keV

    def evaluate(self, context: Any) -> Any:
        """Return f, (reflection, species), and its slope by s."""
        s = np.asarray(context.s_inverse_angstrom)
        below, above = (self._factors(context.species, s + d) for d in (-_STEP_PER_A, _STEP_PER_A))
        return phasesmith.ScatteringFactorBatch(
            self._factors(context.species, s), (above - below) / (2.0 * _STEP_PER_A),
            self.descriptor,
        )  # fmt: skip

    def _factors(self, species: Any, s_per_A: Floats) -> Any:
        columns = [
            atomic_form_factor(one.element_symbol, s_per_A=s_per_A, energy_keV=self._energy_keV)
            for one in species
        ]
        return np.stack(columns, axis=1)


def simulate(
    phases: Sequence[PeerPhase], *, instrument: Instrument, with_our_physics: bool = False
) -> Floats:
    """Return the pattern of a mixture, (channel,), 1/µm/rad, by phasesmith's forward model.

    With our physics it uses our form factors, and the Lorentz factor of whole rings.
    """
    fine = fine_angles_deg(instrument)
    pattern = phasesmith.PowderPattern(fine.ravel(), observed_y=np.ones(fine.size))
    experiment = _experiment(instrument, channel_deg2=0.0)
    theirs = [
        _request(pattern, experiment, phase, instrument, with_our_physics).phases[0]
        for phase in phases
    ]
    found = rietveld.calculate(pattern, experiment, tuple(theirs), support_fwhm=_REACH_FWHM)
    values = np.asarray(found.y).reshape(fine.shape)
    if with_our_physics:
        return channel_means(values)
    return channel_means(values * whole_ring(fine))


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
    data = phasesmith.PowderPattern(
        angles, observed_y=pattern / ring, uncertainty=np.sqrt(variance) / ring
    )
    experiment = _experiment(instrument, channel_deg2=channel_variance_deg2(instrument))
    parts = [_request(data, experiment, phase, instrument, False) for phase in phases]
    theirs = tuple(part.phases[0] for part in parts)
    domains = tuple(part.lattice_domains[0] for part in parts)
    selection = rietveld.RietveldParameterSelection(background=True, sample_physics=with_widths)
    first = _START * float(np.abs(pattern / ring).max())
    background = ChebyshevBackground(
        "background", (first, *(0.0,) * (n_background - 1)), (float(angles[0]), float(angles[-1]))
    )
    parameters = rietveld.build_parameter_set(
        theirs, domains, selection, experiment=experiment, background=background
    )
    request = rietveld.RietveldInput(
        data, experiment, theirs, domains, parameters, (), selection, background
    )
    result = rietveld.refine(request, rietveld.RietveldOptions(support_fwhm=_REACH_FWHM))
    return _fit(result, phases, instrument, with_widths=with_widths)


def _experiment(instrument: Instrument, *, channel_deg2: float) -> Any:
    profile = instrument.calibration.profile
    setup = phasesmith.ConstantWavelengthInstrument(
        instrument.beam.wavelength_A,
        profile.U_deg2 / GAUSSIAN_FWHM2,
        profile.V_deg2 / GAUSSIAN_FWHM2,
        profile.W_deg2 / GAUSSIAN_FWHM2 + channel_deg2,
        profile.Y_deg,
        profile.X_deg,
    )
    return phasesmith.ConstantWavelengthExperiment.x_ray(setup)


def _request(
    data: Any, experiment: Any, phase: PeerPhase, instrument: Instrument, with_our_physics: bool
) -> Any:
    """Return phasesmith's request for one phase alone, from which its phase is taken."""
    beam = instrument.beam
    unit = scale_unit(phase.crystal.cell_A_deg, wavelength_A=beam.wavelength_A)
    scattering: Any = OurFormFactors(beam.energy_keV)
    lorentz: Any = RingLorentz(beam.wavelength_A)
    if with_our_physics:
        unit /= 2.0  # 1/sinθ is sin2θ/2 of 1/(sin²θ cosθ)
    else:
        elements = phase.crystal.composition
        scattering = phasesmith.XrayFixedDispersion(
            {e: anomalous_dispersion(e, energy_keV=beam.energy_keV) for e in elements}
        )
        lorentz = phasesmith.BraggBrentanoPolarizedLp(beam.wavelength_A, 1.0)
    # It knows Hall symbols, but not all Hermann–Mauguin symbols with a choice of origin.
    cif = re.sub(r"_space_group_(name_H-M_alt|IT_number).*\n", "", phase.stretched_cif())
    return rietveld.RietveldInput.from_cif(
        data, experiment, cif, phase_id=phase.name, name=phase.name,
        scale=phase.volume_fraction / unit, scattering=scattering, intensity_correction=lorentz,
        physics=phasesmith.CompositePhysicsProvider(
            (
                phasesmith.IsotropicSizeBroadening(phase.crystallite_size_nm),
                phasesmith.IsotropicMicrostrainBroadening(_RMS * phase.strain),
            )
        ),
        lattice_relative_bound=_LATTICE_RANGE, coordinate_tolerance=_SAME_POSITION,
    )  # fmt: skip


def _fit(
    result: Any, phases: Sequence[PeerPhase], instrument: Instrument, *, with_widths: bool
) -> PeerFit:
    esds = np.sqrt(np.diag(result.covariance))
    found = {
        (spec.key.module, spec.key.owner_id, spec.key.name): (float(spec.value), float(esd))
        for spec, esd in zip(result.parameters.specs, esds, strict=True)
    }
    scales: dict[str, tuple[float, float]] = {}
    others: dict[str, tuple[float, float]] = {}
    quantities = []
    for phase in phases:
        law = phase.law
        cell = {name: found["lattice", phase.name, _CELL.get(name, name)] for name in law.names}
        full = law.cell(np.array([value for value, _ in cell.values()]))
        unit = scale_unit(full, wavelength_A=instrument.beam.wavelength_A)
        value, esd = found["phase", phase.name, "scale"]
        scales[f"{phase.name}.scale"] = (value * unit, esd * unit)
        others |= {f"{phase.name}.{name}": both for name, both in cell.items()}
        if with_widths:
            others[f"{phase.name}.size_nm"] = found["sample", phase.name, _SIZE]
            value, esd = found["sample", phase.name, _STRAIN]
            others[f"{phase.name}.strain"] = (value / _RMS, esd / _RMS)
        quantities.append(
            phasesmith.QuantitativePhase(
                phase.name, found["phase", phase.name, "scale"][0], 1.0,
                phase.crystal.cell_mass_u, cell_volume_A3(full),
            )
        )  # fmt: skip
    both = scales | others
    return PeerFit(
        names=tuple(both),
        values=np.array([value for value, _ in both.values()]),
        esd=np.array([esd for _, esd in both.values()]),
        chi2_reduced=float(result.metrics.reduced_chi_square),
        weight_fractions={
            one.phase_id: one.weight_fraction
            for one in phasesmith.quantitative_phase_analysis(quantities)
        },
    )
