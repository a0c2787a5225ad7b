"""Maps of a similarity through a trained projection sum to it, and leave out no place."""

from __future__ import annotations

import numpy as np
import pytest
from made_encoders import make_trained
from samples import picture

from resight import Collection, Encoder
from resight.explain.pairs import explain_pair
from resight.explain.results import explain_results

pytestmark = pytest.mark.usefixtures("one_thread")
DESCRIPTORS = ["gem", "gem:p=4", "spoc", "mac", "crow", "rmac", "cam:count=4"]


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5)])
@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_maps_and_constant_sum_to_the_similarity(tmp_path, descriptor, scales):
    encoder = Encoder.open(make_trained(tmp_path / "run", descriptor), scales=scales, device="cpu")
    a, b = picture(3), picture(8, 80, 50)
    pair = explain_pair(a, b, encoder, match=False)
    score = float(encoder.encode(a) @ encoder.encode(b))
    assert pair.score == pytest.approx(score, abs=1e-5)
    for heat, constant in zip(pair.heats, pair.constants, strict=True):
        assert heat.total + constant == pytest.approx(score, abs=1e-5)
        assert abs(constant) > 1e-3  # the mean of the projection belongs to no place


@pytest.mark.oracle
def test_a_map_by_hand(tmp_path):
    """spoc: the mean over places of x / ||mean x||, whose part of y is (x P / ||mean x||) / ||.||."""
    encoder = Encoder.open(make_trained(tmp_path / "run", "spoc"), device="cpu")
    a, b = picture(1), picture(2)
    maps = encoder.view(a).look.maps[0].double().numpy()
    places = maps.shape[1] * maps.shape[2]
    length = np.linalg.norm(maps.mean((1, 2)))
    mean, weight = (array.astype(np.float64) for array in (encoder.projection.mean, encoder.projection.projection))
    whole = np.linalg.norm((maps.mean((1, 2)) / length - mean) @ weight)
    other = encoder.encode(b).astype(np.float64)
    expected = np.einsum("khw,kd,d->hw", maps / places / length, weight, other) / whole
    pair = explain_pair(a, b, encoder, match=False)
    np.testing.assert_allclose(pair.heats[0].map, expected, atol=1e-5)
    assert pair.constants[0] == pytest.approx(float(-mean @ weight @ other / whole), abs=1e-5)


def test_by_its_folder_a_box_and_a_collection_with_whitening(tmp_path, photos):
    run = make_trained(tmp_path / "run", "rmac")
    a, b = photos / "a" / "1.jpg", photos / "b" / "7.png"
    own = Encoder.open(run, device="cpu")
    by_name = explain_pair(a, b, run, match=False)
    assert by_name.score == pytest.approx(float(own.encode(a) @ own.encode(b)), abs=1e-4)
    box = (3, 4, 40, 30)
    part = explain_pair(a, b, own, boxes=(box, None), match=False)
    assert part.heats[0].total + part.constants[0] == pytest.approx(
        float(own.encode(a, box=box) @ own.encode(b)), abs=1e-5
    )
    with Collection.create(tmp_path / "c.resight", own) as found:
        found.add(photos)
        whitening = found.whiten(4)
        pair = explain_pair(a, b, found, match=False)
        one, other = whitening.apply(np.stack([own.encode(a), own.encode(b)]))
        assert pair.score == pytest.approx(float(one @ other), abs=1e-5)
        for heat, constant in zip(pair.heats, pair.constants, strict=True):
            assert heat.total + constant == pytest.approx(pair.score, abs=1e-5)
        ranking = found.search(a, k=3)
        for found_pair, score in zip(explain_results(found, ranking), ranking.scores, strict=True):
            assert found_pair.score == pytest.approx(float(score), abs=1e-5)
            assert found_pair.heats[1].total + found_pair.constants[1] == pytest.approx(float(score), abs=1e-5)
