"""Every format gives back what was written, whole or not at all; bad files are refused in one line."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.tables import (
    Scalar,
    Schema,
    Text,
    Vector,
    convert,
    open_table,
    open_writer,
    schema_of,
    write_table,
)  # fmt: skip
from resight.tables.schema import vectors_of

HOSTILE = ["plain", "a b", "a,b", "it's", 'say "x"', "50%", "?", "back\\slash", "{b}", "tab\there", "line\nend", "ü",
           "日本", "@at", " lead", "NA", "nan", "null", "cr\rx", "\x01", "}", "'", '"', "\\", "-", "0"]  # fmt: skip
SUFFIXES = [".parquet", ".csv", ".arff", ".npy"]


def numbers(shape, dtype=np.float32, seed=0):
    """Numbers of every size, with NaN."""
    random = np.random.default_rng(seed)
    values = (random.standard_normal(shape) * 10.0 ** random.integers(-30, 30, shape)).astype(dtype)
    values.flat[0], values.flat[1], values.flat[2], values.flat[3] = np.nan, 0.1, -0.0, 1
    return values


def table_of(schema, count, **columns):
    return schema.batch({"path": [f"p/{i}.jpg" for i in range(count)], **columns})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(suffix, tmp_path):
    schema = Schema(
        (Scalar("s"), Vector("v", 3), Vector("w", 2, "float64"), Scalar("t"), Scalar("u")),
        labels=tuple(HOSTILE), relation="textures", metadata={"version": "1", "weights": {"sha256": "ab"}},
    )  # fmt: skip
    count = len(HOSTILE) + 1
    columns = {"v": numbers((count, 3)), "w": numbers((count, 2), np.float64, 1)}
    columns |= {name: numbers(count, np.float64, seed) for seed, name in enumerate("stu", 2)}
    batch = table_of(schema, count, label=[*HOSTILE, None], width=[*range(count - 1), None], error=["bad", *HOSTILE],
                     **columns)  # fmt: skip
    with open_writer(tmp_path / f"t{suffix}", schema) as writer:
        for start in range(0, count, 4):
            writer.write(batch.slice(start, 4))
    file = open_table(tmp_path / f"t{suffix}")
    table = file.table()
    assert writer.rows == len(table) == count
    for name in ("columns", "labels", "relation", "metadata"):
        assert getattr(file.schema, name) == getattr(schema, name), name
    assert file.schema.meta == (("label",) if suffix == ".arff" else schema.meta)
    for name in file.schema.meta:
        assert table.column(name).to_pylist() == batch.column(name).to_pylist(), name
    read = file.schema.conform(table)
    for name in ("v", "w"):
        assert vectors_of(read.column(name)).dtype == columns[name].dtype
        np.testing.assert_array_equal(vectors_of(read.column(name)), columns[name])
    for name in "stu":
        np.testing.assert_array_equal(read.column(name), columns[name])
    assert schema_of(table) == file.schema
    assert not list(tmp_path.glob(".resight-*"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".npy"])
def test_infinity_stays_where_the_format_has_it(suffix, tmp_path):
    values = np.array([[np.inf, -np.inf]], np.float32)
    schema = Schema((Vector("v", 2),), ())
    with open_writer(tmp_path / f"t{suffix}", schema) as writer:
        writer.write({"v": values})
    assert open_table(tmp_path / f"t{suffix}").table().column("v").to_pylist() == values.tolist()


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_conversion_keeps_numbers_and_labels(source, target, tmp_path):
    values = numbers((7, 5))
    schema = Schema((Vector("v", 5), Scalar("a")), ("path", "label"))
    with open_writer(tmp_path / f"a{source}", Schema(schema.columns, schema.meta, ("x y", "z"))) as writer:
        labels = ["x y", None, "z", "z", "x y", "z", "z"]
        writer.write(table_of(schema, 7, label=labels, v=values, a=np.arange(7) / 3))
    assert convert(tmp_path / f"a{source}", tmp_path / f"b{target}") == 7
    file = open_table(tmp_path / f"b{target}")
    table = file.table()
    np.testing.assert_array_equal(vectors_of(file.schema.conform(table).column("v")), values)
    np.testing.assert_array_equal(table.column("a"), np.arange(7) / 3)
    assert table.column("label").to_pylist() == labels
    assert file.schema.labels == ("x y", "z")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_rows(suffix, tmp_path):
    schema = Schema((Vector("v", 2),), ("label",), ("a",))
    with open_writer(tmp_path / f"t{suffix}", schema):
        pass
    table = open_table(tmp_path / f"t{suffix}").table()
    assert len(table) == 0
    assert table.schema.names == ["label", "v"]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".arff"])
def test_a_single_column_with_missing_cells_keeps_its_rows(suffix, tmp_path):
    schema = Schema((Scalar("a"),), ("label",) if suffix == ".npy" else ())
    with open_writer(tmp_path / f"t{suffix}", schema) as writer:
        writer.write({"a": [np.nan, 1, np.nan]} | ({"label": [None, "x", None]} if suffix == ".npy" else {}))
    table = open_table(tmp_path / f"t{suffix}").table()
    np.testing.assert_array_equal(table.column("a"), [np.nan, 1, np.nan])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_leaves_the_old_file_and_nothing_else(suffix, tmp_path):
    target = tmp_path / f"t{suffix}"
    target.write_bytes(b"old")
    schema = Schema((Vector("v", 2),), ("label",), ("a", "b"))
    with pytest.raises(InputError, match="'c' is not among"), open_writer(target, schema) as writer:
        writer.write({"label": ["a"], "v": np.zeros((1, 2))})
        writer.write({"label": ["c"], "v": np.zeros((1, 2))})
    with pytest.raises(KeyboardInterrupt), open_writer(target, schema) as writer:
        writer.write({"label": ["a"], "v": np.zeros((1, 2))})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_and_leaves_nothing(suffix, tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    schema = Schema((Vector("v", 2),), ("label",), ("a",))
    with pytest.raises(WorkError, match=rf"cannot write .*t\{suffix}.*: the disk is full"), \
         open_writer(tmp_path / f"t{suffix}", schema) as writer:  # fmt: skip
        writer.write({"label": ["a"], "v": np.zeros((1, 2))})
    assert list(tmp_path.iterdir()) == []


def test_doors(tmp_path):
    schema = Schema((Scalar("a"),), ())
    with pytest.raises(InputError, match=r"'\.arf', did you mean '\.arff'"):
        open_writer(tmp_path / "t.arf", schema)
    with pytest.raises(InputError, match="does not exist"), open_writer(tmp_path / "no" / "t.csv", schema):
        pass
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match="a folder"), open_writer(tmp_path / "d.csv", schema):
        pass
    for suffix in (*SUFFIXES, ".json"):
        with pytest.raises(InputError, match="expected a file, got none"):
            open_table(tmp_path / f"none{suffix}")
    with pytest.raises(InputError, match="inside `with"):
        open_writer(tmp_path / "t.csv", schema).write({"a": [1]})
    with pytest.raises(InputError, match="numbers only"), open_writer(tmp_path / "t.npy", Schema((Text("x"),), ())):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "d.csv"]


def test_labels_are_found_where_they_were_not_known(tmp_path):
    schema = Schema((Scalar("a"),), ("label",))
    for suffix in (".parquet", ".csv", ".npy"):
        with open_writer(tmp_path / f"t{suffix}", schema) as writer:
            writer.write({"a": [1, 2, 3], "label": ["y", "x", ""]})
        assert open_table(tmp_path / f"t{suffix}").schema.labels == ("x", "y")
        assert open_table(tmp_path / f"t{suffix}").table().column("label").to_pylist() == ["y", "x", None]
    with pytest.raises(InputError, match="give the schema its labels"), open_writer(tmp_path / "t.arff", schema):
        pass
    write_table(tmp_path / "t.arff", schema.batch({"a": [1, 2], "label": ["y", "x"]}), schema)
    assert "@ATTRIBUTE class {x,y}" in (tmp_path / "t.arff").read_text()


def test_parquet_is_compressed_as_promised(tmp_path):
    schema = Schema((Vector("v", 4), Scalar("a")), ("path",), metadata={"version": "1"})
    with open_writer(tmp_path / "t.parquet", schema) as writer:
        writer.write(table_of(schema, 3, v=np.ones((3, 4)), a=[1, 2, 3]))
    group = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in ("v.list.element", "a"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.schema.field("v").type == pa.list_(pa.float32(), 4)
    assert json.loads(table.schema.metadata[b"resight"])["metadata"] == {"version": "1"}


def test_foreign_parquet(tmp_path):
    pq.write_table(
        pa.table({
            "emb": [[1.0, 2.0], [3.0, 4.0]], "n": pa.array([1, None], pa.int8()),
            "class": pa.array(["a", "b"]).dictionary_encode(), "path": ["x", "y"], "width": [3, 4],
            "remark": ["", None],
        }),
        tmp_path / "t.parquet",
    )  # fmt: skip
    file = open_table(tmp_path / "t.parquet")
    assert file.schema.columns == (Vector("emb", 2, "float64"), Scalar("n"), Text("remark"))
    assert file.schema.meta == ("path", "label", "width")
    assert file.table().column("label").to_pylist() == ["a", "b"]
    convert(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "path,label,width,emb_0,emb_1,n,remark\nx,a,3,1,2,1,\ny,b,4,3,4,,\n"


@pytest.mark.parametrize(
    "column, message",
    [(pa.array([[1.0], [1.0, 2.0]]), "does not fit"), (pa.array([{"a": 1}, None]), "holds struct")],
)
def test_foreign_parquet_that_has_no_place_here(column, message, tmp_path):
    pq.write_table(pa.table({"x": column}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=message):
        open_table(tmp_path / "t.parquet").table()


@given(st.data())
def test_damaged_parquet_is_an_error_not_a_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("parquet")
    schema = Schema((Vector("v", 3),), ("path",))
    with open_writer(folder / "t.parquet", schema) as writer:
        writer.write(table_of(schema, 5, v=np.ones((5, 3))))
    whole = (folder / "t.parquet").read_bytes()
    (folder / "t.parquet").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises((InputError, WorkError)):
        open_table(folder / "t.parquet").table()


def test_npy_is_what_numpy_reads(tmp_path):
    values = numbers((5, 3))
    schema = Schema((Vector("v", 3),), ("path", "label"))
    with open_writer(tmp_path / "t.npy", schema) as writer:
        for part in (slice(0, 2), slice(2, 5)):
            writer.write({"v": values[part], "path": [f"{i}" for i in range(5)][part]})
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), values)
    assert (tmp_path / "t.npy.csv").read_text() == "path,label\n0,\n1,\n2,\n3,\n4,\n"


def test_foreign_npy(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2)))
    file = open_table(tmp_path / "x.npy")
    assert file.schema.columns == (Vector("x", 2),)
    assert file.table().column("x").to_pylist() == [[0, 1], [2, 3], [4, 5]]
    np.save(tmp_path / "y.npy", np.arange(3))
    assert open_table(tmp_path / "y.npy").table().column("y").to_pylist() == [0, 1, 2]
    for bad in (np.array([{"a": 1}]), np.zeros((2, 2, 2)), np.array(["a"]), np.zeros(3, "c8"), np.zeros((3, 0))):
        np.save(tmp_path / "z.npy", bad, allow_pickle=True)
        with pytest.raises(InputError, match=r"z\.npy"):
            open_table(tmp_path / "z.npy")


def test_npy_with_anothers_files_beside_it_is_refused(tmp_path):
    schema = Schema((Vector("v", 2),), ("path",))
    for name in "ab":
        with open_writer(tmp_path / f"{name}.npy", schema) as writer:
            writer.write({"v": np.full((2, 2), ord(name)), "path": [name, name]})
    (tmp_path / "b.npy").replace(tmp_path / "a.npy")
    with pytest.raises(InputError, match="its numbers were changed"):
        open_table(tmp_path / "a.npy").table()
    np.save(tmp_path / "a.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(InputError, match="do not belong together"):
        open_table(tmp_path / "a.npy")


MEASURE = """
import sys, psutil, threading, time, numpy as np
from resight.tables import *
suffix, rows, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
schema = Schema((Vector("v", 2048),), ("path", "label"), ("a", "b"))
random = np.random.default_rng(0)
def write(rows):
    with open_writer(f"{folder}/t{suffix}", schema) as writer:
        for start in range(0, rows, 32):
            count = min(32, rows - start)
            values = random.random((count, 2048), dtype=np.float32)
            writer.write({"v": values, "path": ["p"] * count, "label": ["a"] * count})
