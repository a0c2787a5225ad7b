"""A training that is stopped, in every way there is, and gone on with."""

import csv
import shutil
from pathlib import Path

import pytest
from training_samples import TINY, class_folders

from resight.errors import InputError, WorkError
from resight.train.checkpoints import read_checkpoint
from resight.train.classifier import train_classifier
from resight.train.finishing import finish_run
from resight.train.options import resolved
from resight.train.run_files import BEST, LAST, read_options
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {**TINY, "tune": "head", "epochs": 2, "lr": 0.01}
EPOCHS = {**TINY, "epochs": 2, "lr": 0.01, "augment": "flip", "batch": 8}


@pytest.fixture
def data(tmp_path):
    return class_folders(tmp_path / "data", each=6)


def rows(run):
    """metrics.csv but for the times."""
    with (run.folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_killed_after_every_write_and_resumed(data, tmp_path, monkeypatch):
    """Whatever was on the disk when it died, the run ends as if nothing had been."""
    whole = train_classifier(data, tmp_path / "whole", **QUICK, ema=0.9)
    expected = rows(whole), whole.record["model"]["sha256"]
    real, writes = Path.replace, []

    class Killed(BaseException):
        pass

    def dying(at):
        def replace(self, target):
            writes.append(str(target))
            if len(writes) == at:
                raise Killed
            return real(self, target)

        return replace

    at = 0
    while True:
        at += 1
        writes.clear()
        folder = tmp_path / f"killed-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying(at))
            try:
                train_classifier(data, folder, **QUICK, ema=0.9)
            except Killed:
                died = True
            else:
                died = False
        if not died:
            break
        run = train_classifier(data, folder, **QUICK, ema=0.9, resume=True)
        assert (rows(run), run.record["model"]["sha256"]) == expected, writes[-1]
        assert not list(folder.rglob(".resight-*"))
    # options, split, skipped, run.json; best, last, metrics of two epochs; model, metrics, curves, run.json
    assert at - 1 >= 13


def test_resume_checks_that_it_is_the_same_training(data, tmp_path):
    run = train_classifier(data, tmp_path / "run", **QUICK)
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match="holds a finished training, which is not overwritten"):
        train_classifier(data, tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match="begun with other choices: epochs 2, now 3"):
        train_classifier(data, tmp_path / "run", **{**QUICK, "epochs": 3}, resume=True)
    shutil.copy(data / "red" / "0.png", data / "red" / "more.png")
    with pytest.raises(InputError, match=r"the data \(then .*18 images; now .*19"):
        train_classifier(data, tmp_path / "run", **QUICK, resume=True)
    (data / "red" / "more.png").unlink()
    told = []
    again = train_classifier(None, tmp_path / "run", resume=True, tell=told.append)
    assert again.record == run.record and told == [f"{run.folder} has finished before; nothing is trained"]
    assert before == {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}


def test_ctrl_c_between_epochs_then_resume(data, tmp_path):
    whole = train_classifier(data, tmp_path / "whole", **EPOCHS)

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **EPOCHS, report=interrupt)
    told = []
    run = train_classifier(data, tmp_path / "run", **EPOCHS, resume=True, tell=told.append)
    assert "going on after epoch 1 of 2" in told
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]


def test_resumed_by_its_folder_alone(data, tmp_path, monkeypatch):
    """Data and options are the run's; from another working folder too, and with the data moved."""
    whole = train_classifier(data, tmp_path / "whole", **EPOCHS)
    for number, moved in enumerate((False, True)):
        with pytest.raises(KeyboardInterrupt):
            train_classifier(data, tmp_path / f"run{number}", **EPOCHS, report=interrupted)
        place = data.rename(tmp_path / "moved") if moved else data
        monkeypatch.chdir(tmp_path)
        if moved:
            with pytest.raises(InputError, match=f"{data}, the data of run1, is not there any more: give the place"):
                train_classifier(None, "run1", resume=True)
        with pytest.raises(InputError, match="begun with other choices: epochs 2, now 3"):
            train_classifier(place, f"run{number}", epochs=3, resume=True)
        run = train_classifier(place if moved else None, f"run{number}", resume=True)
        assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]


def interrupted(line):
    raise KeyboardInterrupt


def test_a_lost_last_checkpoint(data, tmp_path):
    """The run goes on after its best epoch, says so, and ends as if nothing had been."""
    given = {**EPOCHS, "epochs": 5, "lr": 0.2, "optimiser": "sgd", "warmup": 0.0, "schedule": "constant", "seed": 1}

    def stop(line):
        if line.epoch == 4:
            raise KeyboardInterrupt

    whole = train_classifier(data, tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **given, report=stop)
    assert len(read_checkpoint(tmp_path / "run" / BEST)["history"]) < 4
    last = tmp_path / "run" / LAST
    last.write_bytes(last.read_bytes()[:5000])
    told = []
    run = train_classifier(None, tmp_path / "run", resume=True, tell=told.append)
    assert any(
        line.startswith("checkpoints/last.ckpt is damaged: going on from checkpoints/best.ckpt") for line in told
    )
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]


