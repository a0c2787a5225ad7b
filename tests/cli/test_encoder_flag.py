"""`--encoder RUN`: a trained run wherever a descriptor is meant, and one line for what does not go with it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_encoders import DIM, make_trained

from resight import Collection, Encoder
from resight.cli import run as resight
from resight.train import encoder_export as export

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def place(tmp_path, photos, monkeypatch):
    """A folder with a run and photos, in which the commands are given."""
    make_trained(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys):
    def said(*words):
        code = resight([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return said


def test_index_search_evaluate_and_explain(place, call):
    assert call("index", "photos", "--to", "x.resight", "--encoder", "run/", "--device", "cpu")[0] == 0
    with Collection.open("x.resight") as found:
        assert found.config.encoder == str(place / "run")
        assert found.dim == DIM
        key = found.space
    assert key == Encoder.open("run").key
    assert "12 unchanged" in call("index", "photos", "--to", "x.resight", "--encoder", place / "run")[1]
    assert "12 unchanged" in call("index", "photos", "--to", "x.resight", "--device", "cpu")[1]
    code, out, _ = call("search", "photos/a/3.jpg", "--in", "x.resight", "-k", "1", "--json")
    assert code == 0
    first = json.loads(out)["queries"][0]["results"][0]
    assert first["path"].endswith("a/3.jpg")
    assert first["score"] == pytest.approx(1, abs=1e-4)
    code, out, _ = call("evaluate", "x.resight", "--json")
    assert code == 0
    assert json.loads(out)["fingerprint"]["space"] == key
    code, out, _ = call("search", "photos/a/3.jpg", "--in", "x.resight", "-k", "2", "--explain", "--html", "x.html")
    assert code == 0
    assert (place / "x.html").is_file()


def test_a_run_that_was_moved_is_remembered_at_its_new_place(place, call):
    assert call("index", "photos", "--to", "x.resight", "--encoder", "run", "--scales", "1", "0.5")[0] == 0
    shutil.move("run", "moved")
    code, _, err = call("search", "photos/a/3.jpg", "--in", "x.resight")
    assert code == 2
    assert err == (
        f"resight: {place / 'run'}: expected the folder of a finished run of `resight train embed`, there is no such "
        "folder: bring it back, or give its new place as --encoder (for a collection once, to `resight index`)\n"
    )
    assert call("info", "x.resight")[0] == 0
    assert call("remove", "x.resight", "photos/b/7.png")[0] == 0
    code, _, err = call("index", "photos", "--to", "x.resight", "--encoder", "moved")
    assert (code, "was made with scales (1.0, 0.5): leave" in err) == (2, True)
    code, out, _ = call("index", "photos", "--to", "x.resight", "--encoder", "moved", "--scales", "1", "0.5")
    assert (code, "1 added, 11 unchanged" in out) == (0, True)
    assert call("search", "photos/a/3.jpg", "--in", "x.resight")[0] == 0
    with Collection.open("x.resight") as found:
        assert found.config.encoder == str(place / "moved")
    make_trained("other", seed=4)
    code, _, err = call("index", "photos", "--to", "x.resight", "--encoder", "other", "--scales", "1", "0.5")
    assert (code, "another embedding space" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoder", "run", "--descriptor", "rmac"], "descriptor 'rmac' has no place beside the encoder"),
        (["--encoder", "run", "--backbone", "resnet18"], "backbone 'resnet18' has no place"),
        (["--encoder", "run", "--weights", "hub"], "weights 'hub' has no place"),
        (["--encoder", "run", "--stage", "1"], "stage 1 has no place"),
        (["--encoder", "nowhere"], "there is no such folder"),
        (["--encoder", "photos"], "got no encoder.json"),
        (["--encoder", "run", "--part-whiten", "4", "--part-whiten-from", "photos"],
         "--part-whiten has no place beside --encoder"),
    ],
)  # fmt: skip
def test_index_refuses_in_one_line(place, call, words, message):
    code, _, err = call("index", "photos", "--to", "x.resight", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (place / "x.resight").exists()


def test_a_pair(place, call):
    pair = ["explain", "photos/a/1.jpg", "photos/b/7.png", "--pair", "--out"]
    code, out, _ = call(*pair, "one", "--encoder", "run", "--device", "cpu")
    assert code == 0
    assert f"by gem of test_resnet, projected by the run {place / 'run'}" in out
    assert out.count("that belongs to no place (the mean of the projection)") == 2
    said = json.loads((place / "one" / "manifest.json").read_text())
    encoder = Encoder.open("run", device="cpu")
    score = float(encoder.encode("photos/a/1.jpg") @ encoder.encode("photos/b/7.png"))
    assert said["score"] == pytest.approx(score, abs=1e-4)
    assert said["encoder"] == str(place / "run")
    assert call("index", "photos", "--to", "x.resight", "--encoder", "run", "--whiten", "4")[0] == 0
    code, out, _ = call(*pair, "two", "--in", "x.resight")
    assert code == 0
    assert out.count("(the means of the projection and the whitening)") == 2
    for words, message in (
        (["--encoder", "run", "--descriptor", "gem"], "--descriptor has no effect beside --encoder"),
        (["--encoder", "run", "--in", "x.resight"], "--encoder has no effect beside --in"),
        (["--model", "run"], "--model run beside --pair takes a network by its name: give a run of `resight train"),
        (["--encoder", "photos"], "got no encoder.json"),
    ):
        code, _, err = call(*pair, "three", *words)
        assert (code, message in err) == (2, True), err
    code, _, err = call("explain", "photos/a/1.jpg", "--out", "three", "--encoder", "run")
    assert (code, "--encoder is for --pair" in err) == (2, True)


def test_features(place, call, photos):
    words = ["features", "photos", "--encoder", "run", "--device", "cpu"]
    assert call(*words, "-o", "t.parquet", "--with", "gem,layer:layer2")[0] == 0
    table = pq.read_table("t.parquet").to_pydict()
    row = table["path"].index(str(photos / "a" / "2.jpg"))
    own = Encoder.open("run", device="cpu").encode(photos / "a" / "2.jpg")
    np.testing.assert_allclose(table["gem:test_resnet"][row], own, atol=1e-4)  # layers: nothing is folded
    wanted = f"rmac:test_resnet,weights={place / 'run' / 'model.safetensors'},size=64,gem"
    assert call(*words, "-o", "plain.parquet", "--with", wanted)[0] == 0
    table = pq.read_table("plain.parquet").to_pydict()
    assert len(table["rmac:test_resnet,size=64"][0]) == 96
    assert len(table["gem:test_resnet"][0]) == DIM
    code, _, err = call(*words, "-o", "no.csv", "--with", "rmac")
    assert (code, err.count("\n")) == (2, 1)
    assert "rmac is not what" in err
    assert f"rmac:test_resnet,weights={place / 'run' / 'model.safetensors'}" in err
    code, _, err = call(*words, "-o", "no.csv", "--with", "gem:resnet18")
    assert (code, f"--encoder {place / 'run'} is a run for test_resnet: give gem:resnet18 its own" in err) == (2, True)
    code, _, err = call(*words, "-o", "no.csv", "--with", "gem", "--backbone", "resnet18")
    assert (code, "backbone 'resnet18' has no place" in err) == (2, True)


def test_a_table_knows_another_projection(place, call):
    words = ["features", "photos", "-o", "t.csv", "--with", "gem", "--device", "cpu"]
    assert call(*words, "--encoder", "run")[0] == 0
    assert "12 known before" in call(*words, "--encoder", place / "run")[1]
    from resight.models.trained import projection_arrays, read_trained

    _, projection = projection_arrays(read_trained("run"))
    import torch

    make_trained("turned", tensors={"projection.weight": torch.from_numpy(-projection)})
    code, out, err = call(*words, "--encoder", "turned")
    assert "known before" not in out, (code, err)


def test_export(place, call, monkeypatch):
    monkeypatch.setattr(export, "PACKAGES", ())
    monkeypatch.setattr(export, "_graphs", lambda encoder, inputs: [b"graph"])
    monkeypatch.setattr(export, "compare", lambda encoder, data, inputs: 2e-7)
    code, out, _ = call("export", "run", "--onnx", "a.onnx")
    assert code == 0
    lines = out.splitlines()
    assert "vectors within 2.0e-07 of the run's on 2 images of random pixels" in lines[0]
    assert lines[1:] == [
        "  input   pixels: ('batch', 3, 64, 64) uint8", f"  output  vectors: ('batch', {DIM}) float32 of length 1"
    ]  # fmt: skip
    assert (place / "a.onnx").read_bytes() == b"graph"
    assert json.loads(call("export", "run", "--onnx", "a.onnx", "--json")[1])["dim"] == DIM
    (place / "begun").mkdir()
    (place / "begun" / "run.json").write_text('{"task": "embed", "state": "running"}')
    code, _, err = call("export", "begun", "--onnx", "b.onnx")
    assert (code, "this training has not finished" in err) == (2, True)
