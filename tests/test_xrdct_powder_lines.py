"""Lines of a powder where the limits of their list lie."""

import math

import pytest

from xrdct.errors import InputError
from xrdct.powder_lines import MAX_INDEX_TRIPLES, powder_lines

CORNER = ((0.0, 0.0, 0.0),)


def lines(cell, **changes):
    given = {"space_group": "P 1", "positions": CORNER, "s_max_per_A": 1.0}
    return powder_lines(cell, **(given | changes))


def test_too_many_triples_are_counted():
    # Truth: |h| ≤ 2 s_max a, where s_max is raised by at most 2^(1/16) = 4.4 % and a hundredth of
    # that, so that each index has 2·⌊2 s_max a⌋ + 1 values.
    with pytest.raises(InputError, match="may take at most 4000000 index triples") as told:
        lines((50.0, 50.0, 50.0, 90.0, 90.0, 90.0), s_max_per_A=4.0)
    count = int(str(told.value).split("this one takes ")[1].split(":")[0])
    per_index = round(count ** (1.0 / 3.0))
    assert per_index**3 == count > MAX_INDEX_TRIPLES
    assert per_index % 2 == 1
    least = 2.0 * 4.0 * 50.0
    assert least <= (per_index - 1) / 2 <= least * 2.0 ** (1.01 / 16.0)


@pytest.mark.parametrize(("stretch", "merged"), [(5e-7, True), (5e-6, False)])
def test_lines_of_one_spacing_are_one_however_far_out(stretch, merged):
    # Truth: 10 0 0 and 0 0 10 of a cell with c = a (1 + ε) differ in d by ε; what differs by less
    # than 1e-6 is one line, near the middle and far from it.
    cubic = lines((5.0, 5.0, 5.0, 90.0, 90.0, 90.0))
    nearly = lines((5.0, 5.0, 5.0 * (1.0 + stretch), 90.0, 90.0, 90.0))
    assert (len(nearly.s_times_a) == len(cubic.s_times_a)) == merged
    if merged:
        assert nearly.s_times_a == pytest.approx(cubic.s_times_a, rel=1e-6)
    assert math.isclose(float(nearly.multiplicity.sum()), float(cubic.multiplicity.sum()))
