"""Pictures of a benchmark: which cases, and that lines are where they should be."""

from __future__ import annotations

import io

import numpy as np
import pytest
from locating_samples import absent, answer, photograph, wrong
from PIL import Image, ImageColor

from resight.errors import InputError
from resight.images.rle import encode_rle
from resight.match.planes import similarity
from resight.measure.tiers import Case
from resight.show.locating import MODEL, OTHER, TRUTH, chosen_cases, draw_case, histograms, panels

HERE = similarity(1, 0, (0, 0), (60, 40))


def case(tier="identity", number=0):
    grey = [np.repeat(photograph(seed).mean(2, keepdims=True).astype(np.uint8), 3, 2) for seed in (1, 2)]
    return Case(tier, number, grey[0][:40, :50].copy(), grey[1], (HERE,), "a.png")


def pair(number, one, two, tier="identity"):
    make = [answer if value else wrong for value in (one, two)]
    return [
        made(number=number, tier=tier, method=name, iou=value)
        for made, name, value in zip(make, ("auto", "sift"), (one, two), strict=True)
    ]


ANSWERS = [
    *pair(0, 0.9, 0.0), *pair(1, 0.8, 0.4), *pair(2, 0.0, 0.9), *pair(3, 0.1, 0.0), *pair(4, 0.9, 0.8),
    *pair(0, 0.7, 0.1, "blur"), absent(method="auto"), absent(method="sift"),
]  # fmt: skip


def test_cases_that_are_shown():
    found = {
        kind: [(a.tier, a.number) for a, _ in cases] for kind, cases in chosen_cases(ANSWERS, "auto", "sift").items()
    }
    assert found == {
        "model-better": [("identity", 0), ("blur", 0), ("identity", 1)],  # tiers in turn
        "sift-better": [("identity", 2)], "both-failed": [("identity", 3)],
    }  # fmt: skip
    many = [one for number in range(50) for one in pair(number, 0.0, 0.0)]
    failed = chosen_cases(many, "auto", "sift")["both-failed"]
    assert [a.number for a, _ in failed] == list(range(0, 50, 5))  # spread, at most 12


def test_lines_are_drawn_where_the_places_are():
    right = tuple((float(x), float(y)) for x, y in ((100, 60), (150, 60), (150, 100), (100, 100)))
    page = draw_case(case(), [(answer(corners=(right,)), MODEL), (wrong(), OTHER)])
    scale = page.shape[1] / 160
    colour = {name: np.abs(page.astype(int) - ImageColor.getrgb(name)).sum(2) < 12 for name in (TRUTH, MODEL, OTHER)}
    rows, columns = (np.nonzero(colour[TRUTH])[axis] / scale for axis in (0, 1))
    assert abs(columns.max() - 110) < 2 and abs(rows.max() - 80) < 2
    assert colour[MODEL][int(60 * scale), int(125 * scale)] and not colour[OTHER].any()


def test_masks_are_tinted():
    mask = np.zeros((120, 160), bool)
    mask[90:110, 120:150] = True
    plain, tinted = (draw_case(case(), [(answer(corners=(), mask=text), OTHER)]) for text in ("", encode_rle(mask)))
    changed = np.abs(plain.astype(int) - tinted).sum(2) > 0
    scale = plain.shape[1] / 160
    rows, columns = (np.nonzero(changed)[axis] / scale for axis in (0, 1))
    assert rows.min() >= 88 and rows.max() <= 112 and columns.min() >= 118 and columns.max() <= 152


def test_corners_far_away_do_no_harm():
    far = tuple((1e6, -1e6) for _ in range(4))
    assert draw_case(case(), [(answer(corners=(far,)), MODEL)]).shape[2] == 3


def test_sheets():
    made = panels(ANSWERS, case, "auto", "sift")
    assert list(made) == ["model-better", "sift-better", "both-failed"]
    assert made["model-better"].size[0] > made["sift-better"].size[0]
    assert panels(pair(0, 0.9, 0.9), case, "auto", "sift") == {}


def test_histograms():
    picture = Image.open(io.BytesIO(histograms(ANSWERS, "a title")))
    assert picture.size[0] > 900
    same = histograms(ANSWERS, "a title")
    assert same == histograms(ANSWERS, "a title")  # the same bytes again
    with pytest.raises(InputError, match="expected answers to draw"):
        histograms([])
