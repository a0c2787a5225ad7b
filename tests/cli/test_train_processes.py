"""`resight train classify` in processes of its own: stopped, killed, and two at once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from training_samples import TINY, class_folders, tiny_flags

from resight.train.classifier import train_classifier
from resight.train.runs import Run

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


def rows(folder):
    """metrics.csv but for the times."""
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def start(*words):
    """The command in a group of processes of its own, so that a signal to it is not one to this test."""
    return subprocess.Popen(
        [sys.executable, "-m", "resight.cli", "train", "classify", *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_ctrl_c_then_kill_9_then_resume(data, tmp_path):
    """Bit-identical to a training that nobody stopped, in another process."""
    chosen = {**TINY, "epochs": 30, "lr": 0.01, "batch": 4, "augment": "flip", "ema": 0.9, "workers": 1}
    out, ended = tmp_path / "run", 0
    for how in (signal.SIGINT, signal.SIGKILL):
        process = start(data, "--out", out, *tiny_flags(**chosen), "--resume")
        before = ended
        while process.poll() is None and ended < before + 2:
            time.sleep(0.02)
            if (out / "metrics.csv").is_file():
                ended = len(rows(out))
        os.killpg(process.pid, how)
        text, err = process.communicate(timeout=120)
        assert (
            before == 0 or f"going on after epoch {before} of 30" in text or f"after epoch {before + 1} of 30" in text
        )
        assert json.loads((out / "run.json").read_text())["state"] == "training", text
        if how == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            break
        assert process.returncode == 130 and err.count("\n") == 1, err
        assert err.startswith("resight: interrupted; ")
        assert err.endswith(" of 30 epochs are kept: run the same command with --resume to go on\n")
    expected = train_classifier(data, tmp_path / "whole", **chosen)
    resumed = train_classifier(data, out, **chosen, resume=True)
    assert rows(out) == rows(tmp_path / "whole") and len(rows(out)) == 30
    assert resumed.record["model"] == expected.record["model"]


def test_two_processes_learn_what_one_does(data, tmp_path):
    """Distributed: halves of each batch on two processes, the same weights as one process with the whole batch."""
    common = {"tune": "head", "augment": "none", "dropout": 0.0, "epochs": 4, "lr": 0.05, "batch": 6, "validation": 0.3,
              "optimiser": "sgd"}  # fmt: skip
    alone = train_classifier(data, tmp_path / "alone", **TINY, **common)
    out = tmp_path / "two"
    process = start(data, "--out", out, *tiny_flags(**common), "--devices", 2)
    text, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert text.count("epoch 1/4") == 1 and text.count("next: ") == 1  # the second process says nothing
    for one, two in zip(rows(tmp_path / "alone"), rows(out), strict=True):
        assert one["images"] == two["images"] == "12"
        for name in ("train_loss", "val_loss", "val_accuracy"):
            assert float(one[name]) == pytest.approx(float(two[name]), abs=1e-5)
    assert alone.record["split"] == Run.open(out).record["split"]
