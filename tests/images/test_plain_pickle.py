"""Pickles read as data: equal to Python's own reader on plain things, and deaf to everything else."""

import collections
import pickle
import struct
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.images.plain_pickle import PlainArray, read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.tuples(inner),
    max_leaves=20,
)


@given(plain, st.sampled_from(PROTOCOLS))
def test_equals_python(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    assert read_plain_pickle(data, "x") == pickle.loads(data) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6), np.arange(6, dtype=">i4").reshape(2, 3), np.array([1.5, -2], np.float32), np.array([], np.int32),
        np.array([True, False]), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array([1, 255], np.uint8),
        np.array(["a", "bc"], object),
    ],
)  # fmt: skip
def test_arrays(array, protocol):
    for data in (pickle.dumps(array, protocol=protocol), renamed(pickle.dumps(array, protocol=protocol))):
        found = read_plain_pickle(data, "x")
        assert isinstance(found, PlainArray) and found.values == array.tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars(protocol):
    value = [np.int64(7), np.float32(0.5), np.bool_(True), np.int16(-3)]
    assert read_plain_pickle(pickle.dumps(value, protocol=protocol), "x") == [7, 0.5, True, -3]


def renamed(data):
    """The same pickle by the other major version of NumPy; the lengths of short texts are put right."""
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        for tail in (b".multiarray", b".numeric"):
            if old + tail in data:
                lengths = [struct.pack("<B", len(name + tail)) for name in (old, new)]
                return data.replace(lengths[0] + old + tail, lengths[1] + new + tail).replace(old + tail, new + tail)
    return data


def test_python_2():
    """What Python 2.7 and NumPy 1 write, protocol 2: byte strings, and arrays whose bytes are a string."""
    array = (
        b"\x80\x02}q\x00(U\x01aq\x01]q\x02(U\x02x1q\x03U\x02\xe9ye"
        b"U\x01bcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02i4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x05\x00\x00\x00\xff\x00\x00\x00tbu."
    )
    found = read_plain_pickle(array, "x")
    assert found["a"] == ["x1", "\xe9y"] and found["b"].values == [5, 255]


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Evil(subprocess.call, (["touch", "owned"],)), r"asks for (subprocess|commands)\.call, which no ground truth"),
        (Evil(eval, ("1",)), r"asks for (builtins|__builtin__)\.eval, which"),
        (Evil(getattr, ("", "join")), r"asks for (builtins|__builtin__)\.getattr, which"),
        (collections.OrderedDict(a=1), r"asks for collections\.OrderedDict, which"),
        ({1, 2}, "set|EMPTY_SET"),
        (np.array([Evil(dir, ())], object), r"asks for (builtins|__builtin__)\.dir, which"),
    ],
)
def test_everything_else_is_refused_by_name(value, named, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=named):
        read_plain_pickle(pickle.dumps(value, protocol=protocol), "x")
    assert not (tmp_path / "owned").exists()


ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R."
BOMBS = {
    "memo of 32 GB": b"\x80\x02]r\xff\xff\xff\x7f.",
    "array of 2^60": ARRAY.replace(b"K\x00", b"\x8a\x08" + b"\0" * 7 + b"\x10"),
    "text of 2^60": b"\x80\x04\x8d" + b"\0" * 7 + b"\x10abc.",
    "long number": b"I" + b"9" * 100_000 + b"\n.",
    "no stop": b"\x80\x02]",
    "nothing": b"",
    "marks": b"(.",
    "append to a number": b"K\x01K\x02a.",
    "numbers as keys": b"}K\x01K\x02s.",
    "empty stack": b"a.",
    "unknown memo": b"h\x07.",
    "persistent": b"Pname\n.",
    "instance": b"(ios\nsystem\n.",
    "extension": b"\x82\x01.",
    "call of a list": b"])R.",
    "state of a list": b"]]b.",
    "dtype of objects with code": b"cnumpy\ndtype\nU\x02V8\x85R.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_damage(name):
    tracemalloc.start()
    with pytest.raises(InputError, match=r"x: not a ground truth pickle, or damaged: ."):
        read_plain_pickle(BOMBS[name], "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_bytes_used_again_and_again():
    """A megabyte stored once, then made into arrays a thousand times, would be gigabytes of numbers."""
    block = b"\x80\x04B" + struct.pack("<I", 10**6) + b"\0" * 10**6 + b"\x940"
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
    again = b"cnumpy._core.numeric\n_frombuffer\n(h\x00" + kind + b"J\x40\x42\x0f\x00\x85X\x01\x00\x00\x00CtR"
    with pytest.raises(InputError, match="makes more arrays than its bytes can hold: refused"):
        read_plain_pickle(block + b"](" + again * 1000 + b"e.", "x")


@given(st.binary(max_size=200))
def test_noise_is_refused_or_plain(data):
    try:
        read_plain_pickle(data, "x")
    except InputError as error:
        assert str(error).startswith("x: ")


@given(plain, st.sampled_from(PROTOCOLS), st.data())
def test_flipped_bytes(value, protocol, draw):
    data = bytearray(pickle.dumps(value, protocol=protocol))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        read_plain_pickle(bytes(data), "x")
    except InputError as error:
        assert str(error).startswith("x: ")
