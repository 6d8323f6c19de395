"""Particles, depth profiles and histograms of a user's own maps, in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inverse.depth_profiles import DepthAverages, DepthProfile, depth_profiles
from inverse.lattice_histogram import Histogram, LatticeHistogram, lattice_histograms
from inverse.region_settings import Regions
from inverse.segment import Particles, particles_of
from xrdct.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ParticleAnalysis:
    """What the maps of a slice say of its particles."""

    particles: Particles
    profiles: tuple[DepthProfile, ...]
    """Of the particles that are whole and large enough."""
    slice_histogram: LatticeHistogram
    """Of all voxels with material."""
    histograms: tuple[LatticeHistogram, ...]
    """Of every particle with a voxel of its own."""

    def profile_of(self, particle: int) -> DepthProfile:
        """Return the profile of a particle; InputError where it has none."""
        for profile in self.profiles:
            if profile.particle == particle:
                return profile
        raise InputError(
            f"particle {particle} has no profile: it does not exist, is not whole, is too small "
            "or does not reach the depths asked for."
        )

    def particle_at(self, x_um: float, y_um: float, *, step_um: float) -> int:
        """Return the particle at a place about the rotation axis.

        Raises InputError where there is none.
        """
        size = np.array(self.particles.label.shape)
        iy, ix = np.round(np.array([y_um, x_um]) / step_um + 0.5 * (size - 1)).astype(int)
        inside = 0 <= iy < size[0] and 0 <= ix < size[1]
        number = int(self.particles.label[iy, ix]) if inside else -1
        if number < 0:
            raise InputError(f"there is no particle at ({x_um:g}, {y_um:g}) µm.")
        return number


def analyse_particles(
    a_A: Floats,
    amount: Floats,
    *,
    step_um: float,
    esd_A: Floats | None = None,
    measured: NDArray[np.bool_] | None = None,
    regions: Regions | None = None,
    averages: DepthAverages | None = None,
    histogram: Histogram | None = None,
) -> ParticleAnalysis:
    """Return particles, profiles and histograms of maps of a and of volume fractions, (y, x).

    step_um is a voxel's side, ``esd_A`` the standard uncertainty of ``a_A`` by voxel, ``measured``
    what is in view, by default everything. NaN stands for no material.

    Raises InputError for maps of different shape, a step that is not positive, or a slice without
    material.
    """
    if a_A.ndim != 2 or amount.shape != a_A.shape:
        raise InputError(
            f"a_A and amount must be maps of one shape, not {a_A.shape} and {amount.shape}."
        )
    if not 0.0 < step_um < np.inf:
        raise InputError(f"step_um must be a positive length, not {step_um:g}.")
    view = np.ones(a_A.shape, bool) if measured is None else measured
    particles = particles_of(amount, measured=view, step_um=step_um, settings=regions or Regions())
    profiles = depth_profiles(
        a_A, particles=particles, step_um=step_um, amount=amount, esd=esd_A, settings=averages
    )
    first, *others = lattice_histograms(
        a_A, amount=amount, step_um=step_um, esd_A=esd_A, used=view, particles=particles,
        settings=histogram,
    )  # fmt: skip
    return ParticleAnalysis(particles, profiles, first, tuple(others))
