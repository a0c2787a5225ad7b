"""Images and boxes that an evaluation needs and cannot have: refused before the first search, or counted."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from oxford_miniature import build, photographs

import resight
from resight.errors import InputError
from resight.images.truth import read_truth
from resight.measure.evaluation import evaluate_truth
from resight.measure.missing import MissingImages

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return build(tmp_path_factory.mktemp("mini"), photographs(), landmarks=2, distractors=8)


@pytest.fixture(scope="module")
def shop(mini, one_thread):
    encoder = resight.Encoder(descriptor="cam:count=8", size=160, fit="longest")
    with resight.Collection.create(mini.images.parent / "c.resight", encoder) as made:
        made.add(mini.images)
        yield made


@pytest.fixture
def truth(mini):
    return read_truth("oxford5k", mini.truth)


def test_a_query_that_is_nowhere_counts_as_zero(shop, truth):
    """Its image is no answer of another query: the others score as before, and the fingerprint counts it."""
    queries = (dataclasses.replace(truth.queries[0], image="nowhere"), *truth.queries[1:])
    asked = dataclasses.replace(truth, queries=queries, own="removed")
    whole = evaluate_truth(shop, dataclasses.replace(truth, own="removed"))
    seen = {}
    less = evaluate_truth(shop, asked, allow_missing=True, each=lambda query, paths: seen.update({query.name: paths}))
    np.testing.assert_array_equal(less.scores.settings["all"].ap[1:], whole.scores.settings["all"].ap[1:])
    assert less.scores.settings["all"].ap[0] == 0 and less.scores.settings["all"].queries == 4
    assert less.missing == ("nowhere",) and less.protocol["missing"] == 1 and less.key != whole.key
    assert less.run.queries[0].shown == () and seen[truth.queries[0].name] == []


@pytest.fixture
def lossy(mini, shop, tmp_path):
    """A collection of copies of the miniature's images: which may be damaged."""
    (tmp_path / "images").mkdir()
    for path in mini.images.iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    with resight.Collection.create(tmp_path / "lossy.resight", shop.encoder) as made:
        made.add(tmp_path / "images")
        yield made


@pytest.mark.parametrize("step", ["cam-regions:top=4", "cam-online:count=8", "ransac:top=3,longest=160"])
def test_image_files_that_are_gone_or_damaged(lossy, truth, tmp_path, step):
    """A query's and a result's: refused with both names before any search; or counted, and the others score as ever."""
    asked, other = tmp_path / "images" / f"{truth.queries[0].image}.jpg", tmp_path / "images" / "elsewhere_03.jpg"
    whole = evaluate_truth(lossy, truth, then=[step])
    assert (whole.protocol["unreadable"], whole.unreadable) == (0, {})
    (lossy.path / "maps.sqlite").unlink(missing_ok=True)
    asked.write_bytes(asked.read_bytes()[:200])
    other.unlink()
    seen = []
    with pytest.raises(MissingImages) as caught:
        evaluate_truth(lossy, truth, then=[step], each=lambda query, paths: seen.append(query))
    assert caught.value.unreadable == (str(asked), str(other)) and not seen
    message = str(caught.value)
    name = step.partition(":")[0]
    assert f"2 image files that {name} needs cannot be read: " in message and "--allow-missing" in message
    assert f"{other} (No such file or directory)" in message and f"{asked} (" in message
    less = evaluate_truth(lossy, truth, then=[step], allow_missing=True)
    assert less.protocol["unreadable"] == 2 and set(less.unreadable) == {str(asked), str(other)}
    assert less.key != whole.key and less.missing == ()
    ap = less.scores.settings["all"].ap_trapezoid
    assert ap[0] == 0 and (ap[1:] > 0).all()
    assert evaluate_truth(lossy, truth, crop="none", then=["aqe:k=2"]).unreadable == {}  # no file is needed


def test_a_query_that_is_damaged_without_a_trace(lossy, truth, tmp_path):
    """Size and date are as they were: found when it is asked, and counted then."""
    file = tmp_path / "images" / f"{truth.queries[0].image}.jpg"
    known = file.stat()
    file.write_bytes(b"\0" * known.st_size)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    with pytest.raises(resight.errors.ImageError):
        evaluate_truth(lossy, truth)
    less = evaluate_truth(lossy, truth, allow_missing=True)
    assert less.protocol["unreadable"] == 1 and less.scores.settings["all"].ap[0] == 0


def test_boxes_outside_are_all_named_first_and_clipped_ones_counted(shop, mini, truth):
    def with_boxes(*boxes):
        queries = [dataclasses.replace(q, box=box or q.box) for q, box in zip(truth.queries, boxes)]
        return dataclasses.replace(truth, queries=tuple(queries))

    far = (900.0, 900.0, 950.0, 950.0)
    seen = []
    with pytest.raises(InputError) as caught:
        evaluate_truth(shop, with_boxes(far, None, far, None), each=lambda query, paths: seen.append(query))
    assert not seen and str(caught.value).startswith("2 query boxes lie outside the image (x1,y1,x2,y2 in pixels")
    for query in (truth.queries[0], truth.queries[2]):
        place = mini.truth / f"{query.name}_query.txt"
        assert f"{place}, line 1: box 900,900,950,950, {query.image}.jpg is 320 x 240" in str(caught.value)
    assert evaluate_truth(shop, truth).clipped == 0
    assert evaluate_truth(shop, with_boxes((-5.0, 10.0, 90.0, 90.0), None, (5.0, 10.0, 321.0, 90.0), None)).clipped == 2
    assert evaluate_truth(shop, with_boxes(far, None, None, None), crop="none").clipped == 0
