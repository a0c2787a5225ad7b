"""The page's code is run as it stands."""

import re
from pathlib import Path

from PIL import Image
from samples import picture

PAGE = Path(__file__).parents[3] / "docs" / "dense_sift.md"


def test_the_page(tmp_path, monkeypatch):
    Image.fromarray(picture(3)).save(tmp_path / "query.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["found"].shape[2] == 128 and names["small"].dtype == "uint8"
    assert (names["x"], names["y"]) == (26.5, 14.5)
    assert names["maps"].shape == (2, 64, 56, 56) and len(names["columns"]) == 256
