"""Another draw where spheres found no room: of small electrodes it takes a few.

Random placement reaches a volume fraction or not by luck where few spheres fill the slice: in an
electrode of 130 µm with two large particles standing, one seed in five runs out of room at 0.51.
Another draw of sizes and places mends that, of which each is a fair sample by itself. What is
packed is then conditioned on having found room, as a single draw that succeeds is too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phantoms.packing import OutOfReachError, Packing

MAX_ATTEMPTS = 20
"""Draws before the volume fraction is called out of reach."""

_KEY = (0xA6A1,)


def packed_in_attempts(pack: Callable[[int], Packing], *, seed: int) -> Packing:
    """Return ``pack(seed)``, or where that is out of reach, of further seeds spawned from it.

    The first draw is that of ``seed`` itself, so that what finds room at once does not change.
    Raises the error of the last draw, an InputError, after `MAX_ATTEMPTS`; any other at once.
    """
    for sub_seed in _sub_seeds(seed)[:-1]:
        try:
            return pack(sub_seed)
        except OutOfReachError:
            continue
    return pack(_sub_seeds(seed)[-1])


def _sub_seeds(seed: int) -> list[int]:
    """Return the seeds of all attempts, ``seed`` first."""
    sequence = np.random.SeedSequence(seed, spawn_key=_KEY)
    return [seed, *sequence.generate_state(MAX_ATTEMPTS - 1, np.uint64).tolist()]
