"""Patterns made by the refinement's own model, and the least covariance of what they tell."""

from functools import lru_cache

import numpy as np

from inverse.recipe import Calibration, Profile
from inverse.rietveld import design
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.instrument import Beam, Geometry

BEAM, GEOMETRY = Beam(), Geometry()
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, W_deg2=5e-4, X_deg=0.01), distance_m=GEOMETRY.distance_m
)
SPINEL = "LiMn2O4"
FIVE_SIGMA = 5.33
"""A Gaussian variable leaves ±5.33 σ with a probability of 1e-7."""


@lru_cache
def model_of(*phases, calibration=CALIBRATION):
    return rietveld_model(
        Rietveld(phases=phases), beam=BEAM, geometry=GEOMETRY, calibration=calibration
    )


def spinel(**more):
    return RietveldPhase(crystal=SPINEL, **more)


def expected_counts(model, scales, *, peak, background):
    """Mean counts, at most ``peak`` above the background, and what they are divided by."""
    pattern = np.array(scales) @ model.patterns(model.slots)
    per_unit = peak / pattern.max()
    return per_unit * pattern + background, per_unit


def drawn(mean, *, n, seed):
    return np.random.default_rng(seed).poisson(mean, (n, mean.size)).astype(np.float64)


def bound_of(model, scales, *, mean, per_unit):
    """Cramér–Rao: the least covariance of unbiased estimates from these counts."""
    values = np.concatenate(
        [scales, [float(p.result(np.array(p.start))) for p in model.parameters]]
    )
    values = np.concatenate([values, np.zeros(len(model.background))])
    rows = design(model, values)
    return np.linalg.inv(rows / (mean / per_unit**2) @ rows.T)
