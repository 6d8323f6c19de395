"""How the pixels of a channel become one number: the integration part of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xrdct.spec import Spec

Method = Literal["mean", "median", "trimmed", "trimmed_5_5", "trimmed_10_10", "sigma_clip"]


class Integration(Spec):
    """The estimator of a channel's intensity, its error model and the corrections per pixel.

    "A 10 % trimmed mean" is read in two ways: 5 % of the pixels left out at each end
    (``trimmed_5_5``), or 10 % at each end (``trimmed_10_10``). ``trimmed`` leaves out
    ``lower_percent`` of the faintest and ``upper_percent`` of the brightest pixels.
    """

    method: Method = "mean"
    lower_percent: float = Field(5.0, ge=0.0, lt=100.0)
    """Read by ``trimmed`` alone."""
    upper_percent: float = Field(5.0, ge=0.0, lt=100.0)
    """Read by ``trimmed`` alone."""
    clip_threshold: float = Field(5.0, ge=2.0, le=100.0)
    """``sigma_clip`` drops pixels further than this many standard deviations from the mean."""
    clip_iterations: int = Field(5, ge=1, le=100)
    error_model: Literal["poisson", "azimuthal"] = "poisson"
    """Variance from the statistics of photons, or from the spread of pixels along the ring."""
    polarisation: bool = True
    solid_angle: bool = True
    """Without, every pixel is given the solid angle at normal incidence."""
    sensor_parallax: bool = True
    """Correct 2θ for the depth at which the sensor absorbs."""
    sensor_absorption: bool = True
    """Allow for slanted photons being absorbed a little more often than straight ones."""
    use_flat: bool = True
    """Divide by the flat field, where one is given."""

    @model_validator(mode="after")
    def _leaves_pixels(self) -> Integration:
        if self.lower_percent + self.upper_percent > 99.0:
            raise ValueError(
                f"lower_percent ({self.lower_percent}) and upper_percent ({self.upper_percent}) "
                "must leave at least 1 % of the pixels between them"
            )
        return self

    @property
    def left_out(self) -> tuple[float, float]:
        """Fractions of a channel's pixels left out below and above, by whatever method."""
        if self.method == "median":
            return 0.5, 0.5
        return self.trimmed_fractions if self.method.startswith("trimmed") else (0.0, 0.0)

    @property
    def trimmed_fractions(self) -> tuple[float, float]:
        """Fractions left out below and above by the trimmed methods."""
        if self.method == "trimmed":
            return self.lower_percent / 100.0, self.upper_percent / 100.0
        return (0.1, 0.1) if self.method == "trimmed_10_10" else (0.05, 0.05)
