"""A trained run as an encoder: pooled, projected, the same by every road, with a key that names no path."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_encoders import DIM, make_trained
from samples import picture

from resight.errors import InputError, WorkError
from resight.features import Encoder, EncoderConfig, Whitening, fuse_scales
from resight.features.pipeline import encode_stream
from resight.models import Backbone
from resight.models.trained import projection_arrays, read_trained

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_trained(tmp_path_factory.mktemp("trained") / "run")


def opened(folder, **options):
    return Encoder.open(folder, device="cpu", **options)


# By hand


@pytest.mark.oracle
@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.7, 0.5)])
@pytest.mark.parametrize("descriptor", ["gem", "spoc", "mac", "crow", "rmac", "cam:count=5"])
def test_pooled_fused_then_projected(tmp_path, descriptor, scales):
    run = make_trained(tmp_path / "run", descriptor)
    found = opened(run, scales=scales)
    plain = Encoder(
        "test_resnet", weights=str(run / "model.safetensors"), descriptor=descriptor, size=64, scales=scales,
        device="cpu",
    )  # fmt: skip
    mean, projection = projection_arrays(read_trained(run))
    image = picture(3)
    expected = (plain.encode(image).astype(np.float64) - mean) @ projection
    np.testing.assert_allclose(found.encode(image), expected / np.linalg.norm(expected), atol=TOLERANCE)
    assert found.dim == DIM
    assert found.key != plain.key


@pytest.mark.oracle
def test_the_whole_way_by_torch_alone(folder):
    found, image = opened(folder), picture(4)
    inputs = found.backbone.normalise(torch.from_numpy(found.fit(image)).permute(2, 0, 1)[None])
    with torch.inference_mode():
        maps = found.backbone.model.forward_features(inputs)[0].numpy().astype(np.float64)
    pooled = (maps.clip(1e-6) ** 3).mean((1, 2)) ** (1 / 3)
    mean, projection = projection_arrays(read_trained(folder))
    expected = (pooled / np.linalg.norm(pooled) - mean) @ projection
    np.testing.assert_allclose(found.encode(image), expected / np.linalg.norm(expected), atol=TOLERANCE)


# The same by every road


@pytest.mark.parametrize("options", [{}, {"fit": "longest"}, {"fit": "crop"}, {"scales": (1, 0.5)}], ids=str)
def test_alone_in_a_batch_in_a_stream_and_copied(folder, options):
    found = opened(folder, **options)
    images = [picture(number, 40 + 7 * number, 90) for number in range(6)]
    alone = np.stack([found.encode(image) for image in images])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=TOLERANCE)
    np.testing.assert_allclose(found.encode_fitted([found.fit(image) for image in images]), alone, atol=TOLERANCE)
    streamed = [one.vector for one in encode_stream(found, images, lambda image: image, workers=2)]
    np.testing.assert_allclose(np.stack(streamed), alone, atol=TOLERANCE)
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        np.testing.assert_allclose(other.encode(images[0]), alone[0], atol=TOLERANCE)
    if "scales" not in options:
        np.testing.assert_allclose(found.describe(found.view(images[1]).look)[0], alone[1], atol=TOLERANCE)
        box = (10, 5, 70, 40)
        assert found.encode(images[2], box=box, box_on="map").shape == (DIM,)


def test_the_projection_of_a_run_given_by_hand_is_the_same_space(folder):
    found = opened(folder)
    config = replace(found.config, encoder=None)
    other = Encoder.from_config(config, projection=found.projection)
    np.testing.assert_array_equal(other.encode(picture(1)), found.encode(picture(1)))
    assert other.key == found.key
    assert Encoder.from_config(config).projection is None
    shared = Encoder.from_config(found.config, backbone=found.backbone)
    assert shared.backbone is found.backbone
    assert shared.key == found.key


def test_tracing_gives_what_forward_gives(folder):
    found = opened(folder, scales=(1, 0.5))
    pixels = torch.from_numpy(np.stack([found.fit(picture(n)) for n in range(3)])).permute(0, 3, 1, 2)
    vectors = found.vectors(pixels)
    assert not vectors.is_inference()
    np.testing.assert_array_equal(vectors.numpy(), found.forward(pixels))


def test_a_dead_map_is_what_the_whitening_makes_of_zeros(folder):
    found = opened(folder)
    maps = torch.full((1, found.backbone.model.num_features, 2, 2), -1.0)
    from resight.features.look import Look

    zero = np.zeros((1, maps.shape[1]), np.float32)
    spoc = replace(found.config, descriptor="spoc", encoder=None)
    other = Encoder.from_config(spoc, projection=found.projection)
    np.testing.assert_allclose(other.describe(Look(maps * 0)), found.projection.apply(zero), atol=1e-6)


def test_fused_before_it_is_projected(folder):
    """Not the mean of projected vectors."""
    found = opened(folder, scales=(1, 0.5))
    pixels = torch.from_numpy(found.fit(picture(5))).permute(2, 0, 1)[None]
    looks = found.look_at_scales(pixels)
    pooled = torch.stack([found.descriptor.pool(look.maps) for look in looks])
    expected = found.projection.apply(fuse_scales(pooled, 3.0).numpy())
    np.testing.assert_allclose(found.encode(picture(5))[None], expected, atol=TOLERANCE)


# The key


def test_the_key_knows_weights_and_projection_and_no_path(folder, tmp_path):
    key = opened(folder).key
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert opened(moved).key == key
    assert str(folder) not in json.dumps(opened(folder).space)
    assert opened(folder).space["projection"] == opened(folder).projection.key
    _, projection = projection_arrays(read_trained(folder))
    turned = make_trained(tmp_path / "turned", tensors={"projection.weight": torch.from_numpy(-projection)})
    assert opened(turned).key != key
    other = make_trained(tmp_path / "other", seed=2)
    assert opened(other).space["weights"] != opened(folder).space["weights"]
    for options in ({"size": 96}, {"fit": "crop"}, {"scales": (1, 0.5)}, {"precision": "bfloat16"}):
        assert opened(folder, **options).key != key, options
    assert Encoder.open(folder).key == key  # wherever it runs
    assert opened(turned).seen_key == opened(folder).seen_key  # the network sees the same


# The door


def test_every_way_to_name_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in (folder, str(folder), f"{folder}/", "run", Path("run"), "./run/", "~/run"):
        assert EncoderConfig(encoder=name) == EncoderConfig(encoder=str(folder)), name
    config = EncoderConfig(encoder="run")
    assert config.encoder == str(folder)
    assert (config.backbone, config.descriptor, config.size, config.fit) == ("test_resnet", "gem", 64, "squash")
    assert config.weights == str(folder / "model.safetensors")
    assert all(type(value) in (str, int, tuple, type(None)) for value in asdict(config).values())
    assert repr(Encoder.open("run", precision="bfloat16")) == (
        f"Encoder.open({str(folder)!r}, size=64, precision='bfloat16')"
    )


def test_what_the_run_decides_may_be_said_again(folder):
    given = {"backbone": "test_resnet", "descriptor": "GeM:p=3", "weights": str(folder / "model.safetensors")}
    assert EncoderConfig(encoder=str(folder), **given) == EncoderConfig(encoder=str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"descriptor": "rmac"},
            r"descriptor 'rmac' has no place beside .*run, which decides it \('gem'\)",
        ),
        ({"descriptor": "gem:p=4"}, "descriptor 'gem:p=4' has no place"),
        ({"backbone": "tf_efficientnet_lite0"}, "backbone 'tf_efficientnet_lite0' has no place"),
        ({"weights": "package"}, "weights 'package' has no place"),
        ({"stage": 2}, "stage 2 has no place beside .*no stage, but the last map"),
        ({"descriptor": "gme"}, "unknown descriptor 'gme', did you mean 'gem'"),
        ({"size": 8}, "size must be 32..4096"),
        ({"encoder": 7}, "encoder must be the folder of a run of `resight train embed`, got 7"),
    ],
)
def test_what_the_run_decides_cannot_be_said_otherwise(folder, options, message):
    with pytest.raises(InputError, match=message):
        EncoderConfig(**{"encoder": str(folder), **options})


def test_one_projection_at_a_time(folder):
    config = EncoderConfig(encoder=str(folder))
    parts = Whitening(np.zeros(96), np.eye(96))
    with pytest.raises(InputError, match="has a projection of its own: give one of them"):
        Encoder.from_config(config, projection=parts)
    with pytest.raises(InputError, match="part whitening has no place beside a projection"):
        Encoder(descriptor="rmac", part_whitening=parts, projection=parts)


def test_part_whitening_is_refused(tmp_path):
    run = make_trained(tmp_path / "run", "rmac")
    with pytest.raises(InputError, match="part whitening has no place beside a projection"):
        Encoder.open(run, part_whitening=Whitening(np.zeros(96), np.eye(96)))


def test_a_configuration_outlives_its_folder(folder, tmp_path):
    gone = shutil.copytree(folder, tmp_path / "gone")
    config = EncoderConfig(encoder=str(gone), scales=(1, 0.5))
    text = json.dumps(asdict(config))
    shutil.rmtree(gone)
    back = EncoderConfig.from_dict(json.loads(text))
    assert back == config
    assert hash(back) == hash(config)
    for use in ("backbone", "projection", "key", "dim"):
        with pytest.raises(InputError, match=r"gone: expected .*, there is no such folder: bring it back, or give its"):
            getattr(Encoder.from_config(back), use)


def test_another_run_in_its_place(folder, tmp_path):
    config = EncoderConfig(encoder=str(make_trained(tmp_path / "run", "gem")))
    make_trained(tmp_path / "run", "rmac")
    with pytest.raises(WorkError, match="is another run than it was: its descriptor is 'rmac', expected 'gem'"):
        _ = Encoder.from_config(config).backbone


def test_a_descriptor_or_network_that_is_not_known(tmp_path):
    with pytest.raises(WorkError, match="damaged, or of another version: unknown descriptor 'gme'"):
        EncoderConfig(encoder=str(make_trained(tmp_path / "a", "gme")))
    run = make_trained(tmp_path / "b")
    record = json.loads((run / "encoder.json").read_text())
    (run / "encoder.json").write_text(json.dumps({**record, "backbone": "resnet_of_nobody"}))
    with pytest.raises(WorkError, match="b is damaged, or of another version: unknown backbone"):
        _ = opened(run).backbone


def test_a_projection_that_does_not_fit(tmp_path):
    run = make_trained(tmp_path / "a", tensors={"projection.mean": torch.zeros(50)})
    with pytest.raises(WorkError, match=r"needs mean \(D,\) and projection \(D, d\)"):
        _ = opened(run).projection
    wrong = {"projection.mean": torch.zeros(50), "projection.weight": torch.zeros(50, DIM)}
    run = make_trained(tmp_path / "b", tensors=wrong)
    with pytest.raises(WorkError, match=r"b is damaged: the projection takes vectors of 50 numbers, .* gives 96"):
        _ = opened(run).dim
    bad = torch.full((96, DIM), float("nan"))
    run = make_trained(tmp_path / "c", tensors={"projection.weight": bad})
    with pytest.raises(WorkError, match="holds finite numbers only"):
        _ = opened(run).projection
    with pytest.raises(InputError, match="the projection takes vectors of 50 numbers"):
        Encoder("test_resnet", weights="random", size=64, projection=Whitening(np.zeros(50), np.eye(50))).encode(
            picture(0)
        )


def test_the_backbone_alone_is_the_one_that_was_trained(folder):
    alone = Backbone("test_resnet", weights=str(folder / "model.safetensors"), device="cpu")
    assert alone.hash == opened(folder).backbone.hash
