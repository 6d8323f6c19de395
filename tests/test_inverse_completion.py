"""Truncated sinograms continued beyond their window."""

import numpy as np
import pytest

from inverse.completion import METHODS, CompletionWarning, amount_of, completed, sample_width_um
from inverse.reconstruct import filtered_back_projection
from inverse.sinogram import Sinogram
from xrdct.errors import InputError

COST = "amounts inside have an uncertain level"


def scan(n, step=5.0, n_angles=60, *, spots=(), radius=500.0, per_um=2.4e-4, axis=0.0, seed=None):
    """Discs in closed form: density 1 to the radius, less or more in spots (x, y, radius, change).

    With a seed, noise of the stated variance, 4, is added.
    """
    angles = np.arange(n_angles) * np.pi / n_angles
    t = (np.arange(n) - 0.5 * (n - 1)) * step - axis
    values = np.broadcast_to(2.0 * np.sqrt(np.maximum(radius**2 - t**2, 0.0)), (n_angles, n)).copy()
    for x, y, spot, change in spots:
        distance = t - (x * np.cos(angles) + y * np.sin(angles))[:, None]
        values += change * 2.0 * np.sqrt(np.maximum(spot**2 - distance**2, 0.0))
    depth = per_um * values
    stack = np.stack([values, 3.0 * values], axis=2)
    if seed is not None:
        stack += np.random.Generator(np.random.Philox(seed)).normal(scale=2.0, size=stack.shape)
    return Sinogram(
        values=stack.astype(np.float32), variance=np.full(stack.shape, 4.0, np.float32),
        transmission=np.exp(-depth), angles_rad=angles, step_um=step, axis_offset_um=axis,
        two_theta_rad=np.array([0.1, 0.11]), distance_m=0.7,
    )  # fmt: skip


SPOTS = ((250.0, 100.0, 120.0, -0.6), (-330.0, 40.0, 90.0, 0.5), (40.0, -30.0, 60.0, 0.4))


def inside(sinogram, *, padding, size=71):
    """Mean of the image over the circle of view of the window."""
    image = filtered_back_projection(
        sinogram.values, angles_rad=sinogram.angles_rad, step_um=sinogram.step_um, size=size,
        axis_offset_um=sinogram.axis_offset_um, padding=padding,
    ).values  # fmt: skip
    place = np.arange(size) - 0.5 * (size - 1)
    return image[np.hypot(place, place[:, None]) < 0.95 * place[-1]].mean(axis=0)


TRUE_MEAN = 1.0 + 0.4 * 60.0**2 / (0.95 * 175.0) ** 2
"""Of the density in the window's circle, into which none of the other spots reaches far."""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("known", [False, True])
def test_the_amount_inside_comes_closer_to_the_truth_than_by_zeros_or_edges(method, known):
    """Truth: the density that was projected.

    A disc's chord is exact for the disc itself, and what spots outside add is a few per cent of
    it; a cosine is 19 % out for the disc, the warning's figure. Zeros make the ends a bright rim.
    """
    window = scan(71, spots=SPOTS)
    amount = amount_of(scan(221, spots=SPOTS)) if known else None
    with pytest.warns(CompletionWarning, match=COST):
        whole = completed(window, width_um=1000.0, method=method, amount=amount)
    error = np.abs(inside(whole, padding="zero") / [1.0, 3.0] - TRUE_MEAN)
    plain = [np.abs(inside(window, padding=p) / [1.0, 3.0] - TRUE_MEAN) for p in ("zero", "edge")]
    assert np.all(error < (0.05 if method == "ellipse" else 0.25))
    assert np.all(error < plain[0] / 3.0)
    assert method == "cosine" or np.all(error < 0.5 * plain[1])


def test_a_disc_alone_comes_back_exactly():
    """Closed form: the ellipse is the disc's own projection, to single precision."""
    with pytest.warns(CompletionWarning):
        whole = completed(scan(71), width_um=1000.0)
    full = scan(whole.values.shape[1])
    np.testing.assert_allclose(whole.values, full.values, rtol=1e-5, atol=1e-3)
    assert whole.transmission.shape == whole.values.shape[:2]


