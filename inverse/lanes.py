"""One instruction for a whole group of channels, inside compiled loops.

The compiler turns a loop over channels into vector instructions only where it is long. Where a scan
is kept as a few coefficients, the loop over them is short, and this says outright what is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 8
"""Channels of a group: single-precision numbers in a 256-bit register."""

_ALIGNMENT_BYTES = 4
"""What a group can rely on: that of a single number."""


def _add_scaled(
    _context: Any, target: Any, first: Any, weight: Any, source: Any, source_first: Any
) -> Any:
    """Add weight · source[source_first + c] to target[first + c] for c = 0 … LANES − 1."""
    signature = types.void(target, first, weight, source, source_first)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), LANES)

        def place(number: int) -> Any:
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            start = builder.gep(array.data, [arguments[number + 1]])
            return builder.bitcast(start, vector.as_pointer())

        summed = place(0)
        factor = ir.Constant(vector, ir.Undefined)
        for lane in range(LANES):
            factor = builder.insert_element(factor, arguments[2], cgutils.int32_t(lane))
        read = builder.load(place(3), align=_ALIGNMENT_BYTES)
        before = builder.load(summed, align=_ALIGNMENT_BYTES)
        product = builder.fmul(factor, read, flags=("contract",))
        after = builder.fadd(before, product, flags=("contract",))
        builder.store(after, summed, align=_ALIGNMENT_BYTES)
        return context.get_dummy_value()

    return signature, generate


add_scaled: Callable[..., None] = intrinsic(_add_scaled)
"""``add_scaled(target, first, weight, source, source_first)``, for use in compiled code.

Adds weight · source[source_first + c] to target[first + c] for c = 0 … LANES − 1. target and source
are flat contiguous arrays of single precision, the weight is single; bounds are not checked.
"""
