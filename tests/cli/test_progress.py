from __future__ import annotations

import pytest

from resight.cli import progress as module
from resight.cli.progress import duration, progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min"), (90061, "25 h 1 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_tell_rate_and_time_left(capsys, monkeypatch):
    clock = iter([100.0, 101.0, 110.0, 111.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("indexing", 400) as show:
        show(10, 0)  # too soon after the start for a line
        show(100, 2)
        show(101, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "indexing 100 of 400, 10 images/s, 30 s left, 2 failed\n"
