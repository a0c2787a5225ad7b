"""Whether a whitening has seen the images that are evaluated: told by what the files hold, or where they lie."""

import shutil

import numpy as np
import pytest
from made_encoders import make_trained
from PIL import Image
from samples import picture

import resight
from resight.errors import InputError
from resight.features.part_whitening import fit_part_whitening
from resight.features.whitening import Whitening
from resight.measure.leaks import UNKNOWN, leak_text, refuse_leak, shared_images, whitening_text

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
    """A whitening that was stored before it was recorded what it had seen."""
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
        collection.whiten(5, fitted_on=other)
        assert shared_images(collection, other.path) == 0
    shutil.rmtree(tmp_path / "o.resight")
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
    assert refuse_leak(collection, False) == UNKNOWN


@pytest.mark.parametrize("how", ["pca", "learned"])
def test_a_whitening_keeps_what_it_has_seen(collection, elsewhere, photos, tmp_path, encoder, how):
    """Its source may be deleted, it may have gone through a file and the images may have other names."""
    for number in range(3):
        shutil.copy(photos / "a" / f"{number}.jpg", elsewhere / f"copy{number}.jpg")
    others = elsewhere.rename(tmp_path / "x") if how == "pca" else elsewhere
    (tmp_path / "top").mkdir()
    others = others.rename(tmp_path / "top" / "label")
    with collection_of(tmp_path / "o.resight", others.parent, encoder) as other:
        collection.whiten(4, how=how, fitted_on=other)
        assert len(collection.whitening.seen) == 15
    shutil.rmtree(tmp_path / "o.resight")
    shutil.rmtree(others)
    with resight.Collection.open(collection.path) as again:
        with pytest.raises(InputError, match=r"o\.resight, which holds 3 of the images to be evaluated"):
            refuse_leak(again, False)
        assert refuse_leak(again, True) is True


def test_parts_keep_what_they_have_seen(photos, elsewhere, tmp_path):
    """Byte-identical copies at another place are the same images."""
    shutil.copytree(photos / "a", tmp_path / "copies")
    plain = resight.Encoder(descriptor="cam:count=2", size=32)
    found = []
    for source in (tmp_path / "copies", elsewhere):
        paths = sorted(source.iterdir())
        fitted = fit_part_whitening(plain, paths, 2, fitted_on=str(source))
        assert fitted.seen is not None and len(fitted.seen) == len(paths)
        shutil.rmtree(source)
        encoder = resight.Encoder(descriptor="cam:count=2", size=32, part_whitening=fitted)
        with collection_of(tmp_path / f"{source.name}.resight", photos, encoder) as made:
            found.append(refuse_leak(made, True))
    assert found == [True, False]
    arrays = fit_part_whitening(plain, [picture(n) for n in range(5)], 2)
    assert arrays.seen.tolist() == [0]  # of these nobody knows a file


def test_vectors_without_files_are_unknown(collection, tmp_path, encoder):
    with resight.Collection.create(tmp_path / "o.resight", encoder) as other:
        other.add_vectors([f"{n}.jpg" for n in range(9)], np.eye(9, encoder.dim, dtype=np.float32))
        collection.whiten(4, fitted_on=other)
    assert refuse_leak(collection, False) == UNKNOWN
    assert leak_text(UNKNOWN) == " - leak unknown: not recorded"


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
def test_a_name_that_is_no_place_tells_nothing(tmp_path, photos, fitted_on, monkeypatch):
    """Above all it is not the folder that one happens to be in."""
    monkeypatch.chdir(photos)
    with with_parts(tmp_path / "c.resight", photos, fitted_on) as made:
        assert refuse_leak(made, False) == UNKNOWN
        assert (
            whitening_text(made)
            == f"of parts: 4 dimensions, fitted on {fitted_on.rpartition('/')[2] or 'images not named'}"
        )


def test_parts_fitted_elsewhere_or_on_what_is_gone(tmp_path, photos, elsewhere):
    for number, place in enumerate((elsewhere, tmp_path / "gone", photos / "a2")):
        with with_parts(tmp_path / f"{number}.resight", photos, str(place)) as made:
            assert refuse_leak(made, False) == UNKNOWN


def test_a_folder_whose_name_begins_alike_is_another(tmp_path, photos):
    shutil.copytree(photos / "b", photos / "bb")
    with with_parts(tmp_path / "c.resight", photos / "bb", str(photos / "b")) as made:
        assert shared_images(made, photos / "b") == 0


def test_a_network_trained_on_the_images_is_a_leak(tmp_path, elsewhere):
    run = make_trained(tmp_path / "run")
    rows = [f"{elsewhere / f'{number}.png'},x,{part}" for number, part in ((100, "train"), (101, "val"), (102, "test"))]
    (run / "split.csv").write_text("\n".join(["path,label,part", *rows, ""]))
    encoder = resight.Encoder.open(run, device="cpu")
    with collection_of(tmp_path / "c.resight", elsewhere, encoder) as photos:
        with pytest.raises(InputError, match="was trained on 2 of the images to be evaluated"):
            refuse_leak(photos, False)
        assert refuse_leak(photos, True) is True
    with collection_of(tmp_path / "d.resight", [elsewhere / "102.png", elsewhere / "103.png"], encoder) as photos:
        assert refuse_leak(photos, False) is False