def test_all_checkpoints_lost(data, tmp_path):
    """Resuming, finishing and a new training say the same: only --resume can use the folder, from the beginning."""
    whole = train_classifier(data, tmp_path / "whole", **EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **EPOCHS, report=interrupted)
    for name in (LAST, BEST):
        (tmp_path / "run" / name).write_text("damaged")
    with pytest.raises(WorkError, match=r"lost or damaged, there is nothing to keep: remove .*run and train again"):
        finish_run(tmp_path / "run")
    with pytest.raises(WorkError, match=r"are damaged: remove .*run and train again"):
        train_classifier(None, tmp_path / "run", resume=True)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    again = "its checkpoints are gone: --resume begins it again from the first epoch, or choose another --out"
    with pytest.raises(WorkError, match=f"nothing can be kept of this training, {again}"):
        finish_run(tmp_path / "run")
    with pytest.raises(InputError, match=f"has not finished, which is not overwritten; {again}"):
        train_classifier(data, tmp_path / "run", **EPOCHS)
    told = []
    run = train_classifier(None, tmp_path / "run", resume=True, tell=told.append)
    assert "the checkpoints are gone: beginning again from the first epoch" in told
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]


def test_lost_files_of_the_beginning_come_back(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_classifier(data, tmp_path / "run", **EPOCHS, report=interrupted)
    names = ("split.csv", "skipped.csv")
    kept = [(tmp_path / "run" / name).read_bytes() for name in names]
    for name in names:
        (tmp_path / "run" / name).unlink()
    told = []
    train_classifier(None, tmp_path / "run", resume=True, tell=told.append)
    assert [(tmp_path / "run" / name).read_bytes() for name in names] == kept
    assert all(f"{tmp_path / 'run' / name} was lost, and is written again" in told for name in names)
    (tmp_path / "run" / "split.csv").unlink()  # of a finished run as well
    told.clear()
    train_classifier(None, tmp_path / "run", resume=True, tell=told.append)
    assert told[0] == f"{tmp_path / 'run' / 'split.csv'} was lost, and is written again"
    assert (tmp_path / "run" / "split.csv").read_bytes() == kept[0]


def test_killed_between_its_first_files(data, tmp_path, monkeypatch):
    """The folder can be used again at once."""

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("resight.train.classifier.write_record", killed)
        train_classifier(data, tmp_path / "run", **QUICK)
    assert (tmp_path / "run" / "split.csv").is_file()
    train_classifier(data, tmp_path / "run", **{**QUICK, "lr": 0.02})
    assert not list((tmp_path / "run").glob(".resight*"))


def test_options_are_kept_as_they_were_asked_for(data, tmp_path):
    """Those that follow others do so in the next training as well; the record has what they came to."""
    run = train_classifier(data, tmp_path / "run", **{**TINY, "tune": "head", "epochs": 1})
    assert run.options.lr == run.record["options"]["lr"] == 3e-3
    again = read_options(tmp_path / "run" / "options.yaml", tune="all")
    assert again.lr is None and resolved(again, 64).lr == 5e-4
    assert resolved(read_options(tmp_path / "run" / "options.yaml"), 64) == run.options


def test_a_run_in_the_folder_of_its_data_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="lies in the folder of the data"):
        train_classifier(data, data / "run", **QUICK)
    assert not (data / "run").exists()


def test_a_run_that_died_in_its_first_epoch_does_not_keep_its_folder(data, tmp_path):
    """Another training may begin there, with other options and without --resume, as into a new folder."""
    wrong = {**EPOCHS, "lr": 1000.0, "optimiser": "sgd", "warmup": 0.0, "epochs": 20, "batch": 4}
    with pytest.raises(WorkError, match=r"of epoch 1 is .*no epoch has ended: the same --out may be used again"):
        train_classifier(data, tmp_path / "run", **wrong)
    assert (tmp_path / "run" / "run.json").is_file()
    with pytest.raises(InputError, match=r"go on with it: `resight train classify --out .* --resume`$"):
        Run.open(tmp_path / "run")
    told = []
    run = train_classifier(data, tmp_path / "run", **EPOCHS, tell=told.append)
    assert f"no epoch of the training in {tmp_path / 'run'} had ended: this one begins in its place" in told
    whole = train_classifier(data, tmp_path / "whole", **EPOCHS)
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]
    assert len(list((run.folder / "tensorboard").iterdir())) == 1


def test_somebody_trained_there_in_the_meantime(data, tmp_path, monkeypatch):
    import resight.train.classifier as module

    real = module.reserved

    def later(folder):
        monkeypatch.setattr(module, "reserved", real)
        train_classifier(data, folder, **QUICK)
        return real(folder)

    monkeypatch.setattr(module, "reserved", later)
    with pytest.raises(WorkError, match=r"another process has trained in .* meanwhile"):
        train_classifier(data, tmp_path / "run", **QUICK, resume=True)
