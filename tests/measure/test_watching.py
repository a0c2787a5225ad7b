"""The preparation of steps as parts that are shown."""

import contextlib

from resight.measure.watching import prepare, unwatched


class Steps:
    """Stands for `After`: its steps report what is given."""

    def __init__(self, reports):
        self.reports = reports

    def prepare(self, progress=None):
        for done, total in self.reports:
            progress(done, total)


def shown(reports):
    seen = []

    @contextlib.contextmanager
    def watch(verb, total, unit):
        seen.append((verb, total, unit))
        yield lambda done, failed: seen.append((done, failed))
        seen.append("end")

    prepare(Steps(reports), watch)
    return seen


def test_steps_that_take_no_time_show_nothing():
    assert shown([]) == []
    prepare(Steps([(1, 2)]), unwatched)


def test_every_step_is_a_part_of_its_own():
    verb = "preparing the steps"
    assert shown([(2, 4), (4, 4), (4, 4), (1, 9)]) == [
        (verb, 4, "images"), (2, 0), (4, 0), "end",
        (verb, 4, "images"), (4, 0), "end",
        (verb, 9, "images"), (1, 0), "end",
    ]  # fmt: skip
