from __future__ import annotations

import numpy as np
from PIL import Image
from samples import picture

from resight import Ranking
from resight.show.rankings import pictures, ranking_report, ranking_section


def ranking(folder, name="q.jpg", box=None):
    Image.fromarray(picture(0)).save(folder / "a.jpg")
    Image.fromarray(picture(1)).save(folder / name)
    return Ranking(
        ids=np.array([1, 2]), paths=(str(folder / "a.jpg"), str(folder / "gone.jpg")),
        scores=np.array([0.75, 0.5], np.float32), labels=(None, None), query=str(folder / name), box=box,
        image=str(folder / name),
    )  # fmt: skip


def test_the_query_comes_first_and_marks_follow(tmp_path):
    query, first, second = pictures(ranking(tmp_path, box=(1, 2, 30, 40)), [True, False])
    assert (query.mark, query.note, query.box) == ("query", "q.jpg", (1, 2, 30, 40))
    assert (first.mark, first.caption, first.href) == ("right", "0.750", str(tmp_path / "a.jpg"))
    assert second.mark == "wrong"
    assert [p.mark for p in pictures(ranking(tmp_path))] == ["query", "", ""]


def test_sections_and_pages_name_the_query(tmp_path):
    one = ranking(tmp_path)
    assert ranking_section(one, text="hello").text == "hello"
    page = ranking_report([one])
    assert "<title>Images like q.jpg</title>" in page
    assert "The 2 most similar" in page
    assert "of 9 images" in ranking_report([one], "The best of 9 images")
    assert page.count("<img") >= 2
    assert "gone.jpg" in page
    assert "2 queries" in ranking_report([one, ranking(tmp_path, "r.jpg")])
