"""Pickle files read as plain data: nothing in the file is ever called, imported or built by Python's own unpickler.

A small machine walks the opcodes (`pickletools.genops`) and knows lists, dicts with text keys, tuples, text, bytes,
numbers and NumPy arrays of numbers. Whatever else the file names is refused, by name.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from resight.errors import InputError
from resight.images.queries import say

MAX_STEPS = 4_000_000  # opcodes; the published ground truths have some 30,000
MAX_MEMO = MAX_STEPS

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_KNOWN: dict[tuple[str, str], str] = {
    **{(module, name): name for module in _NUMPY for name in ("_reconstruct", "scalar")},
    **{(module, "_frombuffer"): "_frombuffer" for module in ("numpy.core.numeric", "numpy._core.numeric")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",  # how Python 3 writes bytes in protocols 0 to 2
    ("__builtin__", "bytes"): "bytes",  # and empty ones
}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DTYPE = re.compile(r"([<>=|]?)(b1|[iu][1248]|f[248]|O8?|O4)")
_MARK = object()


class PlainArray:
    """A NumPy array of the file: `values` is its content as a list, empty until the file gives it."""

    def __init__(self) -> None:
        self.values: list[Any] = []


class _Global:
    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    def __init__(self, text: object) -> None:
        match = _DTYPE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"holds an array of {say(text)}, expected plain numbers")
        self.order, self.kind = match[1] or "=", match[2]

    def numpy(self) -> np.dtype[Any]:
        """The type of the numbers in the byte order that the file states."""
        return np.dtype(self.kind).newbyteorder(self.order)  # type: ignore[arg-type]


def read_plain_pickle(data: bytes, where: str) -> Any:
    """The content of a pickle made of lists, dicts, tuples, text, bytes, numbers and NumPy arrays of numbers.

    data:  protocols 0 to 5, of Python 2 or 3, of NumPy 1 or 2
    where: the file's name, for errors
    ->     arrays are `PlainArray`, NumPy scalars are numbers

    Raises InputError, naming it, for any other thing that the file asks for, and for a damaged file.

    >>> import pickle
    >>> read_plain_pickle(pickle.dumps({"a": [1, 2.5, "x"]}), "made up")
    {'a': [1, 2.5, 'x']}
    """
    machine = _Machine(len(data))
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if steps >= MAX_STEPS:
                raise ValueError(f"has more than {MAX_STEPS:,} steps")
            machine.step(opcode.name, argument)
        return machine.result()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: {_reason(data, error)}") from error


def _reason(data: bytes, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    if isinstance(error, KeyError | IndexError | AttributeError):  # they name a number, or a part of this reader
        reason = "it takes things that it did not put there"
    head = "" if data[:1] == b"\x80" else f"; it begins with {data[:20]!r}"  # as all but the oldest pickles do
    return f"not a ground truth pickle, or damaged: {reason[:200]}{head}"


class _Machine:
    """The stack and the memo of a pickle being read."""

    def __init__(self, size: int) -> None:
        self.left = size  # bytes that arrays may still be made of: those of the file, each once
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps: dict[str, Callable[[Any], None]] = {
            "PROTO": self._nothing, "FRAME": self._nothing, "STOP": self._nothing,
            "MARK": lambda _: self.stack.append(_MARK), "POP": lambda _: self._pop_one(), "POP_MARK": self._drop,
            "EMPTY_LIST": lambda _: self.stack.append([]), "EMPTY_DICT": lambda _: self.stack.append({}),
            "LIST": lambda _: self.stack.append(self._marked()),
            "TUPLE": lambda _: self.stack.append(tuple(self._marked())),
            "DICT": lambda _: self._fill(self._marked(), new=True),
            "APPEND": lambda _: self._extend([self._pop_one()]), "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._fill([self._pop_one(), self._pop_one()][::-1]),
            "SETITEMS": lambda _: self._fill(self._marked()),
            "PUT": self._put, "BINPUT": self._put, "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            "GET": self._get, "BINGET": self._get, "LONG_BINGET": self._get,
            "GLOBAL": self._global, "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._reduce, "BUILD": self._build,
        }  # fmt: skip

    def step(self, name: str, argument: Any) -> None:
        """Do one opcode; ValueError for one that plain data has no use for."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            items = [self._pop_one() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(items[::-1]))
        elif name in self.steps:
            self.steps[name](argument)
        else:
            raise ValueError(f"asks for the step {name}, which plain data does not need: refused")

    def result(self) -> Any:
        """What the file holds."""
        if len(self.stack) != 1:
            raise ValueError(f"ends with {len(self.stack)} things, expected one")
        return self._pop_one()

    def _nothing(self, _: Any) -> None:
        return None

    def _pop_one(self) -> Any:
        item = self.stack.pop()
        if item is _MARK:
            raise ValueError("its marks do not match")
        return item

    def _marked(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise ValueError("its marks do not match")

    def _drop(self, _: Any) -> None:
        self._marked()

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("appends to something that is no list")
        self.stack[-1].extend(items)

    def _fill(self, items: list[Any], new: bool = False) -> None:
        if new:
            self.stack.append({})
        target = self.stack[-1]
        keys = items[::2]
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(key, str) for key in keys):
            raise ValueError("has a dictionary whose keys are not all text")
        target.update(zip(keys, items[1::2]))

    def _put(self, index: Any) -> None:
        if self.stack[-1] is _MARK or not 0 <= int(index) <= MAX_MEMO:
            raise ValueError(f"stores a thing under the number {index}")
        self.memo[int(index)] = self.stack[-1]

    def _get(self, index: Any) -> None:
        self.stack.append(self.memo[int(index)])

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop_one(), self._pop_one()
        self._name(module, name)

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("asks for something whose name is no text: refused")
        if (module, name) not in _KNOWN:
            raise ValueError(f"asks for {module[:60]}.{name[:60]}, which no ground truth needs: refused")
        self.stack.append(_Global(_KNOWN[module, name]))

    def _reduce(self, _: Any) -> None:
        arguments, called = self._pop_one(), self._pop_one()
        if not isinstance(called, _Global) or called.name not in _MAKERS or not isinstance(arguments, tuple):
            raise ValueError("calls something that cannot be called: refused")
        self.left -= sum(len(item) for item in arguments if isinstance(item, str | bytes | bytearray))
        self._afford()
        self.stack.append(_MAKERS[called.name](*arguments))

    def _build(self, _: Any) -> None:
        state, target = self._pop_one(), self.stack[-1]
        if isinstance(target, _Dtype) and isinstance(state, tuple) and state[1] in ("<", ">", "=", "|"):
            target.order = state[1]
        elif isinstance(target, PlainArray) and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, content = state
            self.left -= len(content)
            self._afford()
            target.values = _values(content, dtype, shape, "F" if fortran else "C")
        else:
            raise ValueError("sets the state of something that has none: refused")

    def _afford(self) -> None:
        if self.left < 0:
            raise ValueError("makes more arrays than its bytes can hold: refused")


