"""Measure what can be told of lattice parameters where few crystallites reflect, and what is.

An electrode of 60 µm wholly in view, 71 offsets of 1 µm and 120 angles (π/2 times its width), all
effects, plain mean. Its rays are Gaussian about their mean with the covariance of photon noise and
of countable crystallites, ring by ring, in which every pixel errs alike in all channels of a ring:

    C_h = C_photons + Σ_pixels (L·φ/g_h)·P_h(a)·P_h(a)ᵀ,     F = Σ_rays Σ_h Jᵀ·C_h⁻¹·J,

with L the path through a pixel, φ its amount, g_h reflecting crystallites per µm, P_h its pattern
and J the derivatives by φ and a. What C itself tells of them (about 1/(g·s), a few per cent) is
left out. Which pixels hold material is given away, and no instrument is unknown. Told are, over
interior and eroded voxels in mÅ,

- *no knowledge*: the root mean square of √(F⁻¹), the error of the best unbiased estimate;
- *bends known*: that of √((F + Q)⁻¹), with Q the normal prior of :mod:`benchmarks.known_bends`: the
  error of the best linear estimate of one who knows beforehand how far lattice parameters spread,
  and how much they bend inside particles, as much as in this very sample;
- *by size*: the same of one who knows bends by how thick the material is. An estimate that knows
  more of particles, such as that they bend to one side, can do better, and so can one that knows
  that amounts lie between 0 and 1;
- *amounts known*: the same of one who also knows the amount in every pixel, exactly. It bounds
  what any linear estimate can do that knows no more of lattice parameters, whatever it is told of
  amounts. It bounds no other: one that knows more of lattice parameters, or is not linear in what
  it is told of them, can do better;
- what filtered back projection and the direct method make of it.

Prints a Markdown table. Run from the checkout (five minutes):

    python -m benchmarks.crystallite_bound [--seeds 302 303 304]

Source: Van Trees, Detection, Estimation, and Modulation Theory I (1968), 2.4, for the second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import block_diag, csr_matrix

from benchmarks.accuracy import averaged, switched
from benchmarks.in_view import cases, errors
from benchmarks.known_bends import bends_inside, precision
from benchmarks.methods import METHODS
from inverse.direct_rings import ring_bounds
from inverse.grids import PixelGrid, graded_grid
from inverse.strips import strip_projector
from validation.bounds_optics import Optics, prepare_optics
from validation.experiment import Experiment
from validation.metrics import scored_voxels
from validation.steps import simulate
from validation.truth import Truth, truth_on_grid
from xrdct.compiled import single_threaded_algebra
from xrdct.errors import InputError
from xrdct.scan import Scan

Floats = NDArray[np.float64]

DIAMETER_UM, N_OFFSETS, N_ANGLES = 60.0, 71, 120
HEADER = """\
| crystallites | seed | no knowledge | bends known | by size | amounts known | FBP | best |
|---|---|---|---|---|---|---|---|"""
_SHAPES = 4
"""Of each ring: its pattern and its slope over all lattice parameters lie in so many directions."""
_LEAST_PATH_UM = 1e-4
_LEAST_AMOUNT = 0.02
_MA = 1e3


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels that hold material, and what the rays see of them."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    amount: Floats
    a_A: Floats
    paths_um: NDArray[np.float32]
    """L, (ray, pixel)."""


@dataclass(frozen=True, eq=False)
class RingPatterns:
    """Patterns in units of the photon noise, by few shapes."""

    shown: Floats
    """P of every pixel, (pixel, ring, shape)."""
    slope_per_mA: Floats
    grains_per_um: Floats
    """(ring,)."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the rays of an experiment meet."""

    pixels: Pixels
    patterns: RingPatterns
    scored: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Numbers of the pixels that are interior, and eroded, voxels in view."""


def case(seed: int) -> Experiment:
    """Return the experiment."""
    full = averaged(cases()["all effects: grains of 0.2 µm, trimmed 5/5"])
    scan = full.scan.model_copy(update={"n_offsets": N_OFFSETS, "n_angles": N_ANGLES})
    sample = full.sample.model_copy(update={"diameter_um": DIAMETER_UM})
    return full.model_copy(update={"seed": seed, "sample": sample, "scan": scan})


def pixels_of(experiment: Experiment, truth: Truth) -> Pixels:
    """Return the pixels with material, of a truth that holds all of the sample."""
    radius_um = 0.5 * experiment.sample.diameter_um + 3.0
    grid = graded_grid(experiment.scan.n_offsets, step_um=1.0, rings=((1, radius_um),))
    half = (truth.scan.n_offsets - 1) / 2.0
    column, row = np.rint(grid.x_um + half).astype(int), np.rint(grid.y_um + half).astype(int)
    amount, a_A = np.nan_to_num(truth.volume_fraction[row, column]), truth.a_A[row, column]
    held = np.flatnonzero((amount > _LEAST_AMOUNT) & np.isfinite(a_A))
    return Pixels(
        row[held], column[held], amount[held], a_A[held], _paths_um(experiment, grid, held)
    )


def _paths_um(
    experiment: Experiment, grid: PixelGrid, held: NDArray[np.int64]
) -> NDArray[np.float32]:
    scan = experiment.scan
    projector = strip_projector(
        grid, angles_rad=scan.angles_rad, n_offsets=scan.n_offsets, step_um=1.0,
        beam_fwhm_um=experiment.beam.width_um, axis_offset_um=0.0,
    )  # fmt: skip
    paths = np.zeros((scan.n_angles * scan.n_offsets, held.size), np.float32)
    for start in range(0, held.size, 64):
        few = held[start : start + 64]
        image = np.zeros((grid.x_um.size, few.size), np.float32)
        image[few, np.arange(few.size)] = 1.0
        paths[:, start : start + few.size] = projector.forward(image).reshape(len(paths), -1)
    return paths


def patterns_of(optics: Optics, pixels: Pixels) -> RingPatterns:
    """Return the pixels' patterns ring by ring."""
    scan = optics.experiment.scan
    some = range(0, scan.n_angles, scan.n_angles // 4)
    variance = np.mean([optics.rays(scan, k).line_variance for k in some], axis=(0, 1))
    weight = np.divide(1.0, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0.0)
    shown, slope = optics.pattern_at(pixels.a_A) * weight, optics.slope_at(pixels.a_A) * weight
    bounds = ring_bounds(optics.pattern_at(pixels.a_A.mean(keepdims=True))[0] * weight)
    both = [_in_few_shapes(shown[:, low:high], slope[:, low:high] / _MA)
            for low, high in pairwise(bounds)]  # fmt: skip
    return RingPatterns(
        np.stack([each[0] for each in both], axis=1), np.stack([each[1] for each in both], axis=1),
        _grains_per_um(optics, bounds),
    )  # fmt: skip


def _in_few_shapes(shown: Floats, slope: Floats) -> tuple[Floats, Floats]:
    scale = np.linalg.norm(shown) / max(float(np.linalg.norm(slope)), np.finfo(float).tiny)
    shapes = np.linalg.svd(np.concatenate([shown, scale * slope]), full_matrices=False)[2]
    return shown @ shapes[:_SHAPES].T, slope @ shapes[:_SHAPES].T


def _grains_per_um(optics: Optics, bounds: NDArray[np.int64]) -> Floats:
    """Return how many crystallites of the refined phase reflect per µm, by ring."""
    rings, name = optics.rings.rings, optics.recipe.phase.crystal
    own = [core.ring.startswith(name) for core in optics.virtual.library.cores]
    chosen = np.array(own, bool)[rings.line]
    middle = rings.first_node[chosen] + rings.width[chosen] / 2.0
    place = np.searchsorted(bounds, middle, side="right") - 1
    seen = rings.grains_per_um[chosen] * optics.rings.seen[chosen]
    # Lines that lie together add up; each stands in the list once for every state of every family.
    lines = optics.rings.same[chosen]
    means = {line: float(seen[lines == line].mean()) for line in np.unique(lines)}
    total = np.zeros(bounds.size - 1)
    for line, mean in means.items():
        total[place[lines == line][0]] += mean
    return np.maximum(total, np.finfo(float).tiny)


def fisher(pixels: Pixels, patterns: RingPatterns, *, countable: bool) -> Floats:
    """Return F over amounts, then lattice parameters in mÅ, (2·pixel, 2·pixel)."""
    n = pixels.amount.size
    total = np.zeros((2 * n, 2 * n))
    for paths in pixels.paths_um:
        met = np.flatnonzero(paths > _LEAST_PATH_UM)
        if met.size:
            filled = paths[met].astype(float) * pixels.amount[met]
            whitening = _whitening(patterns, met, filled, countable=countable)
            shown = np.concatenate(
                [
                    paths[met, None, None] * patterns.shown[met],
                    filled[:, None, None] * patterns.slope_per_mA[met],
                ]
            )
            rows = np.einsum("hkl,phl->phk", whitening, shown).reshape(2 * met.size, -1)
            both = np.concatenate([met, met + n])
            total[np.ix_(both, both)] += rows @ rows.T
    return total


def _whitening(
    patterns: RingPatterns, met: NDArray[np.int64], filled_um: Floats, *, countable: bool
) -> Floats:
    """Return the inverse root of C_h of one ray, (ring, shape, shape).

    The ray meets the pixels ``met``, which fill ``filled_um`` of its path.
    """
    shown = patterns.shown[met]
    covariance = np.broadcast_to(np.eye(_SHAPES), (shown.shape[1], _SHAPES, _SHAPES))
    if countable:
        spread = np.einsum("phk,p,phl->hkl", shown, filled_um, shown, optimize=True)
        covariance = covariance + spread / patterns.grains_per_um[:, None, None]
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))


