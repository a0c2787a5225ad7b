"""What compiled loops are made of: rows without bookkeeping, bits of a comparison, counts of bits, colour distances.

Only for kernels.py, whose cache on disk does not notice a change in this file: LANES there has to follow it.
"""

from __future__ import annotations

from typing import Any

import numba.extending
import numba.np.arrayobj
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import types, uint8

# Their annotations, where they have any, describe the Python that is compiled away.
intrinsic: Any = numba.extending.intrinsic
njit: Any = numba.njit
populate_array: Any = numba.np.arrayobj.populate_array


@intrinsic  # type: ignore[untyped-decorator]
def bits_within(_context: Any, rows: Any, start: Any, bound: Any) -> Any:
    """Bit i tells if rows[start + i] <= bound, for 64 bytes: one compare and a mask, which no loop compiles to."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes, order = ir.VectorType(ir.IntType(8), 64), ir.VectorType(ir.IntType(32), 64)
        array = context.make_array(signature.args[0])(context, builder, args[0])
        values = builder.load(builder.bitcast(builder.gep(array.data, [args[1]]), lanes.as_pointer()))
        values.align = 1
        nothing = ir.Constant(lanes, ir.Undefined)
        single = builder.insert_element(nothing, args[2], ir.Constant(ir.IntType(32), 0))
        bounds = builder.shuffle_vector(single, nothing, ir.Constant(order, [0] * 64))
        return builder.bitcast(builder.icmp_unsigned("<=", values, bounds), ir.IntType(64))

    return types.uint64(rows, types.int64, types.uint8), generate


@intrinsic  # type: ignore[untyped-decorator]
def row(_context: Any, array: Any, start: Any, n: Any) -> Any:
    """array.ravel()[start : start + n] without a reference count, whose upkeep would take longer than the loops do."""
    view = types.Array(array.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, args[0])
        item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        row = context.make_array(view)(context, builder)
        data = builder.gep(source.data, [args[1]])
        populate_array(row, data=data, shape=[args[2]], strides=[item], itemsize=item, meminfo=None)
        return row._getvalue()

    return view(array, types.int64, types.int64), generate


def _bit_count(instruction: str, *flags: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def count(_context: Any, x: Any) -> Any:
        def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], *(ir.Constant(ir.IntType(1), flag) for flag in flags))

        return types.uint64(types.uint64), generate

    return count


popcount = _bit_count("ctpop")
lowest = _bit_count("cttz", 1)  # index of the lowest bit; x is never 0 where it is used
leading = _bit_count("ctlz", 1)


@njit(inline="always")  # type: ignore[untyped-decorator]
def distances(
    out: Any,
    wide: Any,
    near: Any,
    a0: int,
    a_step: int,
    far: Any,
    b0: int,
    b_step: int,
    n: int,
    channels: int,
    metric: int,
) -> None:
    """out[i] = min(255, colour distance of pixels i of a near and a far row), i < n, rounded up.

    a0, b0 are where the rows begin, a_step, b_step how far their channels are apart.

    metric: 0 chebyshev, 1 manhattan, 2 euclidean. Rows are cut first and walked from 0: only that becomes vector code.
    """
    a, b = row(near, a0, n), row(far, b0, n)
    if metric == 0 and channels == 3:
        c, d = row(near, a0 + a_step, n), row(far, b0 + b_step, n)
        e, f = row(near, a0 + 2 * a_step, n), row(far, b0 + 2 * b_step, n)
        for i in range(n):
            u = uint8(max(a[i], b[i]) - min(a[i], b[i]))
            v = uint8(max(c[i], d[i]) - min(c[i], d[i]))
            w = uint8(max(e[i], f[i]) - min(e[i], f[i]))
            out[i] = max(max(u, v), w)
    elif metric == 0:
        for i in range(n):
            out[i] = uint8(max(a[i], b[i]) - min(a[i], b[i]))
        for k in range(1, channels):
            c, d = row(near, a0 + k * a_step, n), row(far, b0 + k * b_step, n)
            for i in range(n):
                out[i] = max(out[i], uint8(max(c[i], d[i]) - min(c[i], d[i])))
    else:
        for i in range(n):
            wide[i] = 0
        for k in range(channels):
            c, d = row(near, a0 + k * a_step, n), row(far, b0 + k * b_step, n)
            for i in range(n):
                step = np.int32(c[i]) - np.int32(d[i])
                wide[i] += abs(step) if metric == 1 else step * step
        for i in range(n):
            # float32 is enough: the root of k*k + 1 is above k in it for all k <= 255, and squares are exact.
            value = wide[i] if metric == 1 else np.int32(np.ceil(np.sqrt(np.float32(wide[i]))))
            out[i] = uint8(min(value, np.int32(255)))
