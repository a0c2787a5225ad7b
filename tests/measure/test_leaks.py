"""Whether a whitening has seen the images that are evaluated: told by what the files hold, or where they lie."""

import shutil

import numpy as np
import pytest
from PIL import Image
from samples import picture

import resight
from resight.errors import InputError
from resight.features.whitening import Whitening
from resight.measure.leaks import refuse_leak, shared_images, whitening_text

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def elsewhere(tmp_path):
    """Twelve other pictures."""
    (tmp_path / "others").mkdir()
    for number in range(100, 112):
        Image.fromarray(picture(number)).save(tmp_path / "others" / f"{number}.png")
    return tmp_path / "others"


def collection_of(folder, images, encoder):
    made = resight.Collection.create(folder, encoder)
    made.add(images)
    return made


def fitted_on(other):
    """What `whiten(5, fitted_on=other)` leaves, without its algebra."""
    return Whitening(np.zeros(1280), np.eye(1280)[:, :5], str(other.path), 12)


def with_parts(folder, images, fitted_on):
    """A collection whose class vectors are whitened by something fitted on these images, says its record."""
    whitening = Whitening(np.zeros(1280), np.eye(1280)[:, :4], fitted_on, 5)
    return collection_of(folder, images, resight.Encoder(descriptor="cam:count=2", size=32, part_whitening=whitening))


def test_without_whitening_nothing_leaks(collection):
    assert refuse_leak(collection, False) is False
    assert whitening_text(collection) == "none"


def test_whitening_on_itself(collection):
    collection.whitening = Whitening(np.zeros(1280), np.eye(1280)[:, :5], "itself", 12)  # as `whiten(5)` names it
    with pytest.raises(InputError, match=r"of c\.resight was fitted on the very images to be evaluated;.*--allow"):
        refuse_leak(collection, False)
    assert refuse_leak(collection, True) is True
    assert whitening_text(collection) == "5 dimensions, fitted on itself"


def test_whitening_on_others_is_honest(collection, elsewhere, tmp_path, encoder):
    with collection_of(tmp_path / "o.resight", elsewhere, encoder) as other:
        collection.whitening = fitted_on(other)
        assert shared_images(collection, other.path) == 0
    assert refuse_leak(collection, False) is False
    assert whitening_text(collection) == "5 dimensions, fitted on o.resight"


def test_copies_under_other_names_are_counted(collection, elsewhere, photos, tmp_path, encoder):
    for number in range(3):
        shutil.copy(photos / "a" / f"{number}.jpg", elsewhere / f"copy{number}.jpg")
    with collection_of(tmp_path / "o.resight", elsewhere, encoder) as other:
        collection.whitening = fitted_on(other)
    with pytest.raises(InputError, match=r"o\.resight, which holds 3 of the images to be evaluated"):
        refuse_leak(collection, False)
    shutil.rmtree(tmp_path / "o.resight")  # what is gone cannot be looked at
    assert refuse_leak(collection, False) is False


@pytest.mark.parametrize("source", ["photos", "photos/a", "link", "photos/*/*.jpg", "list.csv"])
def test_parts_fitted_on_the_images_where_they_lie(tmp_path, photos, source):
    (tmp_path / "link").symlink_to(photos / "a")
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"{path}\n" for path in (photos / "a").iterdir()))
    shared = 12 if source == "photos" else 6
    with with_parts(tmp_path / "c.resight", photos, str(tmp_path / source)) as made:
        with pytest.raises(InputError, match=rf"part whitening of .* which holds {shared} of the images"):
            refuse_leak(made, False)
        assert refuse_leak(made, True) is True
        assert whitening_text(made) == f"of parts: 4 dimensions, fitted on {(tmp_path / source).name}"


def test_images_indexed_through_a_link(tmp_path, photos):
    (tmp_path / "link").symlink_to(photos)
    with with_parts(tmp_path / "c.resight", tmp_path / "link" / "b", str(photos)) as made:
        assert shared_images(made, photos) == 6


@pytest.mark.parametrize("fitted_on", ["", "flickr100k", "."])
def test_a_name_that_is_no_place_is_taken_at_its_word(tmp_path, photos, fitted_on, monkeypatch):
    """Above all it is not the folder that one happens to be in."""
    monkeypatch.chdir(photos)
    with with_parts(tmp_path / "c.resight", photos, fitted_on) as made:
        assert refuse_leak(made, False) is False
        assert (
            whitening_text(made)
            == f"of parts: 4 dimensions, fitted on {fitted_on.rpartition('/')[2] or 'images not named'}"
        )


def test_parts_fitted_elsewhere_or_on_what_is_gone(tmp_path, photos, elsewhere):
    for number, place in enumerate((elsewhere, tmp_path / "gone", photos / "a2")):
        with with_parts(tmp_path / f"{number}.resight", photos, str(place)) as made:
            assert refuse_leak(made, False) is False


def test_a_folder_whose_name_begins_alike_is_another(tmp_path, photos):
    shutil.copytree(photos / "b", photos / "bb")
    with with_parts(tmp_path / "c.resight", photos / "bb", str(photos / "b")) as made:
        assert shared_images(made, photos / "b") == 0
