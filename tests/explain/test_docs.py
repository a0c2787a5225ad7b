"""The code in docs/explain.md is run as it stands, and the page knows every method."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from made_runs import colour_images, make_run
from PIL import Image
from samples import picture

from resight.cli import run as resight

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explain.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with two images."""
    for number, name in enumerate(("cup", "cat")):
        Image.fromarray(picture(number, 80, 100)).save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_explain_page(home, capsys):
    names: dict[str, object] = {}
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(code) == 2
    for block in code:
        exec(compile(block, "explain.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in printed] == ["cup.jpg", "cat.jpg"]
    assert np.asarray(Image.open(home / "cup.png")).shape == (80, 100, 3)


def commands():
    """Every command on the page that begins a line."""
    return [line.partition(" #")[0].strip() for line in PAGE.read_text().splitlines() if line.startswith("resight ")]


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """What the commands name: images, a folder of them, a run that knows cirrus, a collection, segments and boxes."""
    root = tmp_path_factory.mktemp("page")
    for number, name in enumerate(("cat", "a", "b", "query")):
        Image.fromarray(picture(number, 80, 100)).save(root / f"{name}.jpg")
    (root / "photos").mkdir()
    Image.fromarray(picture(9, 80, 100)).save(root / "photos" / "one.jpg")
    data = colour_images(root / "data", 4)
    for old, new in (("red", "cirrus"), ("blue", "cumulus")):
        (data / old).rename(data / new)
    make_run(root / "run", data)
    parts = np.arange(80)[:, None] // 20 * 5 + np.arange(100) // 20
    Image.fromarray(parts.astype(np.uint8)).save(root / "parts.png")
    (root / "boxes.csv").write_text("path,x1,y1,x2,y2\nphotos/one.jpg,0,0,60,60\n")
    words = ["index", str(root / "photos"), "--to", str(root / "pictures.resight"), "--size", "96"]
    assert resight(words) == 0
    return root


@pytest.mark.parametrize("command", commands())
def test_every_command_runs(ready, command, monkeypatch, capsys):
    monkeypatch.chdir(ready)
    # The words of the page, by a network that takes no time.
    monkeypatch.setattr("resight.cli.explain.MODEL", "test_resnet")
    monkeypatch.setattr("resight.cli.explain.WEIGHTS", "random")
    assert resight(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    if " --out " in command:
        place = command.partition(" --out ")[2].partition(" ")[0]
        assert f"wrote {place}: " in out
        assert (ready / place).is_dir()
        assert ("sheet.png" in out) == ("--pair" not in command and "--report" not in command)


def test_there_are_commands():
    assert len(commands()) >= 9


def test_every_method_and_mode_is_on_the_page():
    from resight.explain import METHODS
    from resight.explain.judging import MEASURES
    from resight.show.heat import COLORS, MODES

    text = PAGE.read_text()
    for name in (*METHODS, *MODES, *MEASURES):
        assert f"| `{name}`" in text or f"`{name}`" in text, name
    assert all(f"`{name}`" in text for name in COLORS if name != "gray")


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "figures").glob("explain_*"))
    assert len(pictures) >= 6
    assert sum(one.stat().st_size for one in pictures) < 1_500_000
