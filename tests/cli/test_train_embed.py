"""`resight train embed` as it is typed."""

import json
from dataclasses import fields

import pytest
from embed_samples import TINY, tint_folders, tiny_flags

from resight import cli
from resight.cli.train import Printer
from resight.cli.train_embed import EMBED_TOPICS
from resight.train.embed_options import EmbedOptions
from resight.train.embed_runs import EmbedRun

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tint_folders(tmp_path_factory.mktemp("tints") / "data")


@pytest.fixture
def call(capsys):
    """Run `resight`: (exit code, standard output, standard error)."""

    def run_it(*words):
        code = cli.run([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_it


def test_the_main_job(data, tmp_path, call):
    out = tmp_path / "run"
    code, text, err = call("train", "embed", data, "--out", out, *tiny_flags(tune="all", project="identity", dim=32))
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "embed: test_resnet at 32 pixels, gem, tune all; weights random"
    assert lines[3] == "projection identity, 96 -> 32; loss triplet, miner ranked"
    assert lines[4].startswith("before training: validation mAP 0.")
    assert lines[5].startswith("epoch 1/2  loss 0.") and "% of 60 hard, mined in " in lines[5]
    assert "  val mAP 0." in lines[5] and "  recall@1 " in lines[5]
    before, best = (EmbedRun.open(out).record[key] for key in ("before", "best"))
    assert lines[7].startswith(f"best: validation mAP {before['map']:.3f} -> {best['val_map']:.3f} in epoch ")
    assert lines[-2:] == [
        f"next: resight test {out} DATA   (of other images: nothing is held back)",
        f"next: resight index PHOTOS --encoder {out}",
    ]
    code, text, err = call("train", "embed", data, "--out", out, *tiny_flags())
    assert (code, text) == (2, "") and "is not overwritten" in err
    code, text, _ = call("train", "finish", out)
    assert code == 0 and text.splitlines()[-1] == lines[-1]


def test_json_and_config_and_going_on(data, tmp_path, call):
    file = tmp_path / "o.json"
    file.write_text(json.dumps({**TINY, "epochs": 1, "tune": "head"}))
    code, text, err = call("train", "embed", data, "--out", tmp_path / "run", "--json", "--config", file)
    record = json.loads(text)
    assert (code, err) == (0, "") and record["task"] == "embed" and record["options"]["miner"] == "ranked"
    code, text, _ = call("train", "embed", "--out", tmp_path / "run", "--resume")
    assert code == 0 and text.splitlines()[0] == f"{tmp_path / 'run'} has finished before; nothing is trained"


def test_no_epoch_is_better(data, tmp_path, call):
    code, text, _ = call("train", "embed", data, "--out", tmp_path / "run", *tiny_flags(tune="head", lr=1e-9))
    assert code == 0 and "no epoch is better than the start: try another --lr, --tune, --loss or --project" in text
    before = EmbedRun.open(tmp_path / "run").record["before"]
    assert before["frozen_map"] > before["map"]
    assert f"the backbone alone, without a projection, has mAP {before['frozen_map']:.3f}, which is more" in text


def test_wrong_words_are_one_line(data, tmp_path, call):
    out = tmp_path / "run"
    for words, message in (
        ((data, "--out", out, "--miner", "rankd"), "unknown miner 'rankd', did you mean 'ranked'"),
        ((data, "--out", out, "--preset", "deep"), "unknown preset 'deep'"),
        ((tmp_path / "nothing", "--out", out), "no such file or folder"),
        (("--out", out), "give the data: class folders, or a CSV"),
        ((data, "--out", data / "run"), "lies in the folder of the data"),
        ((data, "--out", out, "--per-class", "2"), "per_class has no effect on miner ranked"),
        ((data, "--out", out, *tiny_flags(dim=60)), "allows 1 to 32 dimensions, got 60: take a dim of at most 32"),
    ):
        code, _, err = call("train", "embed", *words)
        assert code == 2 and message in err and err.count("\n") == 1
    assert not out.exists()


def test_ctrl_c_says_what_is_kept(data, tmp_path, call, monkeypatch):
    def interrupt(self, line):
        self.last = line
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Printer, "epoch", interrupt)
        code, _, err = call("train", "embed", data, "--out", tmp_path / "run", *tiny_flags())
    assert code == 130
    assert err == "resight: interrupted; 1 of 2 epochs are kept: run the same command with --resume to go on\n"
    code, text, _ = call("train", "embed", data, "--out", tmp_path / "run", *tiny_flags(), "--resume")
    assert code == 0 and "going on after epoch 1 of 2" in text


def test_every_option_is_a_flag_with_its_own_words(capsys):
    assert sorted(" ".join(EMBED_TOPICS.values()).split()) == sorted(one.name for one in fields(EmbedOptions))
    cli.run(["train", "embed", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for one in fields(EmbedOptions):
        assert f"--{one.name.replace('_', '-')}" in text
    assert "Mine anew every so many epochs" in text
