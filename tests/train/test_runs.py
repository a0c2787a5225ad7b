import json

import numpy as np
import pytest
import torch
from PIL import Image
from samples import picture
from training_samples import TINY, class_folders, clip_folders

from resight.errors import ImageError, InputError, WorkError
from resight.images.read import read_image
from resight.images.resize import fit
from resight.train.classifier import train_classifier
from resight.train.options import resolved
from resight.train.run_files import MODEL, RECORD, read_options, read_record, write_options
from resight.train.runs import Run, exact_convolutions
from resight.train.sequence_network import make_sequence_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, and the folder of its data."""
    root = tmp_path_factory.mktemp("trained")
    data = class_folders(root / "data", each=6)
    train_classifier(data, root / "run", **{**TINY, "fit": "crop"}, tune="head", epochs=2)
    return root / "run", data


@pytest.fixture(scope="module")
def run(trained):
    return Run.open(trained[0], device="cpu")


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the run that may be damaged."""
    import shutil

    return shutil.copytree(trained[0], tmp_path / "copy")


def test_scores_are_the_network_on_fitted_images_one_by_one(run, trained):
    files = sorted(trained[1].rglob("*.png"))
    found = dict(run.scores(files))
    assert list(found) == files
    for file in files:
        square = fit(read_image(file), 32, "crop", "bilinear", run.record["network"]["rgb"]["preprocessing"]["crop"])
        pixels = torch.from_numpy(square).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = run.network(pixels).softmax(1)[0].numpy()
        assert found[file].dtype == np.float32 and found[file].sum() == pytest.approx(1)
        np.testing.assert_allclose(found[file], expected, atol=1e-5)


def test_features_give_the_scores_through_the_last_layer(run, trained):
    files = sorted(trained[1].rglob("*.png"))[:5]
    features = np.stack([row for _, row in run.features(files)])
    logits = features @ run.network.head.weight.numpy().T + run.network.head.bias.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(np.stack([row for _, row in run.scores(files)]), expected, atol=1e-5)


def test_flips_average_the_image_and_its_mirror(run):
    image = picture(3)
    (plain,), (mirrored,) = ([row for _, row in run.scores([one])] for one in (image, image[:, ::-1]))
    (both,) = (row for _, row in run.scores([image], flips=True))
    np.testing.assert_allclose(both, (plain + mirrored) / 2, atol=1e-5)


def test_an_edit_is_applied_to_the_image(run):
    image = picture(4)
    turned = np.ascontiguousarray(np.rot90(image))
    (edited,) = (row for _, row in run.scores([image], edit=lambda array: np.rot90(array)))
    np.testing.assert_allclose(edited, next(iter(run.scores([turned])))[1], atol=1e-6)


def test_unreadable_images_are_errors_in_their_place(run, trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    good = next(trained[1].rglob("*.png"))
    counts = []
    items = [good, tmp_path / "broken.png", picture(1), tmp_path / "none.png", Image.fromarray(picture(2))]
    found = [row for _, row in run.scores(iter(items), progress=lambda done, failed: counts.append((done, failed)))]
    assert [isinstance(row, ImageError) for row in found] == [False, True, False, True, False]
    assert counts == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]


def test_two_of_one_image_among_many_score_the_same(run):
    rows = [row for _, row in run.scores([picture(1), *[picture(n) for n in range(40)], picture(1)])]
    np.testing.assert_allclose(rows[0], rows[-1], atol=1e-6)


def test_one_item_is_one_result(run, trained):
    file = next(trained[1].rglob("*.png"))
    array = read_image(file)
    ((_, expected),) = run.scores([file])
    for one in (str(file), file, array, Image.fromarray(array)):
        ((item, row),) = run.scores(one)
        assert item is one
        np.testing.assert_allclose(row, expected, atol=1e-6)
        ((_, found),) = run.features(one)
        assert found.shape == (run.network.head.in_features,)
    with pytest.raises(InputError, match="expected a path, a uint8 array, a Pillow image, or several of them, got int"):
        run.scores(3)


def test_it_says_what_it_is(run, trained):
    assert repr(run) == f"<Run {str(trained[0])!r}: rgb test_resnet, 3 classes>"
    assert run.classes == ("blue", "green", "red") and run.options.fit == "crop" and run.options.size == 32
    assert len(run.history) == 2 and run.split_file.is_file()
    assert run.record["split"] == {
        "train": 15, "val": 3, "test": 0, "skipped": 0, "train_by_class": {"blue": 5, "green": 5, "red": 5},
    }  # fmt: skip


