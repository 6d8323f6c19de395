"""Countable crystallites: how their number's fluctuation moves lattice parameters.

A line of one material state that M grains show on average has in one exposure Poisson(M s)/s of
them, s the share of the ring that is seen: a relative variance 1/(M s). M is proportional to the
path, so the variance of the ray's line integral is

    path · p² · w²/(g s),       g = M/path grains per µm, p the line's pattern per µm

linear in the path again, like counting noise; but all channels of the line err together. With the
lever R of a voxel (:mod:`validation.bounds_fisher`) and the weights W of its rays

    Var a = Σ_rays W² Σ_rings path (R · p)² w²/(g s) .

w is the spread of the integration's estimator over that of the plain mean (one without trimming).

Source: PHYSICS 5 and :mod:`forward.grains`. Where this fails: trimming keeps a share of a ring that
depends on how many spots it has, of which only the mean ray's is looked at here
(:mod:`validation.predicted_trimming_grains` looks at every ray's). Few spots per ring make the
fluctuation skew and large against the line itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.bounds_optics import Optics

Floats = NDArray[np.float64]


def variance_per_path(optics: Optics, levers: Floats, *, mean_path_um: Floats) -> Floats:
    """Return what 1 µm of path through every state adds to Var p of voxels, times 1/W².

    ``levers`` (voxel, channel) are those of one parameter; the result is (voxel, state), in the
    parameter's unit squared per µm. ``mean_path_um`` (state,) is a typical ray's, at which trimming
    is judged.
    """
    rings = optics.rings.rings
    n_states = mean_path_um.size
    per_path = np.zeros((levers.shape[0], n_states))
    if rings.line.size == 0:
        return per_path
    answers = answers_of(optics, levers)
    share, spread = optics.rings.seen.astype(float), _spread(optics, mean_path_um)
    # A ring that misses the detector shows nothing.
    seen = share > 0.0
    each = answers**2 * (seen * spread**2 / (rings.grains_per_um * np.where(seen, share, 1.0)))
    order = np.argsort(rings.state, kind="stable")
    starts = np.flatnonzero(np.diff(rings.state[order], prepend=-1))
    per_path[:, rings.state[order][starts]] = np.add.reduceat(each[:, order], starts, axis=1)
    return per_path


def answers_of(optics: Optics, levers: Floats) -> Floats:
    """Return R · p of every ring, (voxel, ring), for levers R of shape (voxel, channel)."""
    rings = optics.rings.rings
    gained = levers * optics.channel_gain
    n_channels = gained.shape[1]
    answers = np.empty((levers.shape[0], rings.line.size))
    for ring in range(rings.line.size):
        first, start = int(rings.first_node[ring]), int(rings.start[ring])
        low, high = max(0, first), min(n_channels, first + int(rings.width[ring]))
        values = rings.values_per_um[start + low - first : start + high - first]
        answers[:, ring] = gained[:, low:high] @ values
    return answers


def _spread(optics: Optics, mean_path_um: Floats) -> Floats:
    """Return w of every ring, shape (ring,)."""
    rings = optics.rings.rings
    if optics.statistics is None:
        return np.ones(rings.line.size)
    grains = rings.grains_per_um * mean_path_um[rings.state]
    line = optics.rings.same  # families show the same ring
    per_pixel = np.asarray(np.bincount(line, grains / (2.0 * np.pi * rings.radius_px)), float)
    return optics.statistics.ring(per_pixel)[1][line]
