"""CSV: what other programs read of ours, and what is made of theirs."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.tables import Scalar, Schema, Text, Vector, convert, open_table, open_writer
from resight.tables import csv_table as module

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


def read(tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_table(tmp_path / "t.csv")


@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(WORDS, min_size=2, max_size=2, unique=True))
def test_pythons_csv_reads_what_we_write(tmp_path_factory, paths, names):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    schema = (
        Schema(tuple(map(Text, names)), ("path",)) if "path" not in names else Schema((Text("x"), Text("y")), ("path",))
    )
    first, second = (column.name for column in schema.columns)
    with open_writer(path, schema) as writer:
        writer.write({"path": paths, first: paths[::-1], second: [None] * len(paths)})
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [list(schema.names), *([a, b, ""] for a, b in zip(paths, paths[::-1]))]
    for described in (True, False):
        if not described:
            path.with_name("t.csv.json").unlink()
        table = open_table(path).table()
        assert table.column("path").to_pylist() == paths
        if described:
            assert table.column(first).to_pylist() == paths[::-1]


def test_the_text_itself(tmp_path):
    schema = Schema((Vector("v", 2), Scalar("a")), ("path", "label", "width"), ("x",))
    with open_writer(tmp_path / "t.csv", schema) as writer:
        writer.write({"path": ["a,b", 'say "x"'], "label": ["x", None], "width": [5, None]}
                     | {"v": np.array([[0.1, np.nan], [np.inf, 1]], np.float32), "a": [1 / 3, 2]})  # fmt: skip
    assert (tmp_path / "t.csv").read_text() == (
        'path,label,width,v_0,v_1,a\n"a,b",x,5,0.1,,0.3333333333333333\n"say ""x""",,,inf,1,2\n'
    )


def test_other_peoples_files(tmp_path):
    text = (
        "\ufeffpath,class,width,x_0,x_1,remark,empty,day\r\n"
        'a.png,1,640,0.5,NA,"good, or\nnot",,2001-01-02\r\n'
        "b.png,2,480,3,nan,NA,,x\r\n"
    )
    file = read(tmp_path, text)
    assert file.schema == Schema(
        (Vector("x", 2, "float64"), Text("remark"), Scalar("empty"), Text("day")), ("path", "label", "width"),
        relation="t",
    )  # fmt: skip
    table = file.table()
    assert table.column("label").to_pylist() == ["1", "2"]
    np.testing.assert_array_equal(np.array(table.column("x").to_pylist()), [[0.5, np.nan], [3, np.nan]])
    assert table.column("remark").to_pylist() == ["good, or\nnot", "NA"]
    assert np.isnan(table.column("empty").to_numpy()).all()


def test_names_of_facts_with_numbers_are_features(tmp_path):
    file = read(tmp_path, "width,height,error,label\n1.5,2,0.1,0.5\n")
    assert file.schema.columns == tuple(map(Scalar, ("width", "height", "error", "label")))
    assert file.schema.meta == ()


def test_a_description_of_another_file_is_passed_over(tmp_path):
    with open_writer(tmp_path / "t.csv", Schema((Vector("v", 2),), ())) as writer:
        writer.write({"v": np.zeros((1, 2))})
    assert open_table(tmp_path / "t.csv").schema.columns == (Vector("v", 2),)
    assert read(tmp_path, "a,b\n1,2\n").schema.columns == (Scalar("a"), Scalar("b"))
    (tmp_path / "t.csv.json").write_text("{}")
    with pytest.raises(InputError, match=r"t\.csv\.json: not the description"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected a header"),
        ("\n", "expected a header"),
        ("a,,b\n1,2,3\n", "one of them empty"),
        ("a;b\n1;2\n", "got semicolons"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ('a,"b\n1,2\n', "not readable"),
        (b"a,\xe9\n1,2\n", "line 1: not readable"),
        ("a,b\n1,2\n3,4,5\n", "Row #3: Expected 2 columns, got 3"),
    ],
)
def test_files_that_are_wrong(text, message, tmp_path):
    with pytest.raises(InputError, match=rf"t\.csv.*{message}"):
        read(tmp_path, text).table()


def test_text_below_numbers_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_BYTES", 64)
    rows = "".join(f"{i},{i}\n" for i in range(200))
    with pytest.raises(InputError, match=r"in the column 'b': Row #\d+.*'much'"):
        read(tmp_path, f"a,b\n{rows}1,much\n").table()


def test_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_BYTES", 256)
    rows = "".join(f"{i},p{i}\n" for i in range(1000))
    file = read(tmp_path, f"a,path\n{rows}")
    assert len(list(file.batches())) > 5
    assert file.table().column("a").to_pylist() == list(range(1000))
    assert convert(tmp_path / "t.csv", tmp_path / "t.parquet") == 1000
