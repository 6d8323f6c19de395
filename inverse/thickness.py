"""How thick material is around each pixel: the radius of the largest disc within it that covers it.

The local thickness of an image is twice the radius

    ρ(x) = max {r : x lies in a disc of radius r that lies in the material}.

It tells small particles from large ones without telling particles apart: at a narrow contact the
discs of either still fit. A disc ends where its centre is r pixels from that of the nearest pixel
without material; the border of the image bounds none. Radii are taken from 1, √2, 2, 2√2, …

Source: Hildebrand & Rüegsegger, J. Microsc. 185 (1997) 67.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def disc_radius(material: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return ρ of the module's formula in pixels, (iy, ix); 1 where there is no material.

    Infinite where there is nothing else.
    """
    if material.all():
        return np.full(material.shape, np.inf)
    radius = np.ones(material.shape)
    inside = distance_transform_edt(material)
    largest = float(inside.max())
    for level in 2.0 ** np.arange(0.5, np.log2(max(largest, 1.0)) + 1e-9, 0.5):
        covered = distance_transform_edt(inside < level) < level
        radius[material & covered] = level
    return radius
