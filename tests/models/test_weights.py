"""Where weights come from: the right tensors, or one sentence that says why not; never chance unasked."""

import importlib.util
import os
import pickle
import shutil
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from resight.errors import InputError, WorkError
from resight.models import PACKAGED, Backbone, Preprocessing
from resight.models import weights as weights_module
from resight.models.weights import (
    adapt_keys,
    check_digest,
    load_state,
    lukemelas_keys,
    packaged_file,
    read_state,
    weights_hash,
)

SMALL = "test_resnet"  # timm's own test network: 0.5 M parameters
LITE0 = "tf_efficientnet_lite0"

pytestmark = pytest.mark.usefixtures("one_thread")


def small_state(seed=1, **options):
    torch.manual_seed(seed)
    return timm.create_model(SMALL, **options).state_dict()


@pytest.fixture
def small_file(tmp_path):
    torch.save(small_state(), tmp_path / "small.pth")
    return tmp_path / "small.pth"


# The packaged files: lukemelas' names


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_tensor_lands_under_one_name_of_timm(name):
    if importlib.util.find_spec(PACKAGED[name].module) is None:
        pytest.skip(f"{PACKAGED[name].module} is not installed")
    raw, model = read_state(packaged_file(name)), timm.create_model(name)
    renamed = lukemelas_keys(raw, model)
    assert len(renamed) == len(raw)
    assert set(renamed) == set(model.state_dict())
    model.load_state_dict(renamed, strict=True)
    assert Backbone(name).preprocessing == PACKAGED[name].preprocessing
    assert PACKAGED[name].preprocessing.size == {"0": 224, "1": 240, "2": 260}[name[-1]]


def test_a_few_of_the_names_by_hand():
    raw = read_state(packaged_file(LITE0))
    renamed = adapt_keys(raw, timm.create_model(LITE0))
    for theirs, ours in {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn1.running_var": "bn2.running_var",
        "_fc.bias": "classifier.bias",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn1.weight": "blocks.0.0.bn1.weight",
        "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
        "_blocks.3._bn2.bias": "blocks.2.0.bn3.bias",
        "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
    }.items():
        assert renamed[ours] is raw[theirs]


def test_the_packaged_file_given_as_a_path_is_the_same_backbone():
    """Also its preprocessing: it comes with the port's weights, however they are named."""
    packaged, by_path = Backbone(LITE0), Backbone(LITE0, weights=str(packaged_file(LITE0)))
    assert (by_path.hash, by_path.preprocessing) == (packaged.hash, packaged.preprocessing)


