"""ONNX export of every kind of input: dense SIFT by each stem is inside the file, and so is a sequence's head."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import colour_images, make_run
from PIL import Image

from resight.train.export import compare, export_onnx

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.oracle, pytest.mark.slow]


@pytest.mark.parametrize(
    "options",
    [
        {"input": "sift", "stem": "patch", "sift": "vlfeat:step=4"},
        {"input": "sift", "stem": "full", "sift": "vlfeat:window=gaussian"},
        {"input": "fusion", "stem": "conv", "sift": "deepsky:cell=8,orientations=4"},
    ],
    ids=["patch", "full", "fusion-conv"],
)
def test_sift_is_in_the_file(tmp_path, options):
    run = make_run(tmp_path / "run", colour_images(tmp_path / "data", 4), size=32, **options)
    report = export_onnx(run, tmp_path / "a.onnx")
    assert report.real
    assert report.difference < 1e-4
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), np.uint8)
    pixels[1, :, 8:] = 77  # flat: no gradient to divide by
    assert max(compare(run, (tmp_path / "a.onnx").read_bytes(), {"pixels": pixels})) < 1e-3


@pytest.mark.parametrize("head", ["pool", "gru"])  # without and with the motion between frames
def test_a_sequence_is_filled_up_as_one_likes(tmp_path, head):
    import onnxruntime

    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for clip in range(4):
            folder = tmp_path / "data" / label / f"clip{clip}"
            folder.mkdir(parents=True)
            for frame in range(2 + clip):
                Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{frame}.png")
    run = make_run(tmp_path / "run", tmp_path / "data", sequences=True, frames=5, size=32, head=head)
    report = export_onnx(run, tmp_path / "a.onnx")
    assert report.difference < 1e-5
    assert report.inputs == {"frames": "('batch', 'time', 3, 32, 32) uint8", "lengths": "('batch',) int64"}
    frames = random.integers(0, 256, (2, 9, 3, 32, 32), np.uint8)
    lengths = np.array([9, 3])
    data = (tmp_path / "a.onnx").read_bytes()
    assert max(compare(run, data, {"frames": frames, "lengths": lengths})) < 1e-4
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    alone = session.run(["probabilities"], {"frames": frames[1:, :3], "lengths": lengths[1:]})[0]
    together = session.run(["probabilities"], {"frames": frames, "lengths": lengths})[0]
    np.testing.assert_allclose(together[1:], alone, atol=1e-6)
