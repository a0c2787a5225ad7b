"""ONNX export of an embedding network: the file gives the encoder's own vectors, or there is no file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_encoders import DIM, SIZE, make_trained
from PIL import Image
from samples import picture

from resight import Encoder
from resight.errors import InputError, WorkError
from resight.train import encoder_export as module
from resight.train.encoder_export import compare, export_encoder

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run with a list of its images, of which one is broken and one gone, and its ONNX file with the report."""
    root = tmp_path_factory.mktemp("export")
    run = make_trained(root / "run", "rmac")
    rows = ["path,label,part"]
    for number in range(4):
        Image.fromarray(picture(number)).save(root / f"{number}.png")
        rows.append(f"../{number}.png,a,{'train' if number else 'test'}")
    (root / "broken.png").write_text("x")
    rows += ["../broken.png,a,test", "../gone.png,a,test"]
    (run / "split.csv").write_text("\n".join(rows) + "\n")
    return run, export_encoder(run, root / "model.onnx")


def session_of(file):
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.mark.oracle
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_gives_what_the_encoder_gives(exported, batch):
    run, report = exported
    encoder = Encoder.open(run, device="cpu")
    images = [picture(20 + number, 50, 70) for number in range(batch)]
    pixels = np.stack([encoder.fit(image) for image in images]).transpose(0, 3, 1, 2)
    (vectors,) = session_of(report.file).run(None, {"pixels": pixels})
    expected = np.stack([encoder.encode(image) for image in images])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_report_names_and_metadata(exported):
    run, report = exported
    assert (report.dim, report.checked, report.real) == (DIM, 4, True)
    assert report.difference < 1e-5
    assert report.inputs == {"pixels": f"('batch', 3, {SIZE}, {SIZE}) uint8"}
    assert "on 4 images of the run's data" in str(report)
    assert report.size == Path(report.file).stat().st_size
    json.dumps(report.as_dict())
    session = session_of(report.file)
    assert [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()] == [
        ("pixels", "tensor(uint8)", [3, SIZE, SIZE])
    ]
    assert [(one.name, one.type, one.shape[1]) for one in session.get_outputs()] == [("vectors", "tensor(float)", DIM)]
    facts = session.get_modelmeta().custom_metadata_map
    expected = {"size": "64", "fit": "squash", "interpolation": "bilinear", "descriptor": "rmac", "dim": "12"}
    assert {name: facts[name] for name in expected} == expected
    assert facts["space"] == Encoder.open(run).key


@pytest.mark.oracle
def test_classes_of_cam_are_those_of_each_image(tmp_path):
    run = make_trained(tmp_path / "run", "cam:count=4")
    report = export_encoder(run, tmp_path / "a.onnx")
    assert not report.real
    encoder = Encoder.open(run, device="cpu")
    pixels = np.random.default_rng(3).integers(0, 256, (5, 3, SIZE, SIZE), np.uint8)
    assert compare(encoder, (tmp_path / "a.onnx").read_bytes(), {"pixels": pixels}) < 1e-5


def test_a_file_that_differs_is_not_written(exported, tmp_path, monkeypatch):
    run, report = exported
    other = make_trained(tmp_path / "other", seed=9)
    monkeypatch.setattr(module, "_graphs", lambda encoder, inputs: [Path(report.file).read_bytes()] * 2)
    with pytest.raises(WorkError, match=r"not written: its vectors differ from the run's by .*, more than 0\.0001"):
        export_encoder(other, tmp_path / "a.onnx")
    monkeypatch.setattr(module, "compare", lambda encoder, data, inputs: float("nan"))
    with pytest.raises(WorkError, match="differ from the run's by nan"):
        export_encoder(run, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_doors(exported, tmp_path, monkeypatch):
    run, _ = exported
    with pytest.raises(InputError, match=r"ends in \.onnx, got"):
        export_encoder(run, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"got no encoder\.json"):
        export_encoder(tmp_path, tmp_path / "a.onnx")
    monkeypatch.setattr(module, "PACKAGES", ("onnx_of_nobody",))
    with pytest.raises(InputError, match="export needs onnx_of_nobody: pip install"):
        export_encoder(run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