highest = 0
def watch():
    global highest
    while True:
        highest = max(highest, psutil.Process().memory_info().rss / 1e6)
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
write(rows)
written = highest
total = sum(len(batch) for batch in open_table(f"{folder}/t{suffix}").batches())
print(total, written, highest)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_is_bounded(suffix, tmp_path):
    """6,000 x 2048 is 49 MB of numbers, 130 MB of text; the blocks that are held are 16 MB of numbers."""
    command = [sys.executable, "-c", MEASURE, suffix, "6000", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    total, _, peak = map(float, done.stdout.split())
    assert total == 6000
    assert peak < 600, done.stdout


def test_a_table_of_many_columns(tmp_path):
    """Took 26 s when every column was looked up by its name."""
    schema = Schema(tuple(Scalar(f"x{i}") for i in range(3000)), meta=())
    with open_writer(tmp_path / "t.parquet", schema) as writer:
        writer.write({f"x{i}": [float(i)] for i in range(3000)})
    table = open_table(tmp_path / "t.parquet").table()
    assert table.num_columns == 3000 and table.column(2999).to_pylist() == [2999.0]


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_a_missing_folder_is_told_with_the_name_that_was_typed(tmp_path, suffix):
    schema = Schema((Scalar("x"),), meta=("path",))
    with pytest.raises(InputError, match=rf"cannot write .*/t\{suffix}: the folder"), \
            open_writer(tmp_path / "no" / f"t{suffix}", schema):  # fmt: skip
        pass
