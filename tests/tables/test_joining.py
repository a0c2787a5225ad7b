"""Merging and concatenating: by hand, against a naive loop, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.tables import Nominal, Scalar, Schema, Vector, concat, convert, merge, open_table, open_writer
from resight.tables import writing as module

LABELS = ["x", "y", "x", None]
PATHS = ["a", "b", "c", "d"]


def put(file, columns, labels=None, relation="a", metadata=None, **rows):
    meta = tuple(name for name in ("path", "label", "sha256", "status", "error") if name in rows)
    schema = Schema(columns, meta, labels, relation, metadata or {})
    with open_writer(file, schema) as writer:
        writer.write(rows)
    return file


@pytest.fixture
def pair(tmp_path):
    a = put(tmp_path / "a.parquet", (Vector("v", 2),), path=PATHS, label=LABELS, status=["ok", "ok", "failed", "ok"],
            error=[None, None, "cut off", None], v=np.arange(8).reshape(4, 2), metadata={"from": "a"})  # fmt: skip
    b = put(tmp_path / "b.parquet", (Scalar("s"),), relation="b", path=PATHS, label=LABELS, s=[1, 2, 3, 4],
            status=["ok", "failed", "ok", "ok"], sha256=["0", None, "2", "3"], error=[None, "too small", None, None],
            metadata={"from": "b"})  # fmt: skip
    return a, b


def test_merge_by_hand(pair, tmp_path):
    assert merge(*pair, tmp_path / "m.parquet") == 4
    file = open_table(tmp_path / "m.parquet")
    assert file.schema.relation == "Merged_a_and_b"
    assert file.schema.metadata == {"merged": [{"from": "a"}, {"from": "b"}]}
    assert file.schema.attributes == ("v_0", "v_1", "s")
    assert file.table().to_pylist()[1] == {
        "path": "b", "label": "y", "sha256": None, "status": "failed", "error": "too small", "v": [2, 3], "s": 2,
    }  # fmt: skip
    assert file.table().column("status").to_pylist() == ["ok", "failed", "failed", "ok"]
    assert file.table().column("error").to_pylist() == [None, "too small", "cut off", None]


def test_merge_of_arff_and_parquet(pair, tmp_path):
    a, b = pair
    convert(b, tmp_path / "b.arff")
    merge(a, tmp_path / "b.arff", tmp_path / "m.arff")
    assert "@RELATION Merged_a_and_b\n" in (tmp_path / "m.arff").read_text()
    assert open_table(tmp_path / "m.arff").table().column("s").to_pylist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "rows, message",
    [
        ({"path": ["a", "c", "b", "d"], "label": LABELS}, "row 2 of .*: the path is 'b' in one and 'c' in the other"),
        ({"path": PATHS, "label": ["x", "y", "y", None]}, "row 3 of .*: the label is 'x' in one and 'y'"),
        ({"path": PATHS, "label": ["x", "y", "x", "x"]}, "row 4 of .*: the label is None in one and 'x'"),
        ({"path": PATHS[:3]}, "a.parquet has more rows than c.parquet, which has 3"),
        ({"path": PATHS + ["e"]}, "c.parquet has more rows than .*a.parquet, which has 4"),
    ],
)
def test_merge_refuses_other_rows(pair, rows, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    count = len(rows["path"])
    put(tmp_path / "c.parquet", (Scalar("s"),), s=range(count), **rows)
    with pytest.raises(InputError, match=message):
        merge(pair[0], "c.parquet", tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


def test_merge_refuses_one_feature_twice_and_its_own_inputs(pair, tmp_path):
    a, b = pair
    put(tmp_path / "c.csv", (Scalar("v_1"),), v_1=[1, 2, 3, 4])
    with pytest.raises(InputError, match="both have the feature 'v_1'"):
        merge(a, tmp_path / "c.csv", tmp_path / "m.parquet")
    for target in (a, b):
        with pytest.raises(InputError, match="is read from"):
            merge(a, b, target)
    with pytest.raises(InputError, match="is read from"):
        convert(tmp_path / "c.csv", tmp_path / "c.csv.json")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_merge_lines_up_blocks_of_any_sizes(tmp_path_factory, ours, theirs):
    folder = tmp_path_factory.mktemp("merge")
    count = min(sum(ours), sum(theirs))
    values = np.arange(count, dtype=np.float64)
    for name, sizes in (("a", ours), ("b", theirs)):
        with pytest.MonkeyPatch.context() as patch, \
             open_writer(folder / f"{name}.parquet", Schema((Scalar(name),), ())) as writer:  # fmt: skip
            patch.setattr(writer, "_block_rows", sizes[0])
            writer.write({name: values})
    merge(folder / "a.parquet", folder / "b.parquet", folder / "m.parquet")
    table = open_table(folder / "m.parquet").table()
    np.testing.assert_array_equal(table.column("a"), values)
    np.testing.assert_array_equal(table.column("b"), values)


def test_concat_by_hand(tmp_path):
    columns = (Scalar("s"), Nominal("n", ("p", "q")))
    a = put(tmp_path / "a.parquet", columns, path=["a"], label=["y"], s=[1], n=["p"])
    b = put(tmp_path / "b.arff", (Scalar("s"), Nominal("n", ("r",))), ("x", "y"), "b", label=["x"], s=[2], n=["r"])
    assert concat([a, b], tmp_path / "c.parquet") == 2
    file = open_table(tmp_path / "c.parquet")
    assert file.schema.relation == "Concatenated_a_and_b"
    assert file.schema.labels == ("y", "x")
    assert file.schema.columns[1] == Nominal("n", ("p", "q", "r"))
    assert file.table().to_pylist() == [
        {"path": "a", "label": "y", "s": 1, "n": "p"}, {"path": None, "label": "x", "s": 2, "n": "r"}]  # fmt: skip
    concat([a, b, a], tmp_path / "d.arff", relation="parts")
    assert "@RELATION parts\n" in (tmp_path / "d.arff").read_text()
    assert open_table(tmp_path / "d.arff").table().column("label").to_pylist() == ["y", "x", "y"]


@pytest.mark.parametrize(
    "columns, message",
    [
        ((Vector("w", 2),), r"feature 1 is 'v' \(vector, 2 x float32\) in one and 'w'"),
        ((Vector("v", 3),), "vector, 3 x float32"),
        ((Vector("v", 2), Scalar("s")), "one has 1 features and the other 2: only one has 's'"),
        ((Scalar("v"),), r"'v' \(number\)"),
    ],
)
def test_concat_names_the_first_difference(columns, message, tmp_path):
    a = put(tmp_path / "a.parquet", (Vector("v", 2),), v=np.zeros((1, 2)))
    rows = {c.name: np.zeros((1, c.dim)) if isinstance(c, Vector) else [0] for c in columns}
    b = put(tmp_path / "b.parquet", columns, **rows)
    with pytest.raises(InputError, match=message):
        concat([a, b], tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()
    with pytest.raises(InputError, match="two tables or more"):
        concat([a], tmp_path / "c.parquet")


def test_parts_of_one_table_make_the_table(tmp_path, monkeypatch):
    """As an interrupted extraction leaves them."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    values = np.random.default_rng(0).random((50, 3), dtype=np.float32)
    told = {"columns": (Vector("v", 3),), "relation": "features", "metadata": {"k": 1}}
    parts = [put(tmp_path / f"{start}.parquet", **told, v=values[start : start + 7]) for start in range(0, 50, 7)]
    put(tmp_path / "whole.parquet", **told, v=values)
    concat(parts, tmp_path / "joined.parquet", relation="features")
    whole, joined = (open_table(tmp_path / f"{name}.parquet") for name in ("whole", "joined"))
    assert joined.schema == whole.schema
    assert joined.table().equals(whole.table())
