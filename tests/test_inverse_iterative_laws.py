"""Laws that iterative methods obey at a fixed number of iterations, for any sample and any scan.

Samples and scans are those of the laws of filtered back projection. For so many iterations SIRT is
linear in the sinogram; conjugate gradients, whose steps follow from the sinogram, are homogeneous
alone; expectation maximisation is so for positive factors, and it keeps amounts.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.cgls import cgls
from inverse.geometry import field_of_view
from inverse.iteration import scan_rays
from inverse.poisson import poisson_reconstruction
from inverse.sirt import sirt
from tests.test_inverse_reconstruction_laws import (
    SINGLE,
    factors,
    samples,
    scans,
    sinogram_of,
)
from xrdct.errors import InputError

ITERATIONS = 4

METHODS = {"sirt": sirt, "cgls": cgls, "poisson": poisson_reconstruction}
every_method = pytest.mark.parametrize("run", METHODS.values(), ids=METHODS.keys())


def rays_of(scan, sinogram, **more):
    return scan_rays(sinogram.shape, **scan.keywords, **more)


def iterated(run, sinogram, scan, **more):
    return run(sinogram, rays=rays_of(scan, sinogram, **more), iterations=ITERATIONS)


def positive(drawn):
    """The sample without negative densities, as counts have it."""
    return [replace(e, density=abs(e.density)) for e in drawn]


def sums_rounding(scan):
    """Relative rounding of sums along rays and back, of n and N terms, and of their weights."""
    return (scan.n + scan.angles.size) * SINGLE


def assert_same(run, first, second, *, sinogram, scan, parts=3):
    """Two results are the same but for rounding, which is that of ``parts`` of them at most.

    SIRT steps by x ← (1 − M)·x + S⁻¹AᵀR·b with S = Aᵀw, and M = S⁻¹AᵀR·A, which is symmetric in the
    norm Σ S·x² and, being an average (M·1 = 1), has eigenvalues from 0 to 1: it passes on no more
    of an error than there was. An average of b over lengths A·1 is B at most, and x after k steps
    k·B: a step rounds no more than 1 + 3·k of B, all steps 2·(iterations)².

    Conjugate gradients look for each direction in what the residual has left of the data, of which
    rounding does not shrink with it: (iterations)² of the image over the share that is left.

    Expectation maximisation multiplies by a ratio of sums of what is positive, which has once the
    relative error of x and once its own: together they double at every step.
    """
    np.testing.assert_array_equal(np.isnan(first.values), np.isnan(second.values))
    rays = rays_of(scan, sinogram)
    error = np.nan_to_num(first.values - second.values)
    largest = np.abs(np.nan_to_num(first.values)).max()
    assert largest > 0.0
    bound = parts * sums_rounding(scan)
    if run is sirt:
        sums = rays.row_sums[..., None]
        average = np.max(np.abs(sinogram) / np.where(sums > 0.0, sums, np.inf))
        weight = rays.back_projected(rays.weights).astype(float)
        squared = np.square(error).reshape(weight.size, -1).T @ weight / weight.sum()
        assert np.sqrt(squared.max()) <= bound * 2 * ITERATIONS**2 * average
    elif run is cgls:
        left = np.sqrt(first.misfit[0, -1] / first.misfit[0, 0]).min()
        assert np.abs(error).max() <= bound * ITERATIONS**2 / left * largest
    else:
        assert np.abs(error).max() <= bound * 2**ITERATIONS * largest


@given(data=st.data(), a=factors, b=factors)
def test_sirt_is_linear(data, a, b):
    # Law.
    scan = data.draw(scans())
    first, second = (sinogram_of([data.draw(samples(scan))], scan) for _ in range(2))
    together = iterated(sirt, a * first + b * second, scan)
    images = [iterated(sirt, each, scan).values for each in (first, second)]
    apart = replace(together, values=a * images[0] + b * images[1])
    scale = abs(a) * np.abs(first) + abs(b) * np.abs(second)
    if a or b:
        assert_same(sirt, apart, together, sinogram=scale, scan=scan)


@every_method
@given(data=st.data(), factor=st.floats(0.01, 100.0), sign=st.sampled_from([1, -1]))
def test_homogeneous(run, data, factor, sign):
    # Law: of degree one, and for counts so with positive factors.
    scan = data.draw(scans())
    sample, factor = data.draw(samples(scan)), factor * sign
    if run is poisson_reconstruction:
        sample, factor = positive(sample), abs(factor)
    sinogram = sinogram_of([sample], scan)
    once = iterated(run, sinogram, scan)
    more = iterated(run, np.float32(factor) * sinogram, scan)
    back = replace(more, values=more.values / np.float32(factor))
    assert_same(run, once, back, sinogram=sinogram, scan=scan)


def test_conjugate_gradients_are_not_linear():
    # Definition: steps follow from the sinogram, so that laws for CGLS hold no more than is theirs.
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 30, 45, 1)).astype(np.float32)
    rays = scan_rays(first.shape, angles_rad=np.arange(30) * np.pi / 30, step_um=1.0)
    images = [cgls(x, rays=rays, iterations=4).values for x in (first, second, first + second)]
    assert np.nanmax(np.abs(images[2] - images[1] - images[0])) > 0.01 * np.nanmax(images[0])


@every_method
@given(data=st.data())
def test_a_quarter_turn_turns_the_image(run, data):
    # Law: the same rays at angles a quarter of a turn on show what is turned; f(x, y) is f(y, −x).
    scan = data.draw(scans())
    sinogram = sinogram_of([positive(data.draw(samples(scan)))], scan)
    straight = iterated(run, sinogram, scan)
    turned = iterated(run, sinogram, replace(scan, angles=scan.angles + 0.5 * np.pi))
    back = replace(turned, values=np.rot90(turned.values, axes=(0, 1)))
    assert_same(run, straight, back, sinogram=sinogram, scan=scan)


@every_method
@given(data=st.data())
def test_projections_may_come_in_any_order_and_from_behind(run, data):
    # Law: seen from behind a projection is its mirror image about the axis. A sample turned by
    # angular steps is this, too, in a scan that is uniform over half a turn.
    scan = data.draw(scans(centred=True))
    sinogram = sinogram_of([positive(data.draw(samples(scan)))], scan)
    order = np.array(data.draw(st.permutations(range(scan.angles.size))))
    seed = data.draw(st.integers(0, 99))
    behind = np.random.Generator(np.random.Philox(seed)).random(order.size) < 0.5
    other = replace(scan, angles=(scan.angles + np.pi * behind)[order])
    mirrored = np.where(behind[:, None, None], sinogram[:, ::-1], sinogram)[order]
    straight, again = iterated(run, sinogram, scan), iterated(run, mirrored, other)
    assert_same(run, straight, again, sinogram=sinogram, scan=scan)


@every_method
@given(data=st.data())
def test_only_what_was_not_measured_is_nan(run, data):
    # Definition: pixels outside the field of view, and channels without numbers; a channel that
    # lacks some is refused. Squares of the data must be numbers of single precision.
    scan = data.draw(scans())
    drawn = [positive(data.draw(samples(scan))) for _ in range(3)]
    sinogram = sinogram_of(drawn, scan) * np.float32(data.draw(st.sampled_from([1e-12, 1.0, 1e12])))
    sinogram[:, :, data.draw(st.integers(0, 2))] *= data.draw(st.sampled_from([0.0, 1.0]))
    lacking = data.draw(st.sets(st.integers(0, 2)))
    sinogram[:, :, sorted(lacking)] = np.nan
    images = iterated(run, sinogram, scan).values
    axis_um = scan.axis * scan.step
    outside = ~field_of_view(scan.n, n_offsets=scan.n, step_um=scan.step, axis_offset_um=axis_um)
    for channel in range(3):
        expected = np.ones_like(outside) if channel in lacking else outside
        np.testing.assert_array_equal(np.isnan(images[:, :, channel]), expected)
    assert not np.any(np.isinf(images))
    if lacking != {0, 1, 2}:
        channel = min({0, 1, 2} - lacking)
        sinogram[data.draw(st.integers(0, scan.angles.size - 1)), 0, channel] = np.nan
        with pytest.raises(InputError, match=f"channel {channel} lacks 1 of"):
            iterated(run, sinogram, scan)


@every_method
@given(data=st.data(), lengths=st.integers(-8, 8), quantities=st.integers(-8, 8))
def test_units(run, data, lengths, quantities):
    # Law: an image is a quantity per length. Powers of two change no digit.
    scan = data.draw(scans())
    sinogram = sinogram_of([positive(data.draw(samples(scan)))], scan)
    other = replace(scan, step=scan.step * 2.0**lengths)
    scaled = iterated(run, sinogram * np.float32(2.0**quantities), other).values
    expected = iterated(run, sinogram, scan).values * np.float32(2.0 ** (quantities - lengths))
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize("n_subsets", [1, 3])
@given(data=st.data())
def test_expectation_maximisation_keeps_counts_and_invents_no_negative_ones(n_subsets, data):
    # Law: Σ w·A·x = Σ x·Aᵀw, which is Σ w·y for the x that a step makes of the rays of w, where
    # pixels take all rays that hold counts: after an iteration those of the subset that came last.
    # Sums of what is positive: each term is rounded, once along rays and once back.
    scan = data.draw(scans())
    sinogram = sinogram_of([positive(data.draw(samples(scan)))], scan)
    rng = np.random.Generator(np.random.Philox(data.draw(st.integers(0, 99))))
    weights = rng.uniform(0.2, 3.0, sinogram.shape[:2])
    seen = field_of_view(
        scan.n, n_offsets=scan.n, step_um=scan.step, axis_offset_um=scan.axis * scan.step
    )
    rays = rays_of(scan, sinogram, weights=weights, mask=seen)
    found = poisson_reconstruction(
        sinogram, rays=rays, iterations=data.draw(st.integers(1, 4)), n_subsets=n_subsets
    )
    assert np.nanmin(found.values) >= 0.0
    lines = np.empty_like(sinogram)
    rays.operator.forward(np.nan_to_num(found.values).reshape(-1, 1), lines)
    off = [
        np.sum((weights[..., None] * lines)[k::n_subsets], dtype=float)
        / np.sum((weights[..., None] * sinogram)[k::n_subsets], dtype=float)
        - 1.0
        for k in range(n_subsets)
    ]
    assert min(np.abs(off)) <= 2 * sums_rounding(scan)
