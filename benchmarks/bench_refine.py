"""Time Rietveld refinement of many patterns, beside general programs on the same data.

Patterns of 1024 channels with Poisson noise, of 50,000 counts at the highest channel. One phase:
scale, lattice parameter and five background terms, by the engine and by the fast path of
`inverse.refine`. Four phases: scales, all cells (7 free lengths and angles), background, then sizes
and strains too. The others refine the first of the same patterns, one after the other as their
users call them, from the same starts; what they spend on preparing and on reports is theirs. Ratios
are to `inverse.rietveld`. Wall-clock time and the processor time of all threads, which other work
on the machine disturbs less. Run from the checkout, with whichever programs are installed
(pip install -e ".[peers]"). The others' lattice parameters come out larger by 5e-6: they
divide by sin2θ at the line, not in the channel (`benchmarks.peer_phases`).

Then 100,000 patterns, or as many as are given, of one phase and of four with sizes and strains,
each in a process of its own, with the most memory that it held.

    python -m benchmarks.bench_refine [--voxels N]
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_phases import PeerPhase
from inverse.model import (
    Instrument,
    chebyshev_background,
    draw_patterns,
    lattice_lines,
    phase_lines,
)
from inverse.recipe import Calibration, Profile
from inverse.refine import LatticeModel, Status, refine
from inverse.rietveld import Refined, refine_patterns
from inverse.rietveld_model import RietveldModel, rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct import crystal
from xrdct.compiled import worker_count
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

PEERS = ("rietx", "phasesmith")
MIXTURE = {
    "LiMn2O4": (0.30, 0.9985),
    "Li2MnO3": (0.12, 1.0005),
    "LiMnO2-rocksalt": (0.08, 1.0005),
    "Li0.5Mn2O4": (0.10, 0.9995),
}
"""Volume fraction of each phase, and its lengths in those of the crystal."""
SIZE_NM, STRAIN = 60.0, 8e-4
PEAK = 5e4
N_ONE, N_FOUR, N_VOXELS = 5000, 500, 100_000
N_PEER = 2
N_BACKGROUND = 5
INSTRUMENT = Instrument(
    Beam(),
    Geometry(distance_m=0.7, two_theta_min_deg=1.5, two_theta_max_deg=17.5, n_channels=1024),
    Calibration(profile=Profile(W_deg2=6e-4), distance_m=0.7),
)


@dataclass(frozen=True, eq=False)
class Data:
    """Patterns and their variances, both (pattern, channel)."""

    patterns: Singles
    variance: Singles


@dataclass(frozen=True)
class Seconds:
    """Time per pattern."""

    wall: float
    processor: float


def mixture(names: Sequence[str]) -> tuple[PeerPhase, ...]:
    """Return the phases as they truly are."""
    folder = Path(crystal.__file__).parent / "crystals"
    return tuple(
        PeerPhase.read(
            folder / f"{name}.cif",
            volume_fraction=MIXTURE[name][0],
            stretch=MIXTURE[name][1],
            crystallite_size_nm=SIZE_NM,
            strain=STRAIN,
        )
        for name in names
    )


def simulated(phases: Sequence[PeerPhase], n_patterns: int) -> Data:
    """Return noisy patterns of a mixture on a sloping background."""
    geometry = INSTRUMENT.geometry
    mean = np.linspace(1.3, 0.7, geometry.n_channels)
    shapes = [
        one.volume_fraction
        * draw_patterns(
            phase_lines([one.crystal], beam=INSTRUMENT.beam, geometry=geometry),
            instrument=INSTRUMENT,
            crystallite_size_nm=one.crystallite_size_nm,
            strain=one.strain,
        )[0]
        for one in phases
    ]
    total = np.sum(shapes, axis=0)
    mean = total + 0.02 * total.max() * mean
    counts = PEAK / mean.max()
    rng = np.random.default_rng(1)
    patterns = np.empty((n_patterns, mean.size), np.float32)
    for pattern in patterns:
        pattern[:] = rng.poisson(mean * counts) / counts
    variance = np.broadcast_to((mean / counts).astype(np.float32), patterns.shape)
    return Data(patterns, np.ascontiguousarray(variance))


def engine_model(names: Sequence[str], *, with_widths: bool) -> RietveldModel:
    """Return the engine's model, all cells free, from the crystals' own cells."""
    freedom: Any = "voxel" if with_widths else "fixed"
    settings = Rietveld(
        phases=tuple(
            RietveldPhase(
                crystal=name, size=freedom, crystallite_size_nm=SIZE_NM, strain=freedom,
                strain_value=STRAIN,
            )
            for name in names
        ),
        n_background=N_BACKGROUND,
    )  # fmt: skip
    return rietveld_model(
        settings,
        beam=INSTRUMENT.beam,
        geometry=INSTRUMENT.geometry,
        calibration=INSTRUMENT.calibration,
    )


def table_model(name: str) -> LatticeModel:
    """Return the fast path's table of patterns over ±1 % of the lattice parameter."""
    beam, geometry = INSTRUMENT.beam, INSTRUMENT.geometry
    own = crystal.load_crystal(name)
    a_A = own.cell_A_deg[0] * np.linspace(0.99, 1.01, 161)
    templates = draw_patterns(
        lattice_lines(own, a_A, beam=beam, geometry=geometry),
        instrument=INSTRUMENT,
        crystallite_size_nm=SIZE_NM,
        strain=STRAIN,
    )
    linear = chebyshev_background(geometry.n_channels, n_terms=N_BACKGROUND)
    return LatticeModel(a_A, templates, linear)


