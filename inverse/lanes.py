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
        factor = _in_all_lanes(builder, vector, arguments[2])
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


def _weighted_sum(
    _context: Any,
    target: Any,
    first: Any,
    source: Any,
    source_first: Any,
    row: Any,
    table: Any,
    here: Any,
    above: Any,
    lower: Any,
    upper: Any,
    count: Any,
) -> Any:
    """Set target[first + c] to what the rows of source sum up to, by weights from a table."""
    signature = types.void(
        target, first, source, source_first, row, table, here, above, lower, upper, count
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), LANES)
        _, first, _, source_first, row, _, here, above, lower, upper, count = arguments

        def start(number: int, index: Any) -> Any:
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            return builder.gep(array.data, [index])

        zero = ir.Constant(vector, None)
        summed = cgutils.alloca_once_value(builder, zero)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, count, intp=count.type) as loop:
            tap = builder.add(here, loop.index)
            near, far = (builder.load(start(5, k)) for k in (tap, builder.add(tap, above)))
            weight = builder.fadd(
                builder.fmul(lower, near, flags=("contract",)),
                builder.fmul(upper, far, flags=("contract",)), flags=("contract",),
            )  # fmt: skip
            factor = _in_all_lanes(builder, vector, weight)
            place = start(2, builder.add(source_first, builder.mul(loop.index, row)))
            read = builder.load(builder.bitcast(place, vector.as_pointer()), align=_ALIGNMENT_BYTES)
            product = builder.fmul(factor, read, flags=("contract",))
            after = builder.fadd(builder.load(summed), product, flags=("contract",))
            builder.store(after, summed)
        place = builder.bitcast(start(0, first), vector.as_pointer())
        builder.store(builder.load(summed), place, align=_ALIGNMENT_BYTES)
        return context.get_dummy_value()

    return signature, generate


def _in_all_lanes(builder: Any, vector: Any, number: Any) -> Any:
    """Return a vector of one number."""
    result = ir.Constant(vector, ir.Undefined)
    for lane in range(LANES):
        result = builder.insert_element(result, number, cgutils.int32_t(lane))
    return result


weighted_sum: Callable[..., None] = intrinsic(_weighted_sum)
"""``weighted_sum(target, first, source, source_first, row, table, here, above, lower, upper,
count)``, for use in compiled code.

Sets target[first + c] to Σ w(t) · source[source_first + t · row + c] over the taps t < count, for
c = 0 … LANES − 1, with w(t) = lower · table[here + t] + upper · table[here + above + t]. What is
summed stays in a register, so that no tap waits until the one before is written; otherwise as
:data:`add_scaled`.
"""
