"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere. Written to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(verb: str, total: int, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """A callback (done, failed) that shows how far along `total` units are, at what rate, and the time left."""
    if not sys.stderr.isatty():
        yield _lines(verb, total, unit)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True), TextColumn("{task.fields[failed]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(verb), total=total, rate="", failed="")
        start = time.monotonic()

        def show(done: int, failed: int) -> None:
            rate = done / max(time.monotonic() - start, 1e-9)
            note = f"[red]{failed} failed" if failed else ""
            bar.update(task, completed=done, total=max(total, done), rate=f"{rate:.0f} {unit}/s", failed=note)

        yield show


def _lines(verb: str, total: int, unit: str) -> Callable[[int, int], None]:
    start = last = time.monotonic()
    first: tuple[float, int] | None = None  # of the first line: what came before it was start-up as well

    def show(done: int, failed: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        left = ""
        if first is None:
            first = now, done
        elif done > first[1] and total >= done:
            left = f", {duration((total - done) * (now - first[0]) / (done - first[1]))} left"
        note = f", {failed} failed" if failed else ""
        print(f"{verb} {done:,} of {total:,}, {rate:.0f} {unit}/s{left}{note}", file=sys.stderr, flush=True)

    return show


def duration(seconds: float) -> str:
    """A time span for people.

    >>> duration(0.25), duration(75), duration(7260)
    ('0.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
