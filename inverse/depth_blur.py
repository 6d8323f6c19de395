"""What a blurred map does to means over shells of depth, and how it is taken off again.

A beam as wide as a voxel mixes neighbouring depths, and at a contact two particles. Take the law
for a chain of straight lines between the shells, of values q at their mean depths. With the blur's
standard deviation known, means over shells are m = M q + b: M from the blurred law on the finer
grid of the segmentation, b from the neighbours, of which each counts as uniform. Means without blur
are then S M⁻¹(m − b), with S the means of the chain itself. Straight laws come back exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from inverse.boxes import Box, widened
from inverse.segment import Particles
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]

_REACH = 4.0
"""Standard deviations of the blur to which it is drawn."""


def blur_sigma_um(beam_fwhm_um: float, *, step_um: float) -> float:
    """Return the standard deviation of the blur of filtered back projection.

    √(σ_beam² + step²/6): a beam of Gaussian profile, and linear interpolation between rays.
    """
    return float(np.sqrt((beam_fwhm_um / FWHM_PER_SIGMA) ** 2 + step_um**2 / 6.0))


def unmixing(
    number: int,
    box: Box,
    rows: Floats,
    middle_um: Floats,
    particles: Particles,
    means: Floats,
    offset: float,
    step_um: float,
    blur_um: float,
) -> tuple[Floats, Floats]:
    """Return S M⁻¹, (shell, shell), and b less ``offset``, (shell,), of one particle's shells.

    box: the smallest that holds the particle; rows (shell, y, x): the weights of its voxels in each
    shell's mean, each row adding up to one; middle_um (shell,): the shells' mean depths, rising;
    means (particle,): those of all particles' maps.
    """
    finer = particles.finer
    reach = int(np.ceil(_REACH * blur_um / step_um)) + 1
    wide = widened(box, by=reach, shape=particles.label.shape)
    fine = tuple(slice(s.start * finer, s.stop * finer) for s in wide)
    inside = particles.fine[fine]
    middle = tuple(
        slice((b.start - w.start) * finer + finer // 2, (b.stop - w.start) * finer, finer)
        for b, w in zip(box, wide, strict=True)
    )

    def blurred(image: Floats) -> Floats:
        spread = gaussian_filter(image, blur_um * finer / step_um, mode="constant", truncate=_REACH)
        return np.asarray(spread[middle])

    own = inside == number
    laws = _chain(particles.fine_depth_um[fine], middle_um)
    parts = np.stack([blurred(np.where(own, law, 0.0)) for law in laws])
    everything = np.maximum(blurred((inside >= 0).astype(float)), 1e-12)
    mixing = np.einsum("kyx,lyx->kl", rows, parts / everything)
    plain = np.einsum(
        "kyx,lyx->kl", rows, _chain(np.nan_to_num(particles.depth_um[box]), middle_um)
    )
    leaked = np.zeros(middle_um.size)
    for other in np.unique(inside[(inside >= 0) & ~own]):
        # A neighbour of which nothing is known counts as this particle's own material.
        difference = float(np.nan_to_num(means[other] - offset, nan=means[number] - offset))
        leaked += difference * np.einsum(
            "kyx,yx->k", rows, blurred((inside == other).astype(float)) / everything
        )
    return plain @ np.linalg.inv(mixing), leaked


def _chain(depth_um: Floats, nodes_um: Floats) -> Floats:
    """Return the laws that are one at a node, zero at the others and straight between and beyond.

    Shape (node, …) with the shape of ``depth_um``.
    """
    if nodes_um.size == 1:
        return np.ones((1, *depth_um.shape))
    left = np.clip(np.searchsorted(nodes_um, depth_um) - 1, 0, nodes_um.size - 2)
    share = (depth_um - nodes_um[left]) / np.diff(nodes_um)[left]
    node = np.arange(nodes_um.size).reshape(-1, *[1] * depth_um.ndim)
    return np.where(node == left, 1.0 - share, np.where(node == left + 1, share, 0.0))
