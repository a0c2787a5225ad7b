"""The code in docs/splitting.md is run as it stands, and its commands have the flags that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from resight.cli import run as resight
from resight.images import read_examples

PAGE = (Path(__file__).parents[2] / "docs" / "splitting.md").read_text()


def test_the_library(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "splitting.md", "exec"), {})
    said = re.search(r"# (\[\(.*)$", block, re.MULTILINE)
    assert said is not None
    assert eval(capsys.readouterr().out) == eval(said[1])
    assert len(read_examples("split.csv")) == 12


def test_the_commands_that_split(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    for name in ("c", "d"):
        (photos / name).mkdir()
        for file in (photos / "b").iterdir():
            (photos / name / file.name).write_bytes(file.read_bytes() + name.encode())
    for number, folder in enumerate(photos.iterdir()):
        for file in sorted(folder.iterdir())[:3]:
            (folder / f"take-{number}").mkdir(exist_ok=True)
            file.rename(folder / f"take-{number}" / file.name)
    lines = [line.partition("#")[0] for line in PAGE.splitlines() if line.startswith("resight split")]
    assert len(lines) == 3
    for line in lines:
        assert resight([*shlex.split(line)[1:], "--replace"]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.rstrip().endswith("wrote split.csv")
