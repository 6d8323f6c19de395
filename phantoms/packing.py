"""Pack spheres at random into the slice of an electrode that a pencil beam sees.

Axes: the rotation axis is z, the slice is the plane z = 0, the electrode the cylinder
x² + y² ≤ (electrode_diameter_um / 2)². Only the spheres within ``margin_um`` of the plane are
drawn. Stereology gives their statistics: a sphere of diameter D reaches the slab |z| < margin
if its centre lies within D/2 + margin of the plane, so the large ones are met more often,

    p(D) ∝ (D + 2 margin) · lognormal(D; median, sigma_log)    on [min, max],

and the area fraction of the discs cut by any plane within the margin estimates the volume
fraction without bias (Delesse's principle; Underwood, *Quantitative Stereology*, 1970).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri

from xrdct.compiled import compiled
from xrdct.errors import InputError

Array: TypeAlias = NDArray[np.float64]

GAP_UM = 1e-6
"""Least gap between two surfaces: far above rounding (1e-13 µm), far below anything seen."""

MAX_TRIES = 200_000
"""Random positions tried for one sphere before the target is called unreachable."""

MAX_SPHERES = 2_000_000
"""Most spheres drawn: above this the sizes were surely given in the wrong unit."""

_BATCH = 4096  # spheres drawn at a time
_CHUNK = 256  # spheres looked at together for overlaps: bounds the memory if everything overlaps
_LEAST_MASS = 1e-6  # of the log-normal between the cut-offs: less would be drawn from rounding


@contextmanager
def told_as_options() -> Iterator[None]:
    """Name a sample's options in complaints of packing as they are called there."""
    try:
        yield
    except InputError as error:
        message = str(error).replace("median_diameter_um", "median_particle_um")
        raise InputError(f"sample: {message}") from error


class OutOfReachError(InputError):
    """No room was found for a sphere: another seed, or a lower volume fraction, may find it."""


@dataclass(frozen=True, eq=False)
class Packing:
    """Spheres that do not overlap: those that stood already, then the others, largest first."""

    centres_um: Array
    """(sphere, xyz) in µm; z is the distance of the centre from the slice."""
    diameters_um: Array
    """(sphere,) in µm."""


def pack_slice(
    *,
    electrode_diameter_um: float,
    volume_fraction: float,
    median_diameter_um: float,
    sigma_log: float,
    min_diameter_um: float,
    max_diameter_um: float = 20.0,
    margin_um: float = 2.0,
    placed: Packing | None = None,
    seed: int,
) -> Packing:
    """Return spheres of random size and place, every one wholly inside the electrode's wall.

    Spheres ``placed`` stand already and come first, in their order; their discs at z = 0 count
    towards ``volume_fraction``. The statistics are those of the others.

    Sizes and heights are drawn first, as many as bring the area of the discs at z = 0 nearest to
    ``volume_fraction`` of the electrode's (off by half a disc at most); then all of them are
    placed by random sequential addition, largest first, uniformly over what room is left. No
    sphere is ever dropped, since dropping those that do not fit would bias the sizes. Near the
    wall, within a diameter or so, large spheres are rarer than inside, as in a real container.

    ``median_diameter_um`` and ``sigma_log`` (standard deviation of ln D) describe the log-normal
    by number of spheres in the volume before it is cut off at the least and greatest diameter.
    Lengths are in µm. The same seed gives the same packing.

    Raises InputError for values out of range, for spheres ``placed`` that overlap or cross the
    wall, and for a volume fraction that they exceed; OutOfReachError, which is one too, for one
    that random placement does not reach (about 0.6 for sigma_log 0.45, 0.4 for nearly equal
    spheres).
    """
    sizes = (median_diameter_um, sigma_log, min_diameter_um, max_diameter_um, margin_um)
    _check(electrode_diameter_um, volume_fraction, sizes, seed)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    electrode_area = math.pi / 4 * electrode_diameter_um**2
    stand = placed or Packing(centres_um=np.zeros((0, 3)), diameters_um=np.zeros(0))
    left = volume_fraction * electrode_area - _checked_area(stand, electrode_diameter_um / 2)
    if left < 0.0:
        raise InputError(
            f"the spheres placed already fill more than volume_fraction {volume_fraction:g} "
            "of the slice: raise it, or give a larger electrode"
        )
    drawn, z = _draw_until(rng, left, sizes)
    largest_first = np.argsort(-drawn, kind="stable")
    drawn, z = drawn[largest_first], z[largest_first]
    centres = np.column_stack([np.zeros_like(z), np.zeros_like(z), z])
    spheres = Packing(
        centres_um=np.concatenate([stand.centres_um, centres]),
        diameters_um=np.concatenate([stand.diameters_um, drawn]),
    )
    n = _place_all(rng, spheres, stand.diameters_um.size, electrode_diameter_um / 2)
    if n < spheres.diameters_um.size:
        area = float(_disc_areas(spheres.diameters_um[:n], spheres.centres_um[:n, 2]).sum())
        raise OutOfReachError(
            f"volume_fraction {volume_fraction:g} is out of reach of random placement: largest "
            f"first, spheres filled {area / electrode_area:.3f} of the slice when no room was "
            f"found for one of {spheres.diameters_um[n]:.3g} µm; lower it, or widen sizes or "
            "electrode"
        )
    return spheres