def bound(information: Floats, prior: csr_matrix, places: Iterable[NDArray[np.int64]]) -> str:
    """Return the root mean square of the standard errors at each of some places among the unknowns.

    ``prior`` is the precision of what is known beforehand; ``information`` is overwritten.
    """
    known = prior.tocoo()
    np.add.at(information, (known.row, known.col), known.data)
    with single_threaded_algebra():  # OpenBLAS crashed in two threads for 17,000 unknowns
        factor = cholesky(information, lower=True, overwrite_a=True)
        told = []
        for place in places:
            unit = np.zeros((len(factor), place.size))
            unit[place, np.arange(place.size)] = 1.0
            half = solve_triangular(factor, unit, lower=True, overwrite_b=True)
            told.append(f"{np.sqrt(np.mean(np.sum(half**2, axis=0))):.3f}")
    return " · ".join(told)


def scene_of(experiment: Experiment, scan: Scan) -> Scene:
    """Return what an experiment's rays meet, with the truth on the grid of a ``scan`` of it all."""
    optics = prepare_optics(experiment, rough=True)
    truth = truth_on_grid(optics.lab.sample, scan=scan, beam_height_um=experiment.beam.height_um)
    pixels = pixels_of(experiment, truth)
    x_um, y_um = scan.offsets_um[pixels.column], scan.offsets_um[pixels.row]
    seen = np.hypot(x_um, y_um) <= 0.5 * (experiment.scan.n_offsets - 1)
    interior, eroded = (
        np.flatnonzero(seen & scored_voxels(truth, region)[pixels.row, pixels.column])
        for region in (truth.interior, truth.eroded)
    )
    return Scene(pixels, patterns_of(optics, pixels), (interior, eroded))