def timed(task: Callable[[], object], n_patterns: int, *, repeats: int = 3) -> Seconds:
    """Return the shortest times per pattern of a few runs."""
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        task()
        walls.append((time.perf_counter() - wall) / n_patterns)
        processors.append((time.process_time() - processor) / n_patterns)
    return Seconds(min(walls), min(processors))


def row(name: str, found: Seconds, ours: Seconds | None = None, note: str = "") -> None:
    """Print milliseconds per pattern, and how often ours fits into them."""
    text = f"{name:<32} {1e3 * found.wall:12.3f} {1e3 * found.processor:12.3f}"
    if ours:
        text += f" {found.wall / ours.wall:10.0f} {found.processor / ours.processor:10.0f}"
    print(f"{text}   {note}".rstrip())


def peers(
    data: Data, phases: Sequence[PeerPhase], ours: Seconds, *, with_widths: bool
) -> dict[str, Seconds]:
    """Print the times of the other programs on the first patterns, and how true they are.

    Returns the times.
    """
    start = [one.changed(stretch=1.0) for one in phases]
    times: dict[str, Seconds] = {}
    for name in PEERS:
        try:
            peer: Any = importlib.import_module(f"benchmarks.peer_{name}")
        except ImportError as error:
            print(f"{name:<32} not measured: {error}")
            continue
        fits: list[Any] = []

        def run(peer: Any = peer, fits: list[Any] = fits) -> None:
            pattern = len(fits) % N_PEER
            fits.append(
                peer.refine(
                    data.patterns[pattern].astype(float),
                    variance=data.variance[pattern].astype(float),
                    phases=start, instrument=INSTRUMENT, n_background=N_BACKGROUND,
                    with_widths=with_widths,
                )
            )  # fmt: skip

        found = times[name] = timed(run, 1, repeats=N_PEER)
        a = f"{phases[0].name}.a_A"
        note = off(fits[0].of(a), fits[0].esd_of(a), phases[0])
        row(f"{name} {peer.version()}", found, ours, note)
    return times


def off(a_A: float, esd_A: float, phase: PeerPhase) -> str:
    """Return how far a lattice parameter of the first pattern is from the truth."""
    return f"a of the first off by {(a_A - phase.crystal.cell_A_deg[0]) / esd_A:+.2f} esd"


def peak_memory_GB() -> float:
    """Return the most memory this process has held so far, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def engine(data: Data, phases: Sequence[PeerPhase], *, with_widths: bool) -> Seconds:
    """Print and return the engine's time per pattern, compiled before."""
    model = engine_model([one.name for one in phases], with_widths=with_widths)

    def run(n: int) -> Refined:
        return refine_patterns(data.patterns[:n], variance=data.variance[:n], model=model)

    first = run(8)
    found = timed(lambda: run(len(data.patterns)), len(data.patterns))
    a = f"{phases[0].name}.a_A"
    row("inverse.rietveld", found, note=off(first.of(a)[0], first.esd_of(a)[0], phases[0]))
    return found


