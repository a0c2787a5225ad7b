"""Embedding networks trained from images to a run: learning, kills, going on, finishing."""

import json
import shutil

import numpy as np
import pytest
import torch
from embed_samples import TINY, of_part, outcome, rows, tint_folders
from sklearn.decomposition import PCA

from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening
from resight.measure.retrieval import evaluate_labels
from resight.train.checkpoints import read_checkpoint
from resight.train.embed_files import read_start
from resight.train.embed_options import make_embed_options
from resight.train.embed_runs import EmbedRun
from resight.train.embed_training import train_embedder
from resight.train.finishing import finish_run
from resight.train.history import read_history
from resight.train.mining import spread
from resight.train.run_files import BEST, LAST
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD = {**TINY, "tune": "head"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tint_folders(tmp_path_factory.mktemp("tints") / "data")


def interrupted(line):
    raise KeyboardInterrupt


def test_it_learns(data, tmp_path):
    """Every tune raises the mean average precision of images it has not seen."""
    best = {}
    for tune in ("head", "last", "all"):
        run = train_embedder(data, tmp_path / tune, **{**TINY, "tune": tune, "epochs": 4})
        best[tune] = run.record["best"]["val_map"]
        assert best[tune] > run.record["before"]["map"] + 0.05
        assert len(rows(run, "mining.csv")) == 4
    assert best["all"] > best["head"]


def test_the_whole_way(data, tmp_path):
    told, lines = [], []
    run = train_embedder(data, tmp_path / "run", **TINY, tell=told.append, report=lines.append)
    assert told[:2] == [
        "embed: test_resnet at 32 pixels, gem, tune last; weights random",
        f"33 train images of 4 classes, 15 val, from {data}",
    ]
    assert told[2].startswith("  validated by image: images of every class are held back")
    assert (
        told[3] == "  vectors of 16 numbers, not 96: 33 training images allow no more for whiten (--dim says otherwise)"
    )
    assert told[4] == "projection whiten, 96 -> 16; loss triplet, miner ranked"
    before = run.record["before"]
    assert told[5] == (f"before training: validation mAP {before['map']:.3f}, recall@1 {before['recall_1']:.3f} "
                       f"(mAP {before['frozen_map']:.3f} without the projection)")  # fmt: skip
    assert {file.name for file in run.folder.iterdir()} == {
        "run.json", "options.yaml", "split.csv", "skipped.csv", "metrics.csv", "mining.csv", "validation.csv",
        "curves.png", "checkpoints", "tensorboard", "model.safetensors", "start.safetensors", "encoder.json",
    }  # fmt: skip
    assert run.classes == ("tint00", "tint01", "tint02", "tint03") and run.options.dim == 16
    assert read_history(run.folder / "metrics.csv", "map") == run.history and run.history.score == "map"
    assert [row["epoch"] for row in rows(run, "validation.csv")] == ["0", "1", "2"]
    mined = rows(run, "mining.csv")
    assert [row["epoch"] for row in mined] == ["1", "2"] and mined[0]["drawn"] == str(5 * 4 * 3)
    line = lines[-1]
    assert line.recall == float(rows(run, "validation.csv")[-1]["recall_1"]) and line.before == before["map"]
    assert line.share == float(mined[-1]["share"]) and (line.epoch, line.epochs) == (2, 2)


def test_what_was_measured_is_what_the_encoders_give(data, tmp_path):
    """The scores before and after are those of `started`, `frozen` and `encoder` on the validation images."""
    run = train_embedder(data, tmp_path / "run", **TINY)
    paths, labels = of_part(run, "val")
    for encoder, expected in (
        (run.encoder(), run.record["best"]["val_map"]),
        (run.started(), run.record["before"]["map"]),
        (run.frozen(), run.record["before"]["frozen_map"]),
    ):
        assert evaluate_labels(encoder.encode_many(paths), labels).map == pytest.approx(expected, abs=5e-3)
    alone = np.stack([run.encoder().encode(path) for path in paths[:3]])
    assert np.abs(alone - run.encoder().encode_many(paths)[:3]).max() < 1e-5


def test_the_projection_begins_as_a_real_pca(data, tmp_path):
    """As scikit-learn's, of the pooled features of the training images, up to the sign of its axes."""
    run = train_embedder(data, tmp_path / "run", **{**HEAD, "epochs": 1})
    paths, _ = of_part(run, "train")
    pooled = run.frozen().encode_many(paths)
    start = read_start(run.folder, run.record)
    peer = PCA(run.options.dim, whiten=True, svd_solver="full").fit(pooled.astype(np.float64))
    mine = (pooled - start.mean) @ start.projection
    theirs = peer.transform(pooled.astype(np.float64))
    assert np.abs(np.abs(mine) - np.abs(theirs)).max() < 2e-3 * np.abs(theirs).max()
    assert isinstance(run.started().projection, Whitening) and run.started().projection == start


def test_workers_do_not_matter(data, tmp_path):
    given = {**TINY, "epochs": 1, "augment": "standard"}
    one = train_embedder(data, tmp_path / "one", **given)
    two = train_embedder(data, tmp_path / "two", **{**given, "workers": 1})
    assert one.record["model"]["sha256"] == two.record["model"]["sha256"]


def test_other_losses(data, tmp_path):
    """Of triplets, of batches, with weights of their own, which the run does not keep."""
    pytest.importorskip("pytorch_metric_learning")
    plain = {name: value for name, value in TINY.items() if name not in ("keep", "per_pair")}
    for number, more in enumerate((
        {"loss": "contrastive", "miner": "semi-hard"}, {"loss": "multi-similarity"},
        {"loss": "ProxyAnchorLoss", "tune": "head"},
    )):  # fmt: skip
        run = train_embedder(data, tmp_path / str(number), **{**plain, **more})
        assert len(run.history) == 2 and not (run.folder / "mining.csv").exists()
        assert all(np.isfinite(run.history.column("train_loss")))
    state = read_checkpoint(run.folder / LAST)["state_dict"]
    assert any(name.startswith("loss.") for name in state)
    whole = train_embedder(data, tmp_path / "again", **{**plain, **more}, report=None)
    with pytest.raises(KeyboardInterrupt):
        train_embedder(data, tmp_path / "cut", **{**plain, **more}, report=interrupted)
    assert outcome(train_embedder(None, tmp_path / "cut", resume=True)) == outcome(whole)


def test_a_collapse_is_told(data, tmp_path, monkeypatch):
    """The best epoch before it stays."""
    import resight.train.embed_engine as engine

    real, calls = engine.validation_row, []

    def narrow(vectors, names, options, epoch):
        calls.append(epoch)
        if epoch == 2:
            vectors = {place: np.eye(len(vector))[0] + 1e-6 * vector for place, vector in vectors.items()}
            vectors = {place: (vector / np.linalg.norm(vector)).astype(np.float32) for place, vector in vectors.items()}
        return real(vectors, names, options, epoch)

    monkeypatch.setattr(engine, "validation_row", narrow)
    told = (r"in epoch 2 the vectors have collapsed: two of them are .* lower --lr .* --miner semi-hard or another "
            r"--loss; `resight train finish .*` keeps the best")  # fmt: skip
    with pytest.raises(WorkError, match=told):
        train_embedder(data, tmp_path / "run", **{**TINY, "epochs": 3})
    assert (tmp_path / "run" / BEST).is_file()
    assert finish_run(tmp_path / "run").record["stopped"] == {"after": 1, "of": 3}


def test_a_loss_at_its_margin_is_told(data, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.train.embed_network.EmbedNetwork.forward",
                        lambda self, pixels: torch.eye(1, self.projection.weight.shape[1]).expand(len(pixels), -1)
                        + 0 * self.projection.weight.sum())  # fmt: skip
    with pytest.raises(WorkError, match=r"in epoch 1 .*(collapsed|is the margin in every step)"):
        train_embedder(data, tmp_path / "run", **{**TINY, "validation": 0.0})


def test_classes_that_are_unseen(tmp_path):
    """From ten classes on, whole classes validate."""
    data, told = tint_folders(tmp_path / "data", classes=10, each=4), []
    run = train_embedder(data, tmp_path / "run", **{**HEAD, "epochs": 1, "test": 0.2}, tell=told.append)
    assert run.options.by == run.record["split"]["by"] == "class" and len(run.classes) == 5
    assert set(of_part(run, "val")[1]).isdisjoint(run.classes) and len(set(of_part(run, "test")[1])) == 2
    assert (
        "  validated by class: whole classes are held back, which are unseen in training (--by image holds " in told[2]
    )
    assert told[1] == f"20 train images of 5 classes, 12 val of 3 other classes, 8 held back for a test, from {data}"


def test_odd_data(data, tmp_path):
    """Small classes and unreadable images are left out and told; copies in two classes too."""
    odd = tmp_path / "odd"
    shutil.copytree(data, odd)
    (odd / "alone").mkdir()
    shutil.copy(data / "tint00" / "0.png", odd / "alone" / "one.png")
    shutil.copy(data / "tint00" / "1.png", odd / "tint01" / "copy.png")
    (odd / "tint02" / "broken.png").write_bytes(b"no image")
    told = []
    run = train_embedder(odd, tmp_path / "run", **{**HEAD, "epochs": 1}, tell=told.append)
    assert run.classes == ("tint00", "tint01", "tint02", "tint03") and run.record["split"]["skipped"] <= 1
    assert any("1 of 5 classes with fewer than 2 images, 'alone'" in line for line in told)
    assert any("content that has two labels: 1" in line for line in told)
    everything = train_embedder(odd, tmp_path / "all", **{**HEAD, "epochs": 1, "validation": 0.0}, tell=told.append)
    assert everything.record["split"]["skipped"] == 1
    assert "broken.png" in (everything.folder / "skipped.csv").read_text()
    assert everything.record["before"] is None and everything.record["best"]["val_map"] is None


def test_door(data, tmp_path):
    def refused(message, source=data, **given):
        with pytest.raises(InputError, match=message):
            train_embedder(source, tmp_path / "run", **given)
        assert not (tmp_path / "run").exists()

    refused("whiten of 33 images, which vary in 32 directions, allows 1 to 32 dimensions, got 64", **HEAD, dim=64)
    refused("give the data: class folders", source=None, **HEAD)
    refused("unknown miner 'rankd', did you mean 'ranked'", miner="rankd")
    refused("unknown option of embedding 'marginn', did you mean 'margin'", marginn=1)
    refused("loss triplet has its options beside it", loss="triplet:margin=0.2")
    refused("give options, or size: not both", options=make_embed_options(), size=32)
    refused("unknown backbone", backbone="nothing_like_it")
    with pytest.raises(InputError, match="lies in the folder of the data"):
        train_embedder(data, data / "run", **HEAD)
    one = tmp_path / "one"
    shutil.copytree(data / "tint00", one / "tint00")
    with pytest.raises(InputError, match=r"at least (2|two)|(2|two) classes"):
        train_embedder(one, tmp_path / "run", **HEAD)


def test_runs_of_one_task_are_none_of_another(data, tmp_path):
    run = train_embedder(data, tmp_path / "run", **{**HEAD, "epochs": 1})
    with pytest.raises(InputError, match="a run of `resight train classify`, got one of `resight train embed`"):
        Run.open(run.folder)
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**record, "network": {**record["network"], "hash": "0" * 16}}))
    with pytest.raises(WorkError, match="have changed since: expected the hash 0000000000000000"):
        EmbedRun.open(run.folder).started()


def test_the_kept_vectors_do_not_lie_apart_by_batch(data, tmp_path):
    """Evaluation mode in training too: a network with batch normalisation gives one vector for one image."""
    run = train_embedder(data, tmp_path / "run", **{**TINY, "tune": "all", "epochs": 1})
    paths, _ = of_part(run, "train")
    encoder = run.encoder()
    assert np.abs(encoder.encode_many(paths)[:2] - encoder.encode_many(paths[:2])).max() < 1e-5
    assert spread(encoder.encode_many(paths)) > 0.1
