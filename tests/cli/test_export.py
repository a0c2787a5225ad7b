"""`resight export`: what is printed, and what stops it before the work."""

from __future__ import annotations

import json

import pytest
from made_runs import colour_images, make_run

from resight.cli import run as resight
from resight.train import export

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path):
    """A run, in a folder of which the exporter makes nothing much."""
    make_run(tmp_path / "run", colour_images(tmp_path / "data", 4))
    return str(tmp_path / "run")


def test_lines_and_json(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [b"graph"])
    monkeypatch.setattr(export, "compare", lambda run, data, inputs: (2e-7, 3e-6))
    assert resight(["export", folder, "--onnx", str(tmp_path / "a.onnx")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "probabilities within 2.0e-07 of the run's on 8 images of the run's data" in lines[0]
    assert lines[1:] == [
        "  input   pixels: ('batch', 3, 64, 64) uint8",
        "  output  logits, probabilities: ('batch', 3) float32",
    ]
    assert (tmp_path / "a.onnx").read_bytes() == b"graph"
    assert resight(["export", folder, "--onnx", str(tmp_path / "a.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] == 2e-7


def test_doors(folder, tmp_path, capsys):
    for words, code, message in (
        ([str(tmp_path), "--onnx", str(tmp_path / "a.onnx")], 2, "expected the folder of a training run"),
        ([folder, "--onnx", str(tmp_path / "a.pt")], 2, "ends in .onnx"),
        ([folder, "--onnx", str(tmp_path / "no" / "a.onnx")], 2, "the folder does not exist"),
        ([folder], 2, "--onnx"),
    ):
        assert resight(["export", *words]) == code
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
