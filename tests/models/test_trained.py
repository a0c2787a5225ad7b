"""What a training run leaves for an encoder: read as it was written, and anything else is one line."""

from __future__ import annotations

import json
import os

import pytest
import timm
import torch
from made_encoders import PREPROCESSING, make_trained

from resight.errors import InputError, WorkError
from resight.models import Backbone, Preprocessing
from resight.models.trained import LIMIT, backbone_tensors, projection_arrays, read_tensors, read_trained

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_trained(tmp_path_factory.mktemp("trained") / "run")


def rewritten(source, target, **changes):
    """The run with another encoder.json."""
    target.mkdir()
    os.link(source / "model.safetensors", target / "model.safetensors")
    record = json.loads((source / "encoder.json").read_text())
    (target / "encoder.json").write_text(json.dumps({**record, **changes}))
    return target


def test_it_comes_back_as_it_was_written(folder):
    found = read_trained(f"{folder}/")
    assert (found.folder, found.backbone, found.descriptor) == (folder, "test_resnet", "gem")
    assert (found.size, found.fit, found.dim) == (64, "squash", 12)
    assert found.preprocessing == Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "bilinear", 0.9, 96)


@pytest.mark.oracle
def test_the_backbone_has_these_weights_and_this_preprocessing(folder):
    made = Backbone("test_resnet", weights=str(folder / "model.safetensors"), device="cpu")
    model = timm.create_model("test_resnet").eval()
    model.load_state_dict(backbone_tensors(read_tensors(read_trained(folder))))
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(PREPROCESSING[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected = model.forward_features((pixels / 255 - mean) / std)
        found = made.maps(made.normalise(pixels))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert made.preprocessing.size == 96


def test_a_backbone_without_a_head_will_do(tmp_path):
    run = make_trained(tmp_path / "run", head=False)
    made = Backbone("test_resnet", weights=str(run / "model.safetensors"), device="cpu")
    assert made.head_weight is None
    assert made.maps(torch.zeros(1, 3, 64, 64)).shape[1] == made.model.num_features


def test_projection_of_the_file(folder):
    state = read_tensors(read_trained(folder))
    mean, projection = projection_arrays(read_trained(folder))
    assert torch.equal(torch.from_numpy(mean), state["projection.mean"])
    assert torch.equal(torch.from_numpy(projection), state["projection.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "resight-encoder-2"}, "expected the format 'resight-encoder-1', got 'resight-encoder-2'"),
        ({"size": "64"}, "size must be a whole number from 1 to 4,096, got '64'"),
        ({"size": True}, "size must be a whole number"),
        ({"size": 10**300}, "size must be a whole number from 1 to 4,096, got '1000"),
        ({"dim": 0}, "dim must be a whole number from 1 to"),
        ({"fit": "crob"}, "fit must be one of .*, got 'crob'"),
        ({"fit": ["squash"]}, "fit must be text"),
        ({"backbone": "x" * 5000}, "backbone must be text of at most 1,024 characters, got 'xxx"),
        ({"descriptor": None}, "descriptor must be text"),
        ({"preprocessing": []}, "preprocessing is no table"),
        ({"preprocessing": {**PREPROCESSING, "mean": [0.5, 0.5]}}, "mean must be three numbers"),
        ({"preprocessing": {**PREPROCESSING, "mean": [0.5, 0.5, float("nan")]}}, "mean must be from .*, got 'nan'"),
        ({"preprocessing": {**PREPROCESSING, "std": [0.5, 0.5, 0]}}, "std must be from 1e-06 to 100, got '0'"),
        ({"preprocessing": {**PREPROCESSING, "crop": float("inf")}}, "crop must be from 0.01 to 1, got 'inf'"),
        ({"preprocessing": {**PREPROCESSING, "interpolation": "nearest"}}, "interpolation must be one of"),
        ({"preprocessing": {"mean": [0, 0, 0]}}, "'std' is missing"),
        ({"model": {"sha256": "../../etc"}}, "model.sha256 is no SHA-256"),
        ({"model": "x"}, "is damaged"),
        ({"model": {}}, "'sha256' is missing"),
    ],
)
def test_a_record_of_another_form(folder, tmp_path, changes, message):
    run = rewritten(folder, tmp_path / "run", **changes)
    with pytest.raises(WorkError, match=message) as caught:
        read_trained(run)
    assert str(caught.value).startswith(f"{run / 'encoder.json'} is damaged, or of another version: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b"null"])
def test_no_record_at_all(folder, tmp_path, content):
    run = rewritten(folder, tmp_path / "run")
    (run / "encoder.json").write_bytes(content)
    with pytest.raises(WorkError, match=r"encoder\.json is damaged, or of another version"):
        read_trained(run)


def test_a_huge_record_is_not_read(folder, tmp_path):
    run = rewritten(folder, tmp_path / "run")
    with (run / "encoder.json").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(WorkError, match="the file is larger"):
        read_trained(run)


def test_folders_that_hold_no_finished_run(tmp_path):
    with pytest.raises(InputError, match="there is no such folder: bring it back, or give its new place"):
        read_trained(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: expected the folder of a finished run .*, got a file"):
        read_trained(tmp_path / "file")
    with pytest.raises(InputError, match=r"got no encoder\.json"):
        read_trained(tmp_path)
    for record, kind, message in (
        ({"task": "classify", "state": "finished"}, InputError, "got one of `resight train classify`"),
        ({"state": "finished"}, InputError, "got one of `resight train classify`"),
        ({"task": "embed", "state": "running"}, InputError, "has not finished: go on with it: `resight train embed"),
        ({"task": "embed", "state": "finished"}, WorkError, r"its training has finished, and encoder\.json is gone"),
        ([], InputError, r"got no encoder\.json"),
    ):
        (tmp_path / "run.json").write_text(json.dumps(record))
        with pytest.raises(kind, match=message):
            read_trained(tmp_path)
    for given in ("", "a\0b", 7):
        with pytest.raises(InputError, match="encoder must be the folder of a run"):
            read_trained(given)


def test_weights_that_are_gone_or_others(folder, tmp_path):
    run = rewritten(folder, tmp_path / "run")
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: the weights of this run are gone"):
        read_tensors(read_trained(run))
    (run / "model.safetensors").write_bytes(b"other")
    with pytest.raises(WorkError, match=r"is not what encoder\.json beside it names \(sha256 .*, expected"):
        read_tensors(read_trained(run))
    with pytest.raises(WorkError, match="damaged, or replaced"):
        Backbone("test_resnet", weights=str(run / "model.safetensors"), device="cpu")
    import hashlib

    again = rewritten(folder, tmp_path / "again", model={"sha256": hashlib.sha256(b"other").hexdigest()})
    (again / "model.safetensors").unlink()
    (again / "model.safetensors").write_bytes(b"other")
    with pytest.raises(WorkError, match="is no safetensors file"):
        read_tensors(read_trained(again))


def test_tensors_that_do_not_belong_together(tmp_path):
    run = make_trained(tmp_path / "a", dim=13)
    with pytest.raises(WorkError, match=r"says vectors of 13 numbers, projection\.weight has the shape"):
        projection_arrays(read_trained(run))
    run = make_trained(tmp_path / "b", tensors={"projection.mean": None})
    with pytest.raises(WorkError, match=r"it has no 'projection\.mean'"):
        projection_arrays(read_trained(run))
    run = make_trained(tmp_path / "c", tensors={"backbone.conv1.weight": torch.zeros(2)})
    with pytest.raises(WorkError, match=r"c is damaged, or of another version: weights .* do not fit the backbone"):
        Backbone("test_resnet", weights=str(run / "model.safetensors"), device="cpu")
    with pytest.raises(InputError, match="has trained 'test_resnet', got the backbone 'resnet18'"):
        Backbone("resnet18", weights=str(run / "model.safetensors"), device="cpu")


def test_weights_of_a_run_without_its_record_are_refused(folder, tmp_path):
    os.link(folder / "model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="are those of a training run, not of test_resnet alone"):
        Backbone("test_resnet", weights=str(tmp_path / "model.safetensors"), device="cpu")
