"""Philox4x32-10: published vectors, and counters that never meet."""

import numpy as np
import pytest
from scipy import stats

from forward.philox import (
    BLOCKS_PER_RUN,
    WORDS_PER_RUN,
    fill_words,
    fine_uniform,
    philox4x32,
    stream_key,
    uniform,
)
from xrdct.errors import InputError

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_blocks_are_those_published(
    counter: tuple[int, ...], key: tuple[int, ...], block: tuple[int, ...]
) -> None:
    # The known-answer vectors of Random123 for philox4x32, 10 rounds.
    assert tuple(int(word) for word in philox4x32(*counter, *key)) == block
    narrow = [np.uint32(number) for number in (*counter, *key)]
    assert tuple(int(word) for word in philox4x32(*narrow)) == block


def test_filled_words_are_the_blocks_of_their_counters() -> None:
    # By definition: word w of block b of a run stands at w · BLOCKS_PER_RUN + b. The first block
    # is near the end of the 32-bit range, where the counter must wrap.
    first, row, stage, frame, k0, k1 = 2**32 - 40, 7, 3, 2**31 + 5, 11, 2**32 - 1
    words = np.empty(2 * WORDS_PER_RUN, np.uint32)
    fill_words(words, first, row, stage, frame, k0, k1)
    expected = np.array(
        [
            [philox4x32((first + b) % 2**32, row, stage, frame, k0, k1)]
            for b in range(2 * BLOCKS_PER_RUN)
        ],
        np.uint32,
    )
    runs = expected.reshape(2, BLOCKS_PER_RUN, 4).transpose(0, 2, 1)
    assert np.array_equal(words.reshape(2, 4, BLOCKS_PER_RUN), runs)


def test_rows_stages_and_frames_do_not_share_blocks() -> None:
    # A counter is encrypted by a bijection, so distinct counters give distinct blocks of 128 bits.
    k0, k1 = stream_key(1)
    blocks = {
        philox4x32(block, row, stage, frame, k0, k1)
        for block in range(9)
        for row in range(9)
        for stage in range(9)
        for frame in range(9)
    }
    assert len(blocks) == 9**4


def test_keys_depend_on_seed_and_spawn_key_as_numpy_defines() -> None:
    # numpy.random.SeedSequence is the definition; its spawn(3)[2] has the spawn key (2,).
    child = np.random.SeedSequence(42).spawn(3)[2]
    assert np.array_equal(stream_key(42, 2), child.generate_state(2, np.uint32))
    keys = {tuple(stream_key(seed, *spawn)) for seed in range(4) for spawn in ((), (0,), (0, 1))}
    assert len(keys) == 12
    with pytest.raises(InputError, match="not negative"):
        stream_key(-1)


def test_words_are_uniform() -> None:
    # χ² of the leading and of the trailing byte over 256 values, 2²⁰ words; false alarm 1e-8 each.
    words = np.empty(2**20, np.uint32)
    k0, k1 = stream_key(5)
    fill_words(words, 0, 0, 0, 0, k0, k1)
    limit = stats.chi2.isf(1e-8, 255)
    for byte in (words >> 24, words & 0xFF):
        counts = np.bincount(byte, minlength=256)
        assert float(np.sum((counts - 4096.0) ** 2) / 4096.0) < limit


def test_uniform_numbers_exclude_zero_and_include_one() -> None:
    # Closed form: (word + 1)/2³² and (53 leading bits + 1)/2⁵³.
    assert uniform(np.uint32(0)) == 2.0**-32
    assert uniform(np.uint32(ONES)) == 1.0
    assert fine_uniform(np.uint32(0), np.uint32(0)) == 2.0**-53
    assert fine_uniform(np.uint32(ONES), np.uint32(ONES)) == 1.0
    assert fine_uniform(np.uint32(2**31), np.uint32(0)) == 0.5 + 2.0**-53
