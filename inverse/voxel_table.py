"""Results of voxels' refinements, one row each, as they come from blocks of them.

Weight fractions are made here, where the covariance of a block is at hand: Hill & Howard's, with
the covariance of scales and cells (:mod:`inverse.quantify_refined`). A voxel of two lattices has
one lattice parameter where one number is asked for, the mean by amount,

    a = Σ s_i a_i / Σ s_i,        ∂a/∂a_i = s_i/Σ s,        ∂a/∂s_i = (a_i − a)/Σ s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inverse.quantify_refined import refined_weight_fractions
from inverse.refine import Refinement, Status
from inverse.rietveld import Refined
from inverse.rietveld_model import RietveldModel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VoxelTable:
    """Results of all voxels; NaN where a voxel is not refined, or has no such lattice."""

    model: RietveldModel
    """With all lattices that a voxel may have; of it are the names."""
    shared: Mapping[str, tuple[float, float]]
    """Value and standard uncertainty of what all voxels share."""
    main: tuple[str, ...]
    """Labels of the refined phase's lattice, and of its second where one is looked for."""
    values: Floats
    """(voxel, name)."""
    esd: Floats
    """(voxel, name)."""
    weight_fraction: Floats
    """(voxel, phase)."""
    weight_fraction_esd: Floats
    substance: Floats
    """Weight fractions of crystals, whose lattices are added up, (voxel, crystal)."""
    substance_esd: Floats
    lattice: Floats
    """a, its esd, amount and its esd of the refined phase, of two lattices together, (voxel, 4)."""
    share: Floats
    """Of the second lattice in the amount of both, and its esd, (voxel, 2)."""
    chi2_reduced: Floats
    """(voxel,)."""
    r_wp: Floats
    """(voxel,)."""
    status: NDArray[np.int8]
    """See `inverse.refine.Status`, (voxel,)."""
    covariance: Singles | None
    """(voxel, name, name), where it is kept."""

    @classmethod
    def empty(
        cls, n: int, *, model: RietveldModel, main: tuple[str, ...],
        shared: Mapping[str, tuple[float, float]], covariance: bool,
    ) -> VoxelTable:  # fmt: skip
        """Return the table of ``n`` voxels of which nothing is known."""
        k, n_phases = len(model.names), len(model.settings.phases)
        n_crystals = len(crystals_of(model))

        def unknown(*columns: int) -> Floats:
            return np.full((n, *columns), np.nan)

        return cls(
            model=model, shared=shared, main=main, values=unknown(k), esd=unknown(k),
            weight_fraction=unknown(n_phases), weight_fraction_esd=unknown(n_phases),
            substance=unknown(n_crystals), substance_esd=unknown(n_crystals), lattice=unknown(4),
            share=unknown(2), chi2_reduced=unknown(), r_wp=unknown(),
            status=np.full(n, Status.NOT_MEASURED, np.int8),
            covariance=np.full((n, k, k), np.nan, np.float32) if covariance else None,
        )  # fmt: skip

    def store(self, rows: Ints, refined: Refined, *, chosen: Ints | None = None) -> None:
        """Put in the results of voxels ``rows``: those of all patterns, or of the ``chosen`` ones.

        ``refined`` has its covariance, and the names of this table or some of them.
        """
        picked = np.arange(len(refined.values)) if chosen is None else chosen
        self.status[rows] = refined.status[picked]
        good = refined.status[picked] == Status.CONVERGED
        rows, found = rows[good], _rows_of(refined, picked[good], self.shared)
        self.chi2_reduced[rows], self.r_wp[rows] = found.chi2_reduced, found.r_wp
        columns = np.array([self.model.names.index(name) for name in found.names])
        self.values[np.ix_(rows, columns)] = found.values
        self.esd[np.ix_(rows, columns)] = found.esd
        if self.covariance is not None and found.covariance is not None:
            self.covariance[np.ix_(rows, columns, columns)] = found.covariance
        self._store_fractions(rows, found)
        self._store_lattice(rows, found)

    def _store_fractions(self, rows: Ints, found: Refined) -> None:
        labels = [phase.label for phase in self.model.settings.phases]
        fractions = refined_weight_fractions(found)
        columns = np.array([labels.index(label) for label in fractions.phases])
        self.weight_fraction[np.ix_(rows, columns)] = fractions.values
        self.weight_fraction_esd[np.ix_(rows, columns)] = fractions.esd
        named = crystals_of(self.model)
        own = [phase.crystal for phase in found.model.settings.phases]
        gathered = np.array([[crystal == name for name in named] for crystal in own], float)
        self.substance[rows] = fractions.values @ gathered
        spread = np.einsum("vpq,pk,qk->vk", np.asarray(fractions.covariance), gathered, gathered)
        self.substance_esd[rows] = np.sqrt(np.maximum(spread, 0.0))

    def _store_lattice(self, rows: Ints, found: Refined) -> None:
        """Put together one lattice of the refined phase, or two."""
        there = [label for label in self.main if f"{label}.scale" in found.names]
        names = [*(f"{label}.scale" for label in there), *(f"{label}.a_A" for label in there)]
        places = [found.names.index(name) for name in names]
        n = len(there)
        amounts, a_A = found.values[:, places[:n]], found.values[:, places[n:]]
        covariance = np.asarray(found.covariance)[:, places][:, :, places]
        total = amounts.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            weights = np.ones_like(amounts) if n == 1 else amounts / total[:, None]
            mean_A = (weights * a_A).sum(axis=1)
            by_amount = np.zeros_like(a_A) if n == 1 else (a_A - mean_A[:, None]) / total[:, None]
        slopes = np.concatenate([by_amount, weights], axis=1)
        sums = np.concatenate([np.ones_like(weights), np.zeros_like(weights)], axis=1)
        self.lattice[rows] = np.stack(
            [mean_A, _esd(slopes, covariance), total, _esd(sums[:, :n], covariance[:, :n, :n])],
            axis=1,
        )
        if n == 2:
            share = weights[:, 1]
            by_amounts = np.stack([-share, 1.0 - share], axis=1) / total[:, None]
            self.share[rows] = np.stack([share, _esd(by_amounts, covariance[:, :2, :2])], axis=1)

    def refinement(self, *, min_scale: float) -> Refinement:
        """Return what the refined phase alone is, for its maps.

        A voxel that holds less of it than ``min_scale``, or too little to tell a lattice parameter,
        holds no material. Linear coefficients are those of background terms.
        """
        a_A, a_esd_A, amount, amount_esd = self.lattice.T
        there = (self.status == Status.CONVERGED) & np.isfinite(a_A)
        with np.errstate(invalid="ignore"):
            there &= amount >= min_scale
        status = self.status.copy()
        status[(self.status == Status.CONVERGED) & ~there] = Status.NO_MATERIAL
        background = self.values[:, -len(self.model.background) or self.values.shape[1] :]

        def known(values: Floats) -> Floats:
            return np.where(there if values.ndim == 1 else there[:, None], values, np.nan)

        return Refinement(
            a_A=known(a_A), a_esd_A=known(a_esd_A), scale=known(amount),
            scale_esd=known(amount_esd), linear=known(background),
            chi2_reduced=known(self.chi2_reduced), status=status,
        )  # fmt: skip


def crystals_of(model: RietveldModel) -> tuple[str, ...]:
    """Return the crystals of a model's phases, each once, in their order."""
    return tuple(dict.fromkeys(phase.crystal for phase in model.settings.phases))


def _rows_of(refined: Refined, rows: Ints, shared: Mapping[str, tuple[float, float]]) -> Refined:
    """Return the results of some patterns, with what all share."""
    return replace(
        refined, values=refined.values[rows], esd=refined.esd[rows],
        covariance=None if refined.covariance is None else refined.covariance[rows],
        chi2_reduced=refined.chi2_reduced[rows], r_wp=refined.r_wp[rows],
        status=refined.status[rows], shared=dict(shared),
    )  # fmt: skip


def _esd(slopes: Floats, covariance: Floats) -> Floats:
    variance = np.einsum("vi,vij,vj->v", slopes, covariance, slopes)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
