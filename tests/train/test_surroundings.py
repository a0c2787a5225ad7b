import errno
import logging
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from resight.errors import InputError, WorkError
from resight.train import surroundings
from resight.train.surroundings import memory_kept, own_words, quiet, settings_kept

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def end(stopped_by=None):
    return SimpleNamespace(stopped_by=stopped_by, folder=Path("run"))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MisconfigurationException("no\nsuch devices"), InputError, "this cannot be trained here: no$"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried ..."), WorkError, "lower --batch or --size"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), WorkError, r"\(pid 7\).*--workers"),
        (ValueError("Expected more than 1 value per channel when training, got"), InputError, "give a larger batch"),
        (OSError(errno.EFBIG, "File too large"), WorkError, r"^cannot write run.tensorboard: the file would be larger"),
        (OSError(errno.ENOSPC, "No space", "a.csv"), WorkError, "^cannot write a.csv: the disk is full.*--resume$"),
        (OSError(errno.ECONNRESET, "another machine"), OSError, "another machine"),
        (RuntimeError("anything else"), RuntimeError, "^anything else$"),
        (WorkError("our own"), WorkError, "^our own$"),
    ],
)
def test_what_ends_a_training_is_said_in_one_line(error, kind, message):
    with pytest.raises(kind, match=message) as got, own_words(end()):
        raise error
    assert "\n" not in str(got.value)


@pytest.mark.parametrize("error", [SystemExit(1), RuntimeError("DataLoader worker (pid 7) is killed")])
def test_ctrl_c_is_ctrl_c_whatever_lightning_makes_of_it(error):
    with pytest.raises(KeyboardInterrupt), own_words(end(KeyboardInterrupt())):
        raise error
    with pytest.raises(type(error) if isinstance(error, SystemExit) else WorkError), own_words(end()):
        raise error


def test_after_ctrl_c_nobody_kills_this_process_for_its_children():
    watched = ["a process"]
    thread = threading.Thread(target=lambda: gate.wait(), name="child-process-observer", daemon=True)
    gate = threading.Event()
    vars(thread)["_child_processes"] = watched
    thread.start()
    with pytest.raises(KeyboardInterrupt), own_words(end(KeyboardInterrupt())):
        raise SystemExit(1)
    assert vars(thread)["_child_processes"] == []
    gate.set()
    thread.join()


class Library:
    """What glibc is asked to do."""

    def __init__(self):
        self.calls = []

    def mallopt(self, name, value):
        self.calls.append((name, value))
        return 1

    def malloc_trim(self, pad):
        self.calls.append("trim")


def test_memory_is_kept_on_a_cpu_and_given_back_after(monkeypatch):
    library = Library()
    monkeypatch.setattr(surroundings.ctypes, "CDLL", lambda name: library)
    with memory_kept(CUDA):
        assert library.calls == []
    with pytest.raises(ZeroDivisionError), memory_kept(CPU):
        assert library.calls == [(-3, 2**30), (-1, 2**31 - 1)]
        raise ZeroDivisionError
    assert library.calls[2:] == [(-3, 131072), (-1, 131072), "trim"]


@pytest.mark.parametrize("library", [SimpleNamespace(), None])
def test_another_c_library_is_left_alone(monkeypatch, library):
    def load(name):
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(surroundings.ctypes, "CDLL", load)
    with memory_kept(CPU):
        done = True
    assert done


def test_quiet_is_over_when_it_is_over():
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with quiet(), warnings.catch_warnings(record=True) as seen:
        assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)
    assert logger.level == before and not seen


def test_settings_are_put_back_after_an_error():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), settings_kept():
        torch.set_num_threads(threads + 1)
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_a_thread_that_cannot_write_prints_no_traceback(capfd):
    """TensorBoard's thread dies of it, and the training is told in its own words."""

    def run(error):
        def fail():
            raise error

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return capfd.readouterr().err

    before = threading.excepthook
    with quiet():
        assert run(OSError(errno.EFBIG, "File too large")) == ""
    assert threading.excepthook is before
