from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import InputError, Ranking


@pytest.fixture
def ranking(photos):
    paths = tuple(str(photos / "a" / f"{n}.jpg") for n in range(3))
    return Ranking(
        ids=np.array([4, 9, 2]), paths=paths, scores=np.array([0.9, 0.5, -0.1], np.float32), labels=("a", None, "b"),
        query="query.jpg", image=picture(1),
    )  # fmt: skip


def test_it_is_frozen_and_compares_by_value(ranking):
    with pytest.raises(dataclasses.FrozenInstanceError):
        ranking.query = "other"
    with pytest.raises(ValueError, match="read-only"):
        ranking.scores[0] = 1
    same = dataclasses.replace(ranking, ids=ranking.ids.copy(), scores=ranking.scores.copy(), image=None)
    assert same == ranking
    assert dataclasses.replace(ranking, ids=np.array([4, 9, 3])) != ranking
    assert ranking != "ranking"


def test_it_does_not_freeze_the_callers_arrays():
    ids, scores = np.array([1]), np.array([0.5], np.float32)
    Ranking(ids=ids, paths=("/a",), scores=scores, labels=(None,))
    ids[0], scores[0] = 2, 0.25  # still the caller's own


def test_one_line_pairs_and_plain_values(ranking):
    assert len(ranking) == 3
    assert [score for _, score in ranking] == pytest.approx([0.9, 0.5, -0.1])
    assert repr(ranking) == "Ranking of 3 for query.jpg: 0.jpg 0.900, ..."
    plain = json.loads(json.dumps(ranking.as_dict()))
    assert plain["results"][1] == {"rank": 2, "score": 0.5, "id": 9, "path": ranking.paths[1], "label": None}
    assert plain["box"] is None


def test_unequal_lengths_are_refused(ranking):
    with pytest.raises(InputError, match="as many ids"):
        dataclasses.replace(ranking, labels=("a",))


def test_it_shows_and_saves_itself(ranking, tmp_path):
    assert ranking._repr_html_().count("<img") == 4
    sheet = ranking.sheet(tmp_path / "sheet.jpg")
    assert Image.open(tmp_path / "sheet.jpg").size == sheet.size
    ranking.save(tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert sorted(manifest["files"]) == ["ranking.html", "sheet.png"]
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["ranking.html", "ranking.json", "sheet.png"]
    with pytest.raises(InputError, match=r"\.png"):
        ranking.sheet(tmp_path / "sheet.tif")


def test_an_image_that_vanished_is_a_placeholder(ranking, photos):
    (photos / "a" / "0.jpg").unlink()
    assert "0.jpg" in ranking._repr_html_()
    assert ranking.sheet().width > 300
