import pytest

from resight.errors import InputError
from resight.train.classifier import train_classifier
from resight.train.effects import check_given, chosen_in
from resight.train.options import PRESETS, TrainOptions, make_options, resolved


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
        ({"early_stop": 5}, "early_stop has no effect behind the last epoch: 5 epochs to wait, 5 in all"),
        ({"frames": 1, "head": "tcn", "sequences": True}, "frames has no effect on sequences of 1 frame, in which head "
         "tcn sees no order: give more frames"),
        ({"frames": 1, "motion": "yes", "sequences": True}, "frames has no effect on sequences of 1 frame, in which "
         "motion sees no order"),
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
        {"early_stop": 4}, {"early_stop": 0}, {"frames": 1, "head": "pool", "sequences": True},
    ],
)  # fmt: skip
def test_what_matters_is_silent(given):
    check_given(TrainOptions(**given), given)


def test_defaults_presets_and_files_are_not_given():
    check_given(TrainOptions(), ())
    for name in PRESETS:  # it sets SIFT and decay for every input
        check_given(make_options(name, schedule="cosine"), {"schedule"})


def test_a_share_for_validation_has_no_effect_on_folds(tmp_path):
    check_given(TrainOptions(validation=0.3), {"validation"})
    with pytest.raises(InputError, match="validation has no effect on 3 folds, each of which is validated on its own"):
        train_classifier(tmp_path, tmp_path / "run", folds=3, validation=0.3)


def test_what_a_file_says_of_sequences_must_matter(tmp_path):
    """But not what the options.yaml of a run of single images says of them."""
    (tmp_path / "a.yaml").write_text("head: tcn\n")
    with pytest.raises(InputError, match="head has no effect on single images: give sequences as well"):
        train_classifier(tmp_path, tmp_path / "run", config=tmp_path / "a.yaml")
    assert chosen_in(resolved(TrainOptions(), 64).as_dict()) == chosen_in(TrainOptions().as_dict()) == []
    assert chosen_in({"frames": 3, "motion": "yes"}) == ["frames", "motion"]
