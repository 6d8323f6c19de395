"""What the simulation includes (Effects), and how finely it computes (Accuracy).

Physics and numerics are kept apart: switching an effect changes the experiment, tightening an
accuracy must not change the answer.
"""

from __future__ import annotations

from pydantic import Field

from xrdct.spec import Spec


class Effects(Spec):
    """Switches of the forward model, one for each effect.

    Most effects have a strength of their own elsewhere, zero unless stated; the switch turns off
    what is there.
    """

    noise: bool = True
    """Poisson statistics of the diffracted and of the transmitted photons.

    Without, patterns are still what trimming makes of counts on average, and the mean number of
    crystallites reflects; frames are means, and trimming finds no scatter in them.
    """
    beam_size: bool = True
    """Blur by the beam's width and height; off means an infinitely thin beam."""
    beam_tails: bool = True
    """Faint wide tails of the beam (`unknowns.tail_fraction`)."""
    parallax: bool = True
    """Material nearer to the detector makes smaller rings."""
    attenuation: bool = True
    """Absorption along each ray."""
    exit_path: bool = True
    """Scattered photons leave the sample by another way than straight on."""
    diffuse: bool = True
    """Compton and thermal diffuse scattering of the sample, and scattering by air."""
    cell: bool = True
    """What surrounds the particles (`cell`)."""
    grains: bool = True
    """A finite number of crystallites (`grain_um` of particles): spots on rings."""
    motion: bool = True
    """Raster jitter, offset and wobble of the axis, errors of the encoders (`motion`)."""
    flux: bool = True
    """Decay and flicker of the beam, noise of the monitor (`flux`)."""
    operando: bool = True
    """A sample that changes while it is measured (`operando`)."""
    sensor_parallax: bool = True
    """Photons are counted at a depth in the sensor, where oblique ones have moved outwards.

    Switch `recipe.integration.sensor_parallax` with it: frames are else corrected for nothing.
    """
    charge_sharing: bool = True
    """Charge and fluorescence reach neighbouring pixels: counts move, double or are lost."""
    dead_time: bool = True
    """Photons that arrive too soon after another, and the firmware's correction of it."""
    flat_field: bool = True
    """Pixels of unequal response (`faults`)."""
    bad_pixels: bool = True
    """Dead and hot pixels (`faults`)."""
    zingers: bool = True
    """Tracks of cosmic rays (`faults`)."""


class Accuracy(Spec):
    """Numerical knobs; the tests show that halving each changes results by less than stated."""

    state_spacing: float = Field(1.5e-4, gt=0.0, le=5e-3)
    """Spacing of material states in ln(lattice parameter): 1.2 mÅ for the spinel."""
    layer_um: float = Field(0.05, gt=0.0)
    """Thickest concentric layer of uniform composition."""
    profile_step_um: float = Field(0.1, gt=0.0)
    """Grid of the chord profiles; a tenth of the beam's width where that is finer."""
    body_step_um: float = Field(0.1, gt=0.0)
    """Edge of the cells that a particle which is no sphere is filled with; a fifth of the beam's
    width where that is finer, a thousandth of the particle where that is coarser."""
    n_heights: int = Field(5, ge=1, le=64)
    """Gauss–Hermite nodes over the beam's height."""
    voigt_reach_deg: float = Field(0.35, gt=0.0)
    """Distance from a peak beyond which only the Lorentzian tail is computed."""
