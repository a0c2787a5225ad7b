"""Looks at images again: what is kept, and that no map of other bytes is found under an image's name."""

import numpy as np
import pytest
from PIL import Image
from samples import picture

import resight
from resight.search.kept_maps import as_kept

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cam():
    return resight.Encoder(descriptor="cam:count=4", size=64, device="cpu")


@pytest.fixture
def described(tmp_path, photos, cam):
    with resight.Collection.create(tmp_path / "c.resight", cam) as made:
        made.add(photos)
        yield made


def expected(cam, path):
    return as_kept(cam.view(path).look).maps


def known(collection):
    """Ids of the images of which a map is kept."""
    items = list(collection.items())
    return collection._views()._kept().known([(item.id, item.sha256) for item in items])


def by_name(collection, name):
    (found,) = [item for item in collection.items() if item.path.endswith(name)]
    return found


def test_looks_are_those_of_the_encoder_and_kept(described, cam):
    items = list(described.items())[:3]
    for view, item in zip(described._views().looks([item.id for item in items]), items):
        np.testing.assert_allclose(view.look.maps, expected(cam, item.path), atol=1e-3)
        assert view.shape == (60, 80)
    assert known(described) == {item.id for item in items}


def test_a_file_changed_since_indexing_is_looked_at_and_not_kept(described, photos, cam):
    """Its look counts for this query; under the sha256 of indexing it would be believed to be the indexed image."""
    target, item = photos / "b" / "7.png", by_name(described, "/b/7.png")
    indexed = target.read_bytes()
    Image.fromarray(picture(99, 50, 90)).save(target)
    (view,) = described._views().looks([item.id])
    np.testing.assert_allclose(view.look.maps, expected(cam, target), atol=1e-3)
    assert view.shape == (50, 90)
    assert known(described) == set()
    target.write_bytes(indexed)
    (view,) = described._views().looks([item.id])
    np.testing.assert_allclose(view.look.maps, expected(cam, target), atol=1e-3)
    assert known(described) == {item.id}


def test_keeping_all_leaves_changed_files_out(described, photos, cam):
    items = {item.id for item in described.items()}
    changed = {by_name(described, name).id for name in ("/a/0.jpg", "/b/7.png")}
    for name in ("a/0.jpg", "b/7.png"):
        Image.fromarray(picture(99)).save(photos / name)
    (photos / "a" / "1.jpg").unlink()
    gone = {by_name(described, "/a/1.jpg").id}
    described._views().keep_all()
    assert known(described) == items - changed - gone
    described.add(photos)
    described._views().keep_all()
    assert known(described) == items - gone


def test_what_came_as_a_vector_is_kept_whatever_its_file_is(described, tmp_path, cam):
    """It has no sha256 to compare: as with its vector, the caller answers for it."""
    file = tmp_path / "given.png"
    Image.fromarray(picture(50)).save(file)
    vector = cam.encode(file)[None]
    (given,) = described.add_vectors([str(file)], vector)
    (view,) = described._views().looks([given])
    assert view.shape == (60, 80)
    assert known(described) == {given}


def test_a_file_that_is_gone_has_no_look(described, photos):
    item = by_name(described, "/a/0.jpg")
    (photos / "a" / "0.jpg").unlink()
    assert described._views().looks([item.id]) == [None]
    assert described._views().pixels(item.id) is None
    assert known(described) == set()
