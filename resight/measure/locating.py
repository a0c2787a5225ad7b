"""Template finders put to cases: overlap with the truth, corner errors, false alarms and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.images.rle import encode_rle
from resight.match.planes import Matrix, project, rectangle
from resight.match.result import Match
from resight.match.template import Template
from resight.measure.locating_methods import Method
from resight.measure.locating_overlap import corner_error, inside_error, match_overlap
from resight.measure.tiers import Case

Made = TypeVar("Made")
LeftOut = Callable[[str, int, str], None]
HIT = 0.5  # overlap from which a place counts as right
NAN = float("nan")


@dataclass(frozen=True)
class Answer:
    """What a method said of a case, and how right that is.

    present, hits: instances in the scene, and those found with an overlap of at least .5
    false:         places called found where no instance is (or one that was found already)
    found:         whether it says that the template is there; score: how sure it is, 0..1
    iou:           overlap with the truth, 0 if nothing is called found, mean over the instances; nan if it is absent
    best_iou:      the same of the best candidate, whether called found or not
    corner_px:     mean error of the corners of what is found, in pixels of the scene; nan if there are none
    inside_px:     mean error of the template's points that lie in the scene; nan likewise
    find_ms, prepare_ms: milliseconds; prepare is what is done once for a template
    memory, gpu_memory:  bytes: most that the process has held so far, and most of the GPU's during this search
    corners:       of the places, four x, y each; mask: "H,W:start len ..." of places that are no quadrilateral
    error:         why the method could not do it; it counts as absent
    """

    tier: str
    number: int
    kind: str
    source: str
    method: str
    template: tuple[int, int]
    scene: tuple[int, int]
    present: int
    found: bool
    score: float
    hits: int
    false: int
    iou: float
    best_iou: float
    corner_px: float
    inside_px: float
    inliers: int
    find_ms: float
    prepare_ms: float
    memory: int = 0
    gpu_memory: int = 0
    corners: tuple[tuple[tuple[float, float], ...], ...] = ()
    mask: str = ""
    error: str = ""

    @property
    def share(self) -> float:
        """Share of the instances that were found; nan if there is none."""
        return self.hits / self.present if self.present else NAN


def plan_cases(tiers: Sequence[str], cases: int, *, objects: int = 0, seed: int = 0) -> list[tuple[str, int]]:
    """(tier, number) of all cases, tier by tier for each number; of "boxes" all objects, or `cases` of them drawn.

    >>> plan_cases(["identity", "absent"], 2)
    [('identity', 0), ('absent', 0), ('identity', 1), ('absent', 1)]
    """
    made = [tier for tier in tiers if tier != "boxes"]
    plan = [(tier, number) for number in range(cases) for tier in made]
    if "boxes" in tiers:
        drawn = np.random.default_rng(seed).permutation(objects)[: cases or objects]
        plan += [("boxes", int(number)) for number in np.sort(drawn)]
    return plan


def locate_cases(
    plan: Sequence[tuple[str, int]], make: Callable[[str, int], Case], methods: Sequence[Method], *,
    masks: bool = False, threads: int = 1, left_out: LeftOut | None = None,
) -> Iterator[tuple[Answer, ...]]:  # fmt: skip
    """Every method's answer to each case of a plan, in its order.

    make:     (tier, number) -> the case
    masks:    keep the masks of all places, which is long
    threads:  of OpenCV, torch and BLAS while this runs
    left_out: called as (tier, number, reason) for a case that cannot be made; without it that ends the work

    Methods take turns within a case, another one beginning each time, after a first case that is not counted. A
    template is made anew for each, so that none uses what another has prepared. With a GPU, times end when it has.
    """
    if not methods:
        raise InputError("expected at least one method to measure, got none")
    with limited(threads):
        warm = False
        for place, case in enumerate(made_cases(plan, make, left_out)):
            for method in () if warm else methods:
                answer_case(method, case)
            warm, turn = True, place % len(methods)
            found = {method.name: answer_case(method, case, masks) for method in (*methods[turn:], *methods[:turn])}
            yield tuple(found[method.name] for method in methods)


def made_cases(
    plan: Sequence[tuple[str, int]], make: Callable[[str, int], Case], left_out: LeftOut | None = None
) -> Iterator[Case]:
    """The cases of a plan, each made when it is wanted; see `locate_cases`."""
    for tier, number in plan:
        try:
            case = make(tier, number)
        except WorkError as error:
            if left_out is None:
                raise
            left_out(tier, number, str(error))
            continue
        yield case


def answer_case(method: Method, case: Case, masks: bool = False) -> Answer:
    """One method's answer to one case, timed and compared with the truth."""
    template = Template(case.template)
    matches: tuple[Match, ...] = ()
    error, prepare_ms, find_ms, gpu_memory = "", 0.0, 0.0, 0
    try:
        if len(case.truths) > 1 and method.prepare_all is not None:
            find_all, prepare_ms = timed(lambda: method.prepare_all(template))  # type: ignore[misc]
            matches, find_ms = timed(lambda: tuple(find_all(case.scene)))
        else:
            find, prepare_ms = timed(lambda: method.prepare(template))
            one, find_ms = timed(lambda: find(case.scene))
            matches = (one,)
        gpu_memory = _gpu_memory()
    except (InputError, WorkError) as caught:
        error = " ".join(str(caught).split())
    return Answer(
        tier=case.tier, number=case.number, kind=case.kind, source=case.source, method=method.name,
        template=template.size, scene=(case.scene.shape[0], case.scene.shape[1]), present=len(case.truths),
        **_judged(matches, case.truths), find_ms=find_ms, prepare_ms=prepare_ms, memory=_memory(),
        gpu_memory=gpu_memory, corners=tuple(_corners(match) for match in matches if match.corners is not None),
        mask=_mask(matches, masks), error=error,
    )  # fmt: skip


