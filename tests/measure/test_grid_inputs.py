"""What a grid refuses before anything long begins."""

import shutil
from dataclasses import replace

import pytest
from PIL import Image
from samples import picture

from resight.errors import InputError
from resight.images.truth import Query, Setting, Truth, truth_from_labels
from resight.measure.grid_config import Grid
from resight.measure.grid_inputs import read_inputs, truth_key


@pytest.fixture
def others(tmp_path):
    """A folder of four pictures that are not among `photos`."""
    (tmp_path / "others").mkdir()
    for number in range(100, 104):
        Image.fromarray(picture(number)).save(tmp_path / "others" / f"{number}.png")
    return tmp_path / "others"


def grid_of(images, tmp_path, **more):
    return Grid((str(images),), ("spoc",), out=str(tmp_path / "out"), **more)


def test_images_are_listed_once_each(photos, others, tmp_path):
    grid = Grid((str(photos), str(photos / "a" / "0.jpg")), ("spoc",), out=str(tmp_path), whiten_from=(str(others),))
    inputs = read_inputs(grid)
    assert len(inputs.images) == 12 and inputs.whitening == () and inputs.truth is None  # no cell has a whitening
    assert len(read_inputs(grid_of(photos, tmp_path, whiten_from=(str(others),), whitening=(2,))).whitening) == 4


def test_a_leak_is_found_by_bytes_under_another_name(photos, others, tmp_path):
    shutil.copy(photos / "b" / "7.png", others / "innocent.png")
    same_size = bytearray((photos / "b" / "8.png").read_bytes())
    same_size[-1] ^= 1
    (others / "same-size.png").write_bytes(same_size)
    options = {"whiten_from": (str(others),), "whitening": (0, 2)}
    with pytest.raises(InputError) as caught:
        read_inputs(grid_of(photos, tmp_path, **options))
    message = str(caught.value)
    assert message.startswith("1 of the 6 images in whiten_from are to be evaluated too, such as ")
    assert "innocent.png (the same bytes as " in message and "allow_leak = true" in message
    assert len(read_inputs(grid_of(photos, tmp_path, **options, allow_leak=True)).whitening) == 6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"labels": "fodler"}, "unknown labels 'fodler', did you mean 'folder'?"),
        ({"labels": "csv:nowhere.csv"}, "expected a CSV file, got none"),
        ({"whiten_from": ("nowhere",), "whitening": (2,)}, "whiten_from: nowhere: no such file or folder"),
        ({"protocol": "pairs", "truth": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_doors(photos, tmp_path, more, message):
    with pytest.raises(InputError) as caught:
        read_inputs(grid_of(photos, tmp_path, **more))
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_learned_whitening_needs_labels(photos, others, tmp_path):
    more = {"whiten_from": (str(others),), "whitening": (0, "learned:2")}
    with pytest.raises(InputError, match="a learned whitening needs whiten_from images with the same label"):
        read_inputs(grid_of(photos, tmp_path, **more))
    (others / "x").mkdir()
    for name in ("100.png", "101.png"):
        (others / name).rename(others / "x" / name)
    before = read_inputs(grid_of(photos, tmp_path, **more))
    (others / "x" / "101.png").rename(others / "101.png")
    (others / "102.png").rename(others / "x" / "102.png")
    assert read_inputs(grid_of(photos, tmp_path, **more)).labelled != before.labelled


def test_sources_without_images_and_an_out_that_is_a_file(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"images: no images in .*empty"):
        read_inputs(grid_of(tmp_path / "empty", tmp_path))
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out: expected a folder or a free name"):
        read_inputs(grid_of(photos, tmp_path))


def test_labels_that_nothing_shares(photos, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\nphotos/a/0.jpg,x\nphotos/a/1.jpg,y\n")
    with pytest.raises(InputError, match="no two of the 12 images share a label"):
        read_inputs(grid_of(photos, tmp_path, labels=f"csv:{tmp_path}/labels.csv"))


def test_query_images_that_are_nowhere(photos, others, tmp_path):
    more = {"protocol": "pairs", "truth": str(tmp_path / "pairs.csv")}
    (tmp_path / "pairs.csv").write_text("query,positive\n100,a/0\n")
    with pytest.raises(InputError, match="'100': give queries = the folder they are in"):
        read_inputs(grid_of(photos, tmp_path, **more))
    inputs = read_inputs(grid_of(photos, tmp_path, **more, queries=str(others)))
    assert inputs.truth is not None and len(inputs.asked) == 16
    Image.fromarray(picture(5)).save(others / "100.png")
    assert read_inputs(grid_of(photos, tmp_path, **more, queries=str(others))).asked != inputs.asked
    (others / "100.png").unlink()
    with pytest.raises(InputError, match=r"1 query images are not in .*others, such as '100'"):
        read_inputs(grid_of(photos, tmp_path, **more, queries=str(others)))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"whitening": (0, 100_000)}, "whitening to 100,000 dimensions needs more than 100,000 images in whiten_from, "
                                      "there are 4: take at most 3"),
        ({"descriptors": ("cam",), "part_whitening": (0, 4)}, "part_whitening of cam to 4 dimensions needs more than"),
    ],
)  # fmt: skip
def test_whitenings_that_so_few_images_cannot_give(photos, others, tmp_path, more, message):
    with pytest.raises(InputError) as caught:
        read_inputs(replace(grid_of(photos, tmp_path, whiten_from=(str(others),), whitening=(0, 3)), **more))
    assert message in str(caught.value)


def test_truth_key_names_what_a_truth_says():
    def truth(good="bc", box=None, own="removed", settings=("positive",)):
        query = Query("q", "a", box, {"positive": frozenset(good)})
        return Truth("toy", (query,), {"all": Setting(settings)}, tuple("abcd"), own)

    assert truth_key(truth("bc")) == truth_key(truth("cb"))
    keys = [truth_key(t) for t in (truth(), truth("bcd"), truth(box=(0, 0, 1, 1)), truth(own="counts"))]
    assert len(set(keys)) == 4
    assert truth_key(truth_from_labels("abc", "xxy")) != truth_key(truth_from_labels("abc", "xyy"))
