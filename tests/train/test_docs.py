"""The code in docs/training.md is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_training_page(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    code = re.findall(r"^```python\n(.*?)^```", (DOCS / "training.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    assert len(code) == 1
    for block in code:
        exec(compile(block, "training.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in printed] == ["photos/a/0.jpg", "photos/b/6.png"]
    assert names["again"].classes == ("a", "b")
