"""Whitening of parts: equal to the whitening of parts gathered by hand, and kept with a collection."""

import numpy as np
import pytest
from PIL import Image
from samples import picture

import resight
from resight.errors import InputError, WorkError
from resight.features import Whitening, pca_whitening
from resight.features.activation import class_maps, class_vectors, top_classes
from resight.features.part_whitening import fit_part_whitening
from resight.features.regions import region_vectors

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cam():
    return resight.Encoder(descriptor="cam:count=6", size=64)


@pytest.fixture
def images(photos):
    return sorted(photos.rglob("*.*g"))


@pytest.fixture(scope="module")
def whitening(cam):
    """Fitted on twelve other pictures."""
    others = [picture(number) for number in range(200, 212)]
    return fit_part_whitening(cam, others, 4, per_image=2, fitted_on="pictures")


def gathered(encoder, images, per_image):
    """The vectors of each image's best classes, one image and one class at a time."""
    rows = []
    for image in images:
        look = encoder.view(image).look
        for c in top_classes(look.logits, per_image)[0]:
            vector = class_vectors(look.maps, class_maps(look.maps, look.head, c[None]))[0, 0].numpy()
            if vector.any():
                rows.append(vector)
    return np.array(rows)


@pytest.fixture
def sample(monkeypatch):
    """What the whitening would be fitted on, without its algebra."""
    monkeypatch.setattr("resight.features.part_whitening.pca_whitening", lambda rows, dim, **_: (rows, dim))
    return fit_part_whitening


def test_equals_the_whitening_of_class_vectors_gathered_by_hand(cam, whitening):
    vectors = gathered(cam, [picture(number) for number in range(200, 212)], 2)
    assert len(vectors) == whitening.sample == 24
    expected = pca_whitening(vectors, 4)
    np.testing.assert_allclose(whitening.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(whitening.apply(vectors), expected.apply(vectors), atol=1e-3)
    assert whitening.fitted_on == "pictures"


@pytest.mark.parametrize("per_image", [1, 3])
def test_so_many_class_vectors_of_each_image(cam, images, sample, per_image):
    rows, dim = sample(cam, images, 4, per_image=per_image)
    assert dim == 4
    np.testing.assert_allclose(rows, gathered(cam, images, per_image), atol=1e-5)


def test_rmac_gives_all_its_regions(images, sample):
    encoder = resight.Encoder(descriptor="rmac", size=96)
    regions = [region_vectors(encoder.view(image).look.maps, 3, False)[0] for image in images]
    expected = np.concatenate([(r / r.norm(dim=1, keepdim=True)).numpy() for r in regions])
    np.testing.assert_allclose(sample(encoder, images, 5)[0], expected, atol=1e-5)


def test_the_descriptor_is_the_sum_of_whitened_parts(cam, images, whitening):
    whitened = resight.Encoder(descriptor="cam:count=6", size=64, part_whitening=whitening)
    for image in images[:3]:
        total = whitening.apply(gathered(cam, [image], 6)).sum(0)
        np.testing.assert_allclose(whitened.encode(image), total / np.linalg.norm(total), atol=1e-4)
    assert whitened.key != cam.key
    assert whitened.seen_key == cam.seen_key  # the maps are the same: kept ones can be used


def test_a_collection_keeps_it(photos, images, whitening, tmp_path):
    """Opened again without being told: the same key, the same vectors, queries in the same space."""
    encoder = resight.Encoder(descriptor="cam:count=6", size=64, part_whitening=whitening)
    with resight.Collection.create(tmp_path / "c", encoder) as made:
        made.add(photos)
        before = made.vectors()[1]
        first = made.search(images[3], 5)
    assert before.shape == (12, 4)
    with resight.Collection.open(tmp_path / "c") as again:
        assert again.encoder.key == encoder.key == again.space
        assert again.part_whitening == whitening
        np.testing.assert_array_equal(again.vectors()[1], before)
        assert again.search(images[3], 5) == first
        np.testing.assert_allclose(again.encoder.encode(images[3]), encoder.encode(images[3]), atol=1e-6)
        Image.fromarray(picture(77)).save(photos / "a" / "new.png")
        again.add(photos)
        assert again.search(photos / "a" / "new.png", 1).paths == (str(photos / "a" / "new.png"),)
        found = again.search(images[3], 13, then=["cam-online:count=6", "cam-regions:top=3", "aqe:k=2"])
        assert found.vector.shape == (4,)
        online = again.search(images[3], 13, then=["cam-online:count=6"])
        assert online.paths[0] == str(images[3])
        assert online.scores[0] == pytest.approx(1, abs=1e-3)
    other = Whitening(whitening.mean, whitening.projection[:, ::-1])
    with pytest.raises(InputError, match="part_whitening"):
        resight.Collection.open(tmp_path / "c", resight.Encoder.from_config(encoder.config, other))


def test_a_damaged_record_is_said(whitening, tmp_path):
    encoder = resight.Encoder(descriptor="cam:count=6", size=64, part_whitening=whitening)
    with resight.Collection.create(tmp_path / "c", encoder) as made:
        made.store.set_meta({"part_whitening": b"nonsense"})
    with resight.Collection.open(tmp_path / "c") as again, pytest.raises(WorkError, match="whitening"):
        again.encoder.encode(np.zeros((9, 9, 3), np.uint8))


def test_unreadable_images_are_counted_and_reading_stops_at_the_sample(cam, photos, sample, monkeypatch):
    (photos / "a" / "00.jpg").write_bytes(b"\xff\xd8\xff")
    images = sorted(photos.rglob("*.*g"))
    seen = []
    rows, _ = sample(cam, images, 4, progress=lambda done, failed: seen.append((done, failed)))
    assert len(rows) == 12
    assert seen[-1] == (13, 1)
    monkeypatch.setattr("resight.features.part_whitening.SAMPLE", 6)
    assert len(sample(cam, images, 4)[0]) == 6


def test_doors(cam, images, whitening):
    with pytest.raises(InputError, match=r"cam (and|or) rmac.* gem"):
        fit_part_whitening(resight.Encoder(), images, 4)
    with pytest.raises(InputError, match="part whitening"):
        fit_part_whitening(resight.Encoder(descriptor="cam", part_whitening=whitening), images, 4)
    with pytest.raises(InputError, match="part whitening is for cam and rmac"):
        resight.Encoder(descriptor="gem", part_whitening=whitening)
    with pytest.raises(InputError, match="at least 1, got 0"):
        fit_part_whitening(cam, images, 4, per_image=0)
    with pytest.raises(InputError, match="none of those given could be read"):
        fit_part_whitening(cam, [], 4)
    with pytest.raises(InputError, match="needs at least 13 vectors, got 12"):
        fit_part_whitening(cam, images, 12)