@pytest.mark.parametrize("method", METHODS)
def test_every_projection_then_holds_the_known_amount(method):
    """Law (Helgason and Ludwig): the integral of a projection does not depend on the angle."""
    amount = amount_of(scan(221, spots=SPOTS))
    exact = np.pi * (500.0**2 + sum(change * spot**2 for _, _, spot, change in SPOTS))
    # The midpoint rule over a chord that ends as a square root: (step/R)^1.5 of it, and less.
    np.testing.assert_allclose(amount, [exact, 3 * exact], rtol=1e-3)
    with pytest.warns(CompletionWarning, match="its known amount"):
        whole = completed(scan(71, spots=SPOTS), width_um=1000.0, method=method, amount=amount)
    totals = whole.values.sum(axis=1) * whole.step_um
    np.testing.assert_allclose(totals, np.broadcast_to(amount, totals.shape), rtol=1e-5)


def test_nothing_within_the_window_changes_and_nothing_jumps_at_its_ends():
    """Definition; the axis stays where it is. Neighbouring rays differ by less than 5 %."""
    window = scan(71, spots=SPOTS, axis=12.0)
    amount = amount_of(scan(221, spots=SPOTS))
    with pytest.warns(CompletionWarning):
        whole = completed(window, width_um=1000.0, amount=amount)
    n_more = (whole.values.shape[1] - 71) // 2
    np.testing.assert_array_equal(whole.values[:, n_more:-n_more], window.values)
    np.testing.assert_array_equal(whole.variance[:, n_more:-n_more], window.variance)
    assert whole.axis_offset_um == 12.0
    assert np.abs(whole.offsets_um[0] - 12.0) >= 500.0
    assert np.abs(whole.offsets_um[-1] - 12.0) >= 500.0 - 12.0 - 5.0
    for end in (n_more, n_more + 71):
        step = np.abs(whole.values[:, end] - whole.values[:, end - 1])
        assert np.all(step < 0.05 * whole.values[:, end])


def test_stated_variance_serves_inside():
    """Against 300 noisy scans: within the window, away from its ends, continuing costs nothing.

    Each of some 1200 variances is known to √(2/300) = 8 %; their mean over correlated pixels to
    well below 1 %. Continued noise may add 2 %.
    """
    stack = []
    for seed in range(150):
        with pytest.warns(CompletionWarning):
            whole = completed(scan(41, n_angles=30, seed=seed), width_um=1000.0)
        image = filtered_back_projection(
            whole.values, angles_rad=whole.angles_rad, step_um=5.0, size=41,
            padding="zero", variance=whole.variance,
        )  # fmt: skip
        stack.append(image.values[10:31, 10:31])
    noise = np.var(stack, axis=0).mean() * 150 / 149
    assert noise == pytest.approx(image.variance[10:31, 10:31].mean(), rel=0.03)


def test_the_warning_tells_what_a_wrong_guess_costs():
    """Its figures: 8 % of the mean density for each 10 % of the width, 20 % for the shape."""
    errors = []
    for width_um, method in ((900.0, "ellipse"), (1100.0, "ellipse"), (1000.0, "cosine")):
        with pytest.warns(CompletionWarning, match=r"some 8 % .* 10 % .* 20 % for its shape"):
            whole = completed(scan(71), width_um=width_um, method=method)
        errors.append(inside(whole, padding="zero")[0] - 1.0)
    np.testing.assert_allclose(errors, [0.08, -0.08, 0.2], atol=0.02)


def test_width_of_a_disc_from_its_transmission():
    """Closed form: exact for a uniform disc in view of any part of it, whatever its absorption."""
    for per_um in (2.4e-4, 1e-3):
        assert sample_width_um(scan(71, per_um=per_um)) == pytest.approx(1000.0, rel=1e-6)
    with pytest.warns(CompletionWarning, match="to 500 µm from the axis"):
        completed(scan(71))


def test_what_cannot_be_told_is_refused():
    with pytest.raises(InputError, match="width must be given"):
        completed(scan(71, per_um=0.0))
    # two offsets about the axis are equally far from it: no line goes through one place
    with pytest.raises(InputError, match=r"truncation\.width_um.*2 offsets are too few"):
        sample_width_um(scan(2))
    with pytest.raises(InputError, match="300 µm must exceed twice the 175 µm"):
        completed(scan(71), width_um=300.0)
    with pytest.raises(InputError, match="method must be one of ellipse, cosine, not 'linear'"):
        completed(scan(71), method="linear")
    with pytest.raises(InputError, match=r"one value for each of 2 channels, not the shape \(3,\)"):
        completed(scan(71), width_um=1000.0, amount=np.ones(3))
