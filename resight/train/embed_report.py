"""What a test of an embedding network found: numbers before and after, differences in pairs, files."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.measure.resampling import EQUAL, bootstrap_interval
from resight.train.neighbour_scores import NeighbourScores

BEFORE = ("frozen", "start")
TITLES = {
    "frozen": "before: no projection", "start": "before: the projection that was fitted", "trained": "after training",
}  # fmt: skip
ROUNDS = 2_000


@dataclass(frozen=True, eq=False)
class Stage:
    """One encoder's view of the tested images.

    name     frozen, start or trained
    vectors  (M, D)  of the images of the part, of length 1
    scores   of their rankings
    points   (M, 2)  in the plane, if they are drawn
    """

    name: str
    vectors: NDArray[np.float32]
    scores: NeighbourScores
    points: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Difference:
    """Trained minus an encoder before training, over the same queries.

    mean, low, high      of average precision, standard rule, with its 95 % interval
    better, worse, equal queries
    recall_1             difference of recall@1
    """

    before: str
    mean: float
    low: float
    high: float
    better: int
    worse: int
    equal: int
    recall_1: float

    def __str__(self) -> str:
        queries = f"queries better {self.better:,}, worse {self.worse:,}, even {self.equal:,}"
        return (
            f"trained - {self.before:<6}  mAP {self.mean:+.4f}  95 % interval {self.low:+.4f} to {self.high:+.4f}  "
            f"recall@1 {self.recall_1:+.4f}  {queries}"
        )


@dataclass(frozen=True, eq=False)
class EmbedReport:
    """What a test of an embedding network found.

    run, data, part    what was tested on what
    database           same, or what was searched
    digest             of the data
    names, labels      of the images of the part that could be read
    base_names, base_labels  of the images that were searched
    classes            names of the classes that the run was trained on
    stages             {"frozen", "start", "trained": Stage}; the first two only if they are to be had
    plane              tsne or pca
    skipped            (path, reason) of images that could not be read
    notes              what a reader of the numbers should know
    arguments          of the test
    """

    run: str
    data: str
    part: str
    database: str
    digest: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    base_names: tuple[str, ...]
    base_labels: tuple[str, ...]
    classes: tuple[str, ...]
    stages: dict[str, Stage]
    plane: str
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    seconds: float
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> NeighbourScores:
        """The scores after training."""
        return self.stages["trained"].scores

    @property
    def before(self) -> str | None:
        """The last stage before training: start, else frozen; None if neither is to be had."""
        return next((name for name in reversed(BEFORE) if name in self.stages), None)

    @property
    def seen(self) -> frozenset[str]:
        """Classes of the tested images that were classes in training."""
        return frozenset(self.classes) & frozenset(self.labels)

    @property
    def unseen(self) -> frozenset[str]:
        """Classes of the tested images that were none."""
        return frozenset(self.labels) - frozenset(self.classes)

    @cached_property
    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """{"all classes", and where both are there "unseen classes" and "seen classes": which queries they hold}."""
        known = np.array([self.labels[row] in self.seen for row in self.trained.queries], bool)
        found = {"all classes": np.ones(len(known), bool)}
        if known.any() and not known.all():
            found |= {"unseen classes": ~known, "seen classes": known}
        return found

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Scores of each stage for each group of classes, plain values for JSON."""
        found = []
        for group, chosen in self.groups.items():
            classes = len({self.labels[row] for row in self.trained.queries[chosen]})
            for name, stage in self.stages.items():
                interval = bootstrap_interval(stage.scores.ap[chosen], rounds=ROUNDS)
                scores = stage.scores.summary(chosen)
                found.append({"encoder": name, "of": group, "classes": classes, **scores,
                              "map_standard_95": list(interval)})  # fmt: skip
        return found

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """{group of classes: trained minus start, trained minus frozen}, in pairs over the queries."""
        asked = [name for name in reversed(BEFORE) if name in self.stages]
        return {group: [self._difference(name, chosen) for name in asked] for group, chosen in self.groups.items()}

    def _difference(self, name: str, chosen: NDArray[np.bool_]) -> Difference:
        other = self.stages[name].scores
        gains = (self.trained.ap - other.ap)[chosen]
        low, high = bootstrap_interval(gains, rounds=ROUNDS)
        first = (self.trained.hits[1][chosen] > 0).mean() - (other.hits[1][chosen] > 0).mean()
        better, worse = int((gains > EQUAL).sum()), int((gains < -EQUAL).sum())
        return Difference(
            name, float(gains.mean()), low, high, better, worse, len(gains) - better - worse, float(first)
        )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """All but the scores, as plain values for JSON."""
        from resight.train.plan import versions

        return {
            "run": self.run, "data": self.data, "data digest": self.digest, "part": self.part,
            "database": self.database, "arguments": self.arguments, "versions": versions(),
            "counts": {
                "tested": len(self.names), "queries": len(self.trained), "searched": len(self.base_names),
                "unreadable": len(self.skipped), "classes": len(set(self.labels)),
                "classes seen in training": len(self.seen), "classes unseen in training": len(self.unseen),
            },
            "images of a class": dict(sorted(Counter(self.labels).items())),
            "picture": self.plane, "notes": list(self.notes), "seconds": round(self.seconds, 3),
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Everything but the single queries, as plain values for JSON."""
        from dataclasses import asdict

        return {
            "about": self.about(), "scores": self.rows,
            "differences": {group: [asdict(one) for one in found] for group, found in self.differences.items()},
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }  # fmt: skip

    def __str__(self) -> str:
        last = self.rows[len(self.stages) - 1]
        return f"mAP {last['map_standard']:.4f}, recall@1 {last['recall']['1']:.4f} of {last['queries']:,} queries"

    def __repr__(self) -> str:
        return f"<EmbedReport of {self.run!r}: {self}>"

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write results.txt, results.json, per_query.csv, per_class.csv, neighbours.csv, skipped.csv, sheet.png and
        embedding.png.

        folder: appears whole or not at all; nothing may be there yet

        Raises InputError if there is something in the folder, WorkError if the disk refuses.
        """
        from resight.show.embedding import embedding_picture
        from resight.show.folders import write_folder
        from resight.show.neighbour_sheet import Found, Line, neighbour_sheet
        from resight.train.embed_text import report_files
        from resight.train.telling_queries import telling_queries

        lines = [
            Line(told.title, self.names[told.row], self.labels[told.row],
                 tuple(Found(self.base_names[one], self.base_labels[one], near, self.base_labels[one] ==
                             self.labels[told.row]) for one, near in told.found), told.group)
            for told in telling_queries(self)
        ]  # fmt: skip
        panels = {TITLES[name]: stage.points for name, stage in self.stages.items() if stage.points is not None}
        kind = {"tsne": "t-SNE", "pca": "principal components"}[self.plane]
        title = f"{len(self.names):,} images, {kind} of each panel by itself"
        pictures = {
            "sheet.png": neighbour_sheet(lines),
            "embedding.png": embedding_picture(panels, self.labels, title=title),
        }
        write_folder(folder, {**report_files(self), **pictures})
