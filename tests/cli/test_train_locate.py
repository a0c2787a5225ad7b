"""`resight train locate` as it is typed."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image
from samples import picture

from resight import cli
from resight.cli.train import Printer
from resight.cli.train_locate import LOCATE_TOPICS
from resight.train.locate_options import LocateOptions
from resight.train.locate_runs import LocateRun

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {
    "backbone": "test_resnet", "weights": "random", "size": 32, "width": 16, "epochs": 2, "samples": 8,
    "val_samples": 4, "batch": 4, "lr": 1e-3, "device": "cpu", "workers": 0, "panels": 1, "validation": 0.3,
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(7):
        Image.fromarray(picture(number)).save(tmp_path / "data" / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def call(capsys):
    """Run `resight`: (exit code, standard output, standard error)."""

    def run_it(*words):
        code = cli.run([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_it


def flags(**given):
    return [word for name, value in {**TINY, **given}.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_the_main_job(data, tmp_path, call):
    out = tmp_path / "run"
    code, text, err = call("train", "locate", data, "--out", out, *flags())
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "locate: two test_resnet at 32 pixels, joined by mult; weights random"
    assert lines[1] == f"5 train, 2 val images from {data}, boxes drawn by chance; 8 samples an epoch, 4 validate it"
    assert lines[2].startswith("epoch 1/2  loss 0.") and "  val 0." in lines[2] and " samples/s" in lines[2]
    assert lines[4].startswith("best: validation IoU 0.") and " of 2; " in lines[4]
    assert lines[5] == f"run: {out} (curves.png, panels, metrics.csv, model.safetensors ...)"
    assert lines[6] == f"next: resight match TEMPLATE SCENE ... --method mask --model {out}"
    assert LocateRun.open(out).options.epochs == 2
    code, text, err = call("train", "locate", data, "--out", out, *flags())
    assert (code, text) == (2, "") and "is not overwritten" in err
    code, text, _ = call("train", "finish", out)
    assert code == 0 and text.splitlines()[-1] == lines[6]


def test_json_and_config_and_going_on(data, tmp_path, call):
    file = tmp_path / "o.json"
    file.write_text(json.dumps({**TINY, "epochs": 1}))
    code, text, err = call("train", "locate", "synthetic", "--out", tmp_path / "run", "--json", *flags(epochs=1))
    record = json.loads(text)
    assert (code, err) == (0, "") and record["task"] == "locate" and record["data"]["source"] == "synthetic"
    code, text, _ = call("train", "locate", data, "-o", tmp_path / "b", "--combine", "add", "--config", file)
    assert code == 0 and "joined by add" in text and LocateRun.open(tmp_path / "b").options.epochs == 1
    code, text, _ = call("train", "locate", "--out", tmp_path / "b", "--resume")
    assert code == 0 and text.splitlines()[0] == f"{tmp_path / 'b'} has finished before; nothing is trained"


def test_data_of_an_env_file(data, tmp_path, call, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / ".env").write_text("RESIGHT_LOCATE_DATA=../data\n")
    monkeypatch.chdir(tmp_path / "here")
    code, text, _ = call("train", "locate", "--out", tmp_path / "run", *flags(epochs=1))
    assert code == 0 and f"images from {data}, boxes" in text


def test_wrong_words_are_one_line(data, tmp_path, call):
    out = tmp_path / "run"
    for words, message in (
        ((data, "--out", out, "--combine", "mlut"), "unknown combine 'mlut', did you mean 'mult'"),
        ((data, "--out", out, "--preset", "neural"), "unknown preset 'neural'"),
        ((tmp_path / "nothing", "--out", out), "no such file or folder"),
        (("--out", out), "give the data: images, COCO annotations, or synthetic"),
        ((data, "--out", data / "run"), "lies in the folder of the data"),
        ((data, "--out", out, "--images", data), "images is for COCO annotations"),
    ):
        code, text, err = call("train", "locate", *words)
        assert (code, text) == (2, "") and message in err and err.count("\n") == 1
    assert not out.exists()


def test_ctrl_c_says_what_is_kept(data, tmp_path, call, monkeypatch):
    def interrupt(self, line):
        self.last = line
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Printer, "epoch", interrupt)
        code, _, err = call("train", "locate", data, "--out", tmp_path / "run", *flags())
    assert code == 130
    assert err == "resight: interrupted; 1 of 2 epochs are kept: run the same command with --resume to go on\n"
    code, text, _ = call("train", "locate", data, "--out", tmp_path / "run", *flags(), "--resume")
    assert code == 0 and "going on after epoch 1 of 2" in text


def test_every_option_is_a_flag_with_its_own_words(capsys):
    assert sorted(" ".join(LOCATE_TOPICS.values()).split()) == sorted(one.name for one in fields(LocateOptions))
    cli.run(["train", "locate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for one in fields(LocateOptions):
        assert f"--{one.name.replace('_', '-')}" in text
    assert "Share of samples whose query is of another image" in text


def test_the_example_is_valid():
    from resight.train.locate_options import make_locate_options
    from resight.train.run_files import read_config

    file = Path(__file__).parents[2] / "examples" / "locate.yaml"
    assert make_locate_options(**read_config(file, make_locate_options)[1]).combine == "pooled"