def many(n_phases: int, *, n_patterns: int) -> dict[str, float]:
    """Refine many patterns; return seconds by the clock and of processors, and memory in GB.

    Four phases are refined with sizes and strains. Compiled before, not counted.
    """
    phases = mixture(list(MIXTURE)[:n_phases])
    data = simulated(phases, n_patterns)
    model = engine_model([one.name for one in phases], with_widths=n_phases > 1)
    refine_patterns(data.patterns[:8], variance=data.variance[:8], model=model)
    before_GB = peak_memory_GB()
    wall, processor = time.perf_counter(), time.process_time()
    found = refine_patterns(data.patterns, variance=data.variance, model=model)
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "peak_GB": peak_memory_GB(),
        "before_GB": before_GB,
        "data_GB": (data.patterns.nbytes + data.variance.nbytes) / 1e9,
        "converged": float(np.mean(found.status == Status.CONVERGED)),
    }


def report_many(n_phases: int, others: dict[str, Seconds], *, n_patterns: int) -> None:
    """Print what a process of its own needs for many patterns, and what others would need."""
    command = [sys.executable, "-m", "benchmarks.bench_refine", "--voxels", str(n_patterns)]
    done = subprocess.run(
        [*command, "--phases", str(n_phases)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    print(
        f"\n{n_patterns} patterns, phases: {n_phases}: {found['wall']:.1f} s by the clock, "
        f"{found['processor']:.1f} s of processors, {100.0 * found['converged']:.3f} % converged; "
        f"data {found['data_GB']:.2f} GB, peak memory of the process {found['peak_GB']:.2f} GB, "
        f"{found['before_GB']:.2f} GB before the refinement"
    )
    for name, other in others.items():
        print(
            f"{name}, from the time of one: {n_patterns * other.wall / 3600.0:.1f} h by the clock, "
            f"{n_patterns * other.wall / found['wall']:.0f} times as long, "
            f"{n_patterns * other.processor / found['processor']:.0f} times the processor time"
        )


def main() -> None:
    """Print times per pattern, their ratios, and the peak memory."""
    parser = argparse.ArgumentParser(description="Time Rietveld refinement.")
    parser.add_argument("--voxels", type=int, default=N_VOXELS, help="patterns of the last part")
    parser.add_argument("--phases", type=int, choices=(1, 4), help="the last part alone, as JSON")
    given = parser.parse_args()
    if given.phases is not None:
        print(json.dumps(many(given.phases, n_patterns=given.voxels)))
        return
    print(f"{INSTRUMENT.geometry.n_channels} channels, {worker_count(None)} cores")
    print(f"{'ms per pattern':<32} {'wall':>12} {'processor':>12} {'ratio':>10} {'CPU':>10}")
    print("\none phase: scale, a, background")
    names = list(MIXTURE)
    one = mixture(names[:1])
    data = simulated(one, N_ONE)
    table = table_model(names[0])
    first = refine(data.patterns[:8], variance=data.variance[:8], model=table)
    fast = timed(lambda: refine(data.patterns, variance=data.variance, model=table), N_ONE)
    row("inverse.refine", fast, note=off(first.a_A[0], first.a_esd_A[0], one[0]))
    ours = engine(data, one, with_widths=False)
    of_one = peers(data, one, ours, with_widths=False)

    print("\nfour phases: scales, cells, background")
    four = mixture(names)
    data = simulated(four, N_FOUR)
    ours = engine(data, four, with_widths=False)
    peers(data, four, ours, with_widths=False)

    print("\nfour phases: scales, cells, sizes, strains, background")
    ours = engine(data, four, with_widths=True)
    of_four = peers(data, four, ours, with_widths=True)

    report_many(1, of_one, n_patterns=given.voxels)
    report_many(4, of_four, n_patterns=given.voxels)


if __name__ == "__main__":
    main()
