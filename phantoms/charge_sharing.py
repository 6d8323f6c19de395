"""Which particle takes how much of the lithium that the current delivers.

Particles differ in speed v and start g_0; a common clock τ runs such that the capacity-weighted sum
is what was delivered. A particle of the spinel LiMn2O4 cannot rest inside a two-phase window: the
two lattices would have to share it. It goes through quickly, one particle after the other
(Dreyer et al., Nat. Mater. 9 (2010) 448, on many-particle electrodes). So the clock moves a
progress u of each particle, in which a window [f_1, f_2] has only the length ``window_progress``:

    u_i(τ) = u_i(0) + v_i τ,   f_i = F(u_i),   dF/du = 1 outside windows.

With ``window_progress`` as long as the window itself F is the identity, and particles stay inside
windows as long as anywhere else. F is continuous, so every sum can be met exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phantoms.stoichiometry import FILLED_NODES
from xrdct.errors import InputError

Array: TypeAlias = NDArray[np.float64]

_BISECTIONS = 100
_ROUNDING = 1e-12
_WINDOWS = np.array([False, True, False, True, False])  # pieces between `FILLED_NODES`


@dataclass(frozen=True, eq=False)
class ProgressLaw:
    """Filled fraction as a broken line over progress."""

    progress: Array
    """At `FILLED_NODES`, increasing from 0."""

    def filled(self, progress: Array) -> Array:
        """Return f of the progress u, held at empty and full."""
        return np.asarray(np.interp(progress, self.progress, FILLED_NODES))

    def progress_of(self, filled: Array) -> Array:
        """Return u of the filled fraction f."""
        return np.asarray(np.interp(filled, FILLED_NODES, self.progress))


def progress_law(window_progress: float) -> ProgressLaw:
    """Return F; windows shorter than ``window_progress`` are left as they are."""
    lengths = np.diff(FILLED_NODES)
    lengths = np.where(_WINDOWS, np.minimum(lengths, window_progress), lengths)
    return ProgressLaw(progress=np.concatenate([[0.0], np.cumsum(lengths)]))


def shared_filling(
    law: ProgressLaw, *, start: Array, speed: Array, capacity: Array, amount: float
) -> Array:
    """Return the filled fraction of each particle, such that capacity · f adds up to ``amount``.

    ``start`` (filled fraction), ``speed`` (relative, above 0) and ``capacity`` (above 0) have shape
    (particle,). Raises InputError where the particles cannot hold the amount.
    """
    check_amount(amount, capacity=capacity)
    progress = law.progress_of(start)
    end = law.progress[-1]
    low, high = float(-(progress / speed).max()), float(((end - progress) / speed).max())
    for _ in range(_BISECTIONS):
        clock = 0.5 * (low + high)
        held = float(capacity @ law.filled(progress + speed * clock))
        low, high = (clock, high) if held < amount else (low, clock)
    return law.filled(progress + speed * 0.5 * (low + high))


def check_amount(amount: float, *, capacity: Array) -> None:
    """Raise InputError unless particles of ``capacity`` (particle,) above 0 can hold ``amount``."""
    whole = float(capacity.sum())
    if not -_ROUNDING * whole <= amount <= (1.0 + _ROUNDING) * whole:
        raise InputError(
            f"the bulk of the electrode would have to be filled to {amount / whole:.3g} of its "
            "capacity, but only 0 to 1 can be: take fewer Li-rich particles, less of other phases, "
            "or another charge"
        )
