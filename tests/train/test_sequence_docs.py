"""The code in docs/sequences.md is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_runs import make_run
from training_samples import clip_folders

PAGE = Path(__file__).parents[2] / "docs" / "sequences.md"


@pytest.mark.usefixtures("one_thread")
def test_scores_of_sequences(tmp_path, monkeypatch, capsys):
    """One sequence that is there, one that is not."""
    make_run(tmp_path / "run", clip_folders(tmp_path / "data"), sequences=True, frames=2, size=32)
    (tmp_path / "new").mkdir()
    (tmp_path / "data/red/clip-0").rename(tmp_path / "new/take4")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(code, PAGE.name, "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "new/take3.mp4: no such folder or file"
    assert second.startswith("new/take4 {'blue': ")
