"""Options say what is meant, presets stand behind what is given, and wrong ones are told by name."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.train.options import INPUTS, PRESETS, SCHEDULES, TrainOptions, changed, make_options, resolved


def test_what_depends_on_others_is_filled_in():
    plain = resolved(TrainOptions(), 224)
    assert (plain.size, plain.lr, plain.epochs, plain.augment, plain.motion) == (224, 5e-4, 5, "standard", "no")
    assert (plain.stem, plain.sift_backbone, plain.sift_weights) == ("patch", plain.backbone, plain.weights)
    head = resolved(TrainOptions(tune="head", size=160), 224)
    assert (head.size, head.lr, head.epochs, head.augment) == (160, 3e-3, 100, "flip")
    assert resolved(TrainOptions(sift="vlfeat:step=2"), 224).stem == "full"
    clips = [resolved(TrainOptions(sequences=True, head=name, tune="head"), 224) for name in ("pool", "tcn", "gru")]
    assert [one.motion for one in clips] == ["no", "yes", "yes"]
    assert {one.augment for one in clips} == {"none"}  # a mirrored pan to the left is one to the right


def test_what_is_given_stays():
    asked = TrainOptions(lr=0.3, epochs=2, weight_decay=0.0, augment="none", stem="conv", sift_backbone="resnet18")
    known = resolved(asked, 224)
    assert (known.lr, known.epochs, known.weight_decay, known.augment) == (0.3, 2, 0.0, "none")
    assert (known.stem, known.sift_backbone) == ("conv", "resnet18")
    assert resolved(known, 64) == known


def test_the_predecessors_facts():
    sky = {name: resolved(make_options("deepsky", input=name), 224) for name in INPUTS}
    assert [(one.lr, one.epochs) for one in sky.values()] == [(0.01, 50), (0.01, 50), (0.001, 10)]
    one = sky["fusion"]
    assert (one.size, one.mask, one.batch, one.seed, one.validation) == (280, "circle", 32, 100, 0.15)
    assert (one.optimiser, one.weight_decay, one.schedule, one.decay_every, one.decay) == ("sgd", 2e-5, "step", 10, 0.1)
    assert (one.backbone, one.dropout, one.stem, one.sift_settings["definition"]) == (
        "resnet18",
        0.2,
        "conv",
        "deepsky",
    )


def test_what_is_given_goes_before_a_preset():
    assert make_options("deepsky", input="fusion", epochs=3, size=64).epochs == 3
    assert set(PRESETS["deepsky"]) <= {one.name for one in fields(TrainOptions)}


def test_numbers_of_numpy_become_plain():
    options = TrainOptions(lr=np.float32(0.5), epochs=np.int64(3))
    assert type(options.lr) is float and type(options.epochs) is int


@given(st.sampled_from(INPUTS), st.sampled_from(SCHEDULES), st.integers(1, 99), st.floats(1e-6, 1))
def test_options_survive_a_file(given_input, schedule, epochs, lr):
    options = TrainOptions(input=given_input, schedule=schedule, epochs=epochs, lr=lr)
    assert make_options(**options.as_dict()) == options and asdict(options) == options.as_dict()
    assert changed(options, TrainOptions(input=given_input, schedule=schedule, epochs=epochs + 1, lr=lr)) == ["epochs"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"inptu": "rgb"}, "unknown training option 'inptu', did you mean 'input'"),
        ({"input": "rbg"}, "unknown input 'rbg', did you mean 'rgb'?"),
        ({"optimiser": "adam"}, "unknown optimiser 'adam', did you mean 'adamw'?"),
        ({"sift": "vlfeat:stp=4"}, "unknown option of vlfeat 'stp', did you mean 'step'?"),
        ({"sift": "deepsky:window=flat"}, "unknown option of deepsky 'window'"),
        ({"sift": "vlfeat:step=0"}, "step of vlfeat must be a whole number of pixels from 1"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": float("nan")}, "lr must be a number"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"batch": True}, "batch must be a whole number, got True"),
        ({"batch": 0}, "batch must be from 1 to 65536, got 0"),
        ({"sequences": 1}, "sequences must be true or false, got 1"),
        ({"backbone": None}, "backbone must be text, got None"),
        ({"validation": 0.6, "test": 0.5}, "validation 0.6 and test 0.5 must leave at least 0.1 for training"),
        ({"stem": "patch", "sift": "vlfeat:step=1"}, "stem patch reads a SIFT map of step 4"),
    ],
)
def test_wrong_options(wrong, said):
    with pytest.raises(InputError) as caught:
        make_options(**wrong)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_preset():
    with pytest.raises(InputError, match="unknown preset 'deepskies', did you mean 'deepsky'"):
        make_options("deepskies")
