import math

import pytest
from PIL import Image

from resight.errors import InputError
from resight.train.history import COLUMNS, Epoch, History, is_better, make_history, read_history


def epoch(number, right=0.5, loss=1.0):
    return Epoch(number, 2.0 / number, 0.25 * number, loss, right, 1e-3, 4.0, 100)


def test_the_best_has_most_right_then_the_lowest_loss():
    history = History((epoch(1, 0.8, 0.9), epoch(2, 0.9, 0.8), epoch(3, 0.9, 0.7), epoch(4, 0.9, 0.75), epoch(5, 0.7)))
    assert history.best == history.epochs[2] and history.waited() == 2
    assert not is_better(epoch(4, 0.9, 0.7), epoch(3, 0.9, 0.7))  # the same again: the earlier stays
    assert History(()).best is None and History(()).waited() == 0


def test_without_validation_the_last_is_kept():
    history = History((epoch(1, math.nan, math.nan), epoch(2, math.nan, math.nan)))
    assert history.best == history.epochs[1] and str(history) == "2 epochs, loss 1.000 in epoch 2"


def test_written_and_read_again(tmp_path):
    history = History((epoch(1, 1 / 3, 0.1 + 0.2), epoch(2, math.nan, math.nan)))
    (tmp_path / "metrics.csv").write_text(history.text())
    assert read_history(tmp_path / "metrics.csv") == history
    assert make_history([one.as_dict() for one in history.epochs]) == history
    assert history.text().splitlines()[0] == ",".join(COLUMNS)
    assert history.text().splitlines()[2] == "2,1.0,0.5,,,0.001,4.0,100"


def test_a_line_by_hand():
    line = History((epoch(1, 0.9), epoch(2, 0.8))).line(10)
    assert (line.epoch, line.epochs, line.loss, line.val, line.best, line.best_epoch) == (2, 10, 1.0, 0.8, 0.9, 1)
    assert (line.per_second, line.left, line.unit) == (25.0, 32.0, "images")


def test_a_picture_of_it(tmp_path):
    History((epoch(1, 0.5), epoch(2, 0.75))).plot(tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300
    History((epoch(1, math.nan, math.nan),)).plot(tmp_path / "alone.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,lr\n1,0.1\n", "expected a column 'train_loss'"),
        (",".join(COLUMNS) + "\n1,x,0,0,0,0,0,0\n", "line 2: could not convert"),
        (",".join(COLUMNS) + "\n2,0,0,0,0,0,0,0\n", r"expected epochs 1, 2, 3 ..., got \[2\]"),
    ],
)
def test_door(tmp_path, text, message):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_history(tmp_path / "metrics.csv")


def test_door_of_rows():
    with pytest.raises(InputError, match="expected rows with epoch, train_loss"):
        make_history([{"epoch": 1}])
    with pytest.raises(InputError, match="no epoch has ended"):
        History(()).line(3)


def test_epochs_judged_by_iou(tmp_path):
    history = History(
        (Epoch(1, 0.9, 0.1, 0.8, 0.2, 1e-4, 4.0, 100, "iou"), Epoch(2, 0.7, 0.2, 0.6, 0.3, 1e-4, 4.0, 100, "iou"))
    )
    assert history.text().splitlines()[0] == "epoch,train_loss,train_iou,val_loss,val_iou,lr,seconds,images"
    assert history.epochs[1].as_dict()["val_iou"] == 0.3 and str(history) == "2 epochs, validation IoU 0.300 in epoch 2"
    (tmp_path / "metrics.csv").write_text(history.text())
    assert read_history(tmp_path / "metrics.csv", "iou") == history
    assert make_history([one.as_dict() for one in history.epochs]) == history
    with pytest.raises(InputError, match="expected a column 'train_accuracy'"):
        read_history(tmp_path / "metrics.csv")
    with pytest.raises(InputError, match="expected rows with"):
        make_history([history.epochs[0].as_dict(), epoch(2).as_dict()])
    history.plot(tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300
