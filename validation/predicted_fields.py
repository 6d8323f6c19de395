"""What classes of lattice parameters make of a sample's image: parallax, and what streaks.

Of one reference scan, since both depend on the scan through the shape of the noise over the
channels alone. Images are those of :mod:`validation.predicted_images`, at most 640 pixels wide:
parallax is smooth and is worked out on larger pixels, spectra on the middle of the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.parallax import mean_scaling
from forward.settings import Effects
from validation.bounds_optics import Optics
from validation.predicted_images import plain_waves
from validation.predicted_levers import Levers
from validation.predicted_scene import Scene
from validation.predicted_streaks import Spectrum, spectrum_of

Floats = NDArray[np.float64]

_MOST_PIXELS = 640
"""Along an edge of the images that spectra and parallax are taken of."""


@dataclass(frozen=True, eq=False)
class Field:
    """What a class of lattice parameters makes of the sample's image."""

    displaced: Floats
    """What parallax adds over a half turn, an image."""
    spectrum: Spectrum


def fields_of(optics: Optics, scene: Scene, found: Levers, effects: Effects) -> tuple[Field, ...]:
    """Return the images of parallax and the spectra of every class."""
    shrink = -(-scene.size // _MOST_PIXELS)
    crop = max(0, (scene.size - _MOST_PIXELS) // 2)
    inner = slice(crop, crop + min(scene.size, _MOST_PIXELS))
    place_um = (np.arange(scene.size) - 0.5 * (scene.size - 1)) * scene.pixel_um
    sample_um = 0.5 * scene.diameter_um
    area_um2 = scene.pixel_um**2 * float(
        np.sum(np.hypot(place_um[inner, None], place_um[None, inner]) <= sample_um)
    )
    fine = plain_waves(n=inner.stop - inner.start, pixel_um=scene.pixel_um)
    coarse = plain_waves(n=scene.size // shrink, pixel_um=scene.pixel_um * shrink)
    angles = optics.virtual.angles
    per_um = mean_scaling(angles.two_theta_rad) * 1e-6 / angles.distance_m
    made = []
    for k in range(found.class_a_A.size):
        shift = scene.amount * found.of(found.shift_A[k], scene.a_A)
        shift += np.tensordot(found.extra_shift_A[k], scene.extra, axes=1)
        slope = np.gradient(found.shift_A[k], found.a_A)
        moving = scene.amount * found.of(slope, scene.a_A) * scene.a_A * per_um
        displaced = np.zeros((0, 0))
        if effects.parallax:
            displaced = _enlarged(coarse.displaced(_shrunk(moving, shrink)), shrink, scene.size)
        power = fine.power(shift[inner, inner])
        made.append(Field(displaced, spectrum_of(power, waves=fine, area_um2=area_um2)))
    return tuple(made)


def _shrunk(image: Floats, by: int) -> Floats:
    """Return means over squares of pixels; what is left over at both ends goes."""
    n = image.shape[0] // by
    first = (image.shape[0] - n * by) // 2
    part = image[first : first + n * by, first : first + n * by]
    return np.asarray(part.reshape(n, by, n, by).mean(axis=(1, 3)))


def _enlarged(image: Floats, by: int, size: int) -> Floats:
    """Return an image of the old size, zero where pixels were left over."""
    n = image.shape[0] * by
    first = (size - n) // 2
    large = np.zeros((size, size))
    large[first : first + n, first : first + n] = np.repeat(np.repeat(image, by, 0), by, 1)
    return large
