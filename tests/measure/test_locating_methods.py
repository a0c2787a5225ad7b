"""Names of methods, and what they find."""

from __future__ import annotations

import pytest
from locating_samples import photograph

from resight.errors import InputError
from resight.match.baselines import has_akaze
from resight.match.template import Template
from resight.measure.locating_methods import read_methods


def test_ours_and_the_baselines_find_a_crop():
    scene = photograph(1, 160, 200)
    for method in read_methods(["auto", "sift", "correlate", "sift-ransac", "matchtemplate"]):
        match = method.prepare(Template(scene[40:110, 30:120]))(scene)
        assert match.found and match.scene_size == (160, 200)
        assert abs(match.corners[0] - (30, 40)).max() < 1, method.name
        assert (method.prepare_all is not None) == (method.name in ("auto", "sift", "correlate"))
    best = read_methods(["auto"])[0].prepare_all(Template(scene[40:110, 30:120]))(scene)[0]
    assert best.found and abs(best.corners[0] - (30, 40)).max() < 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["atuo"], "unknown method 'atuo', did you mean 'auto'"), ([], "each once, got none"),
        (["orb", "orb"], "each once, got orb, orb"), (["mask"], "name it with --model"),
    ],
)  # fmt: skip
def test_doors(names, message):
    with pytest.raises(InputError, match=message):
        read_methods(names)


@pytest.mark.skipif(has_akaze(), reason="this OpenCV has AKAZE")
def test_akaze_is_told_of_before_the_work():
    with pytest.raises(InputError, match="leave akaze out"):
        read_methods(["akaze"])
