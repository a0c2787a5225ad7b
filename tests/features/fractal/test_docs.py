"""The code on the page runs, and its table of features is right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resight.features.fractal import FEATURE_SETS
from resight.features.fractal.names import feature_names

PAGE = Path(__file__).parents[3] / "docs" / "fractal.md"


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cloth = np.random.default_rng(0).integers(110, 150, (60, 64, 3), np.uint8)
    Image.fromarray(cloth).save("cloth.png")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    assert capsys.readouterr().out.startswith("Fractal(D=")
    assert {path.name for path in tmp_path.iterdir()} == {"cloth.png", "cloth-fractal.png", "cloth-fractal"}
    assert len(names["row"]) == 99 and len(names["old"]) == 116
    assert names["slopes"].shape == (60, 64)


@pytest.mark.parametrize("name", sorted(FEATURE_SETS))
def test_the_table_counts_right(name):
    (count,) = re.findall(rf"^\| `{name}` \| (\d+)", PAGE.read_text(), re.MULTILINE)
    assert int(count) == len(feature_names(name))
