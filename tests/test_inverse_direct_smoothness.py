"""The direct method's penalty on bends, by the size of particles, and its unknowns."""

from __future__ import annotations

import numpy as np
import pytest

from inverse.direct_precondition import Unknowns
from inverse.direct_prior import Bending, bending_of, lattice_roughness, lattice_stiffness

UNIT_A = 0.015


def random_bending(rng: np.random.Generator, side: int) -> Bending:
    return Bending(
        (rng.random((side - 2, side)), rng.random((side, side - 2))),
        rng.uniform(0.5, 2.0, (side,) * 2),
    )


def squares(image: np.ndarray, stiffness: tuple[np.ndarray, np.ndarray]) -> float:
    """Return ½·Σ K·t² over the bends t of an image."""
    along_y = image[:-2] - 2.0 * image[1:-1] + image[2:]
    along_x = image[:, :-2] - 2.0 * image[:, 1:-1] + image[:, 2:]
    return 0.5 * float(np.sum(stiffness[0] * along_y**2) + np.sum(stiffness[1] * along_x**2))


def of_disc(radius: float, bend: float) -> float:
    """Return the penalty of an image of constant bends, of a disc of material."""
    y, x = np.indices((41, 41)) - 20.0
    amount = (np.hypot(y, x) <= radius).astype(float)
    bending = bending_of(amount)
    count = sum(float(weight.sum()) for weight in bending.weights)
    image = 0.5 * bend * (x**2 + y**2)
    return lattice_roughness(image, bending=bending, answering_A=UNIT_A)[0] / count


def test_bend_costs_by_the_square_of_the_size():
    # Truth: h(s·t) → (s·t)²/2 for small t, with s twice as large in a disc twice as large: discs of
    # √26 and √101 pixels fit, which are rounded down to 4 and 8.
    bend = 1e-4 * 2e-3 / UNIT_A
    assert of_disc(10.0, bend) / of_disc(5.0, bend) == pytest.approx(4.0, rel=1e-6)


def test_scale_has_limits_and_a_step_costs_its_height_times_it():
    # Truth: ρ of a lone pixel is 1, of a plane infinite; they count as 1.5 and 12, over 3.5. A step
    # of t ≫ δ has two bends of it in each row, and h(s·t) → δ·s·t.
    alone = np.zeros((9, 9))
    alone[4, 4] = 1.0
    np.testing.assert_allclose(bending_of(alone).scale, 1.5 / 3.5)
    plane = bending_of(np.ones((9, 9)))
    np.testing.assert_allclose(plane.scale, 12.0 / 3.5)
    step = np.zeros((9, 9))
    step[:, 5:] = 1e3
    value, _ = lattice_roughness(step, bending=plane, answering_A=UNIT_A)
    assert value == pytest.approx(9 * 2 * 2e-3 / UNIT_A * 12.0 / 3.5 * 1e3, rel=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stiffness_gives_squares_above_the_penalty(seed):
    # Truth: √(δ² + t²) is concave in t², so that its tangent in t² lies above it (Charbonnier).
    rng = np.random.Generator(np.random.Philox(seed))
    bending = random_bending(rng, 9)
    here, there = rng.normal(0.0, 0.5, (2, 9, 9))
    stiffness = lattice_stiffness(here, bending=bending, answering_A=UNIT_A)
    at_here, slope = lattice_roughness(here, bending=bending, answering_A=UNIT_A)
    at_there, _ = lattice_roughness(there, bending=bending, answering_A=UNIT_A)
    above = at_here + squares(there, stiffness) - squares(here, stiffness)
    assert at_there <= above * (1.0 + 1e-12)
    # Both have the same slope where they touch: that of squares by central differences, exact.
    along = rng.normal(size=(9, 9))
    change = 0.5 * (squares(here + along, stiffness) - squares(here - along, stiffness))
    assert float(np.sum(slope * along)) == pytest.approx(change, rel=1e-9)


def test_unknowns_and_lattice_parameters_are_one_to_one():
    # Truth: M is symmetric, M⁻¹ its inverse, and pixels without a link keep their amounts. Factors
    # of single precision solve to n·2⁻²⁴·κ, n = 5 numbers of a row and κ the condition of M
    # (Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 9).
    rng = np.random.Generator(np.random.Philox(5))
    side, index = 12, np.sort(np.random.Generator(np.random.Philox(6)).permutation(144)[:100])
    stiffness = (rng.uniform(0.0, 9.0, (10, 12)), rng.uniform(0.0, 9.0, (12, 10)))
    unknowns = Unknowns(rng.random(100), stiffness, index=index, side=side)
    u, v = rng.normal(size=(2, 100))
    matrix = unknowns.matrix.toarray()
    error = 5.0 * 2.0**-24 * np.linalg.cond(matrix)
    assert error < 1e-3
    again = unknowns.solved(unknowns.of_lattice(u))
    assert np.linalg.norm(again - u) < error * np.linalg.norm(u)
    largest = np.linalg.norm(u) * np.linalg.norm(v) * np.linalg.norm(np.linalg.inv(matrix), 2)
    assert abs(u @ unknowns.solved(v) - v @ unknowns.solved(u)) < 2.0 * error * largest
    free = Unknowns(
        np.linspace(0.3, 1.0, 100), (np.zeros((10, 12)), np.zeros((12, 10))), index=index, side=side
    )
    np.testing.assert_allclose(free.of_lattice(u), np.linspace(0.3, 1.0, 100) * u, rtol=1e-12)


@pytest.mark.parametrize("stiffness", [0.1, 1.0, 30.0])
def test_unknowns_are_equally_well_determined(stiffness):
    # Truth: on a full plane, by the symbols l ≥ 0 of the second differences along each axis times
    # √K, (1 + l_y² + l_x²)/(1 + l_y + l_x)² lies between 1/3 (at l_y = l_x = 1) and 1. An image
    # that vanishes near the border does not see it.
    rng = np.random.Generator(np.random.Philox(7))
    side = 16
    bends = (np.full((side - 2, side), stiffness), np.full((side, side - 2), stiffness))
    unknowns = Unknowns(np.ones(side * side), bends, index=np.arange(side * side), side=side)
    y, x = np.indices((side, side))
    bell = np.exp(-0.5 * ((y - 7.5) ** 2 + (x - 7.5) ** 2) / 2.0**2)
    for image in (rng.normal(size=(side, side)), (-1.0) ** (x + y), (-1.0) ** x, bell):
        middle = np.where((np.minimum(y, x) >= 3) & (np.maximum(y, x) <= side - 4), image, 0.0)
        share = (np.sum(middle**2) + 2.0 * squares(middle, bends)) / np.sum(
            unknowns.of_lattice(middle.reshape(-1)) ** 2
        )
        assert 1.0 / 3.0 - 1e-9 <= share <= 1.0 + 1e-9
