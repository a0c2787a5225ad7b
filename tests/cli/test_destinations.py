"""Whether results can be written is found before the work begins."""

import errno
import tempfile

import pytest

from resight.cli.destinations import check_file, check_folder
from resight.errors import InputError, WorkError


def test_a_folder_or_a_free_name_in_one(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "a" / "b")
    check_folder(None)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"expected a folder, or a name that is free, .*file is a file"):
        check_folder(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="the folder does not exist; create it first"):
        check_file(tmp_path / "none" / "a.csv")


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOENT, "takes no files; choose another folder"), (errno.ENOSPC, "the disk is full")],
)
def test_a_folder_that_is_there_and_takes_nothing(tmp_path, monkeypatch, number, said):
    """As /proc: the system says "no such file" of a folder that is there."""

    def refuse(**given):
        raise OSError(number, "refused")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(WorkError, match=f"cannot write .*run: .*{said}"):
        check_folder(tmp_path / "run")
