"""`resight table` from a file to the two tables."""

import csv
import subprocess
import sys

import pytest
from PIL import Image
from samples import picture

from resight import cli
from resight.measure.runs import load_run

CONFIG = """
images = ["photos"]
whiten_from = ["others"]
descriptors = ["spoc", "gem"]
whitening = [0, 3]
then = [[], ["alpha-qe:k=3"]]
ks = [1, 3]
[encoder]
backbone = "test_resnet"
weights = "random"
size = 64
"""


@pytest.fixture
def call(capsys, monkeypatch):
    """Run `resight table`: (exit code, standard output, standard error)."""
    monkeypatch.setitem(cli.COMMANDS, "table", ("resight.cli.table:table", "Measure a grid of experiments."))

    def run_it(*words, command="table"):
        code = cli.run([command, *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture
def config(tmp_path, photos):
    """The file of a grid of eight cells, beside its images."""
    (tmp_path / "others").mkdir()
    for number in range(100, 110):
        Image.fromarray(picture(number)).save(tmp_path / "others" / f"{number}.png")
    (tmp_path / "grid.toml").write_text(CONFIG)
    return tmp_path / "grid.toml"


def test_the_main_job(config, call, tmp_path):
    code, out, _ = call(config)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"8 cells over 12 images, 10 for whitening, in {tmp_path}/table"
    assert lines[1].startswith("1 of 8  spoc: mAP ") and lines[8].startswith(
        "8 of 8  gem, whitened to 3, alpha-qe:k=3: "
    )  # fmt: skip
    assert f"\nWhitening fitted on 10 images of {tmp_path}/others.\n" in (tmp_path / "table" / "grid.md").read_text()
    table = lines.index("") + 1
    assert lines[table].split() == ["descriptor", "whitening", "then", "mAP", "P@1", "P@3", "mAP", "std", "ms/query"]
    assert lines[table + 8].startswith("gem         3          alpha-qe:k=3  ") and lines[table + 9] == ""
    rows = list(csv.DictReader((tmp_path / "table" / "grid.csv").open()))
    assert [(r["descriptor"], r["whitening"], r["then"]) for r in rows[:5]] == [
        ("spoc", "0", ""), ("spoc", "0", "alpha-qe:k=3"), ("spoc", "3", ""), ("spoc", "3", "alpha-qe:k=3"),
        ("gem", "0", ""),
    ]  # fmt: skip
    for row in rows:
        run = load_run(tmp_path / "table" / "cells" / row["cell"])
        assert float(row["mAP"]) == pytest.approx(run.scores["settings"]["all"]["map_trapezoid"], abs=1e-6)
    hint = lines[-1].split("resight compare ")[1].split()
    code, out, _ = call(*hint, command="compare")
    assert code == 0 and "all: " in out
    again = call(config)
    assert again[0] == 0 and again[1].count("(as before)") == 8


def test_a_run_again_loads_no_network(config, call, tmp_path):
    assert call(config)[0] == 0
    code = (
        "import sys, io, contextlib\nfrom resight.cli import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()) as out:\n    code = run(['table', {str(config)!r}])\n"
        "print(code, out.getvalue().count('(as before)'), [m for m in 'torch timm faiss'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 8 []"


def test_another_folder_and_a_cell_that_cannot_be_done(config, call, tmp_path):
    config.write_text(CONFIG.replace("[0, 3]", "[0, 9]").replace('"spoc", "gem"', '"spoc"'))
    (tmp_path / "others" / "100.png").write_bytes(b"no image")
    code, out, err = call(config, "--out", tmp_path / "there")
    assert (code, err) == (1, "")
    assert "3 of 4  spoc, whitened to 9: not done: whitening to 9 dimensions needs at least 10 vectors" in out
    assert "2 of 4 cells could not be done." in (tmp_path / "there" / "grid.md").read_text()
    assert not (tmp_path / "table").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("whitening =", "whitning =", "unknown key 'whitning', did you mean 'whitening'?"),
        ('["photos"]', '["fotos"]', "did you mean"),
        ('["others"]', '["photos/a"]', "6 of the 6 images in whiten_from are to be evaluated too"),
        ("test_resnet", "test_resnett", "unknown backbone 'test_resnett'"),
        ("alpha-qe:k=3", "alpha-qe:kk=3", "unknown option of alpha-qe 'kk'"),
        ("[0, 3]", "[100000]", "whitening to 100,000 dimensions needs more than 100,000 images in whiten_from"),
        ("ks = [1, 3]", "budget = 200", 'budget is a time as text, such as "200ms", got 200'),
        ("ks = [1, 3]", 'budget = "200"', "budget takes a time such as 200ms, 1.5s or 2min; got '200'"),
        ('[[], ["alpha-qe:k=3"]]', '[[]]\nbudget = "1s"', "budget is a time above 0 for the steps of `then`, and no"),
    ],
)
def test_doors(config, call, tmp_path, old, new, message):
    config.write_text(CONFIG.replace(old, new))
    code, _, err = call(config)
    assert code == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "table").exists()


def test_an_interrupt_says_how_to_go_on(config, call, monkeypatch):
    from resight.measure import grid_spaces as grid

    finished = grid.Space.row

    def interrupted(self, cell):
        if cell.whitening:
            raise KeyboardInterrupt
        return finished(self, cell)

    monkeypatch.setattr(grid.Space, "row", interrupted)
    code, out, err = call(config)
    assert code == 130 and "run the same command again to go on" in err and out.count(" of 8  ") == 2
    monkeypatch.undo()
    monkeypatch.setitem(cli.COMMANDS, "table", ("resight.cli.table:table", "x"))
    code, out, _ = call(config)
    assert code == 0 and out.count("(as before)") == 2


def test_the_example_is_read():
    from pathlib import Path

    from resight.measure.grid_config import read_grid

    grid = read_grid(Path(__file__).parents[2] / "examples" / "table.toml")
    assert len(grid.cells) == 16 and grid.encoder.size == 224


@pytest.mark.slow
def test_real_images(real_images, call, tmp_path):
    flowers = real_images("flowers12")
    (tmp_path / "grid.toml").write_text(
        f'images = ["{flowers}/test"]\nwhiten_from = ["{flowers}/train"]\ndescriptors = ["gem"]\n'
        'whitening = [0, 64]\n[encoder]\nsize = 96\n'
    )  # fmt: skip
    code, _, _ = call(tmp_path / "grid.toml")
    rows = list(csv.DictReader((tmp_path / "table" / "grid.csv").open()))
    assert code == 0 and all(0.2 < float(row["mAP low"]) < float(row["mAP"]) < float(row["mAP high"]) for row in rows)


def test_help_is_cheap():
    code = (
        "import sys, io, contextlib\nfrom resight import cli\n"
        "cli.COMMANDS['table'] = ('resight.cli.table:table', 'x')\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    cli.run(['table', '--help'])\n"
        "print([m for m in 'torch timm numpy scipy'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