def _values(content: Any, dtype: Any, shape: Any, order: str) -> list[Any]:
    """An array's content as a list; only as large as its bytes."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or order not in ("C", "F") or len(shape) > 8:
        raise ValueError("holds an array without type or shape")
    if not all(isinstance(length, int) and 0 <= length <= MAX_STEPS * 8 for length in shape):
        raise ValueError("holds an array of impossible shape")
    if dtype.kind.startswith("O"):
        if not isinstance(content, list) or shape != (len(content),):
            raise ValueError("holds an array of objects that is not one-dimensional")
        return content
    raw = content.encode("latin-1") if isinstance(content, str) else content
    kind = dtype.numpy()
    if not isinstance(raw, bytes | bytearray) or math.prod(shape) * kind.itemsize != len(raw) or not shape:
        raise ValueError(f"holds an array that claims {kind} {shape}, which its bytes do not fill")
    values = np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C").tolist()
    return list(values)


def _empty_array(kind: Any, shape: Any, _: Any) -> PlainArray:
    if not isinstance(kind, _Global) or kind.name != "ndarray" or shape != (0,):
        raise ValueError("makes an array that is not NumPy's own")
    return PlainArray()


def _filled_array(content: Any, dtype: Any, shape: Any, order: Any) -> PlainArray:
    made = PlainArray()
    made.values = _values(content, dtype, shape, order)
    return made


def _dtype(name: Any, *_: Any) -> _Dtype:
    return _Dtype(name)


def _scalar(dtype: Any, content: Any) -> Any:
    return _values(content, dtype, (1,), "C")[0]


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("encodes something that is no text")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


_MAKERS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _empty_array,
    "_frombuffer": _filled_array,
    "dtype": _dtype,
    "scalar": _scalar,
    "encode": _encode,
    "bytes": _no_bytes,
}
