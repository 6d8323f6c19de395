"""What can be chosen of the direct reconstruction (:mod:`inverse.direct`), as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xrdct.spec import Spec


class Direct(Spec):
    """Amount and lattice parameter of every pixel, fitted to all rays at once."""

    n_iterations: int = Field(60, ge=1, le=2000)
    """Quasi-Newton steps at most; fewer where the objective no longer falls."""
    n_coefficients: int = Field(16, ge=4, le=64)
    """Shapes by which patterns are compared."""
    amount_smoothness: float = Field(0.08, ge=0.0, le=100.0)
    """Weight of the amount's total variation, beside a full pixel's share in the misfit."""
    lattice_smoothness: float = Field(0.2, ge=0.0, le=100.0)
    """Weight of the lattice parameter's curvature within full material, likewise, where it is seven
    pixels thick."""
    lattice_smoothness_in_view: float = Field(0.08, ge=0.0, le=100.0)
    """The same where rays determine the sample: all of it is in view, and there are at least π/2
    angles for every step of its width."""
    parts: int = Field(1, ge=1, le=8)
    """Parts along a pixel's edge, by which the structure within pixels is corrected for; with 1
    pixels are the same throughout. Slopes between pixels of few rays are mostly streaks."""
    parts_in_view: int = Field(3, ge=1, le=8)
    """The same where rays determine the sample."""
    widths: Literal["rays", "voxels"] = "rays"
    """What tells the widths of lines and B_iso, where the recipe refines them: the rays, or voxels
    of the start alone, which streaks and few crystallites mislead."""
    widths_in_view: Literal["rays", "voxels"] = "voxels"
    """The same where rays determine the sample: lattice parameters, free to scatter there, take
    over a part of the width if both are found from the rays."""
    axis: Literal["given", "rays"] = "rays"
    """What tells where the rotation axis is seen, where the recipe finds it: the steps before the
    fit alone, or then the fit's own misfit. Half a turn of angles tells it, or more, but not if
    opposite projections were merged."""
    parallax: bool = True
    """Whether patterns of material nearer to the detector are shifted, as they are in every
    measurement; simulated ones may lack it."""
    bias: Literal["none", "bootstrap"] = "bootstrap"
    """Whether esd_total holds what penalties and pixels do, from a second fit to rays of the
    first one's result: as many steps again."""
    reach_um: float | None = Field(None, gt=0.0)
    """How far from the axis the sample reaches; None: found from its transmission."""
    crystallites: bool = True
    """Weigh shapes by how far the rings of one ray disagree, as those of few crystallites do."""

    def in_view(self) -> Direct:
        """Return the settings for a sample that rays determine."""
        return self.model_copy(
            update={
                "lattice_smoothness": self.lattice_smoothness_in_view,
                "parts": self.parts_in_view,
                "widths": self.widths_in_view,
            }
        )
