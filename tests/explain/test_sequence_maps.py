"""What the maps of a sequence's frames add up to: what docs/explain.md warns of."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import make_run
from PIL import Image
from samples import picture
from torch import nn

from resight.explain.explaining import explain
from resight.train.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    for number in range(12):
        place = root / "data" / "ab"[number % 2] / f"clip{number // 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, 48, 48)).save(place / f"{number}.png")
    return root


def shares(clips, head, method):
    """Of each frame the sum of its map, as a share of the sum of its absolute values."""
    place = clips / head
    if not place.exists():
        make_run(place, clips / "data", sequences=True, frames=2, size=48, head=head)
    run = Run.open(place, "cpu")
    for module in run.network.head.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-12  # which in so small a network is not small beside its features
    heat = explain(clips / "data" / "a" / "clip0", run, method, "b")
    return [abs(part.total) / np.abs(part.map).sum() for part in heat.parts]


@pytest.mark.parametrize("head", ["pool", "tcn", "gru"])
@pytest.mark.parametrize("method", ["gradcam", "hires", "xgrad"])
def test_behind_a_normalisation_each_frame_sums_to_nothing(clips, head, method):
    """The head normalises each frame's features: all of them doubled change no score, so a . ds/da is 0 (Euler)."""
    assert max(shares(clips, head, method)) < 1e-3


@pytest.mark.parametrize(("head", "method"), [("average", "gradcam"), ("pool", "layercam"), ("pool", "gradcam++")])
def test_without_it_and_with_positive_gradients_they_do_not(clips, head, method):
    assert min(shares(clips, head, method)) > 0.9
