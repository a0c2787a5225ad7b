"""Eight floats as one value inside a compiled loop, and what can be done with it.

Vectors are written as such, a numba type with a model of eight floats: no optimiser has to find them, so the speed
depends neither on NUMBA_SLP_VECTORIZE nor on who imports numba first. Narrower processors use two registers for each.
After a change here, save kernels.py too: numba's cache on disk watches only the file that a kernel is in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import extending, types
from numba.extending import models, register_model

N = 8
FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, N)
LOOSE = ("contract",)  # a product and a sum may become one instruction where the processor has it


class _Lanes(types.Type):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__(name="eight_floats")  # type: ignore[no-untyped-call, unused-ignore]


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call, unused-ignore]


EIGHT: Any = _Lanes()  # type: ignore[no-untyped-call, unused-ignore]


def intrinsic(function: Callable[..., Any]) -> Any:
    """numba's decorator, with a type that does not ask the callers for the context."""
    return extending.intrinsic(function)


def _splat(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(VECTOR, ir.Undefined)
    single = builder.insert_element(nothing, value, ir.Constant(INT, 0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(INT, N), [0] * N))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, lanes: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), lanes.as_pointer())


def _read(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    value = builder.load(_pointer(context, builder, kind, array, at, VECTOR))
    value.align = 4
    return value


def _called(builder: Any, name: str, kind: Any, *values: Any) -> Any:
    suffix = "v8f32" if kind == VECTOR else "f32"
    function = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", (), function), values)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _total(builder: Any, value: Any) -> Any:
    """The sum of eight lanes, halves first: always in the same order."""
    for width in (4, 2, 1):
        order = ir.Constant(ir.VectorType(INT, N), [(i + width) % N for i in range(N)])
        value = builder.fadd(value, builder.shuffle_vector(value, value, order))
    return builder.extract_element(value, ir.Constant(INT, 0))


def _keep(context: Any, builder: Any, kind: Any, out: Any, at: Any, value: Any) -> None:
    """Eight floats to an array of floats, or of bytes: at most 255, cut to whole numbers."""
    if kind.dtype.bitwidth == 8:
        value = _least(builder, value, ir.Constant(VECTOR, [255.0] * N))
        value = builder.trunc(builder.fptosi(value, ir.VectorType(INT, N)), ir.VectorType(ir.IntType(8), N))
    builder.store(value, _pointer(context, builder, kind, out, at, value.type), align=kind.dtype.bitwidth // 8)


@intrinsic
def load(_context: Any, array: Any, at: Any) -> Any:
    """array[at : at + 8] of a float32 array, whatever its shape: `at` counts its values."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _read(context, builder, signature.args[0], *args)

    return EIGHT(array, types.int64), generate


@intrinsic
def spread(_context: Any, array: Any, at: Any) -> Any:
    """array[at] eight times, and no look whether `at` is negative."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _splat(builder, builder.load(builder.gep(data, [args[1]])))

    return EIGHT(array, types.int64), generate


@intrinsic
def item(_context: Any, array: Any, at: Any) -> Any:
    """array[at], and no look whether `at` is negative."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.int64), generate


@intrinsic
def store(_context: Any, array: Any, at: Any, value: Any) -> Any:
    """array[at : at + 8] = value."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature.args[0], args[0], args[1], VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, EIGHT), generate


@intrinsic
def put(_context: Any, array: Any, at: Any, value: Any) -> Any:
    """As `store`, to float32 or uint8."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _keep(context, builder, signature.args[0], *args)
        return context.get_dummy_value()

    return types.void(array, types.int64, EIGHT), generate


def _lanewise(name: str, count: int, result: Any = EIGHT, first: Any = EIGHT) -> Any:
    """An intrinsic of `count` vectors that calls an instruction of the builder or a function (builder, *vectors)."""

    def typed(_context: Any, *args: Any) -> Any:
        def generate(_c: Any, builder: Any, _s: Any, values: Any) -> Any:
            return LANEWISE[name](builder, *values)

        return result(*[first] * count), generate

    one, two = (lambda context, a: typed(context, a)), (lambda context, a, b: typed(context, a, b))
    return intrinsic(one if count == 1 else two)


LANEWISE: dict[str, Callable[..., Any]] = {
    "add": lambda builder, a, b: builder.fadd(a, b, flags=LOOSE),
    "sub": lambda builder, a, b: builder.fsub(a, b, flags=LOOSE),
    "mul": lambda builder, a, b: builder.fmul(a, b, flags=LOOSE),
    "least": _least,
    "most": lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b),
    "size": lambda builder, a: _called(builder, "fabs", VECTOR, a),
    "total": _total,
    "fill": _splat,
}
add, sub, mul = _lanewise("add", 2), _lanewise("sub", 2), _lanewise("mul", 2)
smaller, larger, magnitude = _lanewise("least", 2), _lanewise("most", 2), _lanewise("size", 1)
lane_sum, fill = _lanewise("total", 1, types.float32), _lanewise("fill", 1, EIGHT, types.float32)


@intrinsic
def write(_context: Any, cells: Any, at: Any, cols: Any, k: Any, scales: Any, clip: Any, eps: Any, gain: Any, out: Any,
           to: Any) -> Any:  # fmt: skip
    """Sixteen cells of eight orientations: scaled, clipped, normalised, written; all between in registers.

    at: where the rows of cells begin; cols[k : k + 4]: their columns; scales: of corner, edge and middle cells
    clip: 0 for none, and then nothing is normalised
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        cells, at, cols, k, scales, clip, eps, gain, out, to = args
        kinds = signature.args
        rows = [builder.extract_value(at, j) for j in range(4)]
        data = context.make_array(kinds[2])(context, builder, cols).data
        columns = [builder.load(builder.gep(data, [builder.add(k, k.type(i))])) for i in range(4)]
        columns = [builder.mul(column, column.type(N)) for column in columns]
        three = [_splat(builder, builder.extract_value(scales, i)) for i in range(3)]
        values = [
            builder.fmul(_read(context, builder, kinds[0], cells, builder.add(rows[j], columns[i])),
                         three[(j in (1, 2)) + (i in (1, 2))])
            for j in range(4) for i in range(4)
        ]  # fmt: skip
        if kinds[5] != types.none:
            limit = _splat(builder, clip)
            values = [_least(builder, value, limit) for value in values]
            partial = [builder.fmul(value, value) for value in values[:4]]  # four chains of sums: none waits long
            for place, value in enumerate(values[4:]):
                product = builder.fmul(value, value, flags=LOOSE)
                partial[place % 4] = builder.fadd(partial[place % 4], product, flags=LOOSE)
            pairs = [builder.fadd(partial[0], partial[1]), builder.fadd(partial[2], partial[3])]
            norm = _called(builder, "sqrt", FLOAT, _total(builder, builder.fadd(*pairs)))
            gain = builder.fdiv(gain, builder.fadd(norm, eps))
        gain = _splat(builder, gain)
        for place, value in enumerate(values):
            _keep(context, builder, kinds[8], out, builder.add(to, to.type(N * place)), builder.fmul(value, gain))
        return context.get_dummy_value()

    return types.void(cells, at, cols, types.int64, scales, clip, eps, gain, out, types.int64), generate
