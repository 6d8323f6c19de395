"""The kernels of the ramp filters and the padding, against integrals and limits."""

import numpy as np
import pytest
from scipy.integrate import quad

from inverse.filters import KERNELS
from inverse.reconstruct import filtered_back_projection


@pytest.mark.parametrize("filter_name", sorted(KERNELS))
def test_kernels_are_the_transforms_of_their_windows(filter_name):
    """Definition: ∫|f|·window(f)·cos(2πfk) df over |f| ≤ ½, by quadrature."""
    windows = {
        "ramp": np.ones_like,
        "shepp-logan": np.sinc,
        "cosine": lambda f: np.cos(np.pi * f),
        "hamming": lambda f: 0.54 + 0.46 * np.cos(2 * np.pi * f),
        "hann": lambda f: np.cos(np.pi * f) ** 2,
    }
    distance = np.arange(12.0)
    expected = [
        2 * quad(lambda f, k=k: f * windows[filter_name](f) * np.cos(2 * np.pi * f * k), 0, 0.5)[0]
        for k in distance
    ]
    np.testing.assert_allclose(KERNELS[filter_name](distance), expected, atol=1e-12)


@pytest.mark.parametrize("n", [25, 101])
def test_edges_continue_a_sample_wider_than_the_scan(n):
    """Closed form: of a constant 1, the ramp leaves its tail beyond the length L continued.

    Σ 2/(π²k²) over odd k > L is 1/(π²L) to a relative (1/L)², L = n/2 without padding and 3n/2
    with it, and the sum over angles multiplies by π: the middle tends to zero as L grows.
    """
    sinogram = np.ones((4, n, 1))
    for padding, length in (("zero", n / 2), ("edge", 3 * n / 2)):
        image = filtered_back_projection(
            sinogram, angles_rad=np.arange(4) * np.pi / 4, step_um=2.0, padding=padding
        ).values
        middle = image[n // 2, n // 2, 0]
        # The odd k end within one step of L; single precision cancels 1/4 against its like.
        np.testing.assert_allclose(middle * 2.0, 1 / (np.pi * length), rtol=1 / length, atol=1e-6)
