"""`resight train classify` where files may not grow: one line that says what, where and what to do, and exit code 1."""

import os
import subprocess
import sys

import pytest
from training_samples import class_folders, tiny_flags

from resight.train.classifier import train_classifier

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are set by POSIX's setrlimit"),
    pytest.mark.usefixtures("one_thread"), pytest.mark.slow,
]  # fmt: skip
CODE = """
import resource, sys
import torch, lightning.pytorch, tensorboard, matplotlib.pyplot  # their caches may be written before the limit
from resight import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(cli.run(sys.argv[2:]))
"""


def train(limit, *words):
    """The exit code and standard error of the command in a process that can write `limit` bytes to a file."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(limit), "train", "classify", *map(str, words)], capture_output=True,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("limit", "epochs", "file"),
    [(3000, 1, "checkpoints/best.ckpt"), (12_000, 100, "tensorboard"), (1_000_000, 1, "model.safetensors")],
)
def test_files_that_may_not_grow(tmp_path, limit, epochs, file):
    data, out = class_folders(tmp_path / "data", each=4), tmp_path / "run"
    code, err = train(limit, data, "--out", out, *tiny_flags(tune="head", epochs=epochs, lr=0.01))
    assert code == 1, err
    assert err.count("\n") == 1 and err.startswith(f"resight: cannot write {out / file}: the file would be larger"), err
    assert not list(out.rglob(".resight-*"))
    assert train_classifier(None, out, resume=True).record["epochs"] == epochs
