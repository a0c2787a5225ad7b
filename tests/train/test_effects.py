import pytest

from resight.errors import InputError
from resight.train.classifier import train_classifier
from resight.train.effects import check_given
from resight.train.options import PRESETS, TrainOptions, make_options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"head": "tcn"}, "head has no effect on single images: give sequences as well, or leave head out"),
        ({"head": "pool"}, "head has no effect"),  # given is given, the default or not
        ({"frames": 8}, "frames has no effect on single images"),
        ({"motion": "no"}, "motion has no effect on single images"),
        ({"sift": "deepsky"}, "sift has no effect on input rgb, which sees no SIFT: give input sift or fusion as well"),
        ({"stem": "full"}, "stem has no effect on input rgb"),
        ({"sift_backbone": "resnet18"}, "sift_backbone has no effect on input rgb"),
        ({"sift_weights": "random"}, "sift_weights has no effect on input rgb"),
        ({"input": "sift", "backbone": "a", "sift_backbone": "b"}, "backbone has no effect on input sift beside"),
        ({"decay": 0.5}, "decay has no effect on schedule cosine: give schedule step as well"),
        ({"decay_every": 2, "schedule": "constant"}, "decay_every has no effect on schedule constant"),
        ({"warmup": 6.0}, "warmup has no effect behind the last epoch: 6 epochs of warmup, 5 in all"),
        ({"warmup": 3.5, "epochs": 3}, "warmup has no effect behind the last epoch"),
    ],
)  # fmt: skip
def test_what_was_given_and_cannot_matter(given, said, tmp_path):
    with pytest.raises(InputError) as got:
        check_given(TrainOptions(**given), given)
    assert str(got.value).startswith(said) and "\n" not in str(got.value)
    with pytest.raises(InputError, match="has no effect"):
        train_classifier(tmp_path, tmp_path / "run", **given)
    assert make_options(**given)  # a row of a study, or a file, may hold more than matters


@pytest.mark.parametrize(
    "given",
    [
        {"head": "tcn", "frames": 8, "motion": "no", "sequences": True}, {"input": "sift", "sift": "deepsky"},
        {"input": "sift", "backbone": "a", "weights": "random"},
        {"input": "fusion", "backbone": "a", "sift_backbone": "b"},
        {"schedule": "step", "decay": 0.5, "decay_every": 1}, {"warmup": 5.0}, {"warmup": 50.0, "tune": "head"},
        {"ema": 0.9, "tune": "head"}, {"epochs": 1},
    ],
)  # fmt: skip
def test_what_matters_is_silent(given):
    check_given(TrainOptions(**given), given)


def test_defaults_presets_and_files_are_not_given():
    check_given(TrainOptions(), ())
    for name in PRESETS:  # it sets SIFT and decay for every input
        check_given(make_options(name, schedule="cosine"), {"schedule"})
