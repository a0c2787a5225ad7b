"""Why results are like a query: the score of the ranking, by the box, classes and vector that ranked them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import Collection, Encoder, EncoderConfig
from resight.errors import InputError
from resight.explain.results import explain_results

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def indexed(encoder, tmp_path, photos):
    """A function descriptor -> the collection of twelve pictures."""
    made = []

    def index(descriptor, **options):
        config = EncoderConfig(descriptor=descriptor, **{"size": 160, **options})
        own = Collection.create(tmp_path / f"{len(made)}.resight", Encoder.from_config(config, None, encoder.backbone))
        own.add(photos)
        made.append(own)
        return own

    yield index
    for one in made:
        one.close()


def check(pairs, ranking, within=1e-5, query_too=True):
    """Every pair has the ranking's score, and its maps sum to it."""
    assert len(pairs) == len(ranking)
    for pair, score in zip(pairs, ranking.scores.tolist(), strict=True):
        assert pair.score == pytest.approx(score, abs=within)
        for side, (heat, constant) in enumerate(zip(pair.heats, pair.constants, strict=True)):
            assert heat.total + constant == pytest.approx(heat.score, abs=1e-6)
            if side or query_too:
                assert heat.score == pytest.approx(score, abs=within)


@pytest.mark.parametrize("descriptor", ["spoc", "gem", "mac", "rmac", "crow", "cam:count=8"])
def test_maps_sum_to_the_scores_of_a_search(indexed, descriptor):
    photos = indexed(descriptor)
    ranking = photos.search(picture(40), k=5)
    check(explain_results(photos, ranking), ranking)


def test_in_whitened_space_cut_to_six_dimensions(indexed):
    photos = indexed("gem")
    photos.whiten(6)
    ranking = photos.search(picture(40), k=5)
    pairs = explain_results(photos, ranking)
    check(pairs, ranking, 2e-4)
    assert all(min(map(abs, pair.constants)) > 1e-5 for pair in pairs)


@pytest.mark.parametrize("box_on", ["pixels", "map"])
def test_with_the_query_s_box(indexed, box_on):
    photos = indexed("cam:count=8")
    ranking = photos.search(picture(40), k=4, box=(10, 5, 60, 50), box_on=box_on)
    pairs = explain_results(photos, ranking)
    check(pairs, ranking)
    assert pairs[0].boxes == ((10, 5, 60, 50), None)


def test_by_a_stored_image(indexed):
    photos = indexed("gem")
    image = next(photos.items()).id
    ranking = photos.search(image, k=3)
    check(explain_results(photos, ranking), ranking)


@pytest.mark.parametrize("step", ["cam-online:count=1", "cam-regions:classes=1,heat=1"])
def test_results_described_by_the_query_s_classes(indexed, step):
    """The steps use maps that are kept in half precision."""
    photos = indexed("cam:count=8", size=320)
    ranking = photos.search(picture(40), k=4, then=[step])
    pairs = explain_results(photos, ranking)
    check(pairs, ranking, 1e-4)
    plain = explain_results(photos, replace(ranking, steps=(), regions=None, boxes=None, vector=None))
    assert any(abs(pair.score - other.score) > 1e-3 for pair, other in zip(pairs, plain, strict=True))
    if step.startswith("cam-regions"):
        assert any(pair.heats[1].map.size < 100 for pair in pairs)
        for row, pair in enumerate(pairs):
            np.testing.assert_allclose(pair.heats[1].box, ranking.found_in(row), atol=1e-6)


def test_regions_of_another_descriptor(indexed):
    photos = indexed("spoc", size=320)
    ranking = photos.search(picture(40), k=4, then=["cam-regions"])
    check(explain_results(photos, ranking), ranking, 1e-4)


def test_an_expanded_query_is_explained_on_the_results(indexed):
    photos = indexed("gem")
    ranking = photos.search(picture(40), k=4, then=["alpha-qe:k=3,alpha=0"])
    pairs = explain_results(photos, ranking)
    check(pairs, ranking, query_too=False)
    raw = photos.encoder.encode(picture(40))
    for pair, image in zip(pairs, ranking.ids.tolist(), strict=True):
        own = photos.get([image], vectors=True)[0].vector
        assert pair.heats[0].score == pytest.approx(float(raw @ own), abs=1e-5)


def test_steps_without_such_a_sum_leave_the_similarity(indexed):
    photos = indexed("gem")
    ranking = photos.search(picture(40), k=4, then=["k-reciprocal:k1=3,k2=2"])
    raw = photos.encoder.encode(picture(40))
    for pair, image in zip(explain_results(photos, ranking), ranking.ids.tolist(), strict=True):
        assert pair.score == pytest.approx(float(raw @ photos.get([image], vectors=True)[0].vector), abs=1e-5)


def test_points_that_agree_go_along(indexed, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    image = Image.fromarray(noise).resize((400, 320), Image.Resampling.BICUBIC)
    image.save(tmp_path / "noise.png")
    photos = indexed("spoc")
    photos.add(tmp_path / "noise.png")
    ranking = photos.search(np.asarray(image)[20:], k=3, then=["ransac"])
    pairs = explain_results(photos, ranking)
    assert [pair.matches for pair in pairs] == list(ranking.matches)
    assert len(pairs[0].matches) > 50
    assert pairs[0].score <= 1 < ranking.scores[0]


def test_a_lost_file_is_none_and_counted(indexed, photos):
    made = indexed("spoc")
    ranking = made.search(picture(40), k=4)
    lost = ranking.paths[1]
    photos.joinpath(lost).unlink()
    told = []
    pairs = explain_results(made, ranking, 3, lambda done, failed: told.append((done, failed)))
    assert [pair is None for pair in pairs] == [False, True, False]
    assert told == [(1, 0), (2, 1), (3, 1)]


def test_doors(indexed):
    photos = indexed("spoc")
    ranking = photos.search(picture(40), k=2)
    with pytest.raises(InputError, match="needs the query's image"):
        explain_results(photos, replace(ranking, image=None))
    with pytest.raises(InputError, match="from 1, got 0"):
        explain_results(photos, ranking, 0)
    photos.whiten(6)
    with pytest.raises(InputError, match="another space"):
        explain_results(photos, ranking)
    assert explain_results(photos, photos.search(picture(40), k=2, label="none")) == ()
