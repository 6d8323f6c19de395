"""Mean patterns of regions of voxels, kept beside the scan they are made from."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from numpy.typing import NDArray

from inverse.chain import prepared_sinogram
from inverse.regions import RegionPatterns, rays_of_sinogram, region_patterns
from validation.outputs import write_safely
from validation.paper.prepared import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIELDS = ("values", "variance", "half_difference")


def mean_patterns(each: Slice, label: Ints) -> RegionPatterns:
    """Return the patterns of the regions there are in ``label``, (y, x), where −1 is none of them.

    They come from the rays as the recipe prepares them, what lies outside the window subtracted.
    """
    numbers = np.unique(label[label >= 0])
    label = np.where(label >= 0, np.searchsorted(numbers, label), -1)
    named = hashlib.sha256(label.tobytes()).hexdigest()[:16]
    path = each.files.folder / f"patterns_{named}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return RegionPatterns(*(stored[name] for name in _FIELDS))
    recipe, workers = each.maps.recipe, each.workers
    sinogram = prepared_sinogram(each.raw(), others=each.others(), recipe=recipe, workers=workers)
    found = region_patterns(rays_of_sinogram(sinogram, recipe=recipe), label=label, workers=workers)
    buffer = io.BytesIO()
    np.savez(buffer, **{name: getattr(found, name) for name in _FIELDS})
    write_safely(path, buffer.getvalue())
    return found
