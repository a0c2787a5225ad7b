"""What a new training takes over of another run, bit by bit; and what it must refuse."""

from __future__ import annotations

import json
import shutil

import pytest
import timm
import torch
from made_runs import colour_images, make_run
from network_samples import photos
from training_samples import TINY, clip_folders

from resight.errors import InputError, WorkError
from resight.models import Backbone
from resight.train.classifier import train_classifier
from resight.train.networks import make_network, native_size
from resight.train.options import make_options, resolved
from resight.train.runs import Run, make_run_network
from resight.train.warm_start import run_folder, start_text, take_head

pytestmark = pytest.mark.usefixtures("one_thread")
SIFT = {"input": "sift", "sift": "vlfeat:step=4"}
QUICK = {**TINY, "epochs": 1, "augment": "none", "batch": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return colour_images(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """Three runs of single images; not one weight of theirs is what the others have."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, (name, given) in enumerate({"rgb": {}, "sift": SIFT, "fusion": {**SIFT, "input": "fusion"}}.items()):
        make_run(folder / name, data, seed=seed, **given)
    return folder


def started(weights, classes=("blue", "green", "red"), **given):
    """A network that starts there, and the options it was made by."""
    asked = make_options(**{"backbone": "test_resnet", "weights": str(weights), **given})
    options = resolved(asked, native_size(asked))
    network = make_run_network(options, len(classes))
    take_head(network, classes)
    return network.eval(), options


def same(network, state, prefix=""):
    own = network.state_dict()
    return {name for name in own if name.startswith(prefix) and torch.equal(own[name], state[name])} == {
        name for name in own if name.startswith(prefix)
    }


@pytest.mark.parametrize(("name", "given"), [("rgb", {}), ("sift", SIFT), ("fusion", {**SIFT, "input": "fusion"})])
def test_all_of_a_run_of_the_same_classes(runs, name, given):
    made, options = started(runs / name, **given)
    run = Run.open(runs / name, "cpu")
    assert options.size == run.options.size
    with torch.no_grad():
        assert torch.equal(made(photos()), run.network(photos()))
    assert made.fresh == () and set(made.taken) == {f"{part} of {runs / name}" for part in (*made.branches, "head")}
    assert start_text(made) == f"from {', '.join(made.taken)}; new: nothing"
    facts = made.record()
    assert {one["hash"] for one in facts.values()} == {run.record["model"]["sha256"][:16]}
    assert {one["weights"] for one in facts.values()} == {str(runs / name)}
    again = make_network(options, 3, record=json.loads(json.dumps(facts)))  # as the finished run is opened
    assert again.record() == facts


def test_the_model_file_of_a_run_is_the_run(runs):
    by_file, _ = started(runs / "rgb" / "model.safetensors")
    by_folder, _ = started(runs / "rgb")
    assert same(by_file, by_folder.state_dict()) and by_file.fresh == ()
    assert run_folder(str(runs / "rgb" / "model.safetensors")) == runs / "rgb"
    assert run_folder("random") is None and run_folder(str(runs / "none.pth")) is None


@pytest.mark.parametrize("classes", [("a", "b", "c"), ("green", "blue", "red"), ("blue", "red")])
def test_other_classes_get_a_new_head(runs, classes):
    made, _ = started(runs / "rgb", classes, seed=5)
    state = Run.open(runs / "rgb", "cpu").network.state_dict()
    assert same(made, state, "branches.") and made.fresh == ("head (the classes are others)",)
    drawn = make_run_network(
        resolved(make_options(backbone="test_resnet", weights="random", seed=5), 64), len(classes)
    )  # as if from nowhere
    assert torch.equal(made.head.weight, drawn.head.weight)


def test_branches_of_two_runs_are_joined(runs):
    """As the predecessor's late fusion begins: each branch trained alone, a new layer over both."""
    made, _ = started(runs / "rgb", sift_weights=str(runs / "sift"), **{**SIFT, "input": "fusion"})
    for name in ("rgb", "sift"):
        assert same(made, Run.open(runs / name, "cpu").network.state_dict(), f"branches.{name}.")
    assert made.fresh == ("head",) and made.taken == (f"rgb of {runs / 'rgb'}", f"sift of {runs / 'sift'}")
    alone, _ = started(runs / "fusion")  # one branch out of both
    assert same(alone, Run.open(runs / "fusion", "cpu").network.state_dict(), "branches.rgb.")
    assert alone.fresh == ("head (it is of another shape)",)


def test_only_what_a_run_has_learned_may_be_left_as_it_is(runs, tmp_path):
    """tune head with SIFT's first convolution drawn at random would be a network of noise; a run's is not."""
    made, _ = started(runs / "sift", tune="head", **SIFT)
    assert made.frozen and made.fresh == ()
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="tune head would leave SIFT's new first convolution as it was drawn"):
        started(tmp_path / "w.pth", tune="head", size=64, **SIFT)


def test_sequences_start_from_single_images_and_from_sequences(tmp_path, runs):
    clips = clip_folders(tmp_path / "clips")
    gru = make_run(tmp_path / "gru", clips, sequences=True, frames=3, head="gru", seed=3)
    image = Run.open(runs / "rgb", "cpu").network.state_dict()
    pair = ("blue", "red")

    made, _ = started(runs / "rgb", pair, sequences=True, head="gru", frames=3)
    assert same(made.frame, image, "branches.") and made.fresh == ("head (the classes are others)",)
    made, _ = started(runs / "rgb", sequences=True, head="average", frames=3)
    assert made.fresh == ("head (it is of another shape)",)

    whole, _ = started(gru.folder, pair, sequences=True, head="gru", frames=3)
    assert same(whole, gru.network.state_dict()) and whole.fresh == ()
    assert whole.taken == (f"rgb of {gru.folder}", f"head of {gru.folder}")
    for given in ({"head": "tcn"}, {"head": "gru", "motion": "no"}, {"head": "pool"}):
        other, _ = started(gru.folder, pair, sequences=True, frames=3, **given)
        assert other.fresh == ("head (it is of another shape)",)
        assert same(other.frame, {k.removeprefix("frame."): v for k, v in gru.network.state_dict().items()}, "branch")

    back, _ = started(gru.folder, pair)  # single images from a run of sequences
    assert same(back, {k.removeprefix("frame."): v for k, v in gru.network.state_dict().items()}, "branches.")


def test_another_size(runs, tmp_path, data):
    made, options = started(runs / "rgb", size=96)
    assert (options.size, made.size, made.fresh) == (96, 96, ())
    vit = make_run(tmp_path / "vit", data, backbone="test_vit", size=64)
    wider, _ = started(vit.folder, backbone="test_vit", size=96)
    assert wider(photos(side=96)).shape == (2, 3)
    native, _ = started(vit.folder, backbone="test_vit", size=160)  # that of the published weights
    assert native(photos(side=160)).shape == (2, 3)
    own = vit.network.state_dict()
    key = "branches.rgb.model.blocks.0.attn.qkv.weight"
    assert torch.equal(wider.state_dict()[key], own[key])
    assert wider.branches["rgb"].model.pos_embed.shape[1] > own["branches.rgb.model.pos_embed"].shape[1]


@pytest.mark.parametrize(("name", "given", "said"), [
    ("rgb", {"backbone": "test_vit"}, "the run's backbone is test_resnet, this training's is test_vit"),
    ("rgb", SIFT, "a run of input rgb has no SIFT branch to start from, and input sift needs one"),
    ("sift", {}, "a run of input sift has no backbone to start from, and input rgb needs one"),
    ("rgb", {"input": "fusion"}, "needs one: give the weights of each by --weights and --sift-weights"),
    ("sift", {**SIFT, "sift": "vlfeat:step=4,cell=6"}, "the run sees SIFT as vlfeat:step=4 through stem patch, this "
     "training as vlfeat:cell=6,step=4 through stem patch"),
    ("sift", {**SIFT, "stem": "full"}, "through stem patch, this training as vlfeat:step=4 through stem full"),
])  # fmt: skip
def test_a_run_of_something_else(runs, name, given, said):
    with pytest.raises(InputError) as caught:
        started(runs / name, **given)
    assert said in str(caught.value) and str(runs / name) in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_hold_no_finished_run(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"weights .*empty: expected the folder of a training run"):
        started(tmp_path / "empty")
    shutil.copytree(runs / "rgb", tmp_path / "begun")
    record = json.loads((tmp_path / "begun" / "run.json").read_text())
    (tmp_path / "begun" / "run.json").write_text(json.dumps({**record, "state": "training"}))
    with pytest.raises(InputError, match=r"weights .*begun: this training has not finished"):
        started(tmp_path / "begun")
    shutil.copytree(runs / "rgb", tmp_path / "damaged")
    model = tmp_path / "damaged" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(WorkError, match="is not what the run has recorded"):
        started(tmp_path / "damaged")
    shutil.copy(runs / "rgb" / "model.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(InputError, match="are those of a training run, not of test_resnet alone"):
        started(tmp_path / "alone.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        Backbone("test_resnet", weights=str(runs / "rgb"))


def test_a_training_says_and_keeps_what_it_started_from(runs, data, tmp_path):
    said = []
    weights = str(runs / "rgb")
    run = train_classifier(data, tmp_path / "new", **{**QUICK, "weights": weights, "seed": 7}, tell=said.append)
    assert any(f"from rgb of {weights}, head of {weights}; new: nothing" in line for line in said)
    # another seed is another split: what that run has learned by heart is validated here
    assert any("was trained on" in line and "validation examples, such as" in line and "too high" in line
               for line in said)  # fmt: skip
    digest = Run.open(weights, "cpu").record["model"]["sha256"]
    assert run.record["network"]["rgb"]["hash"] == digest[:16]
    assert run.record["fresh"] == [] and run.record["taken"] == [f"rgb of {weights}", f"head of {weights}"]
    shutil.rmtree(tmp_path / "new" / "checkpoints")
    assert Run.open(run.folder, "cpu").network is not None

    said.clear()
    own = runs / "rgb" / "split.csv"
    train_classifier(own, tmp_path / "same parts", **{**QUICK, "weights": weights}, tell=said.append)
    assert not any("too high" in line for line in said)


def test_resume_notices_that_the_run_was_trained_again(runs, data, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(runs / "rgb", start)
    given = {**QUICK, "weights": str(start), "epochs": 2}
    run = train_classifier(data, tmp_path / "new", **given)
    record = {**run.record, "state": "training"}
    (run.folder / "run.json").write_text(json.dumps(record))
    shutil.rmtree(start)
    make_run(start, data, seed=9)
    with pytest.raises(InputError, match="the weights that training starts from"):
        train_classifier(data, tmp_path / "new", **given, resume=True)


def test_frozen_features_are_those_of_the_run(runs, data, tmp_path):
    """tune head: only the last layer moves."""
    given = {**QUICK, "weights": str(runs / "rgb"), "tune": "head", "epochs": 2, "size": 64}
    run = train_classifier(data, tmp_path / "new", **given)
    assert same(run.network, Run.open(runs / "rgb", "cpu").network.state_dict(), "branches.")
    assert not torch.equal(run.network.head.weight, Run.open(runs / "rgb", "cpu").network.head.weight)