def _judged(matches: Sequence[Match], truths: Sequence[Matrix]) -> dict[str, Any]:
    """The fields of an Answer that compare; of several places each takes the instance it overlaps most, best first."""
    values = [match_overlap(match, truth) for match in matches for truth in truths]
    overlaps = np.array(values, np.float64).reshape(len(matches), len(truths))
    found = [match.found for match in matches]
    taken = _assigned(overlaps * np.array(found, np.float64).reshape(-1, 1))
    best = _assigned(overlaps)
    hits = {place: truth for place, truth in taken.items() if overlaps[place, truth] >= HIT}
    errors = [(corner_error(matches[i], truths[j]), inside_error(matches[i], truths[j])) for i, j in taken.items()]
    count = len(truths)
    return {
        "found": any(found),
        "score": max((match.score for match in matches), default=0.0),
        "inliers": max((match.inliers for match in matches), default=0),
        "hits": len(hits),
        "false": sum(found) - len(hits),
        "iou": sum(overlaps[i, j] for i, j in taken.items()) / count if count else NAN,
        "best_iou": sum(overlaps[i, j] for i, j in best.items()) / count if count else NAN,
        "corner_px": float(np.mean([one for one, _ in errors])) if errors else NAN,
        "inside_px": float(np.mean([one for _, one in errors])) if errors else NAN,
    }


def _assigned(overlaps: NDArray[np.float64]) -> dict[int, int]:
    """place -> instance, the pairs of largest overlap first, each once."""
    pairs: dict[int, int] = {}
    for flat in np.argsort(-overlaps, axis=None, kind="stable"):
        place, truth = (int(value) for value in np.unravel_index(flat, overlaps.shape))
        if overlaps[place, truth] > 0 and place not in pairs and truth not in pairs.values():
            pairs[place] = truth
    return pairs


def _corners(match: Match) -> tuple[tuple[float, float], ...]:
    corners = np.nan_to_num(project(match.homography, rectangle(match.template_size)), posinf=1e6, neginf=-1e6)  # type: ignore[arg-type]
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in np.clip(corners, -1e6, 1e6))


def _mask(matches: Sequence[Match], wanted: bool) -> str:
    shown = [match for match in matches if match.found and (wanted or match.homography is None)]
    return encode_rle(np.logical_or.reduce([match.mask for match in shown])) if shown else ""


def timed(act: Callable[[], Made]) -> tuple[Made, float]:
    """What `act` gives and the milliseconds it took; a GPU that is in use is waited for before and after."""
    _wait()
    start = time.perf_counter()
    made = act()
    _wait()
    return made, 1000 * (time.perf_counter() - start)


def _cuda() -> Any:
    """torch.cuda if a GPU is in use, else None: torch is not loaded for this."""
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _wait() -> None:
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()


def _gpu_memory() -> int:
    cuda = _cuda()
    if cuda is None:
        return 0
    most = int(cuda.max_memory_allocated())
    cuda.reset_peak_memory_stats()
    return most


def _memory() -> int:
    """Most bytes of memory that this process has held; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """OpenCV, torch and BLAS with so many threads within the context. Raises InputError for less than 1."""
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    import cv2
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def answer_from(row: Mapping[str, Any]) -> Answer:
    """An Answer from the plain values that `dataclasses.asdict` and JSON make of it.

    Raises InputError if a field is missing or of another kind.
    """
    try:
        values = {one.name: _plain(row[one.name], one.type) for one in fields(Answer)}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not an answer of a benchmark: {error}") from error
    return Answer(**values)


def _plain(value: Any, kind: Any) -> Any:
    if kind == "float":
        return NAN if value is None else float(value)
    if kind in ("int", "bool", "str"):
        if type(value).__name__ != kind:
            raise TypeError(f"expected {kind}, got {type(value).__name__}")
        return value
    return tuple(_plain(one, "") if isinstance(one, list) else one for one in value)
