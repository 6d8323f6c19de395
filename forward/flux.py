"""How many photons each exposure truly has, and how many the monitor says it had.

    N0(t) = N · exp(−k t′) · m        t′ = t, or the time since the last top-up of the ring

with N the photons of an exposure at full current, k the relative loss of current per hour, and m a
log-normal factor of mean 1 whose relative standard deviation is ``flicker_rms``. A monitor that
counts a share ε of the photons reads Poisson(ε N0)/ε, of variance N0/ε. What it counts it does not
take away from the beam: its Poisson noise is independent of the diffracted photons', as the parts
of a thinned Poisson stream are of each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xrdct.errors import InputError
from xrdct.spec import Spec

_FLICKER_KEY = 0x666C75
_MONITOR_KEY = 0x6D6F6E
_S_PER_H = 3600.0


class BeamDecay(Spec):
    """Changes of the incident beam; by default it is constant and the monitor reads it exactly."""

    decay_per_h: float = Field(0.0, ge=0.0, le=100.0)
    """Relative loss of the ring current per hour."""
    refill_h: float | None = Field(None, gt=0.0)
    """Period of the top-ups that restore the full current, the first at t = 0; None: no top-up."""
    flicker_rms: float = Field(0.0, ge=0.0, le=1.0)
    """Relative standard deviation from one exposure to the next."""
    monitor_efficiency: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the photons that the monitor counts; None: a reading without noise."""


def incident_photons(
    decay: BeamDecay,
    *,
    times_s: NDArray[np.float64],
    photons_per_exposure: float,
    seed: int,
    scan_number: int = 0,
) -> NDArray[np.float64]:
    """Return the expected photons of exposures that begin at ``times_s`` (any shape, kept).

    ``photons_per_exposure`` belongs to the full current. The decay within an exposure is left out:
    at 10 ms it is below 3e-6 of the decay within an hour.

    Raises InputError for a negative time.
    """
    if times_s.size and times_s.min() < 0.0:
        raise InputError(f"times count from the top-up at 0 s, got {times_s.min():g} s")
    period_s = np.inf if decay.refill_h is None else decay.refill_h * _S_PER_H
    since_s = times_s % period_s
    photons = photons_per_exposure * np.exp(-decay.decay_per_h * since_s / _S_PER_H)
    if decay.flicker_rms == 0.0:
        return np.asarray(photons)
    variance = np.log1p(decay.flicker_rms**2)  # of the logarithm
    normal = _stream(_FLICKER_KEY, seed, scan_number).standard_normal(times_s.shape)
    return np.asarray(photons * np.exp(np.sqrt(variance) * normal - 0.5 * variance))


def monitor_counts(
    decay: BeamDecay, *, photons: NDArray[np.float64], seed: int, scan_number: int = 0
) -> NDArray[np.float64]:
    """Return the monitor's reading of ``photons``, scaled to photons, of the same shape."""
    share = decay.monitor_efficiency
    if share is None:
        return photons.copy()
    counted = _stream(_MONITOR_KEY, seed, scan_number).poisson(share * photons)
    return np.asarray(counted / share)


def _stream(kind: int, seed: int, scan_number: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(kind, scan_number))
    return np.random.Generator(np.random.Philox(sequence))
