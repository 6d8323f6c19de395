"""The scattering angles at which patterns are computed: channels, or nodes to look pixels up in.

*Channels* stand for their mean over the channel's width, as an integration would bin the pixels;
they are angles of the nominal geometry, in which a ring from the true distance D′ appears at
atan(D′/D · tan 2θ). *Nodes* are points on a grid of true angles, an eighth of a pixel apart;
between them a pixel's value is interpolated linearly. Interpolation widens a peak by h²/6 of
variance, which the profile is given less (:mod:`forward.line_profile`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xrdct.instrument import Detector, Geometry, detector_plane
from xrdct.plane import sight

NODES_PER_PIXEL = 8
_BEAM_STOP_RAD = np.deg2rad(0.3)
"""Smallest angle at which anything is scattered into a frame: a beam stop covers the rest."""


@dataclass(frozen=True)
class AngleGrid:
    """Uniform 2θ grid."""

    first_rad: float
    step_rad: float
    n_nodes: int
    distance_m: float
    """From sample to detector, as angles are reckoned."""
    stretch: float
    """True distance over that one."""
    averaged: bool
    """Whether a node stands for the mean over its step (a channel) or for a point."""
    sensor_corrected: bool = False
    """Whether angles are corrected for the mean depth at which the sensor counts."""

    @property
    def two_theta_rad(self) -> NDArray[np.float64]:
        """Angle of each node, shape (node,)."""
        return np.asarray(self.first_rad + self.step_rad * np.arange(self.n_nodes))

    @property
    def width_rad(self) -> float:
        """What turns photons per radian into those of a node: a channel's width, or one."""
        return self.step_rad if self.averaged else 1.0


def channel_grid(
    geometry: Geometry, *, true_distance_m: float, sensor_corrected: bool = True
) -> AngleGrid:
    """Return the channels of the nominal geometry, as an integration fills them."""
    return AngleGrid(
        first_rad=float(geometry.two_theta_rad[0]),
        step_rad=geometry.channel_width_rad,
        n_nodes=geometry.n_channels,
        distance_m=geometry.distance_m,
        stretch=true_distance_m / geometry.distance_m,
        averaged=True,
        sensor_corrected=sensor_corrected,
    )


def node_grid(geometry: Geometry, *, detector: Detector) -> AngleGrid:
    """Return nodes for all pixels of a detector that stands as ``geometry`` says.

    They reach from the beam stop to the farthest corner. Pixels further out are seen under smaller
    angles; there nodes are more than an eighth of a pixel apart by cos²2θ at most.
    """
    plane, pixel_m = detector_plane(geometry, detector), detector.pixel_um * 1e-6
    rows, columns = detector.shape
    corners = sight(plane, [[0.0], [rows * pixel_m]], [[0.0, columns * pixel_m]])
    step_rad = pixel_m / plane.distance_m / NODES_PER_PIXEL
    reach_rad = float(corners.two_theta_rad.max()) - _BEAM_STOP_RAD
    return AngleGrid(
        first_rad=float(_BEAM_STOP_RAD),
        step_rad=step_rad,
        n_nodes=int(np.ceil(reach_rad / step_rad)) + 2,
        distance_m=plane.distance_m,
        stretch=1.0,
        averaged=False,
    )
