"""Packing again where spheres found no room: small electrodes, the first draw, and when to stop."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms.operando_options import OperandoElectrode
from phantoms.operando_population import packed
from phantoms.packing import OutOfReachError, Packing, overlapping_pair, pack_slice
from phantoms.packing_attempts import MAX_ATTEMPTS, packed_in_attempts
from xrdct.errors import InputError

SMALL = OperandoElectrode(
    diameter_um=130.0, particle_1_um=(-22.0, 8.0), particle_2_um=(20.0, -12.0)
)
AT_ONCE, AGAIN = 1, 3
"""Seeds whose first draw finds room, and does not."""


def first_draw(spec: OperandoElectrode, seed: int) -> Packing:
    """The electrode's spheres in one draw, written out."""
    return pack_slice(
        electrode_diameter_um=spec.diameter_um,
        volume_fraction=spec.volume_fraction,
        median_diameter_um=5.0,
        sigma_log=0.6,
        min_diameter_um=1.5,
        max_diameter_um=20.0,
        margin_um=21.0,
        placed=Packing(
            centres_um=np.array([(*spec.particle_1_um, 0.0), (*spec.particle_2_um, 0.0)]),
            diameters_um=np.array([18.0, 16.0]),
        ),
        seed=seed,
    )


def test_small_electrodes_are_packed_and_filled_for_every_seed():
    # Law: discs at z = 0 add up to the volume fraction, off by half a disc at most, of which the
    # largest that can be drawn has 20 µm. One seed in five fails at the first draw; 20 in a row
    # would for 0.2^20 = 1e-14 of the seeds.
    area = np.pi / 4.0 * SMALL.diameter_um**2
    for seed in range(50):
        packing = packed(SMALL, seed)
        z, d = packing.centres_um[:, 2], packing.diameters_um
        discs = np.pi * np.maximum(d**2 / 4.0 - z**2, 0.0).sum()
        assert abs(discs - SMALL.volume_fraction * area) <= 0.5 * np.pi / 4.0 * 20.0**2
        assert overlapping_pair(packing.centres_um, d, tolerance_um=0.0) is None
        reach_um = np.hypot(packing.centres_um[:, 0], packing.centres_um[:, 1]) + d / 2.0
        assert reach_um.max() <= SMALL.diameter_um / 2.0


def test_what_finds_room_at_once_is_the_first_draw():
    # Truth: one call of `pack_slice`. The seed that needs another draw gets one that is not it.
    once, found = first_draw(SMALL, AT_ONCE), packed(SMALL, AT_ONCE)
    np.testing.assert_array_equal(found.centres_um, once.centres_um)
    np.testing.assert_array_equal(found.diameters_um, once.diameters_um)
    with pytest.raises(OutOfReachError, match="out of reach of random placement"):
        first_draw(SMALL, AGAIN)
    assert packed(SMALL, AGAIN).diameters_um.size > 100


def test_draws_are_different_and_the_last_one_tells():
    # Closed form: 20 draws for a seed, the first its own, no two alike.
    drawn: list[int] = []

    def pack(seed: int) -> Packing:
        drawn.append(seed)
        raise OutOfReachError(f"draw {len(drawn)}")

    with pytest.raises(OutOfReachError, match=r"draw 20$"):
        packed_in_attempts(pack, seed=7)
    with pytest.raises(OutOfReachError, match=r"draw 40$"):
        packed_in_attempts(pack, seed=8)
    assert (drawn[0], drawn[MAX_ATTEMPTS]) == (7, 8)
    assert len(set(drawn)) == 2 * MAX_ATTEMPTS == 40


def test_other_mistakes_are_told_at_once():
    calls: list[int] = []

    def pack(seed: int) -> Packing:
        calls.append(seed)
        raise InputError("seed must be 0 or above")

    with pytest.raises(InputError, match="seed must be"):
        packed_in_attempts(pack, seed=7)
    assert calls == [7]
