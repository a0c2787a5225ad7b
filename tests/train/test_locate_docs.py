"""The code in docs/locate.md is run as it stands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from resight.match.mask_network import COMBINES
from resight.train.locate_options import LOCATE_PRESETS, LocateOptions

PAGE = Path(__file__).parents[2] / "docs" / "locate.md"


@pytest.mark.usefixtures("one_thread")
def test_the_page(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(code) == 1
    names: dict[str, object] = {}
    exec(compile(code[0], "locate.md", "exec"), names)
    assert capsys.readouterr().out == "mask (60, 80)\n"
    assert names["probabilities"].shape == (60, 80)


def test_defaults_and_choices_are_as_the_page_says():
    text = PAGE.read_text()
    own = {one.name: one.default for one in fields(LocateOptions)}
    for names, values in re.findall(r"^\| (`--[^|]*) \| ([\d., ]+) \|", text, re.MULTILINE):
        for name, value in zip(re.findall(r"--(\w+)", names), values.split(","), strict=True):
            assert own[name] == float(value), name
    assert re.findall(r"^\| `(\w+)`(?: \(default\))? \|", text, re.MULTILINE) == list(COMBINES)
    assert all(f"--preset {name}" in text for name in LOCATE_PRESETS)
