"""The prior of one who knows how much lattice parameters bend: draws from it bend as the sample."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.known_bends import _groups, bends_inside, precision

N_DRAWS = 400


def electrode() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns, amounts and lattice parameters of seven particles, in mÅ."""
    rng = np.random.Generator(np.random.Philox(3))
    y, x = np.indices((60, 60))
    amount, a_mA = np.zeros((60, 60)), np.zeros((60, 60))
    for cy, cx, radius in (
        (12, 12, 9), (12, 40, 5), (40, 12, 3), (40, 40, 12), (28, 25, 4), (50, 20, 2.5),
        (5, 25, 2.2),
    ):  # fmt: skip
        r = np.hypot(y - cy, x - cx)
        inside = r < radius
        amount[inside] = 1.0
        a_mA[inside] = 4.0 * rng.standard_normal() - 20.0 * (r[inside] / radius) ** 2
    row, column = np.nonzero(amount)
    return row, column, amount[row, column], a_mA[row, column]


@pytest.mark.parametrize("by_size", [False, True])
def test_draws_bend_and_spread_as_the_sample(by_size):
    # Truth: the sample's own mean squares. A mean square over draws scatters by √(2/draws) at most,
    # as those of one draw add to it; five of these, and the 1 % to which the prior is settled.
    row, column, amount, a_mA = electrode()
    bends = bends_inside(row, column, amount)
    prior = precision(bends, a_mA, by_size=by_size).toarray()
    rng = np.random.Generator(np.random.Philox(4))
    drawn = np.linalg.solve(np.linalg.cholesky(prior).T, rng.standard_normal((a_mA.size, N_DRAWS)))
    group = _groups(bends.radius) if by_size else np.zeros(bends.radius.size, int)
    true = np.bincount(group, (bends.matrix @ a_mA) ** 2)
    found = np.bincount(group, np.mean((bends.matrix @ drawn) ** 2, axis=1))
    tolerance = 0.01 + 5.0 * np.sqrt(2.0 / N_DRAWS)
    np.testing.assert_allclose(found, true, rtol=tolerance)
    assert np.mean(drawn**2) == pytest.approx(np.var(a_mA), rel=tolerance)
    if by_size:
        assert true.size > 2


def test_bends_are_second_differences_inside_full_material():
    # Truth: a parabola bends by 2c along either axis; a half-filled pixel takes part in no bend.
    y, x = np.indices((5, 6))
    amount = np.ones(30)
    bends = bends_inside(y.reshape(-1), x.reshape(-1), amount)
    assert bends.matrix.shape[0] == 3 * 6 + 5 * 4
    parabola = (0.5 * y**2 + 0.5 * x**2).reshape(-1)
    np.testing.assert_allclose(bends.matrix @ parabola, 1.0)
    amount[2 * 6 + 2] = 0.5
    assert bends_inside(y.reshape(-1), x.reshape(-1), amount).matrix.shape[0] == 38 - 3 - 3


def test_settled_prior_of_a_flat_sample_is_finite():
    # Truth: nothing bends and nothing spreads; the least that counts takes its place.
    row, column, amount, a_mA = electrode()
    bends = bends_inside(row, column, amount)
    assert np.all(np.isfinite(precision(bends, 0.0 * a_mA, by_size=True).data))