def row(name: str, experiment: Experiment, *, countable: bool) -> str:
    """Return a row of the table."""
    scene = scene_of(experiment, experiment.scan)
    pixels = scene.pixels
    n = pixels.amount.size
    information = fisher(pixels, scene.patterns, countable=countable)
    simulated = simulate(experiment)
    found = [
        errors(METHODS[method](simulated.raw, {}), simulated.truth)[0] for method in ("FBP", "best")
    ]
    bends = bends_inside(pixels.row, pixels.column, pixels.amount)
    nothing = csr_matrix((n, n))
    known = [precision(bends, _MA * pixels.a_A, by_size=size) for size in (False, True)]
    places = [n + scored for scored in scene.scored]
    bounds = [
        bound(information.copy(), block_diag([nothing, lattice], format="csr"), places)
        for lattice in (nothing, *known)
    ]
    bounds.append(bound(np.ascontiguousarray(information[n:, n:]), known[-1], scene.scored))
    return f"| {name} | {experiment.seed} | {' | '.join(bounds + found)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What countable crystallites let be known.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[302, 303, 304])
    seeds = parser.parse_args().seeds
    print(HEADER, flush=True)
    for seed in seeds:
        few = case(seed)
        try:
            print(row("0.2 µm, plain mean", few, countable=True), flush=True)
            print(row("too many", switched(few, grains=False), countable=False), flush=True)
        except InputError as error:  # not every seed packs so small an electrode
            print(f"seed {seed}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
