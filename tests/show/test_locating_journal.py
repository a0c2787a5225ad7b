"""The journal of a benchmark: it goes on where it ended, and only there."""

from __future__ import annotations

import json
import math

import pytest
from locating_samples import absent, answer

from resight.errors import InputError
from resight.show.locating_journal import JOURNAL, LocatingJournal

SETTINGS = {"seed": 0, "methods": ("auto", "sift")}


def written(folder, rows=2):
    with LocatingJournal(folder, SETTINGS) as journal:
        for number in range(rows):
            journal.add([answer(number=number), absent(number=number)])
    return folder / JOURNAL


def test_answers_come_back(tmp_path):
    written(tmp_path / "out")
    with LocatingJournal(tmp_path / "out", SETTINGS) as journal:
        assert [row[0].number for row in journal.answers] == [0, 1]
        assert journal.answers[0][0] == answer(number=0) and math.isnan(journal.answers[0][1].iou)
        journal.add([answer(number=2)])
    with LocatingJournal(tmp_path / "out", SETTINGS) as journal:
        assert len(journal.answers) == 3


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_was_cut_off_is_made_again(tmp_path, cut):
    file = written(tmp_path / "out")
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    with LocatingJournal(tmp_path / "out", SETTINGS) as journal:
        assert [row[0].number for row in journal.answers] == [0]
        journal.add([answer(number=1), absent(number=1)])
    assert file.read_bytes() == whole


def test_killed_in_the_first_line(tmp_path):
    file = written(tmp_path / "out", 0)
    file.write_bytes(file.read_bytes()[:10])
    with LocatingJournal(tmp_path / "out", SETTINGS) as journal:
        assert journal.answers == []
    assert json.loads(file.read_bytes())["settings"] == {"seed": 0, "methods": ["auto", "sift"]}


def test_hostile_rows_end_what_is_kept(tmp_path):
    file = written(tmp_path / "out", 1)
    for row in (b'{"answers": [{"tier": 3}]}\n', b'{"answers": 3}\n', b"[]\n", b"[" * 10_000 + b"\n"):
        whole = file.read_bytes()
        file.write_bytes(whole + row)
        with LocatingJournal(tmp_path / "out", SETTINGS) as journal:
            assert len(journal.answers) == 1
        assert file.read_bytes() == whole


def test_other_settings_are_refused(tmp_path):
    whole = written(tmp_path / "out").read_bytes()
    with pytest.raises(InputError, match="was begun with other seed, cases; give another name"):
        LocatingJournal(tmp_path / "out", {**SETTINGS, "seed": 1, "cases": 3})
    assert (tmp_path / "out" / JOURNAL).read_bytes() == whole


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match="is there already and no benchmark was begun in it"):
        LocatingJournal(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text("{}\n")
    with pytest.raises(InputError, match="is damaged or of something else"):
        LocatingJournal(tmp_path / "out", SETTINGS)


def test_one_process_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with (
        LocatingJournal(tmp_path / "out", SETTINGS),
        pytest.raises(InputError, match="is being written by another process"),
    ):
        LocatingJournal(tmp_path / "out", SETTINGS)


def test_a_file_of_somebody_elses_is_not_cut_off(tmp_path):
    (tmp_path / JOURNAL).write_bytes(b"my notes without an end of line")
    with pytest.raises(InputError, match="damaged or of something else"):
        LocatingJournal(tmp_path, SETTINGS)
    assert (tmp_path / JOURNAL).read_bytes() == b"my notes without an end of line"