def test_a_damaged_package_is_noticed(tmp_path, monkeypatch):
    damaged = tmp_path / "lite0.pth"
    shutil.copy(packaged_file(LITE0), damaged)
    with damaged.open("r+b") as stream:
        stream.seek(1_000_000)
        byte = stream.read(1)
        stream.seek(1_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    monkeypatch.setattr("resight.models.backbone.packaged_file", lambda name: damaged)
    with pytest.raises(WorkError, match=r"lite0.pth are damaged \(sha256 \w{8}, expected 57934424\): reinstall"):
        Backbone(LITE0)


def test_a_package_without_its_file(tmp_path):
    with pytest.raises(WorkError, match=r"cannot read weights .*gone.pth: No such file.*reinstall the package"):
        check_digest(tmp_path / "gone.pth", "00")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(weights_module.PACKAGED, LITE0, replace(PACKAGED[LITE0], module="no_such_weights_package"))
    with pytest.raises(InputError, match="not installed: pip install no_such_weights_package"):
        Backbone(LITE0)


# The hash


def test_hash_is_of_the_tensors_not_of_the_file(tmp_path, small_file):
    save_file(small_state(), tmp_path / "small.safetensors")
    torch.save({"epoch": 3, "state_dict": small_state()}, tmp_path / "wrapped.pt")
    files = [small_file, tmp_path / "small.safetensors", tmp_path / "wrapped.pt"]
    hashes = {Backbone(SMALL, weights=str(file)).hash for file in files}
    assert len(hashes) == 1 and len(hashes.pop()) == 16


def test_hash_changes_with_one_value_and_not_with_the_precision(small_file):
    changed = timm.create_model(SMALL)
    changed.load_state_dict(small_state())
    before = weights_hash(changed)
    assert Backbone(SMALL, weights=str(small_file), precision="bfloat16").hash == before
    with torch.no_grad():
        changed.get_classifier().bias[7] += 1e-6
    assert weights_hash(changed) != before


def test_hash_does_not_count_batches():
    """num_batches_tracked is no weight: some ports drop it."""
    model = timm.create_model(SMALL)
    before = weights_hash(model)
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value += 5
    assert weights_hash(model) == before


# Files


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "state_dict_ema"])
def test_wrappers_and_the_prefix_of_data_parallel(tmp_path, wrapper):
    state = small_state()
    torch.save({wrapper: {f"module.{k}": v for k, v in state.items()}, "epoch": 3, "args": {"lr": 0.1}}, tmp_path / "w")
    found = read_state(tmp_path / "w")
    assert set(found) == set(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_truncated(tmp_path, share, suffix):
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "pth":
        torch.save(small_state(), whole)
    else:
        save_file(small_state(), whole)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(WorkError, match=r"cannot read weights .*truncated, or not a plain weights file") as caught:
        Backbone(SMALL, weights=str(cut))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors", "notes.bin"])
def test_text_is_no_weights_file(tmp_path, name):
    (tmp_path / name).write_text("these are not weights\n" * 20)
    with pytest.raises(WorkError, match="not a plain weights file"):
        read_state(tmp_path / name)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (self.target,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_pickle_does_not_run(tmp_path):
    target = tmp_path / "ran"
    torch.save({"conv1.weight": Bomb(str(target))}, tmp_path / "zip.pth")
    torch.save({"conv1.weight": Bomb(str(target))}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Bomb(str(target))))
    for file in ("zip.pth", "old.pth", "bare.pkl"):
        with pytest.raises(WorkError, match="not a plain weights file"):
            read_state(tmp_path / file)
    assert not target.exists()
    pickle.loads((tmp_path / "bare.pkl").read_bytes())
    assert target.exists()  # the bomb was live


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds a list, expected a dict of tensors"),
        (torch.ones(1), "holds a Tensor, expected a dict of tensors"),
        ({"epoch": 3}, "holds no tensors"),
        ({}, "holds no tensors"),
    ],
)
def test_files_without_a_dict_of_tensors(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["gone.pth", "", "n" * 5000, "~nobody-of-this-name/w.pth", "nul\0.pth"])
def test_files_that_do_not_exist(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"does not exist \(give a file, 'package', 'hub' or 'random'; in training"):
        Backbone(SMALL, weights=name)


def test_a_file_that_may_not_be_read(small_file, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)  # chmod would not stop root
    with pytest.raises(WorkError, match=r"cannot read weights .*small.pth: permission denied"):
        read_state(small_file)


def test_more_than_the_limit(small_file, monkeypatch):
    monkeypatch.setattr(weights_module, "MAX_WEIGHT_BYTES", 1 << 10)
    with pytest.raises(WorkError, match="larger than"):
        read_state(small_file)


# Loading


def test_the_error_names_the_first_keys():
    model, state = timm.create_model(SMALL), small_state()
    first, second = [key for key in state if key.endswith("weight")][:2]
    del state[first]
    state["other.weight"] = torch.ones(1)
    state[second] = torch.ones(2, 5)
    with pytest.raises(InputError) as caught:
        load_state(model, state, "w.pth")
    assert str(caught.value) == (
        f"weights w.pth do not fit the backbone: 1 missing (first {first!r}); 1 unexpected (first 'other.weight'); "
        f"1 of another shape (first {second!r}: [2, 5], expected {list(model.state_dict()[second].shape)})"
    )


def test_a_refused_state_leaves_the_network_as_it_was():
    model, state = timm.create_model(SMALL), small_state()
    before = weights_hash(model)
    state.popitem()
    with pytest.raises(InputError, match="1 missing"):
        load_state(model, state, "w.pth")
    assert weights_hash(model) == before


