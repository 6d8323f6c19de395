"""What the simulation includes (Effects), and how finely it computes (Accuracy).

Physics and numerics are kept apart: switching an effect changes the experiment, tightening an
accuracy must not change the answer.
"""

from __future__ import annotations

from pydantic import Field

from xrdct.spec import Spec


class Effects(Spec):
    """Switches of the forward model, one for each effect."""

    noise: bool = True
    """Poisson statistics of the diffracted and of the transmitted photons."""
    beam_size: bool = True
    """Blur by the beam's width and height; off means an infinitely thin beam."""
    parallax: bool = True
    """Material nearer to the detector makes smaller rings."""
    attenuation: bool = True
    """Absorption along each ray."""
    diffuse: bool = True
    """Compton and thermal diffuse scattering of the sample, and scattering by air."""


class Accuracy(Spec):
    """Numerical knobs; the tests show that halving each changes results by less than stated."""

    state_spacing: float = Field(1.5e-4, gt=0.0, le=5e-3)
    """Spacing of material states in ln(lattice parameter): 1.2 mÅ for the spinel."""
    layer_um: float = Field(0.05, gt=0.0)
    """Thickest concentric layer of uniform composition."""
    profile_step_um: float = Field(0.1, gt=0.0)
    """Grid of the chord profiles; a tenth of the beam's width where that is finer."""
    n_heights: int = Field(5, ge=1, le=64)
    """Gauss–Hermite nodes over the beam's height."""
    voigt_reach_deg: float = Field(0.35, gt=0.0)
    """Distance from a peak beyond which only the Lorentzian tail is computed."""
