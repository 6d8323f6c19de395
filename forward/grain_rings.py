"""Rings of a countable number of crystallites, added to the patterns of one projection.

The lines of materials with countable grains were kept apart from the library
(:class:`forward.patterns.LineCore`). Each ray shows as many crystallites of each as happen to
reflect (:mod:`forward.grains`); in a pattern their spots have been averaged over the ring. An
integration that trims loses part of a spotty ring; what it keeps multiplies the line
(:mod:`forward.ring_trimming`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from forward.grains import Grains, grain_counts
from forward.pattern_statistics import PatternStatistics
from forward.philox import Words
from forward.spots import (
    Rings,
    add_smooth_rings,
    mean_ring_grains,
    ring_displacements,
    rings_of,
)
from forward.virtual import Virtual
from xrdct.instrument import live_share

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GrainRings:
    """All rings that are made of spots, and how their grains are drawn."""

    rings: Rings
    same: NDArray[np.int64]
    """Which of the distinct lines each ring belongs to, families taken together, (ring,)."""
    members: csr_array
    """One where a ring belongs to a line, (ring, line)."""
    seen: Singles
    """Share of each ring that lies on live pixels, (ring,)."""
    noise: bool
    """Without noise as many grains reflect as would on average."""

    @classmethod
    def of(cls, virtual: Virtual, grains: Grains) -> GrainRings:
        """Return the rings of a prepared sample."""
        cores = virtual.library.cores
        rings = rings_of(
            cores, angles=virtual.angles, pixel_um=virtual.detector.pixel_um,
            beam=virtual.truth.beam, grains=grains,
        )  # fmt: skip
        _, number = np.unique([core.ring for core in cores], return_inverse=True)
        same = number.astype(np.int64)[rings.line] if cores else np.zeros(0, np.int64)
        shape = (same.size, int(same.max(initial=-1)) + 1)
        members = csr_array((np.ones(same.size), (np.arange(same.size), same)), shape=shape)
        middles_rad = np.array([2.0 * float(core.theta_rad.mean()) for core in cores])
        share = live_share(
            virtual.truth.geometry, detector=virtual.detector, two_theta_rad=middles_rad,
            n_sectors=1,
        )  # fmt: skip
        seen = share[rings.line, 0].astype(np.float32)
        return cls(rings, same=same, members=members, seen=seen, noise=virtual.effects.noise)

    def counts(self, path_um: Singles, key: Words, *, first_frame: int) -> tuple[Singles, Singles]:
        """Return mean and drawn numbers of grains of each ring, (offset, ring) both."""
        mean = mean_ring_grains(self.rings, path_um)
        return mean, grain_counts(mean, key, first_frame=first_frame) if self.noise else mean

    def seen_counts(
        self, path_um: Singles, key: Words, *, first_frame: int
    ) -> tuple[Singles, Singles]:
        """Return the same where spots between the live pixels are not known of.

        Of N spots on the share s of a ring that is seen, an average over azimuth makes N/s.
        """
        mean = mean_ring_grains(self.rings, path_um)
        if not self.noise:
            return mean, mean
        drawn = grain_counts(mean * self.seen, key, first_frame=first_frame)
        return mean, np.divide(drawn, self.seen, out=mean.copy(), where=self.seen > 0.0)

    def add_to(
        self,
        patterns: Singles,
        *,
        path_um: Singles,
        moment_um2: Singles,
        photons: Floats,
        key: Words,
        first_frame: int,
        statistics: PatternStatistics | None = None,
    ) -> None:
        """Add all rings to ``patterns`` (offset, node), in place, as averages over azimuth.

        ``path_um`` and ``moment_um2`` (offset, state) are those of an `Expectation`, ``photons``
        those behind the sample (offset,); exposures count on from ``first_frame``. With
        ``statistics`` averages are what its estimator makes of spots.
        """
        if self.rings.line.size == 0:
            return
        mean, counts = self.seen_counts(path_um, key, first_frame=first_frame)
        displacement_um = ring_displacements(self.rings, path_um, moment_um2)
        every = np.ones(self.rings.line.size, bool)
        if statistics is not None:
            counts = counts * self._trimmed_share(mean, counts, statistics)
        for ray, (pattern, number) in enumerate(zip(patterns, counts, strict=True)):
            add_smooth_rings(
                pattern, number, float(photons[ray]), every, self.rings, displacement_um[ray]
            )

    def _trimmed_share(
        self, mean: Singles, counts: Singles, statistics: PatternStatistics
    ) -> Singles:
        """Return what trimming leaves of each ring, over its plain mean, (offset, ring).

        Of N spots where M are expected, the plain mean of a line is N/M of what it would be, the
        trimmed one k + (N/M − 1) w: its mean is k, and w its spread over that of the plain mean.
        """
        per_pixel = (0.5 / (np.pi * self.rings.radius_px)).astype(np.float32)
        shares = np.asarray(mean * per_pixel)
        kept, spread = statistics.ring(self._by_line(shares))
        expected, drawn = self._by_line(mean), self._by_line(counts)
        plain = np.divide(drawn, expected, out=np.ones_like(kept), where=expected > 0.0)
        left = np.maximum(kept + (plain - 1.0) * spread, 0.0)
        ratio = np.divide(left, plain, out=np.ones_like(kept), where=plain > 0.0)
        return ratio[:, self.same].astype(np.float32)

    def _by_line(self, of_rings: Singles) -> Floats:
        """Return sums over the rings of each line, (offset, line)."""
        return np.asarray(of_rings.astype(np.float64) @ self.members)