def overlapping_pair(
    centres_um: ArrayLike, diameters_um: ArrayLike, *, tolerance_um: float
) -> tuple[int, int] | None:
    """Return a pair (i, j), i < j, of spheres that overlap, or None if none do.

    Spheres overlap where their centres are nearer than (D_i + D_j)/2 − ``tolerance_um``. Of
    several pairs the one met first is returned, going through the spheres in order. Shapes:
    (sphere, xyz) and (sphere,), in µm.

    Raises InputError for wrong shapes and for values that are not finite.
    """
    centres = np.asarray(centres_um, dtype=np.float64)
    diameters = np.asarray(diameters_um, dtype=np.float64)
    if centres.shape != (diameters.size, 3) or diameters.ndim != 1:
        raise InputError(
            "centres_um must be (sphere, xyz) and diameters_um (sphere,), "
            f"got {centres.shape} and {diameters.shape}"
        )
    if not (np.isfinite(centres).all() and np.isfinite(diameters).all()):
        raise InputError("centres_um and diameters_um must be finite")
    tree = cKDTree(centres)
    for start in range(0, diameters.size, _CHUNK):
        chunk = np.arange(start, min(start + _CHUNK, diameters.size))
        # Seen from the larger sphere of a pair, the other's centre lies within the larger
        # diameter: each sphere looks no further than its own size, and a giant slows only itself.
        found = tree.query_ball_point(centres[chunk], np.maximum(diameters[chunk], 0.0))
        i = np.repeat(chunk, [len(near) for near in found])
        j = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=i.size)
        distance = np.linalg.norm(centres[j] - centres[i], axis=1)
        overlaps = (j != i) & (distance < (diameters[j] + diameters[i]) / 2 - tolerance_um)
        if overlaps.any():
            first = int(i[overlaps][0])
            other = int(j[overlaps & (i == first)].min())
            return min(first, other), max(first, other)
    return None


