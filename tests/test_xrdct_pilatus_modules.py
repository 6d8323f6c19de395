"""Live pixels of Pilatus detectors, against pyFAI's of the same names."""

import numpy as np
import pytest
from pyFAI.detectors import ALL_DETECTORS, detector_factory

from xrdct.instrument import Detector
from xrdct.pilatus_modules import PIXEL_M, pilatus_live, pilatus_shape

NAMES = [name for name in ALL_DETECTORS if pilatus_shape(name) is not None]


def test_pilatus_detectors_are_known_without_pyfai():
    # Counted from the makers' names: eight of silicon, five of CdTe.
    assert len(NAMES) == 13


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_pyfai(name):
    # Independent: pyFAI's mask and pixels.
    theirs = detector_factory(name)
    live = pilatus_live(name)
    np.testing.assert_array_equal(live, theirs.calc_mask() == 0)
    assert (theirs.pixel1, theirs.pixel2) == (PIXEL_M, PIXEL_M)


@pytest.mark.parametrize("name", ["PilatusCdTe2M", "Pilatus_CdTe_2M", "Pilatus4_CdTe_2M"])
def test_a_detector_is_the_same_by_pyfai_or_without(name):
    # Independent: pyFAI, of which other spellings and other detectors come.
    theirs, detector = detector_factory(name), Detector(name=name)
    assert detector.shape == theirs.max_shape
    assert detector.pixel_um == theirs.pixel1 * 1e6
    np.testing.assert_array_equal(detector.live, theirs.calc_mask() == 0)
    assert not detector.live.flags.writeable
