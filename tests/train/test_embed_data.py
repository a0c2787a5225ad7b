"""What an embedding network learns from: which classes, in which parts, as which batches."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from embed_samples import tint_folders

from resight.errors import InputError, WorkError
from resight.images.examples import Example, Examples, read_examples
from resight.train.data import as_is
from resight.train.embed_data import EmbedBatches, check_enough, content_ids, part_examples, trained_classes
from resight.train.embed_options import make_embed_options


def made(classes, each, parts=(None,), group=False):
    items = tuple(
        Example(Path(f"/d/{label}/{n}.png"), label, parts[n % len(parts)], f"{label}{n // 2}" if group else None)
        for label in classes for n in range(each)
    )  # fmt: skip
    return Examples(items, tuple(sorted(classes)), "/d")


def labels_of(parted, places):
    return {parted.examples.items[place].label for place in places}


def test_class_from_ten_classes_on():
    few, many = (made([f"c{n:02}" for n in range(count)], 4) for count in (9, 10))
    assert part_examples(few, make_embed_options()).by == "image"
    parted = part_examples(many, make_embed_options(test=0.1))
    assert parted.by == "class" and any("unseen in training" in note for note in parted.notes)
    train, val, test = (
        labels_of(parted, places) for places in (parted.split.train, parted.split.val, parted.split.test)
    )
    assert not train & val and not train & test and not val & test and len(train | val | test) == 10
    chosen = part_examples(many, make_embed_options(by="image"))
    assert labels_of(chosen, chosen.split.val) == labels_of(chosen, chosen.split.train)
    assert not any(note.startswith("validated by") for note in chosen.notes)


def test_parts_of_the_data_stay():
    data = made([f"c{n:02}" for n in range(12)], 6, parts=("train", "train", "val"))
    parted = part_examples(data, make_embed_options())
    assert parted.by == "image" and len(parted.split.val) == 24 and len(parted.split.train) == 48


def test_groups_stay_whole():
    parted = part_examples(made(["a", "b", "c"], 8, group=True), make_embed_options(by="group", validation=0.3))
    parts = {}
    for name, places in (("train", parted.split.train), ("val", parted.split.val)):
        for place in places:
            parts.setdefault(parted.examples.items[place].group, set()).add(name)
    assert parted.split.val and all(len(some) == 1 for some in parts.values())


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_classes_that_are_too_small(validation):
    data = made(["a", "b", "c"], 6)
    data = Examples((*data.items, Example(Path("/d/z/0.png"), "z")), ("a", "b", "c", "z"), "/d")
    parted = part_examples(data, make_embed_options(validation=validation))
    assert parted.examples.classes == ("a", "b", "c") and any("fewer than 2 images" in note for note in parted.notes)
    kept = part_examples(data, make_embed_options(validation=validation, min_images=1))
    assert "z" in trained_classes(kept.examples, kept.split.train)


def test_what_is_not_enough():
    parted = part_examples(made(["a", "b"], 6), make_embed_options(validation=0.4))
    train, val = parted.split.train, parted.split.val
    check_enough(parted, train, val)
    own = [place for place in train if parted.examples.items[place].label == "a"]
    with pytest.raises(InputError, match=r"1 class to train on, expected two at least: add images"):
        check_enough(parted, own, val)
    one_each = [own[0], next(place for place in train if place not in own)]
    with pytest.raises(InputError, match="no class has two images to train on"):
        check_enough(parted, one_each, val)
    with pytest.raises(InputError, match="no class has two images to validate with: raise --validation"):
        check_enough(parted, train, one_each)
    whole = part_examples(made(["a", "b"], 6), make_embed_options(validation=0.0))
    check_enough(whole, whole.split.train, ())


def test_content_ids(tmp_path):
    data = tint_folders(tmp_path / "data", classes=2, each=3)
    shutil.copy(data / "tint00" / "1.png", data / "tint01" / "copy.png")
    examples = read_examples(data)
    names = [f"{item.label}/{item.path.name}" for item in examples.items]
    ids = dict(zip(names, content_ids(examples, range(len(examples))).tolist(), strict=True))
    assert ids["tint00/1.png"] == ids["tint01/copy.png"] and len(set(ids.values())) == len(ids) - 1


def test_batches():
    stored = {place: torch.full((3, 4, 4), place, dtype=torch.uint8) for place in range(6)}
    seeds = []
    batches = EmbedBatches(stored, {place: place // 3 for place in stored}, lambda x, seed: seeds.append(seed) or x, 5)
    batch = batches[1, (4, 0, 2), np.array([[1, 2, 0]])]
    assert batch.inputs[:, 0, 0, 0].tolist() == batch.places.tolist() == [4, 0, 2]
    assert batch.labels.tolist() == [1, 0, 0] and batch.triplets.tolist() == [[1, 2, 0]]
    first, seeds[:] = list(seeds), []
    assert batches[1, (0,)].triplets is None and seeds == [first[1]]  # by epoch and image, not by the batch


def test_an_image_that_has_gone(tmp_path):
    from resight.train.data import Decoded
    from resight.train.inputs import Fitting

    gone = Decoded({0: tmp_path / "gone.png"}, Fitting(8))
    found = EmbedBatches(gone, {0: 0}, as_is, 0)[0, (0,)]
    assert isinstance(found, WorkError) and "bring it back, then go on with --resume" in str(found)
