"""The code in docs/embed.md is run as it stands, and its tables name what there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from resight.train.embed_options import EMBED_PRESETS, IN_BATCH, OFFLINE, PROJECTS, TUNES, EmbedOptions

PAGE = Path(__file__).parents[2] / "docs" / "embed.md"


@pytest.mark.usefixtures("one_thread")
def test_the_page(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(code) == 1
    exec(compile(code[0], "embed.md", "exec"), {})
    assert capsys.readouterr().out == "map (3,)\n"


def test_defaults_and_choices_are_as_the_page_says():
    text = PAGE.read_text()
    own = {one.name: one.default for one in fields(EmbedOptions)}
    for name, value in re.findall(r"`--([\w-]+)` (\d[\d.]*)", text):
        if own[name.replace("-", "_")] is not None:
            assert own[name.replace("-", "_")] == float(value.rstrip(".")), name
    named = re.findall(r"^\| `([\w-]+)`(?: \([^|]*\))? \|", text, re.MULTILINE)
    assert set(named) >= {*PROJECTS, *TUNES, *OFFLINE, *IN_BATCH, "none"}
    assert all(f"--preset {name}" in text for name in EMBED_PRESETS)
