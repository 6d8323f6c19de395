"""What can be chosen of the joint estimate (:mod:`inverse.joint_fit`), as data."""

from __future__ import annotations

from pydantic import Field

from xrdct.spec import Spec


class Joint(Spec):
    """Window and surroundings, estimated together from the rays of all scans."""

    smoothing_um: float | None = Field(None, gt=0.0)
    """Length below which the image is smoothed; None: the longest that predicts projections well
    which were held out (:mod:`inverse.joint_smoothing`)."""
    outer_pixel_steps: int = Field(2, ge=1, le=64)
    """Side of the pixels that are far from the window, in steps of its scan. With 1 a sample three
    times as wide as the window takes twice as many, and errors fall by 2 to 5 %; with 4 they rise
    by 15 % and more."""
