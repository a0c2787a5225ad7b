"""ARFF against liac-arff and scipy, in both directions; other people's files; files that are wrong."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.tables import Nominal, Scalar, Schema, Text, Vector, open_table, open_writer
from resight.tables import arff_read as reading
from resight.tables.schema import vectors_of

LETTERS = st.characters(codec="utf-8", exclude_categories=["Cs"])
LABELS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=6, unique=True)
# Not what liac-arff takes off a name or leaves as escapes: outer quotes, \\, control characters, ' beside " or a blank.
LIAC_NAMES = st.lists(
    st.text(st.sampled_from("ab ,%?{}é日\t@'\"-0"), min_size=1, max_size=6).filter(
        lambda t: t.strip("'\"") == t and t.strip() == t and not ("'" in t and set('" \t') & set(t))
    ),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip
FLOATS = st.floats(allow_infinity=False)


def write(path, names, labels, rows, chosen, relation="rel"):
    schema = Schema(tuple(map(Scalar, names)), ("label",), tuple(labels), relation)
    with open_writer(path, schema) as writer:
        columns = {name: np.array([row[i] for row in rows], np.float64) for i, name in enumerate(names)}
        writer.write({"label": chosen, **columns})


def tables(names):
    """(names, labels, rows of numbers, a label or None for each row)"""
    return st.tuples(names, LABELS).flatmap(
        lambda both: st.tuples(
            st.just(both[0]),
            st.just(both[1]),
            st.lists(st.lists(FLOATS, min_size=len(both[0]), max_size=len(both[0])), min_size=1, max_size=5),
        ).flatmap(
            lambda three: st.tuples(
                *map(st.just, three),
                st.lists(
                    st.one_of(st.none(), st.sampled_from(both[1])), min_size=len(three[2]), max_size=len(three[2])
                ),
            )
        )
    )


ANY_NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=4, unique=True).filter(
    lambda names: "class" not in names
)


@given(tables(ANY_NAMES), st.text(LETTERS, min_size=1, max_size=8))
def test_our_reader_gives_back_what_our_writer_wrote(tmp_path_factory, table, relation):
    names, labels, rows, chosen = table
    path = tmp_path_factory.mktemp("arff") / "t.arff"
    write(path, names, labels, rows, chosen, relation)
    for described in (True, False):
        if not described:  # the same without our comment
            path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
        file = open_table(path)
        assert file.schema.attributes == tuple(names)
        assert (file.schema.labels, file.schema.relation) == (tuple(labels), relation)
        batch = file.schema.conform(file.table())
        assert batch.column("label").to_pylist() == chosen
        flat = [vectors_of(batch.column(c.name)) if isinstance(c, Vector) else np.array(batch.column(c.name))[:, None]
                for c in file.schema.columns]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(flat, 1), np.array(rows))


@pytest.mark.oracle
@given(tables(LIAC_NAMES))
@settings(max_examples=200)
def test_liac_arff_reads_what_we_write(tmp_path_factory, table):
    import arff

    names, labels, rows, chosen = table
    path = tmp_path_factory.mktemp("arff") / "t.arff"
    write(path, names, labels, rows, chosen)
    with path.open(encoding="utf-8", newline="\n") as file:
        found = arff.load(file)
    assert [name for name, _ in found["attributes"]] == [*names, "class"]
    assert found["attributes"][-1][1] == labels
    assert [row[-1] for row in found["data"]] == chosen
    np.testing.assert_array_equal(np.array([row[:-1] for row in found["data"]], np.float64), np.array(rows))


@pytest.mark.oracle
@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_characters="'\\\t", min_codepoint=32, max_codepoint=126),
                     min_size=1, max_size=8), min_size=2, max_size=5, unique=True),
    st.lists(st.text(st.sampled_from("ab ,%{}é日@\"-0"), min_size=2, max_size=6).filter(
        lambda t: t.strip() == t and t[0] != '"'), min_size=1, max_size=4, unique=True),
)  # fmt: skip
def test_scipy_reads_what_we_write(tmp_path_factory, labels, names):
    """But for ' and \\ in labels, of which it keeps the escapes, and letters beyond ASCII in them, which it refuses."""
    from scipy.io import arff

    path = tmp_path_factory.mktemp("arff") / "t.arff"
    rows = [[0.1 * i + j for j in range(len(names))] for i in range(len(labels))]
    write(path, names, labels, rows, labels)
    with path.open(encoding="utf-8") as file:
        data, meta = arff.loadarff(file)
    assert meta.names() == [*names, "class"]
    assert [value.decode() for value in data["class"]] == labels
    np.testing.assert_array_equal([list(row)[:-1] for row in data.tolist()], rows)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "word", ["it's", "a,b", "a 'b'", "50%", "?", "back\\slash", 'say "x"', "{b}", "tab\tx", "a\nb"]
)
def test_scipy_opens_hostile_names_and_labels(word, tmp_path):
    from scipy.io import arff

    write(tmp_path / "t.arff", [word, "z"], [word, "zz"], [[1.5, np.nan], [np.inf, -np.inf]], [word, "zz"])
    with (tmp_path / "t.arff").open(encoding="utf-8") as file:
        data, meta = arff.loadarff(file)
    assert len(meta.names()) == 3
    first, second = data.tolist()
    assert first[0] == 1.5
    assert all(np.isnan(value) for value in (first[1], *second[:2]))
    assert first[2] != second[2] == b"zz"


