"""Mean patterns of regions of voxels, kept beside the scan they are made from."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

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


def depth_patterns(each: Slice, labels: Sequence[Ints]) -> list[dict[int, Floats]]:
    """Return the patterns of the depths of several particles, for each by the depth's number.

    ``labels`` are the depths, from 0, of each particle's voxels, (y, x), −1 elsewhere. All come
    from the same rays, which are prepared once.
    """
    stride = 1 + max(int(label.max(initial=-1)) for label in labels)
    together = np.full(labels[0].shape, -1, np.int64)
    for k, label in enumerate(labels):
        together[label >= 0] = k * stride + label[label >= 0]
    found: list[dict[int, Floats]] = [{} for _ in labels]
    numbers = np.unique(together[together >= 0])
    if numbers.size:
        patterns = mean_patterns(each, together).values
        for number, pattern in zip(numbers.tolist(), patterns, strict=True):
            found[number // stride][number % stride] = pattern
    return found
