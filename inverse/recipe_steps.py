"""The steps from raw scan to volume that a recipe chooses, as data.

By default nothing is done but filtered back projection of the normalised counts. Every other step
is switched on by name; :mod:`inverse.chain` says in which order they are applied.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xrdct.spec import Spec


class SinogramSteps(Spec):
    """What is mended in a sinogram before it is reconstructed."""

    regrid: bool = False
    """Bring rays from where encoders say they passed to the set-points; the measured rotations
    take the place of the nominal ones."""
    rotation_axis: Literal["middle", "find"] | float = "middle"
    """Where the rotation axis is seen: in the middle of the offsets, where the data put it, or at
    this offset in µm."""
    axis_search_um: float | None = Field(None, gt=0.0)
    """How far from the middle the axis is looked for; None: a tenth of the scan's width."""
    drift_terms: int = Field(0, ge=0, le=6)
    """Functions of time that describe a slow drift of the sample, found together with the axis."""
    zingers_sigma: float | None = Field(None, gt=0.0)
    """Standard deviations above its neighbours from which a single value is replaced; None: none.
    6 is usual."""
    stripes: Literal["none", "gains", "sorting"] = "none"
    """How offsets or projections that are wrong as a whole are mended. ``gains`` divides out what
    stands out of smooth curves, and leaves a sinogram without stripes within its noise. ``sorting``
    makes the sorted values of every channel smooth among offsets: it takes off stripes of any kind,
    and whatever else differs between neighbouring offsets because the sample does. Never use it as
    a precaution: four particles without stripes came out with 3.7 mÅ of error for 0.19."""
    absorption: bool = False
    """Undo that scattered photons leave the sample on another way than the beam does, by the
    attenuation that the widest scan's transmission tells."""

    @model_validator(mode="after")
    def _axis_is_found(self) -> SinogramSteps:
        if self.drift_terms > 0 and self.rotation_axis != "find":
            raise ValueError(
                f"drift_terms ({self.drift_terms}) need rotation_axis = 'find', as a drift is "
                f"found together with the axis, not {self.rotation_axis!r}"
            )
        if self.axis_search_um is not None and self.rotation_axis != "find":
            raise ValueError(
                f"axis_search_um ({self.axis_search_um:g}) is for rotation_axis = 'find', "
                f"not {self.rotation_axis!r}"
            )
        return self


class Truncation(Spec):
    """What is done about a sample that is wider than the field of view."""

    method: Literal["none", "coarse", "complete"] = "none"
    """Nothing; subtract what a linked scan named coarse shows outside; or continue projections
    to the sample's edge as they would be for a disc."""
    use_broad: bool = False
    """Correct the coarse scan in turn by the scan named broad, which also stands for what lies
    beyond the coarse one; of completed projections, take the whole amount from the broad scan."""
    parallax: bool = True
    """Displace what is subtracted as it is seen from where it lies along the beam (coarse only)."""
    air: bool = False
    """Subtract the pattern of rays that miss the sample, of the widest scan, from every scan."""
    container: bool = False
    """Subtract what the container of the sample adds to every ray, by the pattern and the amounts
    of pixels without sharp lines of the widest linked scan, which must see all of it."""
    width_um: float | None = Field(None, gt=0.0)
    """The sample's diameter, to which projections are completed (None: told by the transmission)
    or to which the grid of an iterative method reaches (None: the field of view)."""

    @model_validator(mode="after")
    def _broad_is_used(self) -> Truncation:
        if self.use_broad and self.method == "none":
            raise ValueError("use_broad needs a method that uses the broad scan, not 'none'")
        return self

    @model_validator(mode="after")
    def _container_is_alone(self) -> Truncation:
        if self.container and not self.air:
            raise ValueError(
                "container = true needs air = true, since air would be taken for a container"
            )
        return self


class Reconstruction(Spec):
    """From sinogram to volume."""

    method: Literal["fbp", "sirt", "cgls", "poisson", "direct", "joint"] = "fbp"
    """Filtered back projection, iterations of three kinds, amounts and lattice parameters fitted to
    the rays themselves (see the recipe's ``direct``), or window and surroundings estimated together
    from all linked scans (see ``joint``)."""
    filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = "ramp"
    padding: Literal["edge", "zero"] | None = None
    """How filtered back projection continues projections; None: by their ends, or by zero where
    ``truncation`` has dealt with what lies outside."""
    backend: str = "own"
    """Name of what reconstructs, as `xrdct-twin backends` lists it. Others than our own return no
    variance: the variance is then that of our own filtered back projection of the same sinogram,
    an approximation for iterative methods."""
    iterations: int | None = Field(None, ge=1, le=10_000)
    """Of an iterative method; None: as many as predict held-out rays best."""
    order: Literal["reconstruct-first", "refine-first"] = "reconstruct-first"
    """Refine each voxel's pattern, or reduce every ray's pattern to what adds up along it (amounts
    and their moments) and reconstruct that."""
    compress: bool = False
    """Reconstruct the coefficients of patterns along the shapes of the model instead of channels,
    and refine these."""

    @property
    def low_dimensional(self) -> bool:
        """Whether coefficients are reconstructed in place of channels."""
        return self.compress or self.order == "refine-first" or self.method == "joint"

    @model_validator(mode="after")
    def _possible(self) -> Reconstruction:
        if self.backend != "own" and self.method not in ("fbp", "sirt"):
            raise ValueError(
                f"method = {self.method!r} is our own alone, so that backend must be 'own', "
                f"not {self.backend!r}"
            )
        if self.backend != "own" and self.padding == "zero":
            raise ValueError(
                f"padding = 'zero' is for backend = 'own': {self.backend!r} continues projections "
                "by their ends"
            )
        if self.iterations is not None and self.method in ("fbp", "direct", "joint"):
            raise ValueError(
                f"iterations ({self.iterations}) are for iterative methods, not {self.method!r}"
            )
        reduced = self.compress or self.order == "refine-first"
        if reduced and self.method not in ("fbp", "sirt", "cgls"):
            raise ValueError(
                "order = 'refine-first' and compress need a linear method, fbp, sirt or cgls, "
                f"not {self.method!r}"
            )
        return self


def check_together(truncation: Truncation, reconstruction: Reconstruction) -> None:
    """Raise ValueError for a truncation that does not go with the reconstruction."""
    method = reconstruction.method
    if method in ("direct", "joint") and truncation.method != "none":
        raise ValueError(
            f"reconstruction.method = {method!r} explains what lies outside the view by itself, so "
            f"that truncation.method must be 'none', not {truncation.method!r}"
        )
    if method in ("sirt", "cgls", "poisson") and truncation.method == "complete":
        raise ValueError(
            f"truncation.method = 'complete' is for filters, not for reconstruction.method = "
            f"{method!r}: give truncation.width_um, to which its grid then reaches"
        )
    if method == "poisson" and (truncation.method == "coarse" or truncation.air):
        raise ValueError(
            "reconstruction.method = 'poisson' needs counts of which nothing was subtracted, so "
            "that truncation.method must be 'none' and air false"
        )
