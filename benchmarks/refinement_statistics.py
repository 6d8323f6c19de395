"""How a refinement of many draws of one pattern compares with the truth and with theory.

Of each result v, with v0 that of the pattern without noise, the truth t, and the standard
uncertainty σ0 stated for v0:

    offset        (v0 − t)/σ0            the model is not the one that made the pattern
    noise bias    mean(v − v0)/σ0        estimates are not linear in the counts
    spread        std of (v − v0)/esd    stated uncertainties are right at 1
    variance      var(v)/Cramér–Rao      1 at the best

The total bias is the sum of the first two. Theory has the noise bias to second order: with slopes J
of the pattern, weights W and the covariance C = (JᵀWJ)⁻¹ = L·Lᵀ, the parameters θ come out off by

    b = −½ C·JᵀW·m,     m = Σ_k d²f(θ + hL_k)/dh²,

and a quantity g(θ) of them by ∇g·b + ½ Σ_k d²g(θ + hL_k)/dh².

What all patterns share (widths, B_iso, an occupancy) is that of the pattern without noise, as from
very many patterns: its error would be common to all draws.

Source: Box, J. R. Statist. Soc. B 33 (1971) 171.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.refinement_trials import MIXTURE, SPINEL, WEIGHTS, Trial, drawn_counts, refined
from inverse.quantify_refined import refined_weight_fractions
from inverse.refine import Status
from inverse.rietveld import Refined, calculated, design
from xrdct.crystal import load_crystal

Floats = NDArray[np.float64]
_STEP = 0.1
"""h, in standard uncertainties: small against a line's width, large against rounding."""
_CHUNK = {False: 20_000, True: 5000}
"""Patterns at a time, by whether they are mixtures."""
CELLS = {f"{name}.a_A": load_crystal(name).cell_A_deg[0] for name in MIXTURE[1:]}


@dataclass(frozen=True, eq=False)
class Quantities:
    """What is compared of each pattern, (pattern, quantity) each."""

    values: Floats
    esd: Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """The module's figures, (quantity,) each, and how many draws they are of."""

    names: tuple[str, ...]
    truth: Floats
    esd: Floats
    """σ0, as stated without noise."""
    offset: Floats
    noise_bias: Floats
    expected_bias: Floats
    """The noise bias in theory."""
    spread: Floats
    variance: Floats
    n: int
    n_failed: int
    """Patterns of which a quantity was not found."""

    @property
    def total_bias(self) -> Floats:
        """In standard uncertainties."""
        return self.offset + self.noise_bias


def quantity_names(trial: Trial) -> tuple[str, ...]:
    """Return what is compared: lattice parameters of cubic phases, weight fractions."""
    weights = tuple(f"{name} weight" for name in MIXTURE) if trial.mixed else ()
    cells = tuple(name for name in CELLS if "Li2MnO3" not in name) if trial.mixed else ()
    return (f"{SPINEL}.a_A", *cells, *weights)


def true_quantities(trial: Trial) -> Floats:
    """Return their true values, (quantity,)."""
    cells = [CELLS[name] for name in quantity_names(trial) if name in CELLS]
    return np.array([trial.truth.a_A, *cells, *(WEIGHTS if trial.mixed else ())])


def quantities(trial: Trial, found: Refined) -> Quantities:
    """Return what was found of every pattern."""
    cells = [name for name in quantity_names(trial) if name.endswith("_A")]
    values = [found.of(name) for name in cells]
    esd = [found.esd_of(name) for name in cells]
    if trial.mixed:
        weights = refined_weight_fractions(_as_if_known(found))
        values += list(weights.values.T)
        esd += list(weights.esd.T)
    return Quantities(np.stack(values, axis=1), np.stack(esd, axis=1))


def compared(trial: Trial, *, peak: float, n: int) -> Comparison:
    """Return how ``n`` draws of a trial compare with truth and theory."""
    clean = refined(trial, peak=peak)
    if clean.status[0] != Status.CONVERGED:
        raise RuntimeError(f"the pattern without noise of seed {trial.truth.seed} did not converge")
    without, size = quantities(trial, clean), _CHUNK[trial.mixed]
    drawn = [
        quantities(
            trial,
            refined(
                trial, peak=peak, known=clean,
                counts=drawn_counts(trial, peak=peak, n=min(size, n - first), seed=first),
            ),
        )
        for first in range(0, n, size)
    ]  # fmt: skip
    values, esd = (
        np.concatenate([getattr(one, key) for one in drawn]) for key in ("values", "esd")
    )
    good = np.isfinite(values).all(axis=1) & np.isfinite(esd).all(axis=1)
    values, esd = values[good], esd[good]
    v0, esd0, truth = without.values[0], without.esd[0], true_quantities(trial)
    bound, expected = theory(trial, clean, peak=peak)
    return Comparison(
        names=quantity_names(trial), truth=truth, esd=esd0, offset=(v0 - truth) / esd0,
        noise_bias=(values - v0).mean(axis=0) / esd0, expected_bias=expected / esd0,
        spread=((values - v0) / esd).std(axis=0), variance=values.var(axis=0) / bound,
        n=len(values), n_failed=int(n - len(values)),
    )  # fmt: skip


def theory(trial: Trial, clean: Refined, *, peak: float) -> tuple[Floats, Floats]:
    """Return the Cramér–Rao variance of the quantities and their bias by noise, (quantity,) each.

    Of the parameters that each pattern has; those that all share count as known.
    """
    rows = design(clean.model, clean.values[0])
    variance = trial.counts(peak=peak) * trial.per_count(peak=peak) ** 2
    weight = np.where(variance > 0.0, 1.0 / np.where(variance > 0.0, variance, 1.0), 0.0)
    covariance = np.linalg.inv(rows * weight @ rows.T)
    root = np.linalg.cholesky(covariance).T
    _, bend = _along(lambda v: calculated(_with(clean, v)), clean.values[0], root)
    bias = -0.5 * covariance @ (rows * weight) @ bend

    def found(values: Floats) -> Floats:
        return quantities(trial, _with(clean, values)).values

    slopes, curve = _along(found, clean.values[0], root)
    whitened = np.linalg.solve(root.T, bias)
    return np.sum(slopes**2, axis=0), whitened @ slopes + 0.5 * curve


def _along(
    function: Callable[[Floats], Floats], at: Floats, directions: Floats
) -> tuple[Floats, Floats]:
    """Return slopes along ``directions`` (direction, result), and the sum of second derivatives."""
    here = function(at[None])[0]
    ahead, behind = (function(at + sign * _STEP * directions) for sign in (1.0, -1.0))
    slopes = (ahead - behind) / (2.0 * _STEP)
    return slopes, np.sum(ahead - 2.0 * here + behind, axis=0) / _STEP**2


def _with(clean: Refined, values: Floats) -> Refined:
    """Return the refinement as if it had found ``values`` (pattern, name)."""
    n, k = values.shape
    return replace(
        clean, values=values, esd=np.ones((n, k)), covariance=np.tile(np.eye(k), (n, 1, 1)),
        status=np.full(n, Status.CONVERGED, np.int8),
    )  # fmt: skip


def _as_if_known(found: Refined) -> Refined:
    """Return the refinement with shared parameters taken for known.

    Their errors are common to all draws, where this counts what differs between draws.
    """
    return replace(found, shared={name: (value, 0.0) for name, (value, _) in found.shared.items()})
