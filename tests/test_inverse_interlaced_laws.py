"""Laws of merging an interlaced scan and back projecting it, for any sample in view.

Samples are those of the laws of filtered back projection. Scans are of half a turn, where
neighbouring projections complete each other, or of a whole one, where opposite ones do.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inverse.geometry import field_of_view
from inverse.interlace import at_half_steps
from tests.sinograms import sinogram
from tests.test_inverse_reconstruction_laws import (
    Scan,
    amount_bound,
    assert_same,
    back_projected,
    factors,
    rounding,
    samples,
    sinogram_of,
    window,
)

GROWTH = 6.0
"""By which merging may raise a value: cubic interpolation by 1.25, the smooth difference of two,
each read twice, by 1 + 2·1.25², as neighbours take all of it."""
both_turns = pytest.mark.parametrize("turn", [np.pi, 2.0 * np.pi], ids=["half", "whole"])


def interlaced(data, turn):
    """A scan whose odd projections stand half a step on; opposite ones differ in this, too."""
    n_angles = 2 * (2 * data.draw(st.integers(8, 12)) + 1)
    start = data.draw(st.floats(-3.0, 3.0))
    angles = start + turn * np.arange(n_angles) / n_angles
    return Scan(angles=angles, n=data.draw(st.integers(45, 64)), step=1.0, axis=0.0)


def shown(sample, scan):
    """What its rays show: those of odd projections as of an axis half a step before."""
    odd = np.arange(scan.angles.size) % 2 == 1
    seen = sinogram_of([sample], scan)
    between = sinogram_of([sample], Scan(scan.angles, scan.n, scan.step, scan.axis - 0.5))
    return np.where(odd[:, None, None], between, seen)


def merged(values, scan):
    """The sinogram at half steps, and the scan that would have measured it."""
    offsets = np.arange(scan.n) - 0.5 * (scan.n - 1)
    offsets = offsets + 0.5 * (np.arange(scan.angles.size) % 2)[:, None]
    found = at_half_steps(sinogram(values, step=1.0, angles=scan.angles), offsets_um=offsets)
    return found.values, Scan(found.angles_rad, 2 * scan.n - 1, 0.5, 0.0)


def image_of(values, scan):
    lines, halved = merged(values, scan)
    return back_projected(lines, **halved.keywords)


@both_turns
@settings(max_examples=10)
@given(data=st.data(), a=factors, b=factors)
def test_linear(turn, data, a, b):
    # Law.
    scan = interlaced(data, turn)
    first, second = (shown(data.draw(samples(scan)), scan) for _ in range(2))
    together = image_of(a * first + b * second, scan)
    apart = a * image_of(first, scan) + b * image_of(second, scan)
    _, halved = merged(first, scan)
    scale = sum(
        abs(c) * rounding(np.repeat(x, 2, axis=1), halved) for c, x in ((a, first), (b, second))
    )
    assert_same(together, apart, atol=3 * GROWTH * scale)


@both_turns
@settings(max_examples=10)
@given(data=st.data(), power=st.integers(-20, 20))
def test_numbers_wherever_it_was_seen_and_in_any_unit(turn, data, power):
    # Definition, and law: powers of two change no digit.
    scan = interlaced(data, turn)
    values = shown(data.draw(samples(scan)), scan)
    image = image_of(values, scan)
    outside = ~field_of_view(2 * scan.n - 1, n_offsets=2 * scan.n - 1, step_um=0.5)
    np.testing.assert_array_equal(np.isnan(image[:, :, 0]), outside)
    np.testing.assert_array_equal(
        image_of(values * np.float32(2.0**power), scan), image * np.float32(2.0**power)
    )


@settings(max_examples=10)
@given(data=st.data())
def test_the_amount_is_conserved(data):
    # Law. Merged opposites are rays half a step apart, halfway between set-points, which are read a
    # quarter of a step beside; weights of interpolation at a fixed place add up to 1. The bound is
    # derived for a beam as wide as the step; one of twice that is smoother at all wave numbers,
    # sinc 2f = cos πf·sinc f. Interpolation raises none of them by more than 1.25.
    scan = interlaced(data, 2.0 * np.pi)
    sample = data.draw(samples(scan))
    lines, halved = merged(shown(sample, scan), scan)
    image = np.nan_to_num(back_projected(lines, **halved.keywords)[:, :, 0])
    weight, _ = window(halved)
    amount = halved.step**2 * np.sum(weight * image, dtype=float)
    bound, _ = amount_bound(halved, minor=2.0 * min(e.minor for e in sample))
    total = sum(abs(e.amount) for e in sample)
    assert abs(amount - sum(e.amount for e in sample)) <= 1.25 * bound * total
