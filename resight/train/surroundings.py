"""What a training changes around it and puts back: messages, random numbers, threads, Ctrl-C, memory."""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from resight.errors import DISK, InputError, WorkError, advice
from resight.train.checkpoints import EpochEnd
from resight.train.run_files import TENSORBOARD

# glibc's names for mallopt, and its own values.
TRIM_THRESHOLD, MMAP_THRESHOLD, THRESHOLD = -1, -3, 128 * 1024
LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning")


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's banners, tips and warnings are not for those who use this, nor tracebacks of TensorBoard's thread."""
    told = threading.excepthook

    def untold(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, OSError):  # it is raised again where its writing is waited for
            told(args)

    threading.excepthook = untold
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = told
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Random numbers and threads are as before; and Ctrl-C, which Lightning leaves switched off behind it."""
    threads, before = torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def own_words(end: EpochEnd) -> Iterator[None]:
    """What ends a training early, in our own words."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (InputError, WorkError):
        raise
    except BaseException as error:
        if isinstance(end.stopped_by, KeyboardInterrupt):  # Lightning makes a SystemExit of it, workers a RuntimeError
            _stop_watching()
            raise KeyboardInterrupt from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, MisconfigurationException):
            raise InputError(f"this cannot be trained here: {first}") from error
        if isinstance(error, ValueError) and "Expected more than 1 value per channel" in first:
            raise InputError("batch normalisation can learn nothing from a step with a single image of this size: "
                             "give a larger batch or size") from error  # fmt: skip
        if isinstance(error, torch.OutOfMemoryError):
            raise WorkError("not enough memory on the device: lower --batch or --size, or use --precision bfloat16; "
                            "--resume goes on from the last epoch, with the same options only") from error  # fmt: skip
        if isinstance(error, OSError) and error.errno in DISK:
            where = error.filename or end.folder / TENSORBOARD  # whose errors have no name
            raise WorkError(f"cannot write {where}: {advice(error)}; then go on with --resume") from error
        if isinstance(error, RuntimeError) and "DataLoader worker" in first:
            raise WorkError(f"a process that reads images has ended ({first}), often for want of memory: use fewer "
                            "--workers; --resume goes on from the last epoch") from error  # fmt: skip
        raise


def _stop_watching() -> None:
    """Lightning watches the processes it began, and kills this one too when one of them ends; but now all shall."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            vars(thread)["_child_processes"] = []


@contextmanager
def memory_kept(device: torch.device) -> Iterator[None]:
    """On a CPU, memory that one step gives back stays with this process for the next.

    By default glibc hands large blocks back to the system and asks for them anew, cleared, in every step: a third of a
    training's processor time (benchmarks/train_memory.py). Nothing where there is another C library.
    """
    try:
        library = ctypes.CDLL(None)
        options, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):
        yield
        return
    if device.type != "cpu":
        yield
        return
    options(MMAP_THRESHOLD, 2**30)
    options(TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        options(MMAP_THRESHOLD, THRESHOLD)
        options(TRIM_THRESHOLD, THRESHOLD)
        trim(0)
