"""ONNX export: the file gives the run's own probabilities in batches of any size, or there is no file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from made_runs import colour_images, make_run

from resight.errors import InputError, WorkError
from resight.train import export
from resight.train.export import export_onnx
from resight.train.runs import Run

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run, and its ONNX file with the report."""
    root = tmp_path_factory.mktemp("run")
    run = make_run(root / "run", colour_images(root / "data"), test=0.34, mask="circle")
    return run, export_onnx(run, root / "model.onnx")


def session_of(file):
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.mark.oracle
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_gives_what_the_run_gives(exported, batch):
    run, report = exported
    pixels = np.random.default_rng(batch).integers(0, 256, (batch, 3, 64, 64), np.uint8)
    logits, probabilities = session_of(report.file).run(None, {"pixels": pixels})
    with torch.inference_mode():
        expected = run.network(torch.from_numpy(pixels))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, expected.softmax(1), atol=1e-5)


def test_real_images_are_classified_alike(exported):
    run, report = exported
    paths = [item for item, _ in run.scores(sorted(run.folder.parent.glob("data/*/*")))]
    pixels = torch.stack([run.fitting(path) for path in paths]).numpy()
    found = session_of(report.file).run(["probabilities"], {"pixels": pixels})[0]
    own = np.stack([scores for _, scores in run.scores(paths)])
    np.testing.assert_allclose(found, own, atol=1e-5)
    assert (found.argmax(1) == own.argmax(1)).all()


def test_report_and_metadata(exported):
    run, report = exported
    assert report.real
    assert report.checked == 8
    assert report.difference < 1e-5
    assert report.inputs == {"pixels": "('batch', 3, 64, 64) uint8"}
    assert "8 images of the run's data" in str(report)
    json.dumps(report.as_dict())
    facts = session_of(report.file).get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == ["blue", "green", "red"] == list(run.classes)
    expected = {"size": "64", "fit": "squash", "mask": "circle", "interpolation": run.fitting.interpolation}
    assert {name: facts[name] for name in expected} == expected
    assert facts["model_sha256"] == run.record["model"]["sha256"]


def test_names_of_inputs_and_outputs(exported):
    session = session_of(exported[1].file)
    assert [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()] == [
        ("pixels", "tensor(uint8)", [3, 64, 64])
    ]
    assert [(one.name, one.type, one.shape[1]) for one in session.get_outputs()] == [
        ("logits", "tensor(float)", 3), ("probabilities", "tensor(float)", 3)
    ]  # fmt: skip


def graph_of(exported):
    from pathlib import Path

    return Path(exported[1].file).read_bytes()


def test_a_file_that_differs_is_not_written(exported, tmp_path, monkeypatch):
    import onnx

    model = onnx.load_from_string(graph_of(exported))
    (weights,) = (one for one in model.graph.initializer if one.name.endswith("head.bias"))
    array = onnx.numpy_helper.to_array(weights) + np.float32([0.1, 0, 0])
    weights.raw_data = array.tobytes()
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [model.SerializeToString()] * 2)
    with pytest.raises(WorkError, match=r"not written: its probabilities differ from the run's by .* more than 0\.001"):
        export_onnx(exported[0], tmp_path / "a.onnx")
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [b"no model"])
    with pytest.raises(WorkError, match="onnxruntime cannot run what was exported"):
        export_onnx(exported[0], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_second_is_taken_if_the_first_is_wrong(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [b"wrong", graph_of(exported)])
    before = export.compare

    def compare(run, data, inputs):
        return (float("nan"), 0.0) if data == b"wrong" else before(run, data, inputs)

    monkeypatch.setattr(export, "compare", compare)
    export_onnx(exported[0], tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == graph_of(exported)


def test_nan_is_no_agreement(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [b""])
    monkeypatch.setattr(export, "compare", lambda run, data, inputs: (float("nan"), 0.0))
    with pytest.raises(WorkError, match="differ from the run's by nan"):
        export_onnx(exported[0], tmp_path / "a.onnx")


def test_an_older_file_is_replaced_and_pixels_are_made_up_if_none_are_there(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_graphs", lambda run, inputs: [graph_of(exported)])
    folder = shutil.copytree(exported[0].folder, tmp_path / "run")
    (folder / "split.csv").write_text("path,label,part\ngone.png,red,train\n")
    (tmp_path / "a.onnx").write_text("old")
    report = export_onnx(Run.open(folder, "cpu"), tmp_path / "a.onnx")
    assert not report.real
    assert report.checked == 2
    assert "random pixels" in str(report)
    assert (tmp_path / "a.onnx").read_bytes() == graph_of(exported)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "run"]


def test_images_that_cannot_be_read_are_passed_over(exported, tmp_path):
    folder = shutil.copytree(exported[0].folder, tmp_path / "run")
    good = colour_images(tmp_path / "data", 2)
    (tmp_path / "bad.png").write_text("x")
    rows = [tmp_path / "bad.png", *sorted(good.glob("red/*"))]
    (folder / "split.csv").write_text("path,label,part\n" + "".join(f"{path},red,test\n" for path in rows))
    inputs, real = export._samples(Run.open(folder, "cpu"))
    assert real
    assert inputs["pixels"].shape == (2, 3, 64, 64)


def test_failures_of_the_exporter_are_one_line(exported, tmp_path, monkeypatch):
    def fail(*given, **named):
        try:
            raise RuntimeError("\x1b[96mno such\x1b[0m\noperator")
        except RuntimeError as error:
            raise ValueError("pages of advice") from error

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(WorkError, match=r"test_resnet with input rgb cannot be exported: RuntimeError: no such$"):
        export_onnx(exported[0], tmp_path / "a.onnx")


def test_doors(exported, tmp_path, monkeypatch):
    run, _ = exported
    with pytest.raises(InputError, match=r"ends in \.onnx, got '.*a\.pt'"):
        export_onnx(run, tmp_path / "a.pt")
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "onnx_of_nobody"))
    with pytest.raises(InputError, match=r"export needs onnx_of_nobody: pip install 'resight\[onnx\]'"):
        export_onnx(run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