@pytest.mark.oracle
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="{}?"), min_size=1, max_size=8)
             .filter(lambda t: all(ord(c) >= 32 or c in "\t\n\r" for c in t)), min_size=1, max_size=5, unique=True),
    st.lists(st.text(st.sampled_from("ab ,%{}é日-0"), min_size=1, max_size=6).filter(
        lambda t: t.strip() == t), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(allow_nan=False), min_size=5, max_size=5),
)  # fmt: skip
def test_we_read_what_liac_arff_writes(tmp_path_factory, labels, names, numbers):
    import arff

    attributes = [(name, "NUMERIC") for name in names] + [("class", labels)]
    data = [[numbers[i % 5]] * len(names) + [label] for i, label in enumerate(labels)]
    text = arff.dumps(
        {"relation": "r", "description": "", "attributes": attributes, "data": [*data, [None] * len(attributes)]}
    )
    path = tmp_path_factory.mktemp("arff") / "t.arff"
    path.write_bytes(text.encode())
    file = open_table(path)
    assert file.schema.attributes == tuple(names)
    assert file.schema.labels == tuple(labels)
    table = file.table()
    assert table.column("label").to_pylist() == [*labels, None]
    if isinstance(file.schema.columns[0], Scalar):
        first = table.column(0 if file.schema.meta == () else 1).to_numpy()
        np.testing.assert_array_equal(first, [*(row[0] for row in data), np.nan])


def read(tmp_path, text):
    (tmp_path / "t.arff").write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_table(tmp_path / "t.arff")


HEAD = "@relation r\n@attribute a numeric\n@attribute b {x,'y z'}\n@attribute c string\n@attribute k {p,q}\n@data\n"


def test_other_peoples_files(tmp_path):
    text = """% a comment
@Relation  'the name'

  @ATTRIBUTE 'petal width'\tREAL
@attribute n INTEGER % whole
@attribute when date "yyyy-MM-dd"
@attribute kind { x , "y z" }
@attribute play {yes, no}
@DATA
% rows
5.1, 3 , "2001-01-02" ,x,yes

 1e3\t2 ?  'y z', ? % blanks for commas
{0 1.5, 2 later, 4 no}
"""
    for ends in ("\n", "\r\n"):
        file = read(tmp_path, text.replace("\n", ends))
        assert file.schema == Schema(
            (Scalar("petal width"), Scalar("n"), Text("when"), Nominal("kind", ("x", "y z"))),
            ("label",), ("yes", "no"), "the name", {}, "play",
        )  # fmt: skip
        table = file.table()
        assert table.column("petal width").to_pylist() == [5.1, 1000, 1.5]
        assert table.column("n").to_pylist() == [3, 2, 0]
        assert table.column("when").to_pylist() == ["2001-01-02", None, "later"]
        assert table.column("kind").to_pylist() == ["x", "y z", "x"]
        assert table.column("label").to_pylist() == ["yes", None, "no"]


