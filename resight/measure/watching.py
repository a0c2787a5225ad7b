"""How long work is watched: as parts with a length, each of which tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resight.search.after import After

Watch = Callable[[str, int, str], AbstractContextManager[Callable[[int, int], None]]]
"""Called as watch(verb, total, unit) for each part; gives a context with a callback (done, failed)."""


def unwatched(verb: str, total: int, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A `Watch` that shows nothing."""
    return nullcontext(lambda done, failed: None)


def prepare(after: After, watch: Watch) -> None:
    """Prepare the steps after a search; each of them that takes long is a part of its own, one that does not is none.

    A step begins a new part when it counts from the start again, or to another total.
    """
    part: tuple[int, int] = (0, -1)  # done and total of the part that is shown
    with ExitStack() as shown:
        show: Callable[[int, int], None] = lambda done, failed: None  # noqa: E731

        def progress(done: int, total: int) -> None:
            nonlocal part, show
            if done <= part[0] or total != part[1]:
                shown.close()
                show = shown.enter_context(watch("preparing the steps", total, "images"))
            part = done, total
            show(done, 0)

        after.prepare(progress)
