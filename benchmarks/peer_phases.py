"""What the adapters of other Rietveld programs share: phases, units, and where conventions differ.

    here                                              rietx, phasesmith
    intensity of a whole ring per angle 2θ            per solid angle: by sin2θ smaller. They divide
                                                      at the line, 1/(sin²θ cosθ); data are divided
                                                      in every channel
    a scale is the volume fraction                    S, of patterns S·m|F|²/(sin²θ cosθ) per degree
    polarisation is divided out                       fraction in the scattering plane's normal, 1
    mean of the profile over a channel                its value at the centre: a wider W stands for
                                                      the channel, W + 8 ln2·width²/12
    Lorentzian X tanθ + Y/cosθ                        the letters change places
    size K λ/(L cosθ), K = 0.9, Lorentzian            the same
    strain: Gaussian FWHM 4 e0 tanθ                   rietx: its square in deg²; phasesmith: that of
                                                      an r.m.s. strain 2 e0/√(8 ln2), as a variance
    U, V, W: squares of FWHM                          rietx: the same; phasesmith: variances
    tails end at 1.5°                                 rietx: 0.1 % of the area is left out;
                                                      phasesmith: at a number of widths
    f0 from xraylib                                   Waasmaier & Kirfel; their |F|² of manganese
                                                      oxides are larger by 0.4 %, of LaB6 by 1.1 %
    f′, f″ from xraylib                               rietx: Cromer & Liberman; phasesmith: given
    esd of the stated variances                       rietx: times √χ² and a factor for correlated
                                                      residuals, both taken out again;
                                                      phasesmith: the same

Both take symmetry, multiplicities and structure factors from the CIF by code of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import CellLaw, cell_law
from inverse.model import Instrument
from xrdct.cell import Cell, cell_volume_A3
from xrdct.crystal import Crystal, crystal_from_cif
from xrdct.errors import InputError
from xrdct.scattering import ELECTRON_RADIUS_M

Floats = NDArray[np.float64]

GAUSSIAN_FWHM2 = 8.0 * np.log(2.0)
"""Square of the FWHM of a Gaussian, in its variance."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
"""At which a simulated pattern is computed within a channel, to be averaged."""
_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


@dataclass(frozen=True)
class PeerPhase:
    """A phase as it is simulated, or as a refinement starts."""

    name: str
    cif: str
    """The text of the CIF file."""
    volume_fraction: float = 0.1
    stretch: float = 1.0
    """Lengths of the cell, in those of the file."""
    crystallite_size_nm: float = 200.0
    strain: float = 0.0

    @classmethod
    def read(cls, path: Path, **values: Any) -> PeerPhase:
        """Return the phase of a file, named after it."""
        return cls(name=path.stem, cif=path.read_text(encoding="utf-8"), **values)

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal with its cell stretched."""
        return crystal_from_cif(self.cif, name=self.name).scaled(self.stretch)

    @property
    def law(self) -> CellLaw:
        """How symmetry binds the cell."""
        return cell_law(self.crystal)

    def stretched_cif(self) -> str:
        """Return the text with the stretched cell."""
        text = self.cif
        for tag, value in zip(_CELL_TAGS, self.crystal.cell_A_deg, strict=True):
            text = re.sub(rf"(_cell_{tag}\s+)\S+", rf"\g<1>{value:.10g}", text)
        return text

    def changed(self, **values: Any) -> PeerPhase:
        """Return the phase with other values."""
        return replace(self, **values)


@dataclass(frozen=True, eq=False)
class PeerFit:
    """The result of a refinement, in the words and units of `inverse.rietveld`."""

    names: tuple[str, ...]
    """Scales, then the other parameters of the phases; the background is left out."""
    values: Floats
    """(name,)."""
    esd: Floats
    """Standard uncertainties of least squares with the stated variances, (name,)."""
    chi2_reduced: float
    weight_fractions: dict[str, float]
    """By phase, as the program itself reckons them."""

    def of(self, name: str) -> float:
        """Return a value."""
        return float(self.values[self.names.index(name)])

    def esd_of(self, name: str) -> float:
        """Return a standard uncertainty."""
        return float(self.esd[self.names.index(name)])


def scale_unit(cell_A_deg: Cell, *, wavelength_A: float) -> float:
    """Return the volume fraction that a scale S of one means in a phase of this cell.

    A volume fraction φ shows 1e-6·r_e² λ³ m|F|²/(4 v² sinθ) per radian and µm, over sin2θ in the
    others' data. They show S·m|F|²·2/(sinθ sin2θ) per degree.
    """
    r_e2_A2 = ELECTRON_RADIUS_M**2 * 1e20
    per_um = 1e4  # Å
    ours = r_e2_A2 * wavelength_A**3 * per_um / (4.0 * cell_volume_A3(cell_A_deg) ** 2)
    return float(2.0 * np.deg2rad(1.0) / ours)


def channels_deg(instrument: Instrument) -> Floats:
    """Return the angles 2θ of the channels' centres.

    InputError where the detector does not stand where it should: others would need other angles.
    """
    geometry = instrument.geometry
    if instrument.calibration.distance_m != geometry.distance_m:
        raise InputError(
            f"other programs know no distance but the nominal one, {geometry.distance_m} m, not "
            f"{instrument.calibration.distance_m} m"
        )
    return np.rad2deg(geometry.two_theta_rad)


def fine_angles_deg(instrument: Instrument) -> Floats:
    """Return the angles at which a simulated pattern is computed, (channel, sample)."""
    half_deg = 0.5 * np.rad2deg(instrument.geometry.channel_width_rad)
    return np.asarray(channels_deg(instrument)[:, None] + half_deg * _NODES)


def channel_means(fine: Floats) -> Floats:
    """Return the means over channels of values at the fine angles, (channel, sample)."""
    return np.asarray(fine @ _WEIGHTS / 2.0)


def whole_ring(two_theta_deg: Floats) -> Floats:
    """Return sin2θ, by which others' intensities are multiplied to be ours."""
    return np.asarray(np.sin(np.deg2rad(two_theta_deg)))


def channel_variance_deg2(instrument: Instrument) -> float:
    """Return the variance of the boxcar that a channel is."""
    return float(np.rad2deg(instrument.geometry.channel_width_rad) ** 2 / 12.0)
