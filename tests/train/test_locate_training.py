"""Mask networks trained from images to a run: learning, kills, going on, finishing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import picture

from resight.errors import InputError, WorkError
from resight.match.mask_finder import MaskFinder
from resight.match.mask_network import make_mask_network
from resight.train.checkpoints import read_checkpoint
from resight.train.finishing import finish_run
from resight.train.history import read_history
from resight.train.locate_judging import dice_loss, mask_ious
from resight.train.locate_options import make_locate_options
from resight.train.locate_runs import LocateRun
from resight.train.locate_samples import TRAIN, VAL, Pool, Samples
from resight.train.locate_scenes import list_scenes, read_scenes, split_places
from resight.train.locate_training import train_locator
from resight.train.run_files import BEST, LAST, read_record
from resight.train.runs import Run

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


def rows(run):
    """metrics.csv but for the times."""
    with (run.folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def learned(state):
    """Names of weights and statistics; counters of batches are of no use to a finished network."""
    return [name for name in state if not name.endswith("num_batches_tracked")]


def interrupted(line):
    raise KeyboardInterrupt


def test_it_learns_a_sample_by_heart():
    options = make_locate_options(size=64, negative=0.0, light=0.0, noise=0.0)
    pool = Pool({place: picture(place, 120, 160) for place in range(2)}, (0, 1))
    batch = Samples(pool, options, TRAIN)[0, (3,)]
    network = make_mask_network("test_resnet", "random", size=64, width=64).train()
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    two = [torch.cat([part, part]) for part in batch]
    for _ in range(150):
        logits = network(two[0], two[1])
        loss = dice_loss(logits, two[2])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if float(mask_ious(logits, two[2])[0]) > 0.95:
            break
    with torch.no_grad():
        assert float(mask_ious(network(two[0], two[1]), two[2])[0]) > 0.9


def test_the_whole_way(data, tmp_path):
    told, lines = [], []
    run = train_locator(data, tmp_path / "run", **TINY, combine="concat", tell=told.append, report=lines.append)
    assert told[0] == "locate: two test_resnet at 32 pixels, joined by concat; weights random"
    assert told[1] == (f"5 train, 2 val images from {data}, boxes drawn by chance; 8 samples an epoch, 4 validate it")
    assert [line.unit for line in lines] == ["samples"] * 2 and lines[-1].epochs == 2
    names = {file.name for file in run.folder.iterdir()}
    assert names == {
        "run.json", "options.yaml", "split.csv", "skipped.csv", "metrics.csv", "logs.json", "curves.png", "panels",
        "tensorboard", "checkpoints", "model.safetensors",
    }  # fmt: skip
    assert sorted(file.name for file in (run.folder / "panels").iterdir()) == ["epoch-0001.png", "epoch-0002.png"]
    logs = json.loads((run.folder / "logs.json").read_text())
    history = read_history(run.folder / "metrics.csv", "iou")
    assert logs["val_iou"] == [one.val_accuracy for one in history.epochs] and logs["epoch"] == [1, 2]
    assert list(logs)[1:5] == ["train_loss", "train_iou", "val_loss", "val_iou"]
    assert run.record["best"]["val_iou"] == max(logs["val_iou"]) and run.history == history
    assert LocateRun.open(run.folder).options == run.options
    # a finder uses the weights of the best epoch, joins included
    kept = read_checkpoint(run.folder / BEST)["state_dict"]
    own = run.finder(picture(1)[:30, :30], device="cpu").model.network.state_dict()
    assert any(name.startswith("joins.") for name in own)
    assert all(torch.equal(own[name], kept[f"learned.{name}"]) for name in learned(own))


def test_validation_is_the_mean_iou_of_fixed_samples(data, tmp_path):
    """What metrics.csv says is what the kept weights give on the validation's samples."""
    run = train_locator(data, tmp_path / "run", **TINY)
    scenes = list_scenes(data)
    pool = read_scenes(scenes, split_places(scenes, run.options), run.options).val
    batch = Samples(pool, run.options, VAL)[0, range(4)]
    network = run.finder(picture(0), device="cpu").model.network
    with torch.no_grad():
        logits = network(batch.images, batch.queries)
    assert run.record["best"]["val_iou"] == pytest.approx(float(mask_ious(logits, batch.masks).mean()), abs=1e-3)
    assert run.record["best"]["val_loss"] == pytest.approx(float(dice_loss(logits, batch.masks)), abs=1e-4)


KILLS = ("run.json", "last.ckpt", "logs.json", "model.safetensors")


def test_killed_and_resumed(data, tmp_path, monkeypatch):
    """Whichever file was to be written when it died, the run ends as if nothing had been."""
    whole = train_locator(data, tmp_path / "whole", **TINY, ema=0.5)
    expected = rows(whole), whole.record["model"]["sha256"], (whole.folder / "logs.json").read_text().count("\n")
    real = Path.replace

    class Killed(BaseException):
        pass

    for name in KILLS:

        def dying(self, target, name=name):
            if Path(target).name == name:
                raise Killed
            return real(self, target)

        folder = tmp_path / f"killed-{name}"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "replace", dying)
            train_locator(data, folder, **TINY, ema=0.5)
        run = train_locator(data, folder, **TINY, ema=0.5, resume=True)
        found = rows(run), run.record["model"]["sha256"], (folder / "logs.json").read_text().count("\n")
        assert found == expected, name
        assert not list(folder.rglob(".resight-*"))


