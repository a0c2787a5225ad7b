"""The journal of a calibration: it goes on from whatever is whole, and touches nothing of others."""

from __future__ import annotations

import pytest
from calibrating_samples import drawn_cases

from resight.errors import InputError, WorkError
from resight.show.calibrating_journal import CalibratingJournal

CASES = drawn_cases(3)


def write(path, settings=None):
    with CalibratingJournal(path, settings or {"seed": 0}) as journal:
        for one in CASES:
            journal.add(one)


def test_what_was_added_is_there_again(tmp_path):
    path = tmp_path / "b.cases.jsonl"
    write(path)
    with CalibratingJournal(path, {"seed": 0}) as journal:
        assert list(journal.cases.values()) == CASES
        assert list(journal.cases) == [(one.tier, one.number) for one in CASES]


def test_wherever_it_was_cut_off_it_goes_on(tmp_path):
    path = tmp_path / "b.cases.jsonl"
    write(path)
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole, 1) if byte == 10]
    for cut in sorted({0, 1, 5, 20, *ends, *(end - 1 for end in ends), *range(30, len(whole), 97)}):
        path.write_bytes(whole[:cut])
        with CalibratingJournal(path, {"seed": 0}) as journal:
            kept = len(journal.cases)
            assert kept == max(0, sum(end <= cut for end in ends) - 1)
            for one in CASES[kept:]:
                journal.add(one)
        assert path.read_bytes() == whole


def test_other_settings_and_other_files_are_refused(tmp_path):
    path = tmp_path / "b.cases.jsonl"
    write(path)
    with pytest.raises(InputError, match=r"begun with other seed; give another name"):
        CalibratingJournal(path, {"seed": 1})
    for content in (b"my notes", b"my\nnotes\n", b'{"format": "other", "x": 1}', b'{"format": "other"}\n', b"[1]\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no journal of a calibration"):
            CalibratingJournal(path, {"seed": 0})
        assert path.read_bytes() == content
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkError, match="cannot write"):
        CalibratingJournal(path, {"seed": 0})
    assert not (tmp_path / "elsewhere").exists()


def test_two_at_once_are_refused(tmp_path):
    path = tmp_path / "b.cases.jsonl"
    with (
        CalibratingJournal(path, {"seed": 0}),
        pytest.raises(InputError, match="is being written by another process"),
    ):
        CalibratingJournal(path, {"seed": 0})
    with CalibratingJournal(path, {"seed": 0}) as journal:
        assert not journal.cases
