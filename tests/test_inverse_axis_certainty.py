"""How well the rotation axis is known, and that a scan which tells it better is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inverse.axis_certainty import (
    AxisWarning,
    KnownAxis,
    about_surest_axis,
    axis_by_whole_sample,
    known_axis,
)
from inverse.centre_of_mass import is_whole_in_view
from inverse.contrast import line_contrast
from inverse.sinogram import Sinogram
from tests.test_inverse_rotation_axis import AXIS_UM, packed_discs, scanned

WINDOW = {"n_offsets": 121, "n_angles": 120}
BEYOND = 12.0
"""Standard uncertainties from eight repeats, beyond which Student's t with seven degrees of freedom
lies with a probability of 6e-6."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_uncertainty_of_the_sharpest_axis_holds_its_error(seed):
    # Truth: closed-form projections about a known axis. A third of the angles that the sample's
    # width asks for tell it to less than what is warned of.
    window = scanned(packed_discs(within=110.0, seed=seed), **WINDOW, noise=0.02)
    found = known_axis(window)
    assert 0.0 < found.esd_um < 0.1
    assert abs(found.offset_um - AXIS_UM) < BEYOND * found.esd_um


def in_a_container(sinogram: Sinogram, level: float) -> Sinogram:
    """The same scan with lines of a level container in every ray."""
    values = sinogram.values.copy()
    values[..., 20] += np.float32(level)
    return replace(sinogram, values=values)


def test_a_whole_sample_tells_the_axis_also_in_a_container():
    # Closed form: the centre of mass, less the level that the lines have beside the sample.
    whole = scanned(packed_discs(within=25.0), n_offsets=81, n_angles=60)
    contained = in_a_container(whole, 3.0)
    assert not is_whole_in_view(line_contrast(contained))
    for scan in (whole, contained):
        found = axis_by_whole_sample(scan)
        assert found is not None
        assert found.offset_um == pytest.approx(AXIS_UM, abs=5e-3)
        assert found.esd_um < 5e-3


def test_a_window_is_no_whole_sample():
    assert axis_by_whole_sample(scanned(packed_discs(within=110.0), **WINDOW)) is None


def test_an_axis_by_centre_of_mass_has_the_uncertainty_of_its_scatter():
    # A scan that sees the whole sample: both ways are one, so that their results are.
    whole = scanned(packed_discs(within=25.0), n_offsets=81, n_angles=60)
    assert known_axis(whole) == axis_by_whole_sample(whole)


def test_opposite_projections_need_nobody_else():
    turned = scanned(packed_discs(within=110.0), **WINDOW, turn=2 * np.pi, noise=0.02)
    assert known_axis(turned).esd_um == 0.0


def test_the_surest_scan_tells_the_axis():
    # Truth: a window about an axis that it knows to half a step, and a scan of the whole sample
    # whose centres of mass have it exactly; a second window tells nothing.
    window = scanned(packed_discs(within=110.0), **WINDOW)
    whole = scanned(packed_discs(within=25.0), n_offsets=81, n_angles=60)
    chosen = about_surest_axis(window, KnownAxis(3.0, 0.5), lambda: [window, whole])
    assert chosen.axis_offset_um == pytest.approx(AXIS_UM, abs=5e-3)
    np.testing.assert_array_equal(chosen.values, window.values)


def test_who_is_sure_asks_nobody():
    def asked():
        raise AssertionError

    window = scanned(packed_discs(within=110.0), **WINDOW)
    assert about_surest_axis(window, KnownAxis(3.0, 0.05), asked).axis_offset_um == 3.0


def test_an_axis_that_nobody_knows_well_is_told():
    window = scanned(packed_discs(within=110.0), **WINDOW)
    with pytest.warns(AxisWarning, match=r"\+3 µm, is known to 0\.5 µm.*sinogram\.rotation_axis"):
        chosen = about_surest_axis(window, KnownAxis(3.0, 0.5), lambda: [window])
    assert chosen.axis_offset_um == 3.0
