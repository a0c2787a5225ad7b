"""From a split by class over a training to a test: the encoders of a real run are the ones that are measured."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import timm
import torch
from training_samples import class_folders

from resight.features import Encoder
from resight.images.examples import read_examples
from resight.measure import evaluate_labels
from resight.train import EmbedRun, train_embedder
from resight.train.class_splits import deal
from resight.train.embed_testing import test_embedder as measure

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained for an epoch from a file of weights, on three of five classes."""
    root = tmp_path_factory.mktemp("round")
    data = class_folders(root / "data", 6)
    for name in ("blue", "red"):
        shutil.copytree(data / name, data / f"{name}-too")
        for file in (data / f"{name}-too").iterdir():
            file.write_bytes(file.read_bytes() + b"another")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), root / "start.pth")
    deal(read_examples(data), "class", validation=0, test=0.4).write(root / "split.csv")
    return train_embedder(
        root / "split.csv", root / "run", backbone="test_resnet", weights=str(root / "start.pth"), size=32, epochs=1,
        device="cpu", workers=0, dim=4, validation=0.0,
    )  # fmt: skip


@pytest.mark.oracle
def test_the_encoders_of_a_run_are_measured(run, tmp_path):
    report = measure(EmbedRun.open(run.folder, "cpu"))
    assert len(report.names) == 12
    assert len(report.unseen) == 2
    assert not report.seen
    expected = {"frozen": run.frozen(), "start": run.started(), "trained": Encoder.open(run.folder, device="cpu")}
    assert list(report.stages) == list(expected)
    for name, encoder in expected.items():
        vectors = np.stack([encoder.encode(path) for path in report.names])
        np.testing.assert_allclose(report.stages[name].vectors, vectors, atol=1e-5)
        row = next(row for row in report.rows if row["encoder"] == name)
        assert row["map_standard"] == pytest.approx(evaluate_labels(vectors, report.labels).map, abs=1e-4)
    assert not np.allclose(report.stages["start"].vectors, report.stages["trained"].vectors, atol=1e-4)
    report.save(tmp_path / "out")


def test_weights_that_are_gone_leave_the_trained_encoder(run, tmp_path):
    root = run.folder.parent
    (root / "start.pth").rename(root / "elsewhere.pth")
    try:
        report = measure(EmbedRun.open(run.folder, "cpu"))
    finally:
        (root / "elsewhere.pth").rename(root / "start.pth")
    assert list(report.stages) == ["trained"]
    assert any("only the trained encoder is tested" in note and "start.pth" in note for note in report.notes)
    report.save(tmp_path / "out")
