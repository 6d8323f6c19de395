"""In which pixels a photon counts: fluorescence and shared charge in the CdTe sensor.

A photon is absorbed at a point uniform over its pixel and exponential in depth. With probability

    f_e = (τ_e/τ) (1 − 1/J_e) ω_e        (0.30 for Cd and 0.42 for Te at 50 keV)

— τ_e/τ the element's share of the photoelectric absorption, J_e the jump of its K edge, ω_e its
fluorescence yield — it leaves E − E_K there and sends out a Kα or Kβ photon in a random direction,
which is absorbed after an exponential path (Kα: 118 µm from Cd, 62 µm from Te), where it may in
turn free a softer one (Te Kα lies above the K edge of Cd), or escapes through a face. At every
stop the charge arrives as a Gaussian cloud, and a pixel border cuts off the share Φ(−d/σ), d the
distance to the border. A pixel counts when its energy exceeds the threshold.

So with a threshold at E/2 a photon counts once at most, above it photons near borders are lost,
below it they count twice; at 50 keV, fluorescence counts twice below E − E(Cd Kβ) = 23.8 keV, and
in earnest below 23.1 keV (Cd Kα) and 22.6 keV (Te Kα).

Not included: scattering, 4 % of the interactions at 50 keV, is taken as absorption on the spot;
photo- and Auger electrons travel nowhere (10 µm); the threshold is sharp and common to all pixels;
L fluorescence stays where it is made.

The probabilities come from 2²⁰ photons drawn from a fixed stream; each has a standard error of
√(p(1 − p)/2²⁰), at most 5e-4, and half that for sides and corners, over which it is averaged.

Source: PHYSICS 6; xraylib for cross sections, edges, yields, jumps, lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xraylib
from numpy.typing import NDArray

from forward.philox import Words, fine_uniform, philox4x32, stream_key, uniform
from forward.sensor import (
    SENSOR_FORMULA,
    absorbed_fraction,
    attenuation_per_um,
    mean_path_um,
)
from xrdct.compiled import compiled
from xrdct.crystal import atomic_number
from xrdct.errors import InputError

Floats = NDArray[np.float64]

N_PHOTONS = 2**20
_KT_PER_E_V = 8.617333e-5 * 293.0
_LINES = (xraylib.KA_LINE, xraylib.KB_LINE)
_REACH = 3
"""Pixels to each side in which energy is told apart; what goes further stops there."""


@dataclass(frozen=True, eq=False)
class PhotonResponse:
    """How the photons that count at all do so, per detected photon.

    Kernels have shape (3, 3), indexed [1 + rows, 1 + columns] away from the photon's own pixel.
    The overall efficiency is left out, since it is a parameter of the detector: multiply expected
    photons by it first. ``single + double`` sum to one.
    """

    single: Floats
    """Probability of counting once, in each of the nine pixels."""
    double: Floats
    """Probability of counting in the own pixel and in this neighbour; centre zero. A photon that
    counts in three is described by its two pairs, less one single: means and covariances with the
    own pixel are kept."""
    lost: float
    """Fraction of absorbed photons that count nowhere."""
    efficiency: float
    """Fraction of arriving photons that count, as this model has it (absorption included)."""

    @property
    def mean(self) -> Floats:
        """Expected counts in each of the nine pixels; their sum is 1 + (double counts)."""
        kernel = self.single + self.double
        kernel[1, 1] += self.double.sum()
        return kernel


def charge_cloud_um(*, energy_keV: float, sensor_um: float, bias_V: float = 1000.0) -> float:
    """Return the rms radius σ (one axis) of the charge at the pixels from diffusion alone, µm.

    Over a drift distance s in the uniform field V/t, σ² = 2 (kT/e) s t/V. The charge drifts from
    the depth of absorption to the far face, so s is averaged over that depth: 6.5 µm for 1 mm of
    CdTe at 1 kV, 293 K and 50 keV. Repulsion and the photoelectron's range add to it.

    `InputError` unless the bias is positive. Source: Einstein relation D = µ kT/e.
    """
    if not 0.0 < bias_V < math.inf:
        raise InputError(f"the bias (V) must be positive: got {bias_V:g}")
    drift_um = sensor_um - mean_path_um(energy_keV=energy_keV, sensor_um=sensor_um)
    return math.sqrt(2.0 * _KT_PER_E_V * drift_um * sensor_um / bias_V)


@lru_cache(maxsize=32)
def photon_response(
    energy_keV: float,
    *,
    threshold_keV: float,
    pixel_um: float,
    sensor_um: float,
    cloud_um: float | None = None,
) -> PhotonResponse:
    """Return the response of the sensor to photons of one energy.

    ``cloud_um`` is the rms radius of the charge cloud; None takes that of diffusion. Arrays are
    shared between calls and read-only. `InputError` where nothing could be counted (the threshold
    at or above the energy), where the cloud is wider than a fifth of a pixel (it would touch two
    borders at once), and for thresholds so low that single counts no longer dominate.
    """
    if not 0.0 < threshold_keV < energy_keV:
        raise InputError(
            f"threshold_keV must lie within 0 and the photon energy {energy_keV:g}: "
            f"got {threshold_keV:g}"
        )
    if cloud_um is None:
        cloud_um = charge_cloud_um(energy_keV=energy_keV, sensor_um=sensor_um)
    if not 0.0 <= cloud_um <= 0.2 * pixel_um:
        raise InputError(
            f"charge_cloud_um must lie within 0 and a fifth of the pixel ({0.2 * pixel_um:g}): "
            f"got {cloud_um:g}"
        )
    energies, attenuation, emission = _photon_kinds(energy_keV)
    counted, with_own, none = _follow_photons(
        N_PHOTONS, energies, attenuation, emission,
        threshold_keV, pixel_um, sensor_um, cloud_um, stream_key(0),
    )  # fmt: skip
    detected = N_PHOTONS - none
    mean, double = _symmetric(counted / detected), _symmetric(with_own / detected)
    single = mean - double
    single[1, 1] = mean[1, 1] - double.sum()
    if single[1, 1] <= 0.0:
        raise InputError(
            f"threshold_keV ({threshold_keV:g}) is so low that photons of {energy_keV:g} keV "
            "mostly count more than once"
        )
    single.flags.writeable = double.flags.writeable = False
    absorbed = float(absorbed_fraction(0.0, energy_keV=energy_keV, sensor_um=sensor_um))
    lost = none / N_PHOTONS
    return PhotonResponse(
        single=single, double=double, lost=lost, efficiency=absorbed * (1.0 - lost)
    )


def _photon_kinds(energy_keV: float) -> tuple[Floats, Floats, Floats]:
    """Return what may fly in the sensor: the beam's photon, then Kα and Kβ of each element.

    Energies in keV, attenuation in 1/µm, shape (kind,); and the probability that the absorption of
    one kind (row) sends out another (column), shape (kind, kind).
    """
    elements = [atomic_number(symbol) for symbol in SENSOR_FORMULA]
    lines = [(z, line) for z in elements for line in _LINES]
    energies = np.array([energy_keV, *(xraylib.LineEnergy(z, line) for z, line in lines)])
    attenuation = np.array([attenuation_per_um(float(energy)) for energy in energies])
    emission = np.zeros((energies.size, energies.size))
    for kind, energy in enumerate(energies):
        share = {z: xraylib.CSb_Photo(z, energy) * SENSOR_FORMULA[_symbol(z)] for z in elements}
        for column, (z, line) in enumerate(lines, start=1):
            if energy > xraylib.EdgeEnergy(z, xraylib.K_SHELL):
                in_k_shell = 1.0 - 1.0 / xraylib.JumpFactor(z, xraylib.K_SHELL)
                yields = xraylib.FluorYield(z, xraylib.K_SHELL) * xraylib.RadRate(z, line)
                emission[kind, column] = share[z] / sum(share.values()) * in_k_shell * yields
    return energies, attenuation, emission


def _symbol(z: int) -> str:
    return str(xraylib.AtomicNumberToSymbol(z))


def _symmetric(kernel: Floats) -> Floats:
    """Average a 3 × 3 kernel over the eight symmetries of the square pixel."""
    turns = [np.rot90(kernel, k) for k in range(4)]
    return np.asarray(np.mean([*turns, *(turn.T for turn in turns)], axis=0))


@compiled
def _follow_photons(
    n_photons: int,
    energies: Floats,
    attenuation: Floats,
    emission: Floats,
    threshold: float,
    pixel: float,
    sensor: float,
    cloud: float,
    key: Words,
) -> tuple[Floats, Floats, int]:
    """Count photons by pixel, pixels hit together with the own one, and photons that count nowhere.

    The first two have shape (3, 3); pixels further away are put to the nearest of the nine.
    """
    counted = np.zeros((3, 3))
    with_own = np.zeros((3, 3))
    none = 0
    deposit = np.zeros((2 * _REACH + 1, 2 * _REACH + 1))
    passed = np.exp(-attenuation[0] * sensor)
    for photon in range(n_photons):
        deposit[:] = 0.0
        w0, w1, w2, w3 = philox4x32(0, photon, 0, 0, key[0], key[1])
        x, y = pixel * uniform(w0), pixel * uniform(w1)
        depth = -np.log(1.0 - (1.0 - passed) * fine_uniform(w2, w3)) / attenuation[0]
        kind, block = 0, 1
        while True:
            w0, w1, w2, w3 = philox4x32(block, photon, 0, 0, key[0], key[1])
            block += 1
            sent = _sent_out(uniform(w0), emission[kind])
            left = energies[kind] - (energies[sent] if sent > 0 else 0.0)
            _deposit(deposit, left, x, y, pixel, cloud)
            if sent == 0:
                break
            kind = sent
            path = -np.log(uniform(w1)) / attenuation[kind]
            cosine = 2.0 * uniform(w2) - 1.0
            across = path * np.sqrt(1.0 - cosine * cosine)
            azimuth = 2.0 * np.pi * uniform(w3)
            depth += path * cosine
            if depth < 0.0 or depth > sensor:
                break
            x += across * np.cos(azimuth)
            y += across * np.sin(azimuth)
        own = deposit[_REACH, _REACH] > threshold
        hits = 0
        for row in range(deposit.shape[0]):
            for column in range(deposit.shape[1]):
                if deposit[row, column] > threshold:
                    hits += 1
                    i = 1 + min(max(row - _REACH, -1), 1)
                    j = 1 + min(max(column - _REACH, -1), 1)
                    counted[i, j] += 1.0
                    if own and (row != _REACH or column != _REACH):
                        with_own[i, j] += 1.0
        none += hits == 0
    return counted, with_own, none


@compiled
def _sent_out(u: float, probability: Floats) -> int:
    """Return the kind of photon sent out, 0 for none."""
    for kind in range(1, probability.size):
        u -= probability[kind]
        if u <= 0.0:
            return kind
    return 0


@compiled
def _deposit(
    deposit: Floats, energy: float, x: float, y: float, pixel: float, cloud: float
) -> None:
    """Share ``energy`` between the pixel at (x, y) and those across its nearest borders."""
    column, to_column, share_x = _nearest_border(x, pixel, cloud)
    row, to_row, share_y = _nearest_border(y, pixel, cloud)
    deposit[row, column] += energy * (1.0 - share_x) * (1.0 - share_y)
    deposit[row, to_column] += energy * share_x * (1.0 - share_y)
    deposit[to_row, column] += energy * (1.0 - share_x) * share_y
    deposit[to_row, to_column] += energy * share_x * share_y


@compiled
def _nearest_border(position: float, pixel: float, cloud: float) -> tuple[int, int, float]:
    """Return the indices of a pixel and of the nearest to it, and the latter's share of charge."""
    index = math.floor(position / pixel)
    inside = position - index * pixel
    towards = 1 if 2.0 * inside > pixel else -1
    distance = pixel - inside if towards > 0 else inside
    share = 0.5 * math.erfc(distance / (math.sqrt(2.0) * cloud)) if cloud > 0.0 else 0.0
    here = min(max(index, -_REACH), _REACH) + _REACH
    there = min(max(index + towards, -_REACH), _REACH) + _REACH
    return here, there, share
