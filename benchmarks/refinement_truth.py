"""Refinement against the truth: bias, spread and efficiency on patterns of the simulation.

What the patterns are: `benchmarks.refinement_trials`; what the figures mean:
`benchmarks.refinement_statistics`. The tables of docs/refinement.md, as Markdown, all of them or
those that are named:

    python -m benchmarks.refinement_truth [one] [four] [causes] [low]
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.refinement_statistics import (
    Comparison,
    compared,
    quantities,
    quantity_names,
    true_quantities,
)
from benchmarks.refinement_trials import (
    EFFECTS,
    MIXTURE,
    SPINEL,
    Trial,
    Truth,
    drawn_counts,
    drawn_truth,
    refined,
)
from forward.settings import Effects
from inverse.rietveld import Refined, refine_patterns
from inverse.rietveld_model import RietveldModel
from inverse.rietveld_reweighted import refine_reweighted

Floats = NDArray[np.float64]
SEEDS = (911, 912, 913, 914, 915)
"""None of them was looked at while anything was chosen."""
N_ONE, N_FOUR, N_LOW = 100_000, 10_000, 4000
PEAK_ONE, PEAK_FOUR = 500.0, 3000.0
ALLOWED = 0.02
"""Bias, in standard uncertainties, that the lattice parameter may have."""
SPINELS_A = (8.205, 8.245)
"""Where the rock salt's (200) lies 2.9 and 0.8 pixels of 172 µm from (400), at 0.6 m."""
LOW_PEAKS, LOW_BACKGROUNDS = (100.0, 300.0, 1000.0), (1.0, 3.0, 10.0, 30.0)


def header(*columns: str) -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}", flush=True)


def one_phase() -> None:
    """Print how the lattice parameter of the spinel alone comes out."""
    print(f"One phase, {N_ONE} draws per seed, {PEAK_ONE:.0f} counts at the highest channel:\n")
    header(
        "seed", "a, Å", "esd, mÅ", "offset, mÅ", "offset", "noise bias", "total", "std z",
        "variance / bound", "total < 0.02 up to", "not found",
    )  # fmt: skip
    for seed in SEEDS:
        found = compared(Trial(drawn_truth(seed)), peak=PEAK_ONE, n=N_ONE)
        esd, offset = float(found.esd[0]), float(found.offset[0])
        print(
            f"| {seed} | {found.truth[0]:.4f} | {1e3 * esd:.3f} | {1e3 * esd * offset:+.4f} | "
            f"{offset:+.3f} | {found.noise_bias[0]:+.4f} | {found.total_bias[0]:+.3f} | "
            f"{found.spread[0]:.4f} | {found.variance[0]:.4f} | "
            f"{PEAK_ONE * (ALLOWED / offset) ** 2:.0f} counts | {found.n_failed} |",
            flush=True,
        )
    print(f"\nThe noise bias is known to ±{1.0 / np.sqrt(N_ONE):.4f}.\n")


def four_phases() -> None:
    """Print how the mixture comes out: each quantity, averages over seeds."""
    for a_A in SPINELS_A:
        found = [
            compared(Trial(drawn_truth(seed, a_A=a_A), mixed=True), peak=PEAK_FOUR, n=N_FOUR)
            for seed in SEEDS
        ]
        print(
            f"Four phases, spinel at {a_A} Å, {len(SEEDS)} seeds of {N_FOUR} draws, "
            f"{PEAK_FOUR:.0f} counts, {sum(one.n_failed for one in found)} not found:\n"
        )
        header(
            "quantity", "esd", "offset (RMS of seeds)", "in esd", "most", "noise bias, esd",
            "by theory", "std z", "variance / bound",
        )  # fmt: skip
        for i, name in enumerate(found[0].names):
            _row(found, i, name)
        print(
            f"\nMeans over seeds are known to ±{1.0 / np.sqrt(N_FOUR * len(SEEDS)):.4f} esd, "
            f"±{1.0 / np.sqrt(2 * N_FOUR * len(SEEDS)):.4f} of std z.\n"
        )


def _row(found: list[Comparison], i: int, name: str) -> None:
    def of(key: str) -> Floats:
        return np.array([getattr(one, key)[i] for one in found])

    factor, unit = (1e3, "mÅ") if name.endswith("_A") else (100.0, "wt %")
    absolute = factor * of("offset") * of("esd")
    print(
        f"| {name} | {factor * of('esd').mean():.3f} {unit} | {_rms(absolute):.3f} {unit} | "
        f"{_rms(of('offset')):.2f} | {np.abs(of('offset')).max():.2f} | "
        f"{of('noise_bias').mean():+.3f} | {of('expected_bias').mean():+.3f} | "
        f"{of('spread').mean():.3f} | {of('variance').mean():.3f} |",
        flush=True,
    )


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def causes() -> None:
    """Print what the offsets come from: one cause after the other taken away."""
    for a_A in SPINELS_A:
        print(f"Offsets without noise, RMS over {len(SEEDS)} seeds, spinel at {a_A} Å:\n")
        names = quantity_names(Trial(drawn_truth(SEEDS[0]), mixed=True))
        header("analysis", *(f"{n}, {'mÅ' if n.endswith('_A') else 'wt %'}" for n in names))
        ladders = [_ladder(drawn_truth(seed, a_A=a_A)) for seed in SEEDS]
        for label in ladders[0]:
            off = np.array([_offset(ladder[label]) for ladder in ladders])
            text = (
                f"{(1e3 if name.endswith('_A') else 100.0) * _rms(column):.3f}"
                for name, column in zip(names, off.T, strict=True)
            )
            print(f"| {label} | {' | '.join(text)} |", flush=True)
        print()


