"""The recorded profile of powder lines, from its characteristic function.

A line at x0 is blurred by a Gaussian (σ), a Lorentzian (γ), the box of a pixel (p), where channels
are averaged the box of a channel (c), and by the depth at which photons stop in the sensor, an
exponential displacement of mean m cut off at Y absorption lengths (the sensor's thickness). Each is
a factor of the characteristic function,

    F(k) = e^{−ikx0} · e^{−σ²k²/2 − γ|k|} · sinc(kp/2) · sinc(kc/2)
           · (1 − e^{−Y(1 + ikm)}) / ((1 + ikm)(1 − e^{−Y}))

so one inverse transform gives the profile of all states at once, to rounding; −ik·F gives its
derivative by x0. What the periodic transform wraps around of the Lorentzian's tails is known in
closed form and taken off. Where values are to be interpolated linearly, the variance h²/6 that
interpolation adds is taken from the Gaussian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len

from forward.angles import AngleGrid
from forward.resolution import RingWidths

Floats = NDArray[np.float64]
_SAMPLES_PER_CHANNEL = 8
"""A channel is wider than the narrowest line's σ: transforms need finer samples."""


def line_profiles(
    grid: AngleGrid, *, position_rad: Floats, widths: RingWidths, reach_rad: float
) -> tuple[Floats, Floats]:
    """Return profile (1/rad) and its derivative by the position (1/rad²), (state, node) each.

    ``position_rad`` is one line's position for each state, shape (state,), as is each field of
    ``widths``. Further than ``reach_rad`` from all of them only the Lorentzian tail is computed,
    γ/(π Δ²), which there differs from the truth by less than 3 (σ/Δ)² of itself.
    """
    mean_rad = position_rad + widths.sensor_mean_rad
    gamma = widths.lorentzian_hwhm_rad[:, None]
    profile, slope = _lorentzian(grid.two_theta_rad[None, :] - mean_rad[:, None], gamma)
    first = int((mean_rad.min() - reach_rad - grid.first_rad) / grid.step_rad)
    last = int((mean_rad.max() + reach_rad - grid.first_rad) / grid.step_rad) + 1
    low, high = max(first, 0), min(last, grid.n_nodes)
    if low < high:
        start_rad = grid.first_rad + first * grid.step_rad
        near = _transformed(grid, position_rad - start_rad, widths, n_nodes=last - first)
        profile[:, low:high], slope[:, low:high] = (v[:, low - first : high - first] for v in near)
    return profile, slope


def _transformed(
    grid: AngleGrid, position_rad: Floats, widths: RingWidths, *, n_nodes: int
) -> tuple[Floats, Floats]:
    """Return profile and derivative on nodes counted from zero, (state, node) each."""
    finer = _SAMPLES_PER_CHANNEL if grid.averaged else 1
    step_rad = grid.step_rad / finer
    count = next_fast_len(n_nodes * finer, real=True)
    period_rad = count * step_rad
    k = np.arange(count // 2 + 1, dtype=np.float64)[None, :] * (2.0 * np.pi / period_rad)
    transform = _characteristic(k, position_rad, widths, grid=grid) / step_rad
    shown = slice(0, n_nodes * finer, finer)
    values = irfft(transform, count, axis=1)[:, shown]
    slopes = irfft(-1j * k * transform, count, axis=1)[:, shown]
    distance = (grid.step_rad * np.arange(n_nodes))[None, :] - (
        position_rad + widths.sensor_mean_rad
    )[:, None]
    gamma = widths.lorentzian_hwhm_rad[:, None]
    wrapped = _wrapped_lorentzian(distance, gamma, period_rad)
    alone = _lorentzian(distance, gamma)
    return values - (wrapped[0] - alone[0]), slopes - (wrapped[1] - alone[1])


def _characteristic(
    k: Floats, position_rad: Floats, widths: RingWidths, *, grid: AngleGrid
) -> NDArray[np.complex128]:
    box_rad = grid.step_rad if grid.averaged else 0.0
    interpolation = 0.0 if grid.averaged else grid.step_rad**2 / 6.0
    variance = np.maximum(widths.gaussian_sigma_rad**2 - interpolation, 0.0)[:, None]
    damped = np.exp(-0.5 * variance * k**2 - widths.lorentzian_hwhm_rad[:, None] * k)
    boxes = np.sinc(k * widths.pixel_rad[:, None] / (2.0 * np.pi)) * np.sinc(
        k * box_rad / (2.0 * np.pi)
    )
    turned = np.exp(-1j * k * position_rad[:, None])
    return np.asarray(turned * damped * boxes * _depth(k, widths))


def _depth(k: Floats, widths: RingWidths) -> NDArray[np.complex128]:
    """Return the factor of the sensor's depth (one where no depth is given)."""
    one = np.ones((widths.sensor_scale_rad.size, 1), np.complex128)
    if not widths.sensor_scale_rad.any():
        return one
    decay = one + 1j * k * widths.sensor_scale_rad[:, None]
    lengths = widths.sensor_lengths
    return np.asarray(-np.expm1(-lengths * decay) / (decay * -np.expm1(-lengths)))


def _lorentzian(distance: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """Return a Lorentzian of half width ``gamma`` and its derivative by its position."""
    square = distance**2 + gamma**2
    return gamma / (np.pi * square), 2.0 * gamma * distance / (np.pi * square**2)


def _wrapped_lorentzian(distance: Floats, gamma: Floats, period: float) -> tuple[Floats, Floats]:
    """Return the sum of Lorentzians a period apart, and its derivative by their position.

    Σ_n L(x + nT) = sinh(2πγ/T) / (T (cosh(2πγ/T) − cos(2πx/T)))
    """
    turn = 2.0 * np.pi / period
    sinh = np.sinh(turn * gamma)
    below = 2.0 * (np.sinh(0.5 * turn * gamma) ** 2 + np.sin(0.5 * turn * distance) ** 2)
    value = sinh / (period * below)
    return value, value * turn * np.sin(turn * distance) / below
