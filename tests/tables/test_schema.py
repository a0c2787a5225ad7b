"""Columns and schemas: what fits, what is refused, and the description that files carry."""

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import InputError
from resight.tables import Nominal, Scalar, Schema, Text, Vector
from resight.tables.columns import grouped

SCHEMA = Schema((Vector("gem", 2), Scalar("MinkLAC1"), Text("note"), Nominal("kind", ("a", "b"))), ("path", "label"))


def test_the_description_comes_back():
    schema = Schema(SCHEMA.columns, ("label",), ("x", "é"), "rel", {"weights": "ab", "n": [1, {"k": None}]}, "species")
    assert Schema.from_json(schema.as_json()) == schema
    assert schema.as_json().isascii()
    assert "\n" not in schema.as_json()


def test_flat_names():
    assert SCHEMA.attributes == ("gem_0", "gem_1", "MinkLAC1", "note", "kind")
    assert SCHEMA.names == ("path", "label", "gem", "MinkLAC1", "note", "kind")


@pytest.mark.parametrize(
    "arguments",
    [
        {"columns": (Scalar("a"), Scalar("a"))},
        {"columns": (Vector("v", 2), Scalar("v_1"))},
        {"columns": (Scalar("path"),)},
        {"columns": (), "meta": ("colour",)},
        {"columns": (), "labels": ("a", "a")},
        {"columns": (), "labels": ("",)},
        {"columns": (), "metadata": {"x": float("nan")}},
        {"columns": (), "metadata": {"x": object()}},
        {"columns": (Vector("v", 600_000), Vector("w", 600_000))},
    ],
)
def test_impossible_schemas_are_refused(arguments):
    with pytest.raises(InputError):
        Schema(**arguments)


@pytest.mark.parametrize("dim, dtype", [(0, "float32"), (-1, "float32"), (3, "float16"), (2_000_000, "float32")])
def test_impossible_vectors_are_refused(dim, dtype):
    with pytest.raises(InputError, match="dimensions"):
        Vector("v", dim, dtype)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"resight_table": 2}', "[" * 100_000, b"\xff", '{"resight_table": 1, "labels": 3}'],
)
def test_other_descriptions_are_refused(text):
    with pytest.raises(InputError):
        Schema.from_json(text)


def test_batches_from_arrays():
    schema = Schema((Vector("gem", 2), Scalar("a")), ("path", "width"))
    batch = schema.batch({"path": ["x", "y"], "gem": np.array([[1, 2], [3, 4]], np.float32), "a": [0.5, None]})
    assert batch.schema == schema.arrow
    assert batch.column("gem").to_pylist() == [[1, 2], [3, 4]]
    assert batch.column("width").to_pylist() == [None, None]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"path": ["x"]}, "the feature 'gem'"),
        ({"path": ["x"], "gem": np.zeros((1, 3))}, "expected shape"),
        ({"path": ["x", "y"], "gem": np.zeros((1, 2))}, "one length"),
        ({"gem": np.zeros((1, 2)), "colour": [1]}, "'colour' is no column"),
        ({"gem": np.zeros((1, 2)), "width": ["wide"]}, "'width' does not fit"),
    ],
)
def test_batches_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        Schema((Vector("gem", 2),), ("path", "width")).batch(columns)


def test_missing_numbers_become_nan():
    """A null row of a list column would vanish where it is flattened."""
    schema = Schema((Vector("v", 2), Scalar("a")), ())
    rows = pa.table({"v": pa.array([[1.0, None], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)), "a": [None, 1.0, 2.0]})
    for part in (rows, rows.slice(1), rows.slice(1, 1)):
        batch = schema.conform(part)
        assert batch.null_count if hasattr(batch, "null_count") else not any(c.null_count for c in batch.columns)
        assert len(batch.column("v").flatten()) == 2 * len(part)
    whole = schema.conform(rows)
    np.testing.assert_array_equal(whole.column("v").flatten(), np.array([1, np.nan, np.nan, np.nan, 3, 4], np.float32))
    np.testing.assert_array_equal(whole.column("a"), [np.nan, 1, 2])


def test_rows_with_other_columns_are_refused():
    schema = Schema((Scalar("a"),), ())
    with pytest.raises(InputError, match=r"lacking \['a'\], not expected \['b'\]"):
        schema.conform(pa.table({"b": [1.0]}))
    with pytest.raises(InputError, match="'a' should be double"):
        schema.conform(pa.table({"a": ["x"]}))


def test_runs_of_numbered_columns_become_vectors():
    columns = [Scalar(n) for n in ("w_0", "x_0", "x_1", "x_2", "y_1", "y_2", "z_00", "z_01", "x", "q_0", "q_1")]
    assert [c.name for c in grouped(columns)] == ["w_0", "x_0", "x_1", "x_2", "y_1", "y_2", "z_00", "z_01", "x", "q"]
    assert grouped([Scalar("a_b_0"), Scalar("a_b_1"), Text("t_0"), Text("t_1")]) == (
        Vector("a_b", 2, "float64"),
        Text("t_0"),
        Text("t_1"),
    )


def test_the_first_difference_is_named():
    assert SCHEMA.first_difference(SCHEMA) is None
    other = Schema((Vector("gem", 3), *SCHEMA.columns[1:]), ())
    assert SCHEMA.first_difference(other) == (
        "feature 1 is 'gem' (vector, 2 x float32) in one and 'gem' (vector, 3 x float32) in the other"
    )
    assert "only one has 'kind'" in SCHEMA.first_difference(Schema(SCHEMA.columns[:-1], ()))
    values = Schema((*SCHEMA.columns[:-1], Nominal("kind", ("c",))), ())
    assert SCHEMA.first_difference(values) is None