@pytest.mark.parametrize(
    "rows, line, message",
    [
        ("1,x,s\n", 7, "expected 4 values, got 3"),
        ("1,x,s,p\n\n1,x,s,p,5\n", 9, "expected 4 values, got 5"),
        ("1,x,s,p\n% hm\none,x,s,p\n", 9, "expected a number for 'a', got 'one'"),
        ("1_0,x,s,p\n", 7, "expected a number"),
        ("1,z,s,p\n", 7, "'z' is not among the values of 'b'"),
        ("1,x,s,P\n", 7, "'P' is not among the values of 'k'"),
        ("1,,s,p\n", 7, "nothing stands before a comma"),
        ("1,x,'s,p\n", 7, "not closed"),
        ("1,x,s,p,{5}\n", 7, "weights of rows"),
        ("{0 1,2 s} , {5}\n", 7, "weights of rows|expected an index"),
        ("{0 1}\n", 7, "leaves a string out"),
        ("{9 1,2 s}\n", 7, "expected an index"),
        ("{0 1,0 2,2 s}\n", 7, "or two"),
        ("{0 1, 2 s\n", 7, "does not end"),
        ("{0}\n", 7, "expected an index"),
    ],
)
def test_rows_that_are_wrong(rows, line, message, tmp_path):
    with pytest.raises(InputError, match=rf"t\.arff, line {line}: .*({message})"):
        read(tmp_path, HEAD + rows).table()


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("", 1, "ends before @DATA"),
        ("@relation r\n@attribute a numeric\n", 3, "ends before @DATA"),
        ("a,b\n1,2\n", 1, "expected @RELATION"),
        ("@relation r\n@data\n1\n", 2, "before any @ATTRIBUTE"),
        ("@attribute a\n@data\n", 1, "NAME TYPE"),
        ("@attribute a number\n@data\n", 1, "unknown type 'number'"),
        ("@attribute a relational\n@end a\n@data\n", 1, "relational attributes"),
        ("@attribute a {x,y\n@data\n", 1, "do not end with }"),
        ("@attribute a {x,x}\n@data\n", 1, "a value twice"),
        ("@attribute a {}\n@data\n", 1, "no values"),
        ("@attribute a {x,,y}\n@data\n", 1, "nothing stands before"),
        ("@attribute 'a numeric\n@data\n", 1, "not closed"),
        ("@attribute a numeric\n@attribute 'a' {x}\n@data\n", 2, "there already, on line 1"),
        (b"@attribute \xe9 numeric\n@data\n", 1, "not UTF-8"),
    ],
)
def test_headers_that_are_wrong(text, line, message, tmp_path):
    with pytest.raises(InputError, match=rf"t\.arff, line {line}: .*{message}"):
        read(tmp_path, text)


def test_bytes_that_are_not_utf8_are_found_in_the_rows(tmp_path):
    with pytest.raises(InputError, match="line 8: not UTF-8"):
        read(tmp_path, HEAD.encode() + b"1,x,s,p\n1,x,\xe9,p\n").table()


