"""What can be chosen of the direct reconstruction (:mod:`inverse.direct`), as data."""

from __future__ import annotations

from pydantic import Field

from xrdct.spec import Spec


class Direct(Spec):
    """Amount and lattice parameter of every pixel, fitted to all rays at once."""

    n_iterations: int = Field(60, ge=1, le=2000)
    """Quasi-Newton steps at most; fewer where the objective no longer falls."""
    n_coefficients: int = Field(8, ge=4, le=64)
    """Shapes by which patterns are compared."""
    amount_smoothness: float = Field(0.08, ge=0.0, le=100.0)
    """Weight of the amount's total variation, beside a full pixel's share in the misfit."""
    lattice_smoothness: float = Field(0.2, ge=0.0, le=100.0)
    """Weight of the lattice parameter's curvature within full material, likewise."""
    reach_um: float | None = Field(None, gt=0.0)
    """How far from the axis the sample reaches; None: found from its transmission."""
    reweight: bool = False
    """Halfway, weigh the shapes anew by how well they are fitted."""
