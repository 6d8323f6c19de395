"""Test objects: their truth against closed forms, and their rays."""

import numpy as np
import pytest
from pydantic import ValidationError

from forward.instrument import TrueInstrument
from forward.projection import expected_projection
from forward.virtual import prepare
from phantoms.sample import Sample
from phantoms.test_objects import (
    CalibrantDisc,
    ResolutionStar,
    TwoPhaseWedge,
    build_test_object,
)
from validation.truth import truth_on_grid
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

SCAN = Scan(n_offsets=41, step_um=1.0, n_angles=4)


def truth_of(spec):
    return truth_on_grid(build_test_object(spec), scan=SCAN, beam_height_um=1.0)


def share_of(phase, truth):
    """Return the mass fraction of a phase, shape (y, x); NaN in the empty."""
    total = sum(truth.mass_g_per_cm3.values())
    return np.divide(
        truth.mass_g_per_cm3[phase], total, np.full(total.shape, np.nan), where=total > 0
    )


def virtual_of(spec):
    return prepare(
        build_test_object(spec), beam=Beam(), detector=Detector(), geometry=Geometry(),
        truth=TrueInstrument(Beam(), Geometry(), 1.0, 1.0),
    )  # fmt: skip


@pytest.mark.parametrize("crystal", ["LaB6", "CeO2"])
def test_a_calibrant_disc_holds_its_crystal_alone(crystal):
    # Closed form: 1 − porosity of the disc, and no spinel, whose cell is not a number then.
    truth = truth_of(CalibrantDisc(crystal=crystal, diameter_um=30.0, porosity=0.4))
    fraction = truth.extra_fraction[crystal]
    assert fraction[20, 20] == pytest.approx(0.6, abs=1e-12)
    assert fraction.sum() == pytest.approx(0.6 * np.pi * 225.0, rel=1e-3)
    assert np.isnan(truth.a_A).all()
    assert truth.volume_fraction.max() == 0.0
    assert not truth.interior.any()
    assert truth.depth_um[20, 20] == pytest.approx(15.0)
    density = load_crystal(crystal).density_g_per_cm3
    assert truth.mass_g_per_cm3[crystal][20, 20] == pytest.approx(0.6 * density, rel=1e-9)


def test_a_disc_of_calibrant_diffracts_by_its_path():
    # Law: without parallax and absorption to speak of (they are left in; a disc on the axis shows
    # the same from all sides) counts less air are the same at every angle. Cells in 45° steps are
    # the same but for rounding.
    virtual = virtual_of(CalibrantDisc())
    assert {family.phase for family in virtual.grid.families} == {"LaB6"}
    first, second = (
        expected_projection(virtual, scan=SCAN, angle_rad=angle) for angle in (0.0, 0.5 * np.pi)
    )
    np.testing.assert_allclose(second.counts, first.counts, rtol=1e-4)
    assert first.path_um.sum(axis=1)[20] == pytest.approx(0.6 * 30.0, rel=2e-3)


def test_a_star_is_half_full_at_every_radius():
    # Closed form: spokes are as wide as their gaps. The first lies along x, the next gap 15° on.
    truth = truth_of(ResolutionStar(diameter_um=38.0, spokes=12))
    assert truth.volume_fraction.sum() == pytest.approx(0.5 * np.pi * 19.0**2, rel=2e-3)
    assert truth.volume_fraction[20, 36] == pytest.approx(1.0, abs=1e-12)
    gap = np.deg2rad(15.0)
    row, column = 20 + round(16.0 * np.sin(gap)), 20 + round(16.0 * np.cos(gap))
    assert truth.volume_fraction[row, column] == 0.0
    assert truth.interior[20, 36]


@pytest.mark.parametrize("azimuth_deg", [0.0, 90.0])
def test_a_wedge_changes_linearly_across(azimuth_deg):
    # Closed form: mass fractions at t are those of (1 + t/R)/2, the mean of a straight line being
    # that of its middle; where densities differ over a pixel that is off by (1/30)²/12.
    spec = TwoPhaseWedge(diameter_um=30.0, azimuth_deg=azimuth_deg)
    truth = truth_of(spec)
    share = share_of("Li2MnO3", truth)
    line = share[20, 6:35] if azimuth_deg == 0.0 else share[6:35, 20]
    expected = 0.5 * (1.0 + np.arange(-14.0, 15.0) / 15.0)
    # border pixels are not whole; the truth samples layers of 0.02 µm of depth, 0.04 µm across
    np.testing.assert_allclose(line[1:-1], expected[1:-1], atol=1.4e-3)


def test_wedges_may_begin_and_end_anywhere():
    truth = truth_of(TwoPhaseWedge(weight_fractions=(0.2, 0.1), phase="LiMnO2-rocksalt"))
    share = share_of("LiMnO2-rocksalt", truth)
    assert share[20, 20] == pytest.approx(0.15, abs=1e-3)
    assert share[20, 7] > share[20, 33]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="second phase"):
        TwoPhaseWedge(phase="LiMn2O4")
    with pytest.raises(ValidationError, match="weight_fractions"):
        TwoPhaseWedge(weight_fractions=(0.0, 1.2))
    with pytest.raises(ValidationError, match="crystal"):
        CalibrantDisc(crystal="Si")
    assert isinstance(build_test_object(ResolutionStar()), Sample)


def test_planes_beyond_the_disc_are_empty():
    spec = ResolutionStar(height_um=10.0, z_um=8.0)
    assert not spec.in_plane
    assert ResolutionStar(height_um=10.0, z_um=4.9).in_plane
    assert truth_of(spec).volume_fraction.max() == 0.0  # 7 σ of the beam away