def _offset(trial: Trial) -> Floats:
    found = quantities(trial, refined(trial, peak=PEAK_FOUR))
    return np.asarray(found.values[0] - true_quantities(trial))


def _ladder(truth: Truth) -> dict[str, Trial]:
    """Return analyses of the mixture, from the whole difference between the models to the least."""
    known = replace(truth, instrument=replace(truth.instrument, b_iso_factor=1.0))
    sharp = replace(known, size_nm=1e4)
    posed = Trial(truth, mixed=True, posed=True)
    return {
        "lithium as in LiMn2O4": Trial(truth, mixed=True, lithium="fixed"),
        "B_iso as in the crystals": Trial(truth, mixed=True, b_iso="fixed"),
        "as analysed": Trial(truth, mixed=True),
        "true distance and shift": posed,
        "and true B_iso": replace(posed, truth=known),
        "and no depth of the sensor": replace(posed, truth=known, effects=_without(sensor=True)),
        "and no diffuse scattering": replace(posed, truth=known, effects=_without()),
        "and no broadening by size": replace(
            posed, truth=sharp, effects=_without(), start_nm=1000.0
        ),
    }


def _without(*, sensor: bool = False) -> Effects:
    """Return the effects without the sensor's depth, and without diffuse scattering as well."""
    off = {"sensor_parallax": False} | ({} if sensor else {"diffuse": False})
    return EFFECTS.model_copy(update=off)


def low_counts() -> None:
    """Print biases of scale, lattice parameter and background where counts are few."""
    trial = Trial(drawn_truth(SEEDS[0]))
    # What all patterns share is known, as from many of them.
    model = replace(refined(trial, peak=PEAK_ONE).model, shared=())
    print(f"Bias in esd by the variance that weighs, {N_LOW} draws, seed {SEEDS[0]}:\n")
    header(
        "line, counts", "background, counts", "scale: observed counts", "reweighted", "true",
        "a: observed", "reweighted", "true", "background: observed", "reweighted", "true",
    )  # fmt: skip
    for peak in LOW_PEAKS:
        for background in LOW_BACKGROUNDS:
            biases = low_count_biases(trial, model, peak=peak, background=background, n=N_LOW)
            text = " | ".join(f"{one:+.2f}" for one in biases.T.ravel())
            print(f"| {peak:.0f} | {background:.0f} | {text} |", flush=True)
    print(f"\nKnown to ±{1.0 / np.sqrt(N_LOW):.3f}.")


def low_count_biases(
    trial: Trial, model: RietveldModel, *, peak: float, background: float, n: int
) -> Floats:
    """Return biases (weights, parameter) in esd against the pattern without noise.

    Weights are those of observed counts, of the fit after these, and the true ones; parameters the
    spinel's scale, its lattice parameter and the constant of the background.
    """
    mean, unit = trial.counts(peak=peak, background=background), trial.per_count(peak=peak)
    counts = drawn_counts(trial, peak=peak, background=background, n=n, seed=1)
    seen = trial.gain > 0.0
    true = mean * unit**2
    observed = np.where(seen, np.maximum(counts, 1.0), 0.0) * unit**2
    clean = refine_patterns((mean * unit)[None], variance=true[None], model=model)

    def bias(found: Refined) -> Floats:
        return np.asarray(np.nanmean((found.values - clean.values) / clean.esd, axis=0)[:3])

    patterns = counts * unit
    return np.stack(
        [
            bias(refine_patterns(patterns, variance=observed, model=model)),
            bias(refine_reweighted(patterns, variance=observed, per_count=unit, model=model)),
            bias(
                refine_patterns(
                    patterns, variance=np.tile(true, (n, 1)), model=model
                )
            ),
        ]
    )  # fmt: skip


TABLES = {"one": one_phase, "four": four_phases, "causes": causes, "low": low_counts}


def main() -> None:
    """Print the tables that the command line names, or all."""
    print(f"Seeds {SEEDS[0]} to {SEEDS[-1]}; phases {', '.join(MIXTURE)}; host {SPINEL}.\n")
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main()
