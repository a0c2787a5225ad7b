"""Runs on disk: what is written comes back, and nothing else is taken."""

import copy
import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.measure.runs import Run, RunQuery, Shown, load_run, run_files

NAN = math.nan
RUN = Run(
    "gem",
    {"protocol": "roxford5k", "after": ["aqe"], "budget": None},
    {"settings": {"E": {"map": 0.5}, "H": {"map": None}}, "ns": None},
    (
        RunQuery(
            "q0", "/d/q0.jpg", (1, 2, 3.5, 4), {"E": 0.5, "H": NAN}, {"E": 0.25, "H": NAN}, 0.125,
            (Shown("/d/a.jpg", 0.9, True, (0.0, 0.0, 5.0, 5.0)), Shown("/d/\udcffb.jpg", -0.1)),
        ),
        RunQuery("q1", "/d/q1.jpg", None, {"E": 1.0, "H": 0.0}, {"E": 1.0, "H": 0.0}),
    ),
)  # fmt: skip


def write(folder, run):
    folder.mkdir(exist_ok=True)
    for name, text in run_files(run).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def same(one, other):
    """Equal, with NaN equal to NaN, which == denies."""
    return repr(one.queries) == repr(other.queries) and (one.name, one.protocol, one.scores) == (
        other.name, other.protocol, other.scores,
    )  # fmt: skip


def test_round_trip(tmp_path):
    found = load_run(write(tmp_path / "run", RUN))
    assert found.queries[0].box == (1, 2, 3.5, 4) and found.queries[0].shown == RUN.queries[0].shown
    assert found.queries[1] == RUN.queries[1]
    assert math.isnan(found.queries[0].ap["H"]) and found.queries[0].ap["E"] == 0.5
    assert (found.name, found.protocol, found.scores, found.settings) == ("gem", RUN.protocol, RUN.scores, ("E", "H"))
    assert repr(found) == "<Run 'gem': roxford5k, 2 queries, settings E, H>"
    assert list(run_files(RUN)) == ["per_query.csv", "run.json"]  # run.json is written last


shares = st.floats(0, 1) | st.just(NAN)


@given(st.lists(st.tuples(st.text(max_size=5), shares, shares, st.floats(0, 1e6)), unique_by=lambda row: row[0]))
def test_any_run_comes_back(tmp_path_factory, rows):
    queries = tuple(RunQuery(name, name, None, {"all": a}, {"all": b}, seconds) for name, a, b, seconds in rows)
    run = Run("r", {}, {}, queries)
    assert same(load_run(write(tmp_path_factory.mktemp("runs"), run)), run)


def test_per_query_csv():
    rows = list(csv.DictReader(io.StringIO(run_files(RUN)["per_query.csv"])))
    assert rows[0] == {
        "query": "q0", "image": "/d/q0.jpg", "x1": "1", "y1": "2", "x2": "3.5", "y2": "4", "ap_E": "0.500000",
        "ap_trapezoid_E": "0.250000", "ap_H": "", "ap_trapezoid_H": "", "seconds": "0.1250",
    }  # fmt: skip
    assert rows[1]["x1"] == "" and rows[1]["ap_H"] == "0.000000"


def changed(path, value):
    content = copy.deepcopy(json.loads(run_files(RUN)["run.json"]))
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "resight-run-9", "run.json: expected the format 'resight-run-1', got 'resight-run-9'"),
        (["format"], KeyError, "expected the format"),
        (["scores"], KeyError, "run.json: lacks scores"),
        (["protocol"], [], "run.json, protocol: expected an object, got list"),
        (["name"], 5, "run.json, name: expected a text of at most 10,000 characters, got int"),
        (["name"], "x" * 20_000, "got 20,000 characters"),
        (["queries"], {}, "run.json, queries: expected a list, got dict"),
        (["queries", 1], 7, r"queries\[1\]: expected an object, got int"),
        (["queries", 1, "ap"], KeyError, r"queries\[1\]: lacks ap$"),
        (["queries", 1, "name"], "q0", "two queries are called 'q0'"),
        (["queries", 1, "ap"], {"E": 1}, "query 'q1' has other settings than the first one"),
        (["queries", 1, "ap", "E"], 1.5, r"queries\[1\], ap, E: expected a number from 0 to 1 or null"),
        (["queries", 1, "ap", "E"], True, "expected a number from 0 to 1 or null"),
        (["queries", 1, "seconds"], -1, r"queries\[1\], seconds: expected a number of at least 0"),
        (["queries", 1, "seconds"], 10**400, r"queries\[1\], seconds: expected a number"),
        (["queries", 1, "box"], [1, 2, 3], r"queries\[1\], box: expected a box of four numbers"),
        (["queries", 1, "shown"], [{}], r"queries\[1\], shown\[0\]: lacks path, score, right, box"),
        (["queries", 0, "shown", 0, "score"], "high", r"shown\[0\]: expected a number as score"),
        (["queries", 0, "shown", 0, "right"], 1, r"shown\[0\]: expected .* true, false or null as right"),
        (["queries", 0, "shown", 0, "box"], [3, 2, 1, 4], r"shown\[0\], box: .* x1 < x2"),
    ],
)
def test_door(tmp_path, path, value, message):
    (tmp_path / "run.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "NaN", "1" * 10_000, '{"format": Infinity}', "[" * 100_000, '"\udcff"']
)
def test_not_a_run(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"run\.json: (not JSON, or damaged|expected an object)"):
        load_run(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(InputError, match=r"expected the folder of a run .* got no run\.json"):
        load_run(tmp_path)


def test_what_cannot_be_saved():
    with pytest.raises(InputError, match="run 'r' cannot be saved as JSON"):
        run_files(Run("r", {"budget": NAN}, {}))
    with pytest.raises(InputError, match="cannot be saved as JSON"):
        run_files(Run("r", {"what": object()}, {}))
    queries = (RunQuery("a", "a", None, {"E": 1.0}, {"E": 1.0}), RunQuery("b", "b", None, {"M": 1.0}, {"M": 1.0}))
    with pytest.raises(InputError, match="query 'b' has other settings than the first one, E"):
        run_files(Run("r", {}, {}, queries))
