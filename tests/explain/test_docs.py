"""The code in docs/explain.md is run as it stands, and the page knows every method."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import picture

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
