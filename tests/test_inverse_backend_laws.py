"""Laws that every backend obeys whose package is installed, for any sample and any scan.

Samples and scans are those of the laws of our own filtered back projection; what backends make of
closed forms is the contract of tests/test_inverse_backends.py.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inverse.backends.algotom import AlgotomBackend
from inverse.backends.astra import AstraBackend
from inverse.backends.own import OwnBackend
from inverse.backends.skimage import SkimageBackend
from inverse.backends.tomopy import TomopyBackend
from inverse.geometry import field_of_view
from tests.test_inverse_reconstruction_laws import (
    assert_same,
    back_projected,
    factors,
    rounding,
    samples,
    scans,
    sinogram_of,
)
from xrdct.errors import InputError

BACKENDS = (OwnBackend(), AlgotomBackend(), AstraBackend(), SkimageBackend(), TomopyBackend())
EXAMPLES = 8
"""Of each law: other packages go through the image once for each channel."""
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


@pytest.fixture(autouse=True)
def _installed(request):
    if "backend" in request.fixturenames:
        try:
            request.getfixturevalue("backend").version()
        except InputError as error:
            pytest.skip(str(error))


def images_of(backend, sinogram, scan):
    """By filtered back projection, or what stands for it."""
    return backend.reconstruct(sinogram, **scan.keywords, method=backend.methods[0])


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_our_own_is_our_own(data):
    # Definition: the same numbers by either way of calling it.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan))], scan)
    found = images_of(OwnBackend(), sinogram, scan)
    np.testing.assert_array_equal(found, back_projected(sinogram, **scan.keywords))


@every_backend
@settings(max_examples=EXAMPLES)
@given(data=st.data(), a=factors, b=factors)
def test_linear(backend, data, a, b):
    # Law; rounding as of our own, of transforms and filters of single precision.
    scan = data.draw(scans())
    first, second = (sinogram_of([data.draw(samples(scan))], scan) for _ in range(2))
    together = images_of(backend, a * first + b * second, scan)
    apart = a * images_of(backend, first, scan) + b * images_of(backend, second, scan)
    scale = rounding(first, scan) * abs(a) + rounding(second, scan) * abs(b)
    assert_same(together, apart, atol=3 * scale)


@every_backend
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_order_of_projections_does_not_matter(backend, data):
    # Law.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan))], scan)
    order = data.draw(st.permutations(range(scan.angles.size)))
    shuffled = replace(scan, angles=scan.angles[order])
    assert_same(
        images_of(backend, sinogram[order], shuffled),
        images_of(backend, sinogram, scan),
        atol=2 * rounding(sinogram, scan),
    )


@every_backend
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_only_what_was_not_measured_is_nan(backend, data):
    # Definition: pixels outside the field of view, and channels with a ray that holds no number.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan)) for _ in range(2)], scan)
    broken = data.draw(st.sets(st.integers(0, 1)))
    for channel in broken:
        angle = data.draw(st.integers(0, scan.angles.size - 1))
        sinogram[angle, data.draw(st.integers(0, scan.n - 1)), channel] = np.nan
    images = images_of(backend, sinogram, scan)
    axis_um = scan.axis * scan.step
    outside = ~field_of_view(scan.n, n_offsets=scan.n, step_um=scan.step, axis_offset_um=axis_um)
    for channel in range(2):
        expected = np.ones_like(outside) if channel in broken else outside
        np.testing.assert_array_equal(np.isnan(images[:, :, channel]), expected)
    assert not np.any(np.isinf(images))
