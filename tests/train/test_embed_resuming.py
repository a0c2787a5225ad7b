"""Trainings of embedding networks that are stopped, in every way there is, and gone on with."""

from pathlib import Path

import pytest
from embed_samples import TINY, of_part, outcome, tint_folders

from resight.errors import InputError, WorkError
from resight.measure.retrieval import evaluate_labels
from resight.train.embed_engine import EmbedTraining
from resight.train.embed_mining import Mining
from resight.train.embed_runs import EmbedRun
from resight.train.embed_training import train_embedder
from resight.train.finishing import finish_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tint_folders(tmp_path_factory.mktemp("tints") / "data")


def interrupted(line):
    raise KeyboardInterrupt


# The file that was to be written, and which time: between the checkpoints, behind them, at the end.
KILLS = (("run.json", 1), ("last.ckpt", 1), ("last.ckpt", 2), ("mining.csv", 2), ("encoder.json", 1))


def test_killed_and_resumed(data, tmp_path, monkeypatch):
    """Whichever file was to be written when it died, the run ends as if nothing had been."""
    given = {**TINY, "remine": 2, "epochs": 3, "ema": 0.5}
    whole = outcome(train_embedder(data, tmp_path / "whole", **given))
    real = Path.replace

    class Killed(BaseException):
        pass

    for name, time in KILLS:
        seen = []

        def dying(self, target, name=name, time=time, seen=seen):
            seen += [name] if Path(target).name == name else []
            if len(seen) == time and Path(target).name == name:
                raise Killed
            return real(self, target)

        folder = tmp_path / f"killed-{name}-{time}"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "replace", dying)
            train_embedder(data, folder, **given)
        run = train_embedder(data, folder, **given, resume=True)
        assert outcome(run) == whole, (name, time)
        assert not list(folder.rglob(".resight-*")) and not (folder / "features").exists()


@pytest.mark.parametrize("more", [{}, {"tune": "head"}, {"miner": "batch-hard", "keep": None, "per_pair": None}])
def test_gone_on_with_by_its_folder_alone(data, tmp_path, more):
    given = {name: value for name, value in {**TINY, **more}.items() if value is not None}
    whole = train_embedder(data, tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train_embedder(data, tmp_path / "run", **given, report=interrupted)
    with pytest.raises(InputError, match=r"go on with it: `resight train embed --out .* --resume`; or keep its best"):
        EmbedRun.open(tmp_path / "run")
    told = []
    run = train_embedder(None, tmp_path / "run", resume=True, tell=told.append)
    assert "going on after epoch 1 of 2" in told
    assert outcome(run) == outcome(whole)
    told.clear()
    again = train_embedder(None, tmp_path / "run", resume=True, tell=told.append)
    assert again.record == run.record and told == [f"{run.folder} has finished before; nothing is trained"]


def test_lost_files_come_back(data, tmp_path):
    whole = train_embedder(data, tmp_path / "whole", **TINY)
    with pytest.raises(KeyboardInterrupt):
        train_embedder(data, tmp_path / "run", **TINY, report=interrupted)
    (tmp_path / "run" / "start.safetensors").write_bytes(b"damaged")
    (tmp_path / "run" / "split.csv").unlink()
    run = train_embedder(None, tmp_path / "run", resume=True)
    assert outcome(run) == outcome(whole)
    for name in ("encoder.json", "model.safetensors"):
        kept = (run.folder / name).read_bytes()
        (run.folder / name).unlink()
        told = []
        finish_run(run.folder, tell=told.append)
        assert (run.folder / name).read_bytes() == kept and "was lost" in told[0]
    (run.folder / "start.safetensors").unlink()
    with pytest.raises(WorkError, match=r"the projection that training began with, is missing: bring it back"):
        run.started()


def test_finished_early(data, tmp_path):
    """The best epoch so far, with all that encodes by it."""
    for name, more in (("last", {}), ("head", {"tune": "head"})):
        given = {**TINY, **more, "epochs": 3}
        with pytest.raises(KeyboardInterrupt):
            train_embedder(data, tmp_path / name, **given, report=interrupted)
        run = finish_run(tmp_path / name, "cpu")
        assert isinstance(run, EmbedRun) and run.record["stopped"] == {"after": 1, "of": 3}
        paths, labels = of_part(run, "val")
        found = evaluate_labels(run.encoder().encode_many(paths), labels).map
        assert found == pytest.approx(run.record["best"]["val_map"], abs=5e-3)


def test_vectors_are_computed_once_for_the_same_weights(data, tmp_path, monkeypatch):
    """The vectors of the start come from its features; a resumed run takes those that were kept."""
    described, judge = [], EmbedTraining.judge
    real = Mining._describe
    monkeypatch.setattr(Mining, "_describe", lambda self: described.append(self._hash()) or real(self))
    train_embedder(data, tmp_path / "whole", **{**TINY, "epochs": 3})
    assert len(described) == 2 and len(set(described)) == 2
    described.clear()

    class Killed(BaseException):
        pass

    def dying(self, *given):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("resight.train.embed_engine.EmbedTraining.judge", lambda self, batch: dying(self)
                      if len(self.history) else judge(self, batch))  # fmt: skip
        train_embedder(data, tmp_path / "run", **{**TINY, "epochs": 3})
    kept = list((tmp_path / "run" / "features").iterdir())
    assert [file.suffix for file in kept] == [".npy"] and len(described) == 1
    kept[0].with_name("0" * 32 + ".npy").write_bytes(kept[0].read_bytes())  # of other weights: never looked at
    run = train_embedder(None, tmp_path / "run", resume=True)
    assert len(described) == 2 and outcome(run) == outcome(EmbedRun.open(tmp_path / "whole"))