def _check(
    electrode: float,
    volume_fraction: float,
    sizes: tuple[float, float, float, float, float],
    seed: int,
) -> None:
    """Raise InputError for the first rule that the arguments of `pack_slice` break."""
    median, sigma_log, least, most, margin = sizes
    rules = [
        (0 < least < math.inf, "min_diameter_um must be above 0", least),
        (least < most < math.inf, f"max_diameter_um must be above min, {least:g}", most),
        (0 < median < math.inf, "median_diameter_um must be above 0", median),
        (0 < sigma_log <= 3, "sigma_log must be above 0 and at most 3", sigma_log),
        (0 <= margin < math.inf, "margin_um must be 0 or above", margin),
        (most <= electrode < math.inf, f"electrode_diameter_um must be ≥ max, {most:g}", electrode),
        (0 < volume_fraction < 1, "volume_fraction must lie between 0 and 1", volume_fraction),
        (seed >= 0, "seed must be 0 or above", seed),
    ]
    for kept, rule, value in rules:
        if not kept:
            raise InputError(f"{rule}, got {value:g}")
    low, high = np.log(np.array([least, most]) / median) / sigma_log
    if ndtr(high) - ndtr(low) < _LEAST_MASS:
        raise InputError(
            f"almost no diameter lies between {least:g} and {most:g} µm "
            f"for median_diameter_um {median:g} and sigma_log {sigma_log:g}"
        )


def _checked_area(stand: Packing, wall: float) -> float:
    """Return the area in µm² of the discs of spheres that stand already; InputError if amiss."""
    pair = overlapping_pair(stand.centres_um, stand.diameters_um, tolerance_um=0.0)
    if pair is not None:
        raise InputError(f"spheres placed already must not overlap, but {pair[0]} and {pair[1]} do")
    reach = np.hypot(stand.centres_um[:, 0], stand.centres_um[:, 1]) + stand.diameters_um / 2
    if (reach > wall).any():
        raise InputError(
            f"spheres placed already must lie inside the electrode's wall at {wall:g} µm from "
            f"its axis, but one reaches {reach.max():g} µm"
        )
    return float(_disc_areas(stand.diameters_um, stand.centres_um[:, 2]).sum())


def _draw_until(
    rng: np.random.Generator, target_area: float, sizes: tuple[float, float, float, float, float]
) -> tuple[Array, Array]:
    """Return diameters and heights z whose discs at z = 0 add up as near as can be to the target.

    Stopping at the nearest sum, rather than past it, keeps the last sphere from being a large one
    more often than its share.
    """
    median, sigma_log, least, most, margin = sizes
    batches: list[tuple[Array, Array]] = []
    area = 0.0
    while area <= target_area:
        if len(batches) * _BATCH >= MAX_SPHERES:
            raise InputError(
                f"the electrode would need more than {MAX_SPHERES} spheres of "
                f"median_diameter_um {median:g}: give larger spheres or a smaller electrode"
            )
        drawn = _draw_diameters(rng, median, sigma_log, least, most, margin)
        heights = (drawn / 2 + margin) * rng.uniform(-1.0, 1.0, _BATCH)
        batches.append((drawn, heights))
        area += float(_disc_areas(drawn, heights).sum())
    diameters = np.concatenate([batch[0] for batch in batches])
    z = np.concatenate([batch[1] for batch in batches])
    cumulative = np.concatenate([[0.0], np.cumsum(_disc_areas(diameters, z))])
    count = int(np.argmin(np.abs(cumulative - target_area)))
    return diameters[:count], z[:count]


def _draw_diameters(
    rng: np.random.Generator,
    median: float,
    sigma_log: float,
    least: float,
    most: float,
    margin: float,
) -> Array:
    """Return a batch of diameters from p(D) of the module docstring, exactly.

    D times a log-normal is a log-normal of median · exp(sigma_log²), so p(D) is a mixture of two
    truncated log-normals with weights ∫ D lognormal and ∫ 2 margin lognormal over [min, max].
    """
    low, high = np.log(np.array([least, most]) / median) / sigma_log
    mean = median * math.exp(sigma_log**2 / 2)
    by_length = mean * (ndtr(high - sigma_log) - ndtr(low - sigma_log))
    by_margin = 2 * margin * (ndtr(high) - ndtr(low))
    lengthwise = rng.random(_BATCH) * (by_length + by_margin) < by_length
    shift = np.where(lengthwise, sigma_log, 0.0)
    below, above = ndtr(low - shift), ndtr(high - shift)
    quantile = below + (above - below) * rng.random(_BATCH)
    drawn: Array = median * np.exp(sigma_log * (shift + ndtri(quantile)))
    return drawn.clip(least, most)  # rounding may step past the cut-offs


