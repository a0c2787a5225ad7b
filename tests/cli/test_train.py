"""`resight train classify` as it is typed."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from training_samples import TINY, class_folders, clip_folders, tiny_flags

from resight import cli
from resight.cli.train import TOPICS, epoch_line
from resight.train.history import EpochLine
from resight.train.options import TrainOptions
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {**TINY, "tune": "head", "epochs": 3, "lr": 0.01}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


@pytest.fixture
def call(capsys):
    """Run `resight train classify`: (exit code, standard output, standard error)."""

    def run_it(*words):
        code = cli.run(["train", "classify", *map(str, words)])
        return code, *capsys.readouterr()

    return run_it


def flags(**given):
    words = []
    for name, value in {**QUICK, **given}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def test_the_main_job(data, tmp_path, call):
    out = tmp_path / "run"
    code, text, err = call(data, "--out", out, *flags())
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "rgb: test_resnet at 32 pixels, tune head; new: rgb: all layers (random), head"
    assert lines[1] == f"15 train, 3 val, 0 test images of 3 classes, from {data}"
    assert lines[2].startswith("epoch 1/3  loss 1.") and "  val 0." in lines[2] and lines[2].endswith("s left")
    assert lines[-4].startswith("epoch 3/3  loss ")
    assert lines[-3].startswith("best: validation accuracy ") and " in epoch " in lines[-3]
    assert lines[-2] == f"run: {out} (curves.png, metrics.csv, model.safetensors ...)"
    assert lines[-1] == f"next: resight classify {out} IMAGE ...   (nothing is held back for a test; --test 0.2 would)"
    assert Run.open(out).options.epochs == 3
    assert call(data, "--out", tmp_path / "b", *flags(test=0.2))[1].endswith(f"next: resight test {tmp_path / 'b'}\n")


def test_nothing_is_overwritten_and_resume_says_so(data, tmp_path, call):
    out = tmp_path / "run"
    assert call(data, "--out", out, *flags())[0] == 0
    code, text, err = call(data, "--out", out, *flags())
    assert (code, text) == (2, "")
    assert err == f"resight: {out} holds a finished training, which is not overwritten: choose another --out\n"
    code, text, _ = call(data, "--out", out, *flags(), "--resume")
    assert code == 0 and text.splitlines()[0] == f"{out} has finished before; nothing is trained"


@pytest.mark.parametrize("suffix", ["yaml", "toml", "json"])
def test_options_from_a_file_and_flags_win(data, tmp_path, call, suffix):
    file = tmp_path / f"options.{suffix}"
    chosen = {**QUICK, "epochs": 7, "batch": 5}
    texts = {
        "json": json.dumps(chosen),
        "yaml": "".join(f"{name}: {value}\n" for name, value in chosen.items()),
        "toml": "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items()),
    }
    file.write_text(texts[suffix])
    code, _, err = call(data, "--out", tmp_path / "run", "--config", file, "--epochs", 2)
    assert (code, err) == (0, "")
    found = Run.open(tmp_path / "run").options
    assert (found.epochs, found.batch, found.backbone) == (2, 5, "test_resnet")
    code, _, _ = call(data, "--out", tmp_path / "again", "--config", tmp_path / "run" / "options.yaml")
    assert code == 0 and Run.open(tmp_path / "again").options == found


def test_wrong_words_are_one_line(data, tmp_path, call):
    file = tmp_path / "options.yaml"
    file.write_text("epoch: 3\n")
    out = tmp_path / "run"
    for words, message in [
        (("--config", file), f"{file}: unknown training option 'epoch', did you mean 'epochs'?"),
        (("--config", tmp_path / "none.yaml"), "expected a file, got none"),
        (("--tune", "heads"), "unknown tune 'heads', did you mean 'head'?"),
        (("--preset", "deepskies"), "unknown preset 'deepskies', did you mean 'deepsky'?"),
        (("--lr", "-1"), "lr must be from 1e-09"),
        (("--backbone", "resnet81", "--weights", "random"), "unknown backbone 'resnet81', did you mean 'resnet18'"),
        (("--weights", "none.pth"), "weights file 'none.pth' does not exist"),
        (("--head", "tcn"), "head has no effect on single images: give sequences as well, or leave head out"),
        (("--sift", "deepsky"), "sift has no effect on input rgb"),
        (("--decay", "0.5"), "decay has no effect on schedule cosine"),
        (("--warmup", "9", "--epochs", "3"), "warmup has no effect behind the last epoch"),
        ((*flags(validation=0), "--early-stop", "2"), "early_stop needs images to validate with"),
    ]:
        code, text, err = call(data, "--out", out, *words)
        assert (code, text) == (2, "") and err.count("\n") == 1 and message in err, err
        assert not out.exists()
    code, _, err = call(tmp_path / "nowhere", "--out", out)
    assert code == 2 and "nowhere" in err
    code, _, err = call(data, "--out", data / "red" / "0.png", *flags())
    assert code == 2 and "expected a folder" in err


def test_the_preset_of_the_predecessor(data, tmp_path, call):
    code, _, err = call(
        data, "--out", tmp_path / "run", "--preset", "deepsky", *tiny_flags(), "--epochs", 1, "--batch", 8,
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = Run.open(tmp_path / "run").options
    assert (found.augment, found.mask, found.optimiser, found.seed) == ("deepsky", "circle", "sgd", 100)


def test_folds_and_json(data, tmp_path, call):
    code, text, _ = call(data, "--out", tmp_path / "folds", *flags(epochs=1), "--folds", 2)
    assert code == 0 and "fold 2: 9 train, 9 val, 0 test images" in text
    last, then = text.splitlines()[-2:]
    assert last.startswith("2 folds: validation accuracy ") and " +- " in last
    assert then.startswith(f"next: resight classify {tmp_path / 'folds' / 'fold-1'} IMAGE ...")
    code, text, err = call(data, "--out", tmp_path / "one", *flags(epochs=1), "--json")
    assert (code, err) == (0, "") and json.loads(text)["best"]["epoch"] == 1
    code, text, _ = call("--out", tmp_path / "folds", "--json", "--resume")
    assert [one["fold"] for one in json.loads(text)] == [1, 2]


def test_unreadable_images_are_told(data, tmp_path, call):
    for number in range(3):
        (data / "red" / f"{number}.png").write_bytes(b"nothing")
    code, text, _ = call(data, "--out", tmp_path / "run", *flags(epochs=1))
    assert code == 0 and text.count("left out, cannot be read: ") == 3
    train, val = map(int, re.search(r"(\d+) train, (\d+) val, 0 test images", text).groups())
    assert train + val == 15


def test_sequences_are_called_so(tmp_path, call):
    data = clip_folders(tmp_path / "clips")
    words = flags(epochs=1, head="pool", frames=3, validation=0.25)
    code, text, err = call(data, "--out", tmp_path / "run", *words, "--sequences")
    assert (code, err) == (0, "") and "image" not in text.replace("curves.png", "").lower()
    assert "6 train, 2 val, 0 test sequences of 2 classes" in text and " sequences/s" in text
    assert f"next: resight classify {tmp_path / 'run'} SEQUENCE ..." in text


def test_resumed_by_its_folder_alone(data, tmp_path, call):
    out = tmp_path / "run"
    assert call(data, "--out", out, *flags())[0] == 0
    (out / "model.safetensors").unlink()
    code, text, err = call("--out", out, "--resume")
    assert (code, err) == (0, "")
    assert text.splitlines()[:2] == [
        f"{out}/model.safetensors was lost, and is restored from checkpoints/best.ckpt",
        f"{out} has finished before; nothing is trained",
    ]
    code, _, err = call("--out", out, "--resume", "--epochs", 9)
    assert code == 2 and "was begun with other choices: epochs 3, now 9: with --resume and --out alone" in err
    code, _, err = call("--out", tmp_path / "other")
    assert code == 2 and err.startswith("resight: give the data: class folders, or a CSV")
    data.rename(tmp_path / "moved")
    code, _, err = call("--out", out, "--resume")
    assert code == 2 and f"{data}, the data of {out}, is not there any more" in err
    assert call(tmp_path / "moved", "--out", out, "--resume")[0] == 0


def test_exit_codes_of_damaged_runs(data, tmp_path, call, capsys):
    """A damaged run is failed work, 1; a folder that is no run is the wrong folder, 2."""
    out, image = tmp_path / "run", str(data / "red" / "0.png")
    assert call(data, "--out", out, *flags(epochs=1))[0] == 0
    (tmp_path / "empty").mkdir()
    assert cli.run(["classify", str(tmp_path / "empty"), image]) == 2
    model = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(model[:100])
    assert cli.run(["classify", str(out), image]) == 1
    assert f"`resight train finish {out}` restores it" in capsys.readouterr().err
    (out / "model.safetensors").unlink()
    assert cli.run(["classify", str(out), image]) == 1
    (out / "run.json").write_text("{")
    assert cli.run(["classify", str(out), image]) == 1
    assert cli.run(["train", "classify", "--out", str(out), "--resume"]) == 1
    for file in (data / "red").iterdir():
        file.write_bytes(b"nothing")
    code, _, err = call(data, "--out", tmp_path / "other", *flags(epochs=1))
    assert code == 1 and "class 'red' has nothing to train on" in err


def test_a_line_of_an_epoch():
    line = EpochLine(3, 10, 0.4121, 0.9123, 0.8841, 0.891, 2, 3.1e-4, 12.3, 58.2, 80.0)
    assert epoch_line(line) == (
        "epoch  3/10  loss 0.412  train 0.912  val 0.884 (best 0.891, epoch 2)  lr 3.1e-04  12 s, 58 images/s, "
        "1 min 20 s left"
    )
    nan = float("nan")
    assert epoch_line(EpochLine(2, 2, 0.5, 1.0, nan, nan, 2, 1e-3, 1.0, 9.0, 0.0)) == (
        "epoch 2/2  loss 0.500  train 1.000  lr 1.0e-03  1.0 s, 9 images/s"
    )


def test_every_option_is_a_flag_with_its_own_words(capsys):
    assert sorted(" ".join(TOPICS.values()).split()) == sorted(one.name for one in fields(TrainOptions))
    assert cli.run(["train", "classify", "--help"]) == 0
    text = capsys.readouterr().out
    for one in fields(TrainOptions):
        assert f"--{one.name.replace('_', '-')}" in text
    for topic in TOPICS:
        assert f"─ {topic} ─" in text


def test_help_loads_nothing_heavy():
    heavy = "torch timm torchvision lightning tensorboard skimage sklearn scipy cv2".split()
    code = (
        "import sys, io, contextlib\nfrom resight.cli import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    run(['train', 'classify', '--help'])\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_interruption_promises_only_what_is_kept(tmp_path, monkeypatch, capsys, data):
    def stop(*given, **named):
        raise KeyboardInterrupt

    def call(*words):
        return cli.run(list(map(str, words))), *capsys.readouterr()

    monkeypatch.setattr("resight.train.classifier.train_classifier", stop)
    code, _, err = call("train", "classify", data, "--out", tmp_path / "run", *tiny_flags())
    said = "resight: interrupted before an epoch had ended: nothing is kept, run the same command again\n"
    assert (code, err) == (130, said)
    for place in ("run", "folds/fold-1"):
        (tmp_path / place / "checkpoints").mkdir(parents=True)
        (tmp_path / place / "checkpoints" / "last.ckpt").touch()
        _, _, err = call("train", "classify", data, "--out", tmp_path / place.partition("/")[0], *tiny_flags())
        assert err == (
            "resight: interrupted; epochs that have ended are kept: run the same command with --resume to go on\n"
        )
    for command, name, flags in (("test", "test_run", ()), ("export", "export_onnx", ("--onnx", tmp_path / "a.onnx"))):
        module = {"test": "testing"}.get(command, command)
        monkeypatch.setattr(f"resight.train.{module}.{name}", stop)
        monkeypatch.setattr(Run, "open", lambda *given: None)
        code, _, err = call(command, tmp_path / "run", *flags)
        assert (code, err) == (130, "resight: interrupted; run the same command again: it begins anew\n")
