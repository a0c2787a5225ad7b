"""`resight compare` from saved runs to a table, JSON and a page."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from samples import picture

from resight import cli
from resight.measure.runs import Run, RunQuery, Shown, run_files


@pytest.fixture
def call(capsys, monkeypatch):
    """Run `resight compare`: (exit code, standard output, standard error)."""
    monkeypatch.setitem(cli.COMMANDS, "compare", ("resight.cli.compare:compare", "Compare two saved evaluations."))

    def run_it(*words):
        code = cli.run(["compare", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture
def runs(tmp_path):
    """Two saved runs of eight queries: the second is 10 points better in M and worse in H."""
    Image.fromarray(picture(0)).save(tmp_path / "photo.png")
    photo = str(tmp_path / "photo.png")
    for name, shift in (("plain", 0.0), ("whitened", 0.1)):
        aps = [{"M": 0.5 + shift + i / 100, "H": 0.3 - shift} for i in range(8)]
        queries = [RunQuery(f"q{i}", photo, None, ap, ap, 0.1, (Shown(photo, 0.9, True),)) for i, ap in enumerate(aps)]
        protocol = {"protocol": "roxford5k", "whitening": name, "database": 4993 + 70 * bool(shift)}
        (tmp_path / name).mkdir()
        for file, text in run_files(Run(name, protocol, {}, tuple(queries))).items():
            (tmp_path / name / file).write_text(text)
    return tmp_path / "plain", tmp_path / "whitened"


def test_the_table_and_the_verdicts(runs, call):
    code, out, err = call(*runs)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:3] == ["A  plain", "B  whitened", "mAP x 100, trapezoid rule"]
    assert lines[3].split()[:3] == ["queries", "A", "B"] and max(map(len, lines[3:6])) <= 80
    assert lines[4].split()[:5] == ["M", "8", "53.50", "63.50", "+10.00"]
    assert lines[5].split()[:5] == ["H", "8", "30.00", "20.00", "-10.00"]
    assert lines[6:] == [
        "M: B is better: +10.0 [10.0, 10.0]",
        "H: A is better: +10.0 [10.0, 10.0]",
        "method: whitening plain -> whitened",
        "warning: not the method's difference alone, the runs also differ in database (4,993 / 5,063)",
    ]


def test_one_setting_as_json(runs, call):
    code, out, _ = call(*runs, "--setting", "H", "--rule", "standard", "--json")
    found = json.loads(out)
    assert code == 0 and found["rule"] == "standard"
    assert [part["setting"] for part in found["settings"]] == ["H"]


def test_the_page(runs, call, tmp_path):
    code, out, _ = call(*runs, "--html", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text()
    assert code == 0 and out.splitlines()[-1] == f"page: {tmp_path / 'out.html'}"
    assert "<title>plain and whitened</title>" in page and page.count("<img") == 12  # 3 queries, 2 runs, 2 pictures


def test_queries_that_one_run_lacks(runs, call):
    file = runs[1] / "run.json"
    content = json.loads(file.read_text())
    del content["queries"][2:4]
    file.write_text(json.dumps(content))
    code, out, err = call(*runs)
    assert (code, out) == (2, "")
    assert err == ("resight: the runs have different queries: B lacks 2 (q2, q3). Compare the 6 that both have with "
                   "--common\n")  # fmt: skip
    assert call(*runs, "--common")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--setting", "X"], "unknown setting 'X'"),
        (["--results", "0"], "--results must be at least 1, got 0"),
        (["--rule", "roman"], "roman"),
    ],
)
def test_doors(runs, call, tmp_path, words, message):
    code, out, err = call(*runs, *words, "--html", tmp_path / "out.html")
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "out.html").exists()


def test_a_folder_that_is_no_run(runs, call, tmp_path):
    code, _, err = call(runs[0], tmp_path)
    assert code == 2 and "expected the folder of a run" in err


def test_a_name_cannot_command_the_terminal(runs, call):
    file = runs[0] / "run.json"
    file.write_text(file.read_text().replace('"name": "plain"', '"name": "\\u001b[2J"', 1))
    assert "\x1b" not in call(*runs)[1]


def test_help_is_cheap():
    code = (
        "import sys, io, contextlib\nfrom resight import cli\n"
        "cli.COMMANDS['compare'] = ('resight.cli.compare:compare', 'x')\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    cli.run(['compare', '--help'])\n"
        "print([m for m in 'torch timm numpy scipy'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
