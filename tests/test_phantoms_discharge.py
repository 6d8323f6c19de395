"""Charge counting: the study's capacity and C-rates, and that no charge is lost."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib
from pydantic import ValidationError

from phantoms.coating import coating_volume_fraction, disc_capacity_mAh
from phantoms.discharge import SCAN_NUMBERS, Discharge, protocol, theoretical_mAh_per_g
from phantoms.stoichiometry import mean_lattice_A, open_circuit_voltage_V
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.scan import SCAN_PRESETS

FARADAY_C_PER_MOL = 96485.33212


def test_capacity_of_the_disc_is_the_published_one():
    # Truth: closed form, 166 g/m² · π/4 (1 mm)² · 110 mAh/g; published as 0.0143 mAh.
    capacity = disc_capacity_mAh(areal_g_per_m2=166.0, diameter_um=1000.0, specific_mAh_per_g=110.0)
    assert capacity == pytest.approx(166.0 * np.pi / 4.0 * 1e-6 * 110.0, rel=1e-12)
    assert round(capacity, 4) == Discharge().capacity_mAh == 0.0143


@pytest.mark.parametrize(("current_uA", "hours"), [(8.0, 1.8), (4.0, 3.6)])
def test_c_rates_are_the_published_ones(current_uA, hours):
    # Published: 8 µA is about C/1.8, 4 µA is C/3.6.
    assert round(1.0 / Discharge(current_uA=current_uA).c_rate_per_h, 1) == hours


def test_change_of_x_counts_electrons():
    # Truth: moles of electrons over moles of LiMn2O4, with xraylib's atomic weights (rel. 1e-4).
    discharge = Discharge()
    molar_mass = sum(n * xraylib.AtomicWeight(z) for z, n in ((3, 1), (25, 2), (8, 4)))
    grams = discharge.capacity_mAh / 110.0
    electrons_mol = discharge.capacity_mAh * 3.6 / FARADAY_C_PER_MOL
    assert discharge.x_change == pytest.approx(electrons_mol / (grams / molar_mass), rel=1e-4)
    assert round(discharge.x_change, 2) == 0.74  # published: 110 of 148 mAh/g
    assert round(theoretical_mAh_per_g()) == 148


def test_start_has_the_published_lattice_parameter():
    # Published: a ≈ 8.07 Å; x ≈ 0.17. To the digits given.
    discharge = Discharge()
    assert round(float(mean_lattice_A(discharge.scan_x(1), y=0.0)), 2) == 8.07
    assert round(discharge.scan_x(1), 2) == 0.17


def test_no_charge_is_lost():
    # Law: the integral of the current over time (trapezia are exact for pieces of constant
    # current) is the charge, at the end the capacity.
    discharge = Discharge()
    told = protocol(discharge, steps_per_part=7)
    steps_mAh = np.diff(told.time_s) * told.current_uA[1:] * 1e-3 / 3600.0
    counted = np.concatenate([[0.0], np.cumsum(steps_mAh)])
    np.testing.assert_allclose(told.charge_mAh, counted, atol=1e-15)
    assert told.charge_mAh[-1] == pytest.approx(0.0143, rel=1e-12)
    np.testing.assert_allclose(np.diff(told.x) / discharge.x_change, np.diff(counted) / 0.0143,
                               atol=1e-14)  # fmt: skip
    np.testing.assert_array_equal(told.voltage_V, open_circuit_voltage_V(told.x))
    assert told.time_s[-1] == pytest.approx(0.0143 / 0.008 * 3600.0 + 5 * discharge.pause_s)


def test_pauses_are_scans_at_constant_x():
    # Law: without current nothing changes. A pause lasts as long as the region's scan.
    discharge = Discharge(scan_charges=(0.1, 0.2, 0.5, 0.8, 0.9))
    told = protocol(discharge)
    assert set(told.scan) == {0, *SCAN_NUMBERS}
    for number in SCAN_NUMBERS:
        pause = told.scan == number
        assert (told.current_uA[pause] == 0.0).all()
        np.testing.assert_allclose(told.x[pause], discharge.scan_x(number), rtol=1e-14)
        assert np.ptp(told.time_s[pause]) == pytest.approx(SCAN_PRESETS["roi"].beam_time_s)
        assert told.time_s[pause][0] == pytest.approx(discharge.scan_start_s(number))
    assert (told.current_uA[told.scan == 0] == 8.0).all()


def test_impossible_discharges_are_refused():
    with pytest.raises(ValidationError, match="scan_charges must increase"):
        Discharge(scan_charges=(0.0, 0.5, 0.4, 0.8, 1.0))
    with pytest.raises(ValidationError, match=r"lead to x = 1\.\d+, but it must stay below 0\.995"):
        Discharge(practical_mAh_per_g=140.0)
    with pytest.raises(InputError, match="scans are numbered 1 to 5, got 6"):
        Discharge().scan_x(6)
    with pytest.raises(InputError, match="steps_per_part must be 1 or above, got 0"):
        protocol(Discharge(), steps_per_part=0)


def test_volume_fraction_of_the_coating():
    # Truth: areal density over thickness and the density of the crystal file (a = 8.245 Å), whose
    # atomic masses are another table's: equal to 1e-4.
    density = load_crystal("LiMn2O4").density_g_per_cm3
    fraction = coating_volume_fraction(areal_g_per_m2=166.0, coating_um=80.0)
    assert fraction == pytest.approx(166.0 / 80.0 / density, rel=1e-4)
