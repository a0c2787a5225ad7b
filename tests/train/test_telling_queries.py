"""Which queries are shown: the extremes, each once, of different classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from resight.train.telling_queries import SHOWN, telling_queries


def report(after, before, labels):
    """What `telling_queries` looks at, with these average precisions."""
    count = len(after)

    class Scores(SimpleNamespace):
        def __len__(self):
            return count

    def stage(ap):
        return SimpleNamespace(scores=Scores(
            ap=np.array(ap, float), queries=np.arange(count), first_right=np.zeros(count, int),
            nearest=np.tile(np.arange(10), (count, 1)), similarities=np.ones((count, 10)),
        ))  # fmt: skip

    stages = {"trained": stage(after)} if before is None else {"start": stage(before), "trained": stage(after)}
    return SimpleNamespace(
        trained=stages["trained"].scores, before=None if before is None else "start", stages=stages, labels=labels
    )


def kinds(told):
    found = {}
    for one in told:
        found.setdefault(one.title.split(",")[0], []).append(one.row)
    return found


def test_the_extremes():
    after = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.5, 0.5]
    before = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.1, 0.9]
    told = telling_queries(report(after, before, list("abcdefghijkl")))
    assert kinds(told) == {
        "best": [0, 1, 2], "worst": [9, 8, 7], "most raised": [10, 10], "most lowered": [11, 11],
    }  # fmt: skip
    raised = [one for one in told if one.row == 10]
    assert [one.title.split(":")[0] for one in raised] == ["most raised, before (start)", "most raised, after training"]
    assert raised[0].group == raised[1].group
    assert len({one.group for one in told}) == 8
    assert all(len(one.found) == SHOWN for one in told)


def test_different_classes_first():
    after = [0.1, 0.11, 0.12, 0.13, 0.2, 0.9]
    told = telling_queries(report(after, None, list("aaaabc")))
    assert kinds(told) == {"best": [3, 2, 1], "worst": [0, 4, 5]}  # no query twice
    few = telling_queries(report([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], None, list("aaaaaab")))
    assert kinds(few)["worst"] == [0, 1, 6]


def test_nothing_changed_and_nothing_before():
    same = [0.5] * 8
    assert set(kinds(telling_queries(report(same, same, list("abcdabcd"))))) == {"best", "worst"}
    assert set(kinds(telling_queries(report(same, None, list("abcdabcd"))))) == {"best", "worst"}