def _disc_areas(diameters: Array, z: Array) -> Array:
    """Return the area in µm² of each sphere's disc in the plane z = 0, zero where it misses."""
    areas: Array = math.pi * np.maximum(diameters**2 / 4 - z**2, 0.0)
    return areas


def _place_all(rng: np.random.Generator, spheres: Packing, n_standing: int, wall: float) -> int:
    """Fill in x and y of all spheres but the first ``n_standing``; return how many found room.

    Uniform over what room is left is what trying uniform positions until one is free gives; z
    stays as drawn, so it is the plane, not the sphere, that the placement searches.
    """
    diameters = spheres.diameters_um
    drawn = diameters[n_standing:]
    cell = float(drawn.mean()) if drawn.size else 2 * wall
    n_cells = int(2 * wall / cell) + 2
    heads = np.full((n_cells, n_cells), -1, dtype=np.int64)
    most_cells = ((diameters + 2 * GAP_UM) / cell).astype(np.int64) + 2
    links = np.empty((int(most_cells @ most_cells), 2), dtype=np.int64)
    return _place(rng, spheres.centres_um, diameters / 2, n_standing, wall, cell, heads, links)


@compiled
def _place(
    rng: np.random.Generator,
    centres: Array,
    radii: Array,
    n_standing: int,
    wall: float,
    cell: float,
    heads: NDArray[np.int64],
    links: NDArray[np.int64],
) -> int:
    """Fill in x and y of ``centres`` in order; return how many spheres found room.

    The first ``n_standing`` stay where they are.

    A square grid over the slice keeps, cell by cell, a linked list of the spheres whose bounding
    square touches it (``heads`` the first link, ``links`` (sphere, next link), −1 the end). Two
    spheres that overlap share a cell, and a small sphere asks few cells.
    """
    used = 0
    for i in range(radii.size):
        room = wall - radii[i]
        found = i < n_standing
        for _ in range(0 if found else MAX_TRIES):
            distance = room * math.sqrt(rng.random())
            azimuth = 2 * math.pi * rng.random()
            centres[i, 0] = distance * math.cos(azimuth)
            centres[i, 1] = distance * math.sin(azimuth)
            if _is_free(i, centres, radii, wall, cell, heads, links):
                found = True
                break
        if not found:
            return i
        columns, rows = _cells(i, centres, radii, wall, cell)
        for column in range(columns[0], columns[1]):
            for row in range(rows[0], rows[1]):
                links[used, 0] = i
                links[used, 1] = heads[column, row]
                heads[column, row] = used
                used += 1
    return int(radii.size)


@compiled
def _is_free(
    i: int,
    centres: Array,
    radii: Array,
    wall: float,
    cell: float,
    heads: NDArray[np.int64],
    links: NDArray[np.int64],
) -> bool:
    """Return whether sphere ``i`` keeps its distance from every sphere placed before it."""
    columns, rows = _cells(i, centres, radii, wall, cell)
    for column in range(columns[0], columns[1]):
        for row in range(rows[0], rows[1]):
            link = heads[column, row]
            while link >= 0:
                j = links[link, 0]
                reach = radii[i] + radii[j] + GAP_UM
                dx = centres[i, 0] - centres[j, 0]
                dy = centres[i, 1] - centres[j, 1]
                dz = centres[i, 2] - centres[j, 2]
                if dx * dx + dy * dy + dz * dz < reach * reach:
                    return False
                link = links[link, 1]
    return True


@compiled
def _cells(
    i: int, centres: Array, radii: Array, wall: float, cell: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (first, past the last) column and row of the cells sphere ``i`` touches."""
    x = centres[i, 0] + wall
    y = centres[i, 1] + wall
    half = radii[i] + GAP_UM
    columns = (int((x - half) / cell), int((x + half) / cell) + 1)
    rows = (int((y - half) / cell), int((y + half) / cell) + 1)
    return columns, rows
