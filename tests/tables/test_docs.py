"""The code and the claims of docs/features.md and docs/textures.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
from PIL import Image
from samples import picture

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["features.md", "textures.md"])
def test_the_code_runs(page, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(3, 70, 90)).save("query.jpg")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    assert (tmp_path / "table.parquet").is_file()


@pytest.mark.parametrize(
    ("network", "module"),
    [
        ("resnet50", "global_pool"), ("inception_v3", "global_pool"), ("efficientnet_b2", "global_pool"),
        ("densenet121", "classifier"), ("vgg19", "pre_logits.fc2"),
    ],
)  # fmt: skip
def test_the_predecessors_layers_are_there(network, module):
    import torch

    with torch.device("meta"):
        assert module in dict(timm.create_model(network).named_modules())
    assert f"layer:{network}.{module}" in (ROOT / "docs/features.md").read_text() or module == "global_pool"


@pytest.mark.slow
def test_the_example_of_textures_runs(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "examples/textures.py"), "--out", str(tmp_path / "out")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    shares = dict(re.findall(r"^\| (\w+) \| [\d,]+ \| ([\d.]+) ±", done.stdout, re.MULTILINE))
    assert set(shares) == {"fractal", "deep", "both"}
    assert min(map(float, shares.values())) > 90  # three textures that nobody confuses
    assert (tmp_path / "out/confusion.png").stat().st_size > 10_000
