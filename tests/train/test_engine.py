import logging
import math
import pickle
import random
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resight.errors import InputError, WorkError
from resight.train.checkpoints import is_over, mend, read_checkpoint, read_progress
from resight.train.data import Batches, as_is
from resight.train.engine import Training, train_network
from resight.train.history import Epoch, History, make_history, read_history
from resight.train.material import Material
from resight.train.options import TrainOptions
from resight.train.run_files import BEST, LAST, METRICS
from resight.train.schedules import rate_factor

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTH, CLASSES = 6, 3


class Linear(nn.Module):
    """A network without a backbone: features in, logits out."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.backbone = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
            self.dropout = nn.Dropout(0.0)
            self.head = nn.Linear(WIDTH, CLASSES)

    def classify(self, features):
        return self.head(self.dropout(features))


def make_material(count=20, *, val=8, chances=None, class_weights=None, seed=0):
    dice = np.random.default_rng(seed)
    labels = {place: place % CLASSES for place in range(count + val)}
    means = dice.normal(0, 1, (CLASSES, WIDTH))
    stored = {
        place: torch.tensor(means[label] + dice.normal(0, 0.5, WIDTH), dtype=torch.float32)
        for place, label in labels.items()
    }
    batches = Batches(stored, labels, as_is, 0)
    return Material(
        batches, batches if val else None, tuple(range(count)), tuple(range(count, count + val)), chances,
        class_weights, light=True,
    )  # fmt: skip


def options(**given):
    chosen = {"epochs": 3, "lr": 0.1, "weight_decay": 0.01, "batch": 8, "tune": "head", "device": "cpu", "dropout": 0.0}
    return TrainOptions(**{**chosen, **given})


def train(folder, network, material, **given):
    return train_network(network, options(**given), material, folder, banked=True, history=History(()))


def by_hand(network, material, given):
    """The same training as a plain loop over torch: losses and accuracies of each epoch."""
    from resight.train.data import Order

    own = options(**given)
    head = network.head
    make = {"sgd": lambda groups: torch.optim.SGD(groups, lr=own.lr, momentum=0.9),
            "adamw": lambda groups: torch.optim.AdamW(groups, lr=own.lr)}  # fmt: skip
    optimiser = make[own.optimiser]([
        {"params": [head.weight], "weight_decay": own.weight_decay}, {"params": [head.bias], "weight_decay": 0.0},
    ])  # fmt: skip
    weight = torch.tensor(material.class_weights) if material.class_weights else None
    order = Order(material.train_places, own.batch, seed=own.seed, weights=material.chances)
    rows, step = [], 0
    for epoch in range(own.epochs):
        order.set_epoch(epoch)
        losses, right, seen = [], 0, 0
        for key in order:
            for group in optimiser.param_groups:
                group["lr"] = own.lr * rate_factor(step, len(order), own)
            batch = material.train[key]
            logits = head(batch.inputs)
            loss = nn.functional.cross_entropy(logits, batch.labels, weight, label_smoothing=own.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()) * len(batch.labels))
            right, seen, step = (
                right + int((logits.argmax(1) == batch.labels).sum()),
                seen + len(batch.labels),
                step + 1,
            )
        batch = material.val[0, material.val_places]
        with torch.no_grad():
            logits = head(batch.inputs)
        rows.append((
            sum(losses) / seen, right / seen, float(nn.functional.cross_entropy(logits, batch.labels)),
            float((logits.argmax(1) == batch.labels).float().mean()),
        ))  # fmt: skip
    return rows


@pytest.mark.parametrize(
    "given",
    [
        {"optimiser": "adamw", "schedule": "cosine"},
        {"optimiser": "sgd", "schedule": "step", "decay_every": 1, "label_smoothing": 0.1},
        {"optimiser": "sgd", "schedule": "constant", "warmup": 0.0, "seed": 5},
    ],
)
@pytest.mark.parametrize("balance", ["none", "weights", "sampler"])
def test_as_a_plain_loop_over_torch(tmp_path, given, balance):
    material = make_material(
        class_weights=(0.5, 1.0, 2.0) if balance == "weights" else None,
        chances=tuple(float(place % 3 + 1) for place in range(20)) if balance == "sampler" else None,
    )
    history = train(tmp_path, Linear(), material, **given)
    expected = by_hand(Linear(), material, given)
    found = [(one.train_loss, one.train_accuracy, one.val_loss, one.val_accuracy) for one in history.epochs]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert [one.images for one in history.epochs] == [20] * 3


def test_the_average_of_the_weights_is_what_validates_and_is_kept(tmp_path):
    material, network = make_material(), Linear()
    steps = []

    class Spy(Training):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            steps.append(self.learned["head"].weight.detach().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resight.train.engine.Training", Spy)
        history = train(tmp_path, network, material, ema=0.5, optimiser="sgd")
    average = steps[0]
    for one in steps[1:]:
        average = 0.5 * average + 0.5 * one
    kept = read_checkpoint(tmp_path / LAST)["state_dict"]
    torch.testing.assert_close(kept["learned.head.weight"], average)
    state = read_checkpoint(tmp_path / BEST)["state_dict"]
    head = nn.Linear(WIDTH, CLASSES)
    head.load_state_dict({name.removeprefix("learned.head."): value for name, value in state.items()})
    batch = material.val[0, material.val_places]
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(head(batch.inputs), batch.labels))
    assert history.best is not None and loss == pytest.approx(history.best.val_loss, rel=1e-5)


def test_frozen_layers_are_not_changed_nor_kept_in_checkpoints(tmp_path):
    network = Linear()
    before = network.backbone.weight.clone()
    train(tmp_path, network, make_material())
    assert torch.equal(network.backbone.weight, before)
    assert set(read_checkpoint(tmp_path / LAST)["state_dict"]) == {"learned.head.weight", "learned.head.bias"}


def test_checkpoints_load_without_running_anything(tmp_path):
    train(tmp_path, Linear(), make_material(), ema=0.9)
    for name in (LAST, BEST):
        assert torch.load(tmp_path / name, weights_only=True)["history"]
        assert "optimizer_states" in read_checkpoint(tmp_path / name)
    assert len(read_progress(tmp_path).history) == 3


@pytest.mark.parametrize(("ended", "ema", "workers"), [(1, 0.0, 0), (2, 0.9, 0), (3, 0.0, 0), (2, 0.0, 1)])
def test_going_on_after_any_epoch_is_bit_identical(tmp_path, ended, ema, workers):
    class Stop(Exception):
        pass

    def stop(line):
        if line.epoch == ended:
            raise Stop

    given = {"epochs": 4, "ema": ema, "dropout": 0.3, "workers": workers}
    material, folders = make_material(), [tmp_path / "whole", tmp_path / "parts"]
    for folder in folders:
        folder.mkdir()
    whole = train(folders[0], Linear(), material, **given)
    with pytest.raises(Stop):
        train_network(Linear(), options(**given), material, folders[1], banked=True, history=History(()), report=stop)
    random.seed(1)
    torch.manual_seed(99)  # another process has other random numbers
    history = read_progress(folders[1]).history
    assert len(history) == ended
    other = Linear()
    nn.init.zeros_(other.head.weight)  # what was learned must come from the checkpoint
    parts = train_network(other, options(**given), material, folders[1], banked=True, history=history)
    for one, two in zip(whole.epochs, parts.epochs, strict=True):
        assert (one.train_loss, one.val_loss, one.lr) == (two.train_loss, two.val_loss, two.lr)
    states = [read_checkpoint(folder / LAST)["state_dict"] for folder in folders]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_random_numbers_threads_and_signals_are_as_before(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    before = torch.get_num_threads(), signal.getsignal(signal.SIGINT), logging.getLogger("lightning.pytorch").level
    train(tmp_path, Linear(), make_material())
    assert torch.equal(torch.rand(2), expected)
    assert before == (
        torch.get_num_threads(), signal.getsignal(signal.SIGINT), logging.getLogger("lightning.pytorch").level
    )  # fmt: skip


def test_nothing_is_said_and_logs_are_written(tmp_path, capfd, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(tmp_path, Linear(), make_material())
    assert capfd.readouterr() == ("", "")
    assert not [one for one in caplog.records if "lightning" in one.name]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"train_loss", "val_loss", "val_accuracy", "lr"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("val_accuracy")] == [1, 2, 3]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoints", "metrics.csv", "tensorboard"]


def test_a_loss_that_is_no_number_ends_it_in_one_line(tmp_path):
    material = make_material()
    material.train.stored[3][0] = math.nan
    with pytest.raises(
        WorkError, match=r"the loss in step [1-3] of epoch 1 is nan, at a learning rate of .*--lr"
    ) as got:
        train(tmp_path, Linear(), material)
    assert "\n" not in str(got.value) and not (tmp_path / LAST).exists()
    assert str(got.value).endswith("no epoch has ended: the same --out may be used again")


def test_a_later_loss_that_is_no_number_names_both_ways_on(tmp_path):
    material = make_material()

    def spoil(line):
        material.train.stored[3][0] = math.nan

    with pytest.raises(WorkError, match=r"in step [1-3] of epoch 2 is nan") as got:
        train_network(Linear(), options(), material, tmp_path, banked=True, history=History(()), report=spoil)
    assert str(got.value).endswith(
        f"`resight train finish {tmp_path}` keeps the best of the 1 before it, --resume goes on after them"
    )


def test_a_validation_loss_that_is_no_number_ends_it(tmp_path):
    material = make_material()
    material.val.stored[22] = material.val.stored[22] * math.inf
    with pytest.raises(WorkError, match="the loss of the validation images of epoch 1 is"):
        train(tmp_path, Linear(), material)


def interrupt(*given, **named):
    raise KeyboardInterrupt


def go_on(folder, history, **given):
    return train_network(Linear(), options(), make_material(), folder, banked=True, history=history, **given)


def test_ctrl_c_reaches_the_caller(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, History(()), report=interrupt)
    assert len(read_progress(tmp_path).history) == 1


def test_ctrl_c_at_the_very_start_leaves_ctrl_c_switched_on(tmp_path, monkeypatch):
    monkeypatch.setattr("resight.train.material.Loaders.setup", interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path, History(()))
    assert signal.getsignal(signal.SIGINT) == before


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", [LAST, BEST])
def test_nothing_in_a_checkpoint_can_run(tmp_path, name):
    (tmp_path / name).parent.mkdir()
    torch.save({"state_dict": {}, "history": [], "more": Hostile(tmp_path / "ran")}, tmp_path / name)
    with pytest.raises(WorkError, match="cannot read the checkpoint"):
        read_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_nor_when_lightning_reads_it(tmp_path):
    (tmp_path / LAST).parent.mkdir()
    torch.save({"state_dict": {}, "history": [], "more": Hostile(tmp_path / "ran")}, tmp_path / LAST)
    with pytest.raises(pickle.UnpicklingError):
        go_on(tmp_path, History((Epoch(1, 1, 1, 1, 0.5, 1, 1, 1),)))
    assert not (tmp_path / "ran").exists()


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    network = Linear()
    history = train(tmp_path, network, make_material(val=0))
    assert history.best == history.epochs[-1] and math.isnan(history.epochs[0].val_loss)
    kept = read_checkpoint(tmp_path / BEST)["state_dict"]["learned.head.weight"]
    torch.testing.assert_close(kept, network.head.weight.detach())


def test_early_stop(tmp_path):
    material = make_material()
    history = train(tmp_path, Linear(), material, epochs=200, early_stop=3, lr=1.0, schedule="constant")
    assert len(history) < 200 and history.waited() == 3
    head = nn.Linear(WIDTH, CLASSES)  # what is kept is the best epoch, not the last
    state = read_checkpoint(tmp_path / BEST)["state_dict"]
    head.load_state_dict({name.removeprefix("learned.head."): value for name, value in state.items()})
    batch = material.val[0, material.val_places]
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(head(batch.inputs), batch.labels))
    assert history.best is not None and loss == pytest.approx(history.best.val_loss, rel=1e-5)
    assert loss != pytest.approx(history.epochs[-1].val_loss, rel=1e-5)
    one = Epoch(1, 1, 1, 1, 0.5, 1, 1, 1)
    worse = Epoch(2, 1, 1, 1, 0.4, 1, 1, 1)
    assert is_over(History((one, worse)), options(epochs=9, early_stop=1))
    assert not is_over(History((one, worse)), options(epochs=9, early_stop=2))
    assert not is_over(History((one, worse)), options(epochs=9)) and is_over(History((one, worse)), options(epochs=2))


def test_half_precision_needs_a_gpu(tmp_path):
    with pytest.raises(InputError, match="float16 needs a GPU"):
        train(tmp_path, Linear(), make_material(), precision="float16")
    assert len(train(tmp_path, Linear(), make_material(), precision="bfloat16")) == 3


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    train(tmp_path, Linear(), make_material())
    for name in (LAST, BEST):
        cut(tmp_path / name)
        with pytest.raises(
            WorkError, match=r"cannot read the checkpoint .*\.ckpt: it is damaged, or no checkpoint"
        ) as got:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(got.value)
    with pytest.raises(
        WorkError, match=r"last\.ckpt and checkpoints/best\.ckpt are damaged: remove .* and train again"
    ):
        read_progress(tmp_path)


def cut(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def values(history):
    return [(one.train_loss, one.val_loss, one.val_accuracy, one.lr) for one in history.epochs]


# A learning rate at which a later epoch is worse.
WILD = {"epochs": 6, "lr": 5.0, "schedule": "constant", "dropout": 0.3, "warmup": 0.0, "optimiser": "sgd"}


@pytest.mark.parametrize("loss", [cut, Path.unlink])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_going_on_after_the_best_epoch_is_bit_identical(tmp_path, loss, ema):
    """The last checkpoint lost: as the training was after its best epoch, and on from there."""
    given, material = {**WILD, "ema": ema}, make_material(count=30, val=12, seed=1)
    whole = train(tmp_path, Linear(), material, **given)
    best = whole.best.epoch
    assert best < 6
    expected = read_checkpoint(tmp_path / LAST)["state_dict"]
    loss(tmp_path / LAST)
    progress = read_progress(tmp_path)
    what = "damaged" if loss is cut else "missing"
    assert progress.checkpoint == BEST and len(progress.history) == best
    assert progress.note == (
        f"checkpoints/last.ckpt is {what}: going on from checkpoints/best.ckpt; "
        f"what came after epoch {best} is done again"
    )
    mend(tmp_path, progress)
    assert len(read_history(tmp_path / METRICS)) == best  # what is to come again is cut
    again = train_network(
        Linear(), options(**given), material, tmp_path, banked=True, history=progress.history, checkpoint=BEST
    )
    assert values(again) == values(whole)
    found = read_checkpoint(tmp_path / LAST)["state_dict"]
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_the_best_checkpoint_lost(tmp_path):
    """Nothing is lost if it is that of the last epoch; or it is told at once, not after the last epoch."""
    history = train(tmp_path, Linear(), make_material(val=0))  # without validation the last is the best
    cut(tmp_path / BEST)
    progress = read_progress(tmp_path)
    assert (progress.checkpoint, progress.note, len(progress.history)) == (LAST, "", 3)
    mend(tmp_path, progress)
    assert make_history(read_checkpoint(tmp_path / BEST)["history"]) == history
    other = tmp_path / "other"
    other.mkdir()
    best = train(other, Linear(), make_material(count=30, val=12, seed=1), **WILD).best.epoch
    assert best < 6
    cut(other / BEST)
    with pytest.raises(WorkError, match=f"best.ckpt is lost, and with it epoch {best}.*resight train finish"):
        read_progress(other)


def test_a_best_checkpoint_of_an_older_version(tmp_path):
    train(tmp_path, Linear(), make_material(val=0))
    found = read_checkpoint(tmp_path / BEST)
    torch.save({key: found[key] for key in ("state_dict", "history")}, tmp_path / BEST)
    assert read_progress(tmp_path).checkpoint == LAST
    (tmp_path / LAST).unlink()
    with pytest.raises(WorkError, match=r"best.ckpt has weights only: `resight train finish .*` keeps the epoch"):
        read_progress(tmp_path)


def test_a_training_killed_between_its_two_checkpoints_goes_on_after_the_later(tmp_path):
    def killed(self, target):
        if target.name == "last.ckpt" and real_last.exists():
            raise KeyboardInterrupt
        return real(self, target)

    real, real_last = Path.replace, tmp_path / LAST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, Linear(), make_material(val=0))
    progress = read_progress(tmp_path)
    assert (progress.checkpoint, len(progress.history), progress.note) == (BEST, 2, "")


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resight.train.checkpoints.os.fsync", full)
    with pytest.raises(WorkError, match=r"cannot write .*best\.ckpt: the disk is full.*go on with --resume"):
        train(tmp_path, Linear(), make_material())
    assert not list((tmp_path / "checkpoints").iterdir())
