"""The two kinds of expected failure, and the sentence for an unknown name.

Doors (command line, web) turn them into one line and an exit code: InputError 2, WorkError 1. Which of the two: an
InputError is what another call would mend (a wrong name or number, a folder that is no run, no such file, options that
contradict each other, a run that has not finished). A WorkError is a right call whose work failed, by the state of a
disk, a file or a machine: a damaged run or checkpoint, images of which none can be read, a full disk, no memory. A file
that is there and was right once is damaged (1); one that never was what is asked for is the wrong one (2).
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class InputError(ValueError):
    """The caller asked for something that cannot be: wrong name, wrong shape, missing folder. Exit code 2."""


class WorkError(RuntimeError):
    """The request was right but the work failed: damaged file, disk full, no permission. Exit code 1."""


class ImageError(WorkError):
    """One image cannot be read. `where` names it, `reason` says why and what to do."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


def unknown(kind: str, name: object, choices: Iterable[str]) -> InputError:
    """The error for a name that is not among the choices, with the closest match first.

    >>> str(unknown("pooling", "gme", ["gem", "mac"]))
    "unknown pooling 'gme', did you mean 'gem'? (choices: gem, mac)"
    """
    known = sorted(choices)
    close = difflib.get_close_matches(str(name), known, n=1 if len(known) <= 24 else 3, cutoff=0.5)
    guess = f", did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    listed = f"choices: {', '.join(known)}" if len(known) <= 24 else f"{len(known)} are known"
    return InputError(f"unknown {kind} {name!r}{guess} ({listed})")


ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "your disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: "the file would be larger than the system allows; raise the limit or write less",
    errno.EACCES: "no permission; choose a folder you may write to",
    errno.EPERM: "no permission; choose a folder you may write to",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "part of the path is a file, not a folder; choose another path",
    errno.EISDIR: "this is a folder; give a file name inside it",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}

# Of these, only writing can be the cause.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def advice(error: OSError) -> str:
    """Why a file could not be written, and what to do.

    >>> advice(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full; free some space or write elsewhere'
    """
    return ADVICE.get(error.errno or 0, error.strerror or "the system refused; try another folder")