def test_options_are_written_for_config(trained, tmp_path):
    run = Run.open(trained[0])
    asked = read_options(trained[0] / "options.yaml")
    assert asked.sift_weights is None  # as it was asked for; what that comes to is in run.json
    assert resolved(asked, run.options.size) == run.options
    assert read_options(trained[0] / "options.yaml", epochs=9).epochs == 9
    write_options(tmp_path, run.options)
    assert read_options(tmp_path / "options.yaml") == run.options


def test_a_preset_in_a_file(tmp_path):
    (tmp_path / "a.yaml").write_text("preset: deepsky\ninput: fusion\nlr: 0.5\n")
    found = read_options(tmp_path / "a.yaml", batch=4)
    assert (found.size, found.epochs, found.lr, found.batch) == (280, 10, 0.5, 4)
    with pytest.raises(InputError, match=r"a\.yaml: unknown training option 'epoch', did you mean 'epochs'"):
        (tmp_path / "a.yaml").write_text("epoch: 3\n")
        read_options(tmp_path / "a.yaml")


def test_sequences(tmp_path):
    data = clip_folders(tmp_path / "clips")
    run = train_classifier(data, tmp_path / "run", **TINY, tune="head", augment="none", epochs=2, sequences=True,
                           frames=4, validation=0.25)  # fmt: skip
    clips = sorted(data.glob("*/*"))
    found = [row for _, row in run.scores(clips)]
    again = make_sequence_network(run.options, 2, load=False, record=run.record["network"]).eval()
    again.load_state_dict(run.network.state_dict())
    for clip, row in zip(clips, found, strict=True):
        frames = run.fitting(clip)
        with torch.no_grad():
            expected = again(frames[None], torch.tensor([len(frames)])).softmax(1)[0]
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)
    features = np.stack([row for _, row in run.features(clips)])
    last = run.network.head.last
    with torch.no_grad():
        expected = last(torch.from_numpy(features)).softmax(1)
    np.testing.assert_allclose(np.stack(found), expected.numpy(), atol=1e-5)
    assert run.unit == "sequences"
    ((_, alone),) = run.scores(str(clips[0]))
    np.testing.assert_allclose(alone, found[0], atol=1e-5)
    with pytest.raises(InputError, match="a folder of frames or a video"):
        list(run.scores([picture(0)]))


def test_weights_that_are_not_the_run_s_are_refused(copied):
    data = bytearray((copied / MODEL).read_bytes())
    data[-5] ^= 1
    (copied / MODEL).write_bytes(bytes(data))
    with pytest.raises(WorkError, match=r"model.safetensors is not what the run has recorded \(sha256 "):
        _ = Run.open(copied, device="cpu").network
    (copied / MODEL).unlink()
    with pytest.raises(WorkError, match=r"expected a file, got none; `resight train finish .*` restores it from"):
        _ = Run.open(copied, device="cpu").network


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"format": "other"}, InputError, "expected a training run of the format 'resight-train-1', got 'other'"),
        ({"classes": ["one"]}, WorkError, "expected the names of at least two classes"),
        ({"classes": ["one", "one"]}, WorkError, "expected the names of at least two classes"),
        ({"classes": 3}, WorkError, "run.json is damaged, or of another version: classes is missing or something else"),
        ({"network": None}, WorkError, "network is missing or something else"),
        ({"model": None}, WorkError, "model is missing or something else"),
        ({"state": "training"}, InputError, "has not finished: go on with it: `resight train classify --out .* "
         "--resume`; or keep its best epoch so far: `resight train finish "),
        ({"options": {"epoch": 3}}, WorkError, "damaged, or of another version: its options: unknown training option"),
    ],
)  # fmt: skip
def test_door(copied, change, kind, message):
    record = json.loads((copied / RECORD).read_text())
    (copied / RECORD).write_text(json.dumps({**record, **change}))
    with pytest.raises(kind, match=message):
        Run.open(copied)


def test_a_network_that_does_not_fit_its_record_is_a_damaged_run(copied):
    record = json.loads((copied / RECORD).read_text())
    record["network"]["rgb"]["preprocessing"] = {}
    (copied / RECORD).write_text(json.dumps(record))
    with pytest.raises(WorkError, match="is damaged, or of another version: the record of the rgb branch is damaged"):
        _ = Run.open(copied, device="cpu").network


def test_door_of_folders(tmp_path, copied):
    with pytest.raises(InputError, match="expected the folder of a training run"):
        Run.open(tmp_path)
    (copied / RECORD).write_text('{"format": ')
    with pytest.raises(WorkError, match=r"run\.json is damaged, or of another version: not JSON"):
        read_record(copied)


def test_convolutions_of_a_gpu_are_exact_while_scoring():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with exact_convolutions(torch.device("cuda")):
            assert torch.backends.cudnn.allow_tf32 is False
        with exact_convolutions(torch.device("cpu")):
            assert torch.backends.cudnn.allow_tf32 is True
    finally:
        torch.backends.cudnn.allow_tf32 = before