def test_gone_on_with_by_its_folder_alone(data, tmp_path):
    whole = train_locator(data, tmp_path / "whole", **TINY)
    with pytest.raises(KeyboardInterrupt):
        train_locator(data, tmp_path / "run", **TINY, report=interrupted)
    told = []
    run = train_locator(None, tmp_path / "run", resume=True, tell=told.append)
    assert "going on after epoch 1 of 2" in told
    assert rows(run) == rows(whole) and run.record["model"]["sha256"] == whole.record["model"]["sha256"]
    told.clear()
    again = train_locator(None, tmp_path / "run", resume=True, tell=told.append)
    assert again.record == run.record and told == [f"{run.folder} has finished before; nothing is trained"]


def test_workers_do_not_matter(data, tmp_path):
    one = train_locator(data, tmp_path / "one", **{**TINY, "epochs": 1})
    two = train_locator(data, tmp_path / "two", **{**TINY, "epochs": 1, "workers": 1})
    assert one.record["model"]["sha256"] == two.record["model"]["sha256"]


def test_resume_checks_that_it_is_the_same_training(data, tmp_path):
    run = train_locator(data, tmp_path / "run", **TINY)
    with pytest.raises(InputError, match="holds a finished training, which is not overwritten"):
        train_locator(data, tmp_path / "run", **TINY)
    with pytest.raises(InputError, match="begun with other choices: combine 'mult', now 'add'"):
        train_locator(data, tmp_path / "run", **TINY, combine="add", resume=True)
    train_locator(data, tmp_path / "run", **{**TINY, "panels": 0}, resume=True)  # decides nothing
    (data / "0.png").unlink()
    with pytest.raises(InputError, match=r"the data \(then .*7 images; now .*6"):
        train_locator(data, tmp_path / "run", **TINY, resume=True)
    data.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"is not there any more: .* resight train locate DATA --out"):
        train_locator(None, run.folder, resume=True)


def test_what_was_stopped_is_finished(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_locator(data, tmp_path / "run", **TINY, report=interrupted)
    with pytest.raises(InputError, match=r"has not finished: .*`resight train locate --out .* --resume`; or keep"):
        LocateRun.open(tmp_path / "run")
    told = []
    run = finish_run(tmp_path / "run", tell=told.append)
    assert isinstance(run, LocateRun) and told == [f"{run.folder}: stopped after epoch 1 of 2"]
    kept = read_checkpoint(run.folder / LAST)["state_dict"]
    own = run.finder(picture(0), device="cpu").model.network.state_dict()
    assert all(torch.equal(own[name], kept[f"learned.{name}"]) for name in learned(own))
    run.model.unlink()
    assert finish_run(run.folder, tell=told.append).model.is_file() and "is restored from" in told[-1]


def test_runs_of_one_task_are_none_of_another(data, tmp_path):
    run = train_locator(data, tmp_path / "run", **TINY)
    with pytest.raises(InputError, match="a run of `resight train classify`, got one of `resight train locate`"):
        Run.open(run.folder)
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**record, "task": "classify", "classes": ["a", "b"]}))
    with pytest.raises(InputError, match="a run of `resight train locate`, got one of `resight train classify`"):
        LocateRun.open(run.folder)
    with pytest.raises(InputError, match="got another run or file"):
        MaskFinder(picture(0), run.folder)
    (run.folder / "run.json").write_text(json.dumps({**record, "task": "other"}))
    with pytest.raises(WorkError, match="its task is none that is known"):
        read_record(run.folder, None)


def test_an_image_that_goes_away_meanwhile(data, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.train.locate_scenes.KEPT_BYTES", 0)
    monkeypatch.setattr(read_scenes, "__kwdefaults__", {**read_scenes.__kwdefaults__, "limit": 0})

    def remove(line):
        for path in data.iterdir():
            path.unlink()

    with pytest.raises(WorkError, match="it could be read before: bring it back, then go on with --resume"):
        train_locator(data, tmp_path / "run", **TINY, report=remove)
    assert (tmp_path / "run" / LAST).is_file()


def test_door(data, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="give the data: images, COCO annotations, or synthetic"):
        train_locator(None, tmp_path / "run", **TINY)
    with pytest.raises(InputError, match="holds no run to go on with"):
        train_locator(None, tmp_path / "run", **TINY, resume=True)
    with pytest.raises(InputError, match="lies in the folder of the data"):
        train_locator(data, data / "run", **TINY)
    with pytest.raises(InputError, match="give options, or size: not both"):
        train_locator(data, tmp_path / "run", make_locate_options(), size=32)
    with pytest.raises(InputError, match="a U-Net needs a pyramid"):
        train_locator(data, tmp_path / "run", **{**TINY, "backbone": "test_vit"})
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("resight.train.locate_training.DECODER", "not_installed_here")
    with pytest.raises(InputError, match=r"needs segmentation-models-pytorch: pip install 'resight\[locate\]'"):
        train_locator(data, tmp_path / "run", **TINY)


def test_panels_show_what_was_validated(data, tmp_path):
    run = train_locator(data, tmp_path / "run", **TINY)
    with Image.open(run.folder / "panels" / "epoch-0001.png") as panel:
        assert panel.width > 800 and np.asarray(panel.convert("L")).std() > 10
    none = train_locator(data, tmp_path / "none", **{**TINY, "panels": 0})
    assert not (none.folder / "panels").exists()
