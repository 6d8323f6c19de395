"""The rays of a scan as the direct method compares them with what pixels would show.

A problem (:mod:`inverse.direct_fit`) has pixels as far as the sample reaches, one projector for all
of the fit, and rays reduced to a few shapes of patterns. Shapes follow what all pixels share; when
that is known better (:mod:`inverse.direct_shared`), they are made anew, and the rays reduced again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.direct_fit import Problem, State
from inverse.direct_rings import weighed
from inverse.direct_settings import Direct
from inverse.direct_shapes import Shapes, shapes_of
from inverse.direct_shared import shared_by_rays
from inverse.grids import graded_grid
from inverse.lattice_model import Build
from inverse.shared import Shared
from inverse.sinogram import Sinogram
from inverse.strips import strip_projector

Floats = NDArray[np.float64]

_PARALLAX_A = 8e-3
"""How much further than a pixel's lattice parameter parallax may move its pattern."""


@dataclass(frozen=True, eq=False)
class RayShapes:
    """What shapes are made of."""

    sinogram: Sinogram
    build: Build
    """Makes the model of a voxel's pattern from what all share."""
    n_fixed: int
    """Patterns of other phases among its linear ones."""
    a_range_A: tuple[float, float]
    """That a pixel may take."""
    typical_A: Floats
    """Lattice parameters that the sample seems to have, (n,)."""
    settings: Direct

    def shapes(self, shared: Shared) -> Shapes:
        """Return the shapes of patterns that have ``shared`` in common.

        Raises InputError as :func:`inverse.direct_shapes.shapes_of` does.
        """
        model = self.build(shared)
        shapes = shapes_of(
            model, sinogram=self.sinogram, n_fixed=self.n_fixed,
            a_min_A=self.a_range_A[0] - _PARALLAX_A, a_max_A=self.a_range_A[1] + _PARALLAX_A,
            n_coefficients=self.settings.n_coefficients,
        )  # fmt: skip
        if self.settings.crystallites:
            return weighed(shapes, self.sinogram, model=model, a_A=self.typical_A)
        return shapes

    def refined(self, problem: Problem, state: State, shared: Shared) -> Shared:
        """Return what pixels share, better known by the rays at a state of the fit."""
        return shared_by_rays(problem, state, build=self.build, shared=shared)

    def reduced(self, problem: Problem, shared: Shared) -> Problem:
        """Return the problem with shapes and rays as ``shared`` has them."""
        shapes = self.shapes(shared)
        return replace(
            problem, shapes=shapes, measured=shapes.coefficients(self.sinogram.values),
            parallax_per_um=self.parallax_per_um(shapes),
        )  # fmt: skip

    def parallax_per_um(self, shapes: Shapes) -> float:
        """Return δa/a per µm towards the detector: cos²θ·cos2θ/D, the mean over measured lines.

        Channels count by how much the lattice parameter changes them. Zero where the settings leave
        parallax out.
        """
        if not self.settings.parallax:
            return 0.0
        back = np.linalg.pinv(shapes.from_channels.astype(np.float64))
        answer = np.sum((np.diff(shapes.curve, axis=0).astype(np.float64) @ back) ** 2, axis=0)
        two_theta = self.sinogram.two_theta_rad
        scaling = np.cos(0.5 * two_theta) ** 2 * np.cos(two_theta)
        return float(np.average(scaling, weights=answer)) * 1e-6 / self.sinogram.distance_m


def problem_of(
    rays: RayShapes,
    shared: Shared,
    *,
    radius_um: float,
    beam_fwhm_um: float,
    workers: int | None,
) -> Problem:
    """Return what the direct fit has to explain, with pixels as far as ``radius_um``.

    Raises InputError as :func:`inverse.direct_shapes.shapes_of` does.
    """
    sinogram, shapes = rays.sinogram, rays.shapes(shared)
    n_offsets = sinogram.values.shape[1]
    grid = graded_grid(n_offsets, step_um=sinogram.step_um, rings=((1, radius_um),))
    margin = max(0, grid.margin)
    side = n_offsets + 2 * margin
    return Problem(
        projector=strip_projector(
            grid, angles_rad=sinogram.angles_rad, n_offsets=n_offsets, step_um=sinogram.step_um,
            beam_fwhm_um=beam_fwhm_um, axis_offset_um=sinogram.axis_offset_um,
        ),
        shapes=shapes,
        measured=shapes.coefficients(sinogram.values),
        parallax_per_um=rays.parallax_per_um(shapes),
        image_index=(grid.low + margin) * side + grid.left + margin,
        side=side,
        workers=workers,
    )  # fmt: skip