@given(st.data())
def test_the_fast_way_reads_as_the_slow_way(tmp_path_factory, data):
    """On rows made of pieces that matter: whatever the fast way takes, it reads as the slow way does."""
    pieces = ["1", "-2.5e3", "?", "x", "'x'", "'y z'", "'?'", " ", ",", ",", ",", "\t", "nan", "inf", "'", "p\n", "\n"]
    pieces += ["1,x,p\n", "?,'y z',q\n", "1, x ,'p'\n", "+1", "1_0"]
    block = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=12))).encode()
    attributes = [Scalar("a"), Nominal("b", ("x", "y z", "?")), Nominal("c", ("p", "q"))]
    kinds = [column.arrow for column in attributes]
    fast = reading._fast(block, attributes, kinds)
    if fast is not None:
        slow = reading._slow(tmp_path_factory.getbasetemp() / "t.arff", block, 1, attributes, kinds)
        np.testing.assert_array_equal(fast[0].to_numpy(zero_copy_only=False), slow[0].to_numpy(zero_copy_only=False))
        assert [c.to_pylist() for c in fast[1:]] == [c.to_pylist() for c in slow[1:]]


def test_blocks_end_at_lines(tmp_path, monkeypatch):
    text = HEAD + "".join(f"{i},'y z',\"t {i}\",q\n" for i in range(50)) + "50,x,t,p"
    whole = read(tmp_path, text).table()
    for size in (1, 7, 64):
        monkeypatch.setattr(reading, "READ_BYTES", size)
        assert read(tmp_path, text).table().equals(whole)
    assert whole.column("a").to_pylist() == list(range(51))
    with pytest.raises(InputError, match="line 57: expected 4 values"):
        read(tmp_path, text + ",1").table()


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE", 1000)
    monkeypatch.setattr(reading, "READ_BYTES", 100)
    with pytest.raises(InputError, match="line 7: longer"):
        read(tmp_path, HEAD + "1," * 5000).table()


def test_our_comment_does_not_outvote_the_attributes(tmp_path):
    write(tmp_path / "t.arff", ["v_0", "v_1", "w"], ["a", "b"], [[1, 2, 3]], ["a"])
    text = (tmp_path / "t.arff").read_text()
    file = read(tmp_path, text.replace("@ATTRIBUTE w numeric\n", "").replace("1,2,3,a", "1,2,a"))
    assert file.schema.attributes == ("v_0", "v_1")
    assert file.table().column("v").to_pylist() == [[1, 2]]


def test_all_values_are_quoted_if_one_must_be(tmp_path):
    """scipy takes the way of quoting from the first row."""
    write(tmp_path / "t.arff", ["a"], ["x", "y z"], [[1], [2], [np.nan]], ["x", "y z", None])
    text = (tmp_path / "t.arff").read_text()
    assert (
        text.split("@RELATION")[1]
        == " rel\n\n@ATTRIBUTE a numeric\n@ATTRIBUTE class {'x','y z'}\n\n@DATA\n1,'x'\n2,'y z'\n?,?\n"
    )


def test_tables_that_cannot_be_arff(tmp_path):
    def start(schema):
        with open_writer(tmp_path / "t.arff", schema):
            pass

    with pytest.raises(InputError, match="'class' as the label is"):
        start(Schema((Scalar("class"),), ("label",), ("a",)))
    with pytest.raises(InputError, match="without features and labels"):
        start(Schema((), ("path",)))
    schema = Schema((Nominal("n", ("x",)),), ())
    with pytest.raises(InputError, match="'y' is not among"), open_writer(tmp_path / "t.arff", schema) as writer:
        writer.write({"n": ["y"]})


def test_float32_is_written_in_its_own_shortest_form(tmp_path):
    schema = Schema((Vector("v", 3),), ())
    with open_writer(tmp_path / "t.arff", schema) as writer:
        writer.write({"v": np.array([[0.1, 1e-45, 3.4028235e38]], np.float32)})
    assert (tmp_path / "t.arff").read_text().endswith("@DATA\n0.1,1e-45,3.4028235e+38\n")


def test_the_header_is_read_from_a_stream_of_any_kind():
    from pathlib import Path

    from resight.tables.arff_head import read_head

    head = read_head(Path("x.arff"), io.BytesIO(HEAD.encode()))
    assert (head.lines, head.offset, head.has_class) == (6, len(HEAD), True)
