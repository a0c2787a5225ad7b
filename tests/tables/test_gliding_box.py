"""The Go programme's JSON, read and written; and arrays of JSON read as a stream."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.tables import Scalar, Schema, Vector, convert, open_table, open_writer
from resight.tables import json_array as module
from resight.tables.json_array import read_objects


def probabilities(size, first):
    return [first] + [(1 - first) / (size**2 - 1)] * (size**2 - 1)


def mass(size, *values):
    return {"probabilities": list(values), "kernel_size": size}


def curve(size, *values):
    keys = ("average_cluster_count", "average_biggest_cluster_area", "percolation")
    return {**dict(zip(keys, values)), "kernel_size": size}


def image(name="a", folder="", **results):
    return {"name": name, "folder": folder, **results}


THREE, FIVE = mass(3, *probabilities(3, 0.7551487414187643)), mass(5, *probabilities(5, 0.1))
PROBABILITY = [
    image("t.png", "data/a", result_kernels=[FIVE, THREE]),
    image("t.png", "data/b", result_kernels=[mass(3, *probabilities(3, 0.5))]),
]
PERCOLATION = [
    image("t.png", "data/a", percolation_results=[
        curve(3, 1.1384439359267735, 0.1383, 0), curve(11, 7.06, 0.1675, 0.09649122807017543)]),
    image("u.png", "", percolation_results=[]),
]  # fmt: skip


def put(path, plain):
    path.write_text(json.dumps(plain))
    return open_table(path)


def ordered(plain):
    return [{key: sorted(value, key=lambda one: one["kernel_size"]) if isinstance(value, list) else value
             for key, value in image.items()} for image in plain]  # fmt: skip


def test_probabilities(tmp_path):
    file = put(tmp_path / "p.json", PROBABILITY)
    assert file.schema.columns == (Vector("probability_3", 9, "float64"), Vector("probability_5", 25, "float64"))
    table = file.table()
    assert table.column("path").to_pylist() == ["data/a/t.png", "data/b/t.png"]
    assert table.column("label").to_pylist() == ["a", "b"]
    assert table.column("probability_3")[0].as_py() == probabilities(3, 0.7551487414187643)
    assert np.isnan(table.column("probability_5")[1].as_py()).all()
    assert file.schema.metadata == {"scales": [3, 5]}
    convert(tmp_path / "p.json", tmp_path / "q.json")
    assert json.loads((tmp_path / "q.json").read_text()) == ordered(PROBABILITY)


@pytest.mark.parametrize("by_way_of", [".parquet", ".csv", ".npy"])
def test_percolation_through_another_format(by_way_of, tmp_path):
    file = put(tmp_path / "p.json", PERCOLATION)
    names = ["Minkp1", "Minkp2", "Minkg1", "Minkg2", "Minkh1", "Minkh2"]
    assert file.schema.columns == tuple(map(Scalar, names))
    row = file.table().to_pylist()[0]
    assert [row[name] for name in names] == [1.1384439359267735, 7.06, 0.1383, 0.1675, 0, 0.09649122807017543]
    assert file.table().column("path").to_pylist() == ["data/a/t.png", "u.png"]
    convert(tmp_path / "p.json", tmp_path / f"t{by_way_of}")
    convert(tmp_path / f"t{by_way_of}", tmp_path / "q.json")
    assert json.loads((tmp_path / "q.json").read_text()) == PERCOLATION


def test_the_72_features_write_percolation_for_sizes_3_5_7(tmp_path):
    names = [f"{stem}{i}" for stem in ("Minkp", "Minkg", "Minkh") for i in (1, 2)] + ["AreaCluster"]
    with open_writer(tmp_path / "t.json", Schema(tuple(map(Scalar, names)), ("path",))) as writer:
        writer.write({"path": ["x/y.png"], **{name: [float(i)] for i, name in enumerate(names)}})
    assert json.loads((tmp_path / "t.json").read_text()) == [
        image("y.png", "x", percolation_results=[curve(3, 0, 2, 4), curve(5, 1, 3, 5)])
    ]


@pytest.mark.parametrize("schema", [Schema((Scalar("a"),), ("path",)), Schema((Vector("probability_3", 9),), ())])
def test_tables_without_place_in_it(schema, tmp_path):
    with pytest.raises(InputError, match="is the gliding-box format"), open_writer(tmp_path / "t.json", schema):
        pass


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"name": "a"}, "name and folder"),
        ([1], "name and folder"),
        (image(), "expected result_kernels"),
        (image(result_kernels=[mass(3, 1)]), "expected 9 numbers, got 1"),
        (image(result_kernels=[mass(1, "1")]), "expected numbers"),
        (image(result_kernels=[{"probabilities": []}]), "'kernel_size' is missing"),
        (image(result_kernels=[mass(10**6)]), "from 1 to 999"),
        (image(result_kernels={"x": 1}), "should be a list"),
        (image(result_kernels=[mass(1, 1)] * 2), "comes twice"),
        (image(percolation_results=[{"kernel_size": 3}]), "is missing"),
    ],
)
def test_other_json_is_refused(wrong, message, tmp_path):
    with pytest.raises(InputError, match=rf"t\.json: image 2: .*{message}"):
        put(tmp_path / "t.json", [PROBABILITY[0], wrong])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(PLAIN, max_size=5), st.sampled_from([None, 1]), st.integers(1, 8))
def test_the_stream_is_the_array(tmp_path_factory, plain, indent, chunk):
    path = tmp_path_factory.mktemp("json") / "t.json"
    path.write_text(json.dumps(plain, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        assert list(read_objects(path)) == plain


@pytest.mark.parametrize(
    "text, message",
    [("", "expected a JSON array"), ("{}", "expected a JSON array"), ("[", "cut off"), ("[1", "cut off"),
     ("[1,", "cut off"), ("[1 2]", "expected a comma"), ("[1]x", "behind the array"), ("[nope]", "not JSON"),
     ("[NaN ]", "NaN is no JSON"), ("[1,]", "not JSON"), ("[" * 5000, "not JSON"),
     (b"[\xff]", "not UTF-8")],
)  # fmt: skip
def test_what_is_no_array_is_refused(text, message, tmp_path):
    (tmp_path / "t.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        list(read_objects(tmp_path / "t.json"))


def test_an_element_without_end_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 10)
    monkeypatch.setattr(module, "MAX_OBJECT", 1000)
    (tmp_path / "t.json").write_text("[[" + "1," * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        list(read_objects(tmp_path / "t.json"))
