"""The recipe: all that the analysis believes beforehand, and what it is to do, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from inverse.direct_settings import Direct
from inverse.integration import Integration
from inverse.joint_settings import Joint
from inverse.recipe_steps import (
    Reconstruction,
    SinogramSteps,
    Truncation,
    check_together,
)
from inverse.region_settings import Regions
from inverse.voxel_settings import VoxelRietveld, check_voxel_refinement
from xrdct.instrument import Geometry
from xrdct.spec import Spec

OTHER_SCANS = ("coarse", "broad")
"""Names of the scans of the surroundings, the narrower first."""


class Profile(Spec):
    """Thompson–Cox–Hastings widths of the instrument (FWHM, degrees of 2θ).

    Gaussian² = U tan²θ + V tanθ + W, Lorentzian = X tanθ + Y / cosθ.
    """

    U_deg2: float = 0.0
    V_deg2: float = 0.0
    W_deg2: float = Field(6e-4, gt=0.0)
    X_deg: float = Field(0.0, ge=0.0)
    Y_deg: float = Field(0.0, ge=0.0)


class Calibration(Spec):
    """What a calibrant told of the instrument: its profile and its true distance.

    In frame mode also where the detector stands, with which frames are integrated.
    """

    profile: Profile = Profile()
    distance_m: float = Field(gt=0.0)
    geometry: Geometry | None = None


class RefinedPhase(Spec):
    """The phase whose scale and (cubic) lattice parameter are refined in every voxel."""

    crystal: str = "LiMn2O4"
    a_min_A: float = Field(7.98, gt=1.0)
    a_max_A: float = Field(8.30, gt=1.0)
    crystallite_size_nm: float = Field(200.0, gt=1.0)
    strain: float = Field(0.0, ge=0.0)

    @model_validator(mode="after")
    def _ordered(self) -> RefinedPhase:
        if self.a_max_A <= self.a_min_A:
            raise ValueError(f"a_max_A ({self.a_max_A}) must exceed a_min_A ({self.a_min_A})")
        return self


class FixedPhase(Spec):
    """A phase with known cell, of which only the scale is refined in every voxel."""

    crystal: str
    crystallite_size_nm: float = Field(200.0, gt=1.0)
    strain: float = Field(0.0, ge=0.0)


class Recipe(Spec):
    """From raw scan to maps."""

    phase: RefinedPhase = RefinedPhase()
    fixed_phases: tuple[FixedPhase, ...] = ()
    n_background: int = Field(5, ge=1, le=30)
    """Chebyshev terms of the background."""
    calibration: Calibration | None = None
    """None: taken as the nominal geometry, with widths of the recipe's defaults."""
    integration: Integration = Integration()
    """From frames to patterns; what pattern mode imitates."""
    sinogram: SinogramSteps = SinogramSteps()
    """What is mended before reconstruction."""
    truncation: Truncation = Truncation()
    """What is done about material outside the field of view."""
    reconstruction: Reconstruction = Reconstruction()
    direct: Direct = Direct()
    """Settings of the method ``direct``."""
    joint: Joint = Joint()
    """Settings of the method ``joint``."""
    refine_shared: bool = True
    """Refine size, strain and a change of B_iso over all voxels together before each alone."""
    regions: Regions = Regions()
    """Particles and depth shells, of which weight fractions are told."""
    rietveld: VoxelRietveld | None = None
    """What is refined in every voxel with all its phases; None: ``phase`` and ``fixed_phases``."""
    min_volume_fraction: float = Field(0.05, ge=0.0, lt=1.0)
    """Voxels with less of the refined phase than this hold no material to speak of."""

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        check_together(self.truncation, self.reconstruction)
        if self.rietveld is not None:
            check_voxel_refinement(self.rietveld, self.reconstruction, crystal=self.phase.crystal)
        return self

    @property
    def padding(self) -> Literal["edge", "zero"]:
        """How filtered back projection continues projections beyond their ends."""
        ends_at_zero = self.truncation.method != "none"
        return self.reconstruction.padding or ("zero" if ends_at_zero else "edge")

    @property
    def is_plain(self) -> bool:
        """Whether counts can be filtered and back projected without a sinogram in between."""
        made = self.reconstruction
        return (
            self.sinogram == SinogramSteps()
            and self.truncation.method == "none"
            and not self.truncation.air
            and (made.method, made.backend) == ("fbp", "own")
            and not made.low_dimensional
        )

    @property
    def needed_scans(self) -> tuple[str, ...]:
        """Names of the linked scans without which this recipe cannot be followed."""
        cut = self.truncation
        needed = ("coarse",) if cut.method == "coarse" else ()
        return (*needed, "broad") if cut.use_broad else needed

    @property
    def helpful_scans(self) -> tuple[str, ...]:
        """Names of the linked scans that are used where they are there."""
        wide = self.truncation.air or self.sinogram.absorption
        if wide or self.reconstruction.method in ("direct", "joint"):
            return OTHER_SCANS
        return self.needed_scans
