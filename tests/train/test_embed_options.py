"""Options of embedding networks: presets, defaults that follow others, what cannot be."""

from dataclasses import fields

import pytest

from resight.errors import InputError
from resight.train.embed_options import (
    EMBED_PRESETS,
    EmbedOptions,
    ask_embed,
    make_embed_options,
    resolved_embed,
)


def test_the_preset_is_the_predecessor():
    options = resolved_embed(make_embed_options("deep-image-matching"))
    assert (options.backbone, options.pool, options.size, options.dim) == ("vgg16", "mac", 224, 512)
    assert (options.lr, options.batch, options.margin, options.miner) == (1e-5, 32, 0.1, "ranked")
    assert (options.per_pair, options.keep, options.remine, options.tune) == (70, 1600, 1, "last")
    assert (options.project, options.augment, options.optimiser) == ("identity", "none", "adamw")
    assert make_embed_options("deep-image-matching", pool="spoc").pool == "spoc"
    known = {one.name for one in fields(EmbedOptions)}
    assert all(set(preset) <= known for preset in EMBED_PRESETS.values())


def test_defaults_that_follow_others():
    assert resolved_embed(make_embed_options()).miner == "ranked"
    batched = resolved_embed(make_embed_options(loss="multi-similarity"))
    assert (batched.miner, batched.margin) == ("none", None) and not batched.offline
    assert resolved_embed(make_embed_options(loss="contrastive")).margin == 0.7
    assert resolved_embed(make_embed_options(margin=0.0)).margin == 0.0
    head, last = (resolved_embed(make_embed_options(tune=tune)) for tune in ("head", "last"))
    assert head.frozen and not last.frozen and head.lr > last.lr
    assert str(make_embed_options(pool="GeM: p = 4").pool) == "gem:p=4"
    filled = resolved_embed(make_embed_options())
    assert resolved_embed(filled) == filled == make_embed_options(**filled.as_dict())


@pytest.mark.parametrize(("given", "message"), [
    ({"pool": "gme"}, "did you mean 'gem'"),
    ({"project": "whitn"}, "did you mean 'whiten'"),
    ({"miner": "none"}, "loss triplet needs triplets: choose a miner"),
    ({"loss": "triplet:margin=0.2"}, "loss triplet has its options beside it"),
    ({"miner": "batch-hard", "batch": 6}, "has no two classes of 4 images"),
    ({"validation": 0.6, "test": 0.4}, "must leave at least 0.1 for training"),
    ({"margin": 5.0}, "margin must be from 0 to 4"),
    ({"dim": 0}, "dim must be from 1"),
])  # fmt: skip
def test_what_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        make_embed_options(**given)


@pytest.mark.parametrize(("given", "message"), [
    ({"margin": 0.2, "loss": "multi-similarity"}, "margin has no effect on loss multi-similarity"),
    ({"keep": 5, "miner": "batch-hard"}, "keep has no effect on miner batch-hard: give miner ranked or hardest"),
    ({"per_class": 2}, "per_class has no effect on miner ranked"),
    ({"negatives": 2}, "negatives has no effect on miner ranked"),
    ({"decay": 0.5}, "decay has no effect on schedule cosine"),
    ({"by": "class", "validation": 0.0}, "by has no effect if nothing is held back"),
    ({"early_stop": 10}, "early_stop has no effect behind the last epoch, 10"),
])  # fmt: skip
def test_what_has_no_effect(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        ask_embed(tmp_path, given)
    make_embed_options(**given)  # in a file or a run it may stand


def test_what_is_given_goes_before_the_file_before_the_preset(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text("preset: deep-image-matching\nkeep: 10\nbatch: 4\n")
    options = ask_embed(tmp_path / "run", {"batch": 8}, config=file)
    assert (options.backbone, options.keep, options.batch, options.per_pair) == ("vgg16", 10, 8, 70)
    file.write_text("keeep: 10\n")
    with pytest.raises(InputError, match=r"o.yaml: unknown option of embedding 'keeep', did you mean 'keep'"):
        ask_embed(tmp_path / "run", {}, config=file)
