"""Where a direction meets the detector plane, and which direction a place on it looks at.

Axes: 1 vertical (rows), 2 horizontal (columns), 3 along the beam. The plane lies at the orthogonal
distance L from the sample; (poni1, poni2) is the foot of the perpendicular, measured from the
detector's corner. A place (p1, p2) on the plane is the point

    R · (p1 − poni1, p2 − poni2, L),    R = R3(rot3) · R2(rot2) · R1(rot1),

seen at 2θ = atan2(√(t1² + t2²), t3) and azimuth χ = atan2(t1, t2), from the horizontal.

Source: the PONI convention of pyFAI (Kieffer et al., J. Synchrotron Rad. 27 (2020) 558), to which
the tests compare every angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """A flat detector in space."""

    distance_m: float
    """Orthogonal distance L."""
    poni1_m: float
    poni2_m: float
    rot1_rad: float = 0.0
    rot2_rad: float = 0.0
    rot3_rad: float = 0.0

    @property
    def rotation(self) -> Floats:
        """R, shape (3, 3)."""
        (c1, c2, c3), (s1, s2, s3) = (
            [f(angle) for angle in (self.rot1_rad, self.rot2_rad, self.rot3_rad)]
            for f in (np.cos, np.sin)
        )
        first = np.array([[1.0, 0.0, 0.0], [0.0, c1, s1], [0.0, -s1, c1]])
        second = np.array([[c2, 0.0, -s2], [0.0, 1.0, 0.0], [s2, 0.0, c2]])
        third = np.array([[c3, -s3, 0.0], [s3, c3, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(third @ second @ first)


@dataclass(frozen=True, eq=False)
class Sight:
    """Directions seen from the sample, all of one shape."""

    two_theta_rad: Floats
    azimuth_rad: Floats
    """From the horizontal, towards rows of higher number."""
    range_m: Floats
    """Distance from the sample."""
    cos_incidence: Floats
    """Cosine of the angle to the detector's normal."""


def sight(plane: Plane, p1_m: ArrayLike, p2_m: ArrayLike) -> Sight:
    """Return the directions of places (p1, p2) on the plane, broadcast together."""
    along1 = np.asarray(p1_m, dtype=float) - plane.poni1_m
    along2 = np.asarray(p2_m, dtype=float) - plane.poni2_m
    t1, t2, t3 = (
        row[0] * along1 + row[1] * along2 + row[2] * plane.distance_m for row in plane.rotation
    )
    range_m = np.sqrt(along1**2 + along2**2 + plane.distance_m**2)
    return Sight(
        two_theta_rad=np.arctan2(np.hypot(t1, t2), t3),
        azimuth_rad=np.arctan2(t1, t2),
        range_m=range_m,
        cos_incidence=plane.distance_m / range_m,
    )


def place_m(
    plane: Plane, two_theta_rad: ArrayLike, azimuth_rad: ArrayLike
) -> tuple[Floats, Floats]:
    """Return (p1, p2) where directions meet the plane; NaN for those that do not."""
    two_theta, azimuth = np.asarray(two_theta_rad), np.asarray(azimuth_rad)
    direction = (
        np.sin(two_theta) * np.sin(azimuth),
        np.sin(two_theta) * np.cos(azimuth),
        np.cos(two_theta),
    )
    own1, own2, own3 = (_along(column, direction) for column in plane.rotation.T)
    scale = plane.distance_m / np.where(own3 > 0.0, own3, np.nan)
    return plane.poni1_m + scale * own1, plane.poni2_m + scale * own2


def _along(axis: Floats, direction: tuple[Floats, Floats, Floats]) -> Floats:
    """Return the component of directions along an axis; terms of a plane not tilted fall out.

    Those of many directions are large arrays, and a cosine of the axis is often 0 or 1 exactly.
    """
    terms = [
        part if cosine == 1.0 else cosine * part
        for cosine, part in zip(axis, direction, strict=True)
        if cosine != 0.0
    ]
    return np.asarray(sum(terms[1:], terms[0]))
