"""The encoder's choices: what is refused at the door, and what comes back from a file as it was."""

import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.config import PRECISIONS, EncoderConfig
from resight.images import FITS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"descriptor": "gme"}, "unknown descriptor 'gme', did you mean 'gem'"),
        ({"descriptor": "gem:p=0"}, "p of gem must be"),
        ({"descriptor": None}, "descriptor must be text, got None"),
        ({"fit": "crob"}, "unknown fit 'crob', did you mean 'crop'"),
        ({"precision": "float23"}, "unknown precision 'float23', did you mean 'float32'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"backbone": 50}, "backbone must be text, got 50"),
        ({"weights": None}, "weights must be text, got None"),
        ({"device": 0}, "device must be text, got 0"),
        ({"size": 31}, "size must be 32..4096 pixels, got 31"),
        ({"size": 4097}, "size must be 32..4096 pixels, got 4097"),
        ({"size": -224}, "got -224"),
        ({"size": "224"}, "size must be a whole number, got '224'"),
        ({"size": 224.0}, "size must be a whole number, got 224.0"),
        ({"size": True}, "size must be a whole number, got True"),
        ({"stage": "last"}, "stage must be a whole number, got 'last'"),
        ({"stage": 1.5}, "stage must be a whole number, got 1.5"),
        ({"scales": ()}, r"scales must be one or more numbers from 0.1 to 4, got \[\]"),
        ({"scales": (1, 0.05)}, r"got \[1.0, 0.05\]"),
        ({"scales": (4.5,)}, r"got \[4.5\]"),
        ({"scales": (float("nan"),)}, r"got \[nan\]"),
        ({"scales": (float("inf"),)}, r"got \[inf\]"),
        ({"scales": 1.0}, "got 1.0"),
        ({"scales": "1"}, "got '1'"),
        ({"scales": ["1"]}, r"got \['1'\]"),
        ({"scales": None}, "got None"),
        ({"scale": [1]}, "unknown encoder option 'scale', did you mean 'scales'"),
        ({"model": "resnet50"}, "unknown encoder option 'model'"),
    ],
)
def test_door(options, message):
    with pytest.raises(InputError, match=message):
        EncoderConfig.from_dict(options)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("GeM : p = 3.0", "gem"),
        ("gem:p=4.0", "gem:p=4"),
        ("rmac:include_global=TRUE,levels=2", "rmac:include_global=true,levels=2"),
        (" cam:count=64 ", "cam"),
    ],
)
def test_a_descriptor_has_one_text(written, kept):
    config = EncoderConfig(descriptor=written)
    assert config.descriptor == kept
    assert config == EncoderConfig(descriptor=kept)


def test_defaults():
    assert asdict(EncoderConfig()) == {
        "backbone": "tf_efficientnet_lite0",
        "descriptor": "gem",
        "weights": "package",
        "size": None,
        "fit": "squash",
        "scales": (1.0,),
        "stage": None,
        "precision": "float32",
        "device": "auto",
        "encoder": None,
    }


@given(
    st.builds(
        EncoderConfig,
        backbone=st.sampled_from(["resnet50", "vit_tiny_patch16_224"]),
        descriptor=st.sampled_from(["gem:p=4.5", "rmac:levels=2", "cam:count=3", "spoc"]),
        weights=st.sampled_from(["package", "hub", "/a/b.pth"]),
        size=st.none() | st.integers(32, 4096),
        fit=st.sampled_from(sorted(FITS)),
        scales=st.lists(st.floats(0.1, 4), min_size=1, max_size=4).map(tuple),
        stage=st.none() | st.integers(-5, 5),
        precision=st.sampled_from(PRECISIONS),
    )
)
def test_a_round_trip_through_json_changes_nothing(config):
    back = EncoderConfig.from_dict(json.loads(json.dumps(asdict(config))))
    assert back == config and hash(back) == hash(config)


def test_numpy_numbers_and_paths_become_plain():
    config = EncoderConfig(size=np.int64(96), stage=np.int32(-1), scales=np.array([1, 0.5]), weights=Path("a/b.pth"))
    assert config == EncoderConfig(size=96, stage=-1, scales=(1.0, 0.5), weights=str(Path("a/b.pth")))
    json.dumps(asdict(config))


def test_generators_of_scales_are_read_once():
    assert EncoderConfig(scales=iter([1, 0.5])).scales == (1.0, 0.5)


def test_from_dict_does_not_touch_what_it_is_given():
    values = {"scales": [1, 0.5], "descriptor": "GEM"}
    EncoderConfig.from_dict(values)
    assert values == {"scales": [1, 0.5], "descriptor": "GEM"}


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        EncoderConfig().size = 96


def test_precisions_are_those_of_the_backbone():
    from resight.models.backbone import PRECISIONS as KNOWN

    assert list(PRECISIONS) == list(KNOWN)
