from __future__ import annotations

import pytest

from resight.cli import progress as module
from resight.cli import train
from resight.cli.progress import duration, progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min"), (90061, "25 h 1 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_tell_rate_and_time_left(capsys, monkeypatch):
    clock = iter([100.0, 101.0, 110.0, 111.0, 120.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("indexing", 400) as show:
        show(1, 0)  # too soon after the start for a line
        show(10, 2)  # what came before was start-up: it tells nothing about the rest
        show(11, 2)
        show(100, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "indexing 10 of 400, 1 images/s, 2 failed\n"
        "indexing 100 of 400, 5 images/s, 33 s left, 2 failed\n"  # 300 at 9 a second
    )


def test_steps_of_an_epoch_leave_out_what_gets_ready(capsys, monkeypatch):
    """The first step takes a minute, the others a tenth of a second: no hour is left then."""
    clock = iter([0.0, 60.0, 121.0])
    monkeypatch.setattr(train.time, "monotonic", lambda: next(clock))
    show = train._rare_lines("epoch 1 of 5", 1000)
    show(1, 0)
    show(611, 0)
    assert capsys.readouterr().err == ("epoch 1 of 5: step 1 of 1,000\nepoch 1 of 5: step 611 of 1,000, 39 s left\n")
