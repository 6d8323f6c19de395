"""Path lengths of rays through layered spheres, by material state and blurred by the beam.

A sphere of concentric layers looks the same from every side, so its projection is computed once,
on a fine grid of distances b of the ray from its centre, and looked up for every ray of every scan.

Layer boundaries are spheres of radius r_k; at height z above the slice plane through the centre
they are circles of radius ρ_k = √(r_k² − z²). The area of such a circle between offsets 0 and t,

    A_k(t) = t √(ρ_k² − t²) + ρ_k² asin(t/ρ_k),

is a closed form, so the mean chord over a strip of width δ is exact, (A_k(t + δ) − A_k(t))/δ, and
no area is lost at the edges, where the chord itself has a square-root singularity. The beam's
height enters by Gauss–Hermite nodes in z, its width by sub-rays: the strips, weighted with the
beam's profile (less the δ²/12 that the strip itself adds to the variance).

Particles that are no layered spheres have no profile: :mod:`forward.bodies` projects them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from forward.states import StateGrid
from phantoms.sample import Layers, Sample
from xrdct.compiled import compiled, threaded
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TAIL_SIGMAS = 5.0
_TAIL_STEP_UM = 0.5


@dataclass(frozen=True, eq=False)
class ChordProfiles:
    """Chord of every particle against the ray's distance b from its centre, by state.

    The profile of particle p is ``values[start[p] : start[p + 1]]`` reshaped to
    (n_distances[p], n_columns[p]); row i belongs to b = i · ``step_um``. Particles that are no
    spheres have no rows. Columns are laid out in *segments*, runs of consecutive states: segment j
    covers ``segment_width[j]`` columns and begins at state ``segment_state[j]``; particle p owns
    segments ``segment_start[p] : segment_start[p + 1]``.
    """

    step_um: float
    values: NDArray[np.float32]
    """µm of solid of each state."""
    start: NDArray[np.int64]
    n_distances: NDArray[np.int64]
    n_columns: NDArray[np.int64]
    segment_start: NDArray[np.int64]
    segment_state: NDArray[np.int64]
    segment_width: NDArray[np.int64]


def chord_profiles(
    sample: Sample,
    *,
    layers: Layers,
    grid: StateGrid,
    truth: TrueInstrument,
    effects: Effects,
    accuracy: Accuracy,
    workers: int | None = None,
) -> ChordProfiles:
    """Project every particle of ``sample`` once (see the module's text)."""
    n_particles = len(sample.particles)
    mixture = state_mixture(grid, layers, n_particles)
    step_um = strip_um(truth.beam, accuracy)
    shares = beam_shares(truth, effects)
    taps = beam_taps([(w, beam.width_um) for w, beam in shares], step_um=step_um)
    heights_um, height_weights = beam_heights([(w, b.height_um) for w, b in shares], accuracy)
    dz_um = sample.centres_um[:, 2] - sample.z_um
    reach_um = sample.radii_um + taps.size * step_um
    n_distances = np.ceil(reach_um / step_um).astype(np.int64) + 4  # interpolation reaches on
    n_distances[sample.bodies] = 0
    start = np.concatenate([[0], np.cumsum(n_distances * mixture.n_columns)]).astype(np.int64)
    values = np.zeros(int(start[-1]), np.float32)
    layer_start = np.searchsorted(layers.particle, np.arange(n_particles + 1)).astype(np.int64)

    def project(first: int, last: int) -> None:
        _project_particles(
            first, last, layer_start, layers.r_inner_um, layers.r_outer_um,
            mixture.start, mixture.column, mixture.weight, mixture.n_columns,
            dz_um, heights_um, height_weights, taps, step_um, n_distances, start, values,
        )  # fmt: skip

    threaded(project, n_particles, workers=workers)
    return ChordProfiles(
        step_um=step_um,
        values=values,
        start=start,
        n_distances=n_distances,
        n_columns=mixture.n_columns,
        segment_start=mixture.segment_start,
        segment_state=mixture.segment_state,
        segment_width=mixture.segment_width,
    )


@dataclass(frozen=True, eq=False)
class StateMixture:
    """Layers as sparse mixtures of a particle's own columns (CSR over layers)."""

    start: NDArray[np.int64]
    column: NDArray[np.int64]
    weight: NDArray[np.float64]
    n_columns: NDArray[np.int64]
    segment_start: NDArray[np.int64]
    segment_state: NDArray[np.int64]
    segment_width: NDArray[np.int64]


def state_mixture(grid: StateGrid, layers: Layers, n_particles: int) -> StateMixture:
    """Give every lattice of every particle a run of columns, and mix each entry into two."""
    entries = grid.entries
    owner = layers.particle[entries.layer]
    node = np.floor(entries.coordinate).astype(np.int64)
    upper = entries.coordinate - node
    n_lattices, n_families = int(entries.lattice.max(initial=0)) + 1, len(grid.families)
    keys = (owner * n_families + entries.family) * n_lattices + entries.lattice
    unique, segment = np.unique(keys, return_inverse=True)
    segment_owner, rest = np.divmod(unique, n_families * n_lattices)
    segment_family = rest // n_lattices
    lowest = np.full(unique.size, np.iinfo(np.int64).max)
    highest = np.full(unique.size, np.iinfo(np.int64).min)
    np.minimum.at(lowest, segment, node)
    np.maximum.at(highest, segment, node)
    width = highest - lowest + 2
    segment_start = np.searchsorted(segment_owner, np.arange(n_particles + 1)).astype(np.int64)
    column_end = np.concatenate([[0], np.cumsum(width)])
    first_column = column_end[:-1] - column_end[segment_start[segment_owner]]
    family_origin = np.array([f.first_state - f.first_node for f in grid.families], dtype=np.int64)
    order = np.argsort(entries.layer, kind="stable")
    column = (first_column[segment] + node - lowest[segment])[order]
    weight = np.column_stack([entries.fraction * (1.0 - upper), entries.fraction * upper])[order]
    per_layer = np.bincount(entries.layer, minlength=layers.particle.size)
    return StateMixture(
        start=np.concatenate([[0], np.cumsum(2 * per_layer)]).astype(np.int64),
        column=np.column_stack([column, column + 1]).ravel(),
        weight=weight.ravel(),
        n_columns=np.diff(column_end[segment_start]),
        segment_start=segment_start,
        segment_state=lowest + family_origin[segment_family],
        segment_width=width,
    )


def strip_um(beam: Beam, accuracy: Accuracy) -> float:
    """Return the width of the strips, or sub-rays, that the beam's width is cut into."""
    return min(accuracy.profile_step_um, beam.width_um / 10.0)


def beam_shares(truth: TrueInstrument, effects: Effects) -> list[tuple[float, Beam]]:
    """Return the beam as Gaussian parts with their shares: its core, and tails where it has any.

    Width and height have the same shares, each on its own. Empty for a beam without size.
    """
    if not effects.beam_size:
        return []
    tails = truth.tail_fraction if effects.beam_tails else 0.0
    wide = truth.beam.model_copy(update={"width_um": truth.tail_um, "height_um": truth.tail_um})
    return [(1.0 - tails, truth.beam), *([(tails, wide)] if tails > 0.0 else [])]


def beam_taps(
    parts: list[tuple[float, float]], *, step_um: float, also_um2: float = 0.0
) -> NDArray[np.float64]:
    """Weights of the strips 0, 1, 2, … steps from the beam's middle (one side, sum to one).

    ``parts`` are shares and FWHM in µm; ``also_um2`` the variance of other blur, to be made up for
    as far as half the beam's own width.
    """
    if not parts:
        return np.ones(1)
    squares_um2 = [(fwhm_um / FWHM_PER_SIGMA) ** 2 for _, fwhm_um in parts]
    sigmas_um = [np.sqrt(max(v - step_um**2 / 12.0 - also_um2, 0.25 * v)) for v in squares_um2]
    count = int(np.ceil(_TAIL_SIGMAS * max(sigmas_um) / step_um)) + 1
    taps = np.zeros(count)
    for (share, _), sigma_um in zip(parts, sigmas_um, strict=True):
        half = np.exp(-0.5 * (np.arange(count) * step_um / sigma_um) ** 2)
        taps += share * half / (half[0] + 2.0 * half[1:].sum())
    return taps


def beam_heights(
    parts: list[tuple[float, float]], accuracy: Accuracy
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heights in the beam, µm, and their weights (sum to one); ``parts`` are shares and FWHM."""
    if not parts:
        return np.zeros(1), np.ones(1)
    (core_share, core_um), *tails = parts
    nodes, weights = np.polynomial.hermite_e.hermegauss(accuracy.n_heights)
    heights_um, shares = [nodes * core_um / FWHM_PER_SIGMA], [core_share * weights / weights.sum()]
    for share, fwhm_um in tails:  # may be higher than particles, which must not fall between nodes
        sigma_um = fwhm_um / FWHM_PER_SIGMA
        reach = int(np.ceil(_TAIL_SIGMAS * sigma_um / _TAIL_STEP_UM))
        even_um = np.arange(-reach, reach + 1) * _TAIL_STEP_UM
        bell = np.exp(-0.5 * (even_um / sigma_um) ** 2)
        heights_um.append(even_um)
        shares.append(share * bell / bell.sum())
    return np.concatenate(heights_um), np.concatenate(shares)


@compiled
def circle_segment_area_um2(offset_um: float, radius_um: float) -> float:
    """Area of a circle between the offsets 0 and ``offset_um`` from its centre."""
    if offset_um >= radius_um:
        return 0.5 * np.pi * radius_um * radius_um
    squared = radius_um * radius_um
    return float(
        offset_um * np.sqrt(squared - offset_um * offset_um)
        + squared * np.arcsin(offset_um / radius_um)
    )


@compiled
def _project_particles(
    first: int,
    last: int,
    layer_start: Ints,
    r_inner: Floats,
    r_outer: Floats,
    mix_start: Ints,
    mix_column: Ints,
    mix_weight: Floats,
    n_columns: Ints,
    dz_um: Floats,
    heights_um: Floats,
    height_weights: Floats,
    taps: Floats,
    step_um: float,
    n_distances: Ints,
    start: Ints,
    values: NDArray[np.float32],
) -> None:
    """Fill ``values`` for particles ``first`` to ``last`` (see :class:`ChordProfiles`)."""
    for p in range(first, last):
        n_b = n_distances[p]
        n_col = n_columns[p]
        if n_b == 0:
            continue
        sharp = np.zeros((n_b + taps.size, n_col))
        filled = 0
        for iz in range(heights_um.size):
            dz = dz_um[p] - heights_um[iz]
            for layer in range(layer_start[p], layer_start[p + 1]):
                outer = np.sqrt(max(r_outer[layer] ** 2 - dz * dz, 0.0))
                if outer <= 0.0:
                    continue
                inner = np.sqrt(max(r_inner[layer] ** 2 - dz * dz, 0.0))
                below = 0.0
                for i in range(n_b):
                    edge = (i + 0.5) * step_um
                    area = circle_segment_area_um2(edge, outer)
                    if inner > 0.0:
                        area -= circle_segment_area_um2(edge, inner)
                    chord = (area - below) / step_um
                    if i == 0:
                        chord *= 2.0  # the first strip reaches to both sides of the centre
                    below = area
                    for m in range(mix_start[layer], mix_start[layer + 1]):
                        sharp[i, mix_column[m]] += height_weights[iz] * chord * mix_weight[m]
                    if edge > outer:
                        break
                filled = max(filled, i + 1)
        table = values[start[p] : start[p + 1]].reshape(n_b, n_col)
        _blur(sharp, filled, taps, table)


@compiled
def _blur(sharp: Floats, filled: int, taps: Floats, table: NDArray[np.float32]) -> None:
    """Fill ``table`` with the strips ``sharp``, of which the first ``filled`` are not empty.

    Rows are copied by loops: for arrays assigned to arrays numba compiles a second and a half more,
    to say what is wrong where shapes differ.
    """
    n_b, n_col = table.shape
    total = np.empty(n_col)
    for i in range(n_b):
        for j in range(n_col):
            total[j] = taps[0] * sharp[i, j]
        for k in range(max(1, i - filled), min(taps.size, i + filled)):
            other = abs(i - k)
            for j in range(n_col):
                total[j] += taps[k] * (sharp[i + k, j] + sharp[other, j])
        for j in range(n_col):
            table[i, j] = total[j]