def test_weights_of_another_network(small_file):
    with pytest.raises(InputError, match=r"do not fit the backbone: \d+ missing \(first '.*'\); \d+ unexpected"):
        Backbone("resnet18", weights=str(small_file))


def test_batch_counters_may_be_absent(tmp_path, small_file):
    state = {k: v for k, v in small_state().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    assert Backbone(SMALL, weights=str(tmp_path / "w.pth")).hash == Backbone(SMALL, weights=str(small_file)).hash


def test_a_head_for_other_classes_keeps_its_size(tmp_path):
    state = small_state(num_classes=7)
    torch.save(state, tmp_path / "seven.pth")
    backbone = Backbone(SMALL, weights=str(tmp_path / "seven.pth"), device="cpu")
    assert backbone.logits(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    torch.testing.assert_close(backbone.head_weight, state["fc.weight"])


# torchvision's files


def torchvision_network(name):
    import torchvision

    torch.manual_seed(3)
    return getattr(torchvision.models, name)(weights=None).eval()


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["resnet18", "densenet121", "regnet_y_400mf:regnety_004"])
def test_torchvision_files_give_torchvisions_outputs(tmp_path, name):
    theirs, _, ours = name.partition(":")
    peer = torchvision_network(theirs)
    torch.save(peer.state_dict(), tmp_path / "w.pth")
    backbone = Backbone(ours or theirs, weights=str(tmp_path / "w.pth"), device="cpu")
    inputs = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.logits(inputs), peer(inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.oracle
def test_torchvisions_vgg():
    """Its converter in timm takes one argument where others take two, and turns two of the head's layers into
    convolutions. In memory: a file of it has half a gigabyte."""
    peer, model = torchvision_network("vgg11"), timm.create_model("vgg11").eval()
    load_state(model, adapt_keys(peer.state_dict(), model), "vgg11")
    inputs = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(model.forward_features(inputs), peer.features(inputs), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(inputs), peer(inputs), atol=1e-5, rtol=1e-5)


def test_torchvisions_vgg16_has_a_place_for_every_tensor():
    with torch.device("meta"):
        model, peer = timm.create_model("vgg16"), torchvision_network("vgg16")
    adapted = adapt_keys(peer.state_dict(), model)
    assert {k: v.shape for k, v in adapted.items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_adapting_leaves_the_given_dict_alone():
    state = torchvision_network("densenet121").state_dict()
    state = {key.replace("norm1", "norm.1"): value for key, value in state.items()}  # the names of old files
    keys = list(state)
    adapt_keys(state, timm.create_model("densenet121"))
    assert list(state) == keys


def test_the_tag_in_a_name_chooses_the_preprocessing_of_a_file(tmp_path):
    torch.save(torchvision_network("resnet18").state_dict(), tmp_path / "w.pth")
    backbone = Backbone("resnet18.tv_in1k", weights=str(tmp_path / "w.pth"))
    assert backbone.preprocessing == Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 0.875, 224)


# Never silently random


@pytest.mark.parametrize("weights", ["package", "", "Random", "rand", "none", "None", "pretrained", "imagenet"])
def test_without_weights_there_is_no_backbone(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="'random'"):
        Backbone(SMALL, weights=weights)


def test_the_default_is_not_chance():
    with pytest.raises(InputError, match="no package carries weights for 'resnet50'"):
        Backbone("resnet50")


def test_random_is_the_same_every_time_whatever_the_seed():
    torch.manual_seed(1)
    first = Backbone(SMALL, weights="random").hash
    torch.manual_seed(2)
    torch.rand(5)
    assert Backbone(SMALL, weights="random").hash == first


@pytest.mark.parametrize("source", ["random", "file", "package"])
def test_loading_leaves_torchs_random_numbers_alone(source, small_file):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    if source == "package":
        Backbone(LITE0)
    else:
        Backbone(SMALL, weights="random" if source == "random" else str(small_file))
    assert torch.equal(torch.get_rng_state(), before)


def test_random_does_not_reseed_the_accelerators(monkeypatch):
    """torch.manual_seed would, and fork_rng without devices would not undo it."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    Backbone(SMALL, weights="random", device="cpu")
    assert seeded == []
    torch.manual_seed(0)
    assert seeded == [0]
