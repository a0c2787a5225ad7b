from dataclasses import fields

import pytest

from resight.errors import InputError
from resight.match import mask_network
from resight.train import locate_options, options
from resight.train.locate_options import LOCATE_PRESETS, LocateOptions, ask_locate, make_locate_options
from resight.train.locate_paths import named_paths
from resight.train.run_files import read_config, write_options
from resight.train.schedules import rate_factor


def test_the_predecessors_facts():
    own = make_locate_options("neural-template-matching")
    assert (own.backbone, own.combine, own.size, own.batch) == ("resnet152", "mult", 512, 32)
    assert (own.samples, own.val_samples, own.negative) == (10_000, 500, 0.2)
    assert (own.rotate, own.degrees, own.flip) == (0.5, 30, 0.5)
    assert (own.scale, own.perspective, own.occlude, own.light) == (1, 0, 0, 0)  # what it did not have
    rates = [own.lr * rate_factor(epoch * 10, 10, own) for epoch in range(own.epochs)]
    assert rates[:25] == [1e-4] * 25 and rates[25:] == pytest.approx([1e-5] * (own.epochs - 25))
    assert (own.optimiser, own.weight_decay, own.warmup) == ("adamw", 0, 0)  # which is Adam
    assert set(LOCATE_PRESETS["neural-template-matching"]) <= {one.name for one in fields(LocateOptions)}


def test_by_default_all_changes_are_on():
    own = LocateOptions()
    assert min(own.rotate, own.flip, own.negative, own.occlude, own.light, own.noise, own.perspective) > 0
    assert own.scale > 1 and (own.samples, own.val_samples, own.lr) == (10_000, 500, 1e-4)


def test_what_is_given_goes_before_the_file_and_that_before_the_preset(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text("size: 96\nbatch: 4\npreset: neural-template-matching\n")
    own = ask_locate(tmp_path / "run", {"batch": 2}, config=file)
    assert (own.size, own.batch, own.backbone) == (96, 2, "resnet152")
    write_options(tmp_path, own)
    assert make_locate_options(**read_config(tmp_path / "options.yaml", make_locate_options)[1]) == own


def test_names_are_the_same_where_torch_is_not_loaded():
    assert locate_options.COMBINES == mask_network.COMBINES
    hints = {one.name: one.type for one in fields(LocateOptions)}
    shared = {one.name: one.type for one in fields(options.TrainOptions)}
    same = ("seed", "precision", "device", "devices", "nodes", "workers", "ema", "early_stop", "schedule", "warmup")
    assert all(hints[name] == shared[name] for name in same)
    ranges = ("size", "ema", "seed", "devices", "workers", "decay", "decay_every")
    assert all(locate_options._RANGES[name] == options._RANGES[name] for name in ranges)
    assert (
        locate_options._RANGES["size"] == mask_network.SIZES and locate_options._RANGES["width"] == mask_network.WIDTHS
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"combin": "mult"}, "unknown option of locating 'combin', did you mean 'combine'"),
        ({"combine": "multiply"}, "unknown combine 'multiply', did you mean 'mult'"),
        ({"size": 16}, "size must be from 32 to 4096, got 16"),
        ({"scale": 0.5}, "scale must be from 1 to 8"),
        ({"negative": 1.0}, "negative must be from 0 to 0.9"),
        ({"samples": 1.5}, "samples must be a whole number"),
    ],
)
def test_door(given, message):
    with pytest.raises(InputError, match=message):
        make_locate_options(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 0.5, "schedule": "cosine"}, "decay has no effect on schedule cosine: give schedule step as well"),
        ({"degrees": 90, "rotate": 0}, "degrees has no effect if nothing is turned"),
        ({"warmup": 9, "epochs": 3}, "warmup has no effect behind the last epoch"),
        ({"early_stop": 3, "epochs": 3}, "early_stop has no effect behind the last epoch"),
    ],
)
def test_options_without_effect(tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        ask_locate(tmp_path / "run", given)


def test_unknown_preset():
    with pytest.raises(InputError, match="unknown preset 'neural'"):
        make_locate_options("neural")


def test_paths_of_an_env_file(tmp_path):
    assert named_paths(tmp_path, {}) == (None, None)
    (tmp_path / ".env").write_text(
        "# where it lies\nOTHER=1\nexport RESIGHT_LOCATE_DATA='coco/instances.json'\nRESIGHT_LOCATE_IMAGES=/pictures\n"
    )
    assert named_paths(tmp_path, {}) == (str(tmp_path / "coco" / "instances.json"), "/pictures")
    given = {"RESIGHT_LOCATE_DATA": "synthetic"}
    assert named_paths(tmp_path, given)[0] == "synthetic"
    (tmp_path / ".env").write_text("RESIGHT_LOCATE_DATA=synthetic\n")
    assert named_paths(tmp_path, {}) == ("synthetic", None)
    (tmp_path / ".env").write_text("something else\n")
    with pytest.raises(InputError, match=r"\.env, line 1: expected NAME=VALUE, got 'something else'"):
        named_paths(tmp_path, {})
