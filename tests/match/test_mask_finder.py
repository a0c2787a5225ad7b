"""What is made of the pixels that a network marks, and which files may be such a network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import picture

from resight.errors import InputError, WorkError
from resight.images import resize
from resight.match.mask_finder import (
    SIZES_KEPT,
    MaskFinder,
    MaskModel,
    box_homography,
    open_mask_model,
    parts,
    place_query,
)
from resight.match.mask_network import make_mask_network
from resight.match.template import Template
from resight.train.run_files import write_model

pytestmark = pytest.mark.usefixtures("one_thread")
S = 64


class Fixed(MaskModel):
    """A model that marks what it is told to; it counts how often a query is encoded."""

    def __init__(self, probabilities):
        object.__setattr__(self, "size", S)
        object.__setattr__(self, "found", np.asarray(probabilities, np.float32))
        object.__setattr__(self, "encoded", [])

    def encode(self, query):
        self.encoded.append(query)
        return []

    def probabilities(self, scene, query):
        assert scene.shape == (S, S, 3) and scene.dtype == np.uint8
        return self.found


def blobs(*boxes):
    """A map of S x S with boxes (x1, y1, x2, y2, probability)."""
    found = np.full((S, S), 0.1, np.float32)
    for x1, y1, x2, y2, value in boxes:
        found[y1:y2, x1:x2] = value
    return found


SCENE = np.zeros((S, S, 3), np.uint8)
THING = Template(picture(3)[:8, :16])


def test_the_largest_part_its_box_and_its_mean():
    finder = MaskFinder(THING, Fixed(blobs((4, 6, 20, 14, 0.75), (40, 40, 60, 60, 0.6), (30, 2, 31, 3, 0.99))))
    match = finder.find(SCENE)
    assert match.found and match.method == "mask" and match.score == pytest.approx(0.6)
    assert match.box == (40, 40, 60, 60)
    np.testing.assert_allclose(match.corners, [[40, 40], [60, 40], [60, 60], [40, 60]])
    assert match.mask.sum() == 400 and match.mask[40:60, 40:60].all()
    assert (match.scene_size, match.template_size, match.inliers) == ((S, S), (8, 16), 0)
    assert match.evidence["area"] == pytest.approx(400 / S**2) and match.evidence["peak"] == pytest.approx(0.99)


def test_all_parts_the_surest_first_without_specks():
    finder = MaskFinder(THING, Fixed(blobs((4, 6, 20, 14, 0.75), (40, 40, 60, 60, 0.6), (30, 2, 31, 3, 0.99))))
    found = finder.find_all(SCENE)
    assert [round(one.score, 3) for one in found] == [0.75, 0.6]
    assert [one.box for one in found] == [(4, 6, 20, 14), (40, 40, 60, 60)]
    assert [one.box for one in finder.find_all(SCENE, most=1)] == [(40, 40, 60, 60)]


def test_absent_and_thresholds():
    match = MaskFinder(THING, Fixed(blobs((4, 4, 20, 20, 0.4)))).find(SCENE)
    assert (match.found, match.homography, match.box) == (False, None, None)
    assert match.score == pytest.approx(0.4) and not match.mask.any()
    strict = MaskFinder(THING, Fixed(blobs((4, 4, 20, 20, 0.7))), threshold=0.8)
    assert not strict.find(SCENE).found and strict.find(SCENE).box == (4, 4, 20, 20)  # the best candidate is told
    assert strict.find_all(SCENE) == ()


def test_a_scene_of_another_shape():
    """The map of the square is stretched over the scene, pixel centres at +.5."""
    finder = MaskFinder(THING, Fixed(blobs((16, 16, 32, 48, 1.0))))
    match = finder.find(np.zeros((2 * S, 4 * S, 3), np.uint8))
    assert match.box == pytest.approx((64, 32, 128, 96), abs=1.0)
    assert finder.probabilities(np.zeros((2 * S, 4 * S, 3), np.uint8)).shape == (2 * S, 4 * S)


def test_the_query_is_encoded_once_for_scenes_of_one_size():
    model = Fixed(blobs())
    finder = MaskFinder(THING, model)
    for _ in range(3):
        finder.find(SCENE)
    assert len(model.encoded) == 1
    shapes = [(S, S + 4 * number) for number in range(SIZES_KEPT + 2)]
    for height, width in shapes:
        finder.find(np.zeros((height, width, 3), np.uint8))
    assert len(model.encoded) == len(shapes) and len(finder._encoded) == SIZES_KEPT
    finder.find(SCENE)  # of the first size, forgotten meanwhile
    assert len(model.encoded) == len(shapes) + 1


def test_the_query_lies_in_the_middle_on_black():
    thing = picture(1)[:20, :32]
    found = place_query(Template(thing), (S, S), S)
    assert np.array_equal(found[22:42, 16:48], thing)
    assert found.sum() == thing.sum(dtype=np.int64)
    masked = place_query(Template(thing, mask=np.arange(32)[None] < np.full((20, 1), 16)), (S, S), S)
    assert np.array_equal(masked[22:42, 16:32], thing[:, :16]) and not masked[:, 32:].any()


def test_a_template_larger_than_the_scene_still_fits():
    thing = np.full((100, 50, 3), 200, np.uint8)
    found = place_query(Template(thing), (50, 100), S)  # on a canvas of 100 x 200
    columns = np.flatnonzero(found[:, :, 0].any(0))
    assert (found[:, S // 2, 0] > 190).all() and (columns[0], columns[-1] + 1) == pytest.approx((24, 40), abs=1)
    assert np.array_equal(place_query(Template(thing), (100, 200), S), found)


def test_parts_touch_at_corners():
    one = blobs((0, 0, 10, 10, 1), (10, 10, 20, 20, 1), (40, 0, 50, 10, 1))
    assert [int(part.sum()) for part in parts(one, 9)] == [200, 100]
    assert parts(blobs(), 3) == []


def test_a_box_takes_the_template_to_the_part():
    part = np.zeros((S, S), bool)
    part[10:30, 5:45] = True
    matrix = box_homography(part, (8, 16))
    ends = matrix @ np.array([[0, 16], [0, 8], [1, 1]])
    assert ends[:2].T.tolist() == [[5, 10], [45, 30]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, of a network as it was drawn."""
    folder = tmp_path_factory.mktemp("run")
    network = make_mask_network("test_resnet", "random", combine="concat", size=S, width=32)
    digest = write_model(folder / "model.safetensors", network.state_dict())
    record = {"format": "resight-train-1", "task": "locate", "state": "finished", "network": network.record(),
              "model": {"file": "model.safetensors", "sha256": digest}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_run_or_its_file_and_what_the_network_says(run, name):
    scene = picture(5)
    finder = MaskFinder(picture(5)[10:40, 10:50], run / name, device="cpu")
    network = make_mask_network("test_resnet", "random", combine="concat", size=S, width=32).eval()
    known = finder.model.network.state_dict()
    assert all(torch.equal(value, known[key]) for key, value in network.state_dict().items())  # the joins too
    square = resize(scene, (S, S), "bilinear")
    query = place_query(finder.template, scene.shape[:2], S)
    with torch.no_grad():
        images = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (square, query))
        expected = network(*images).sigmoid()[0, 0].numpy()
    found = finder.model.probabilities(square, finder.model.encode(query))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def changed(run, tmp_path, **facts):
    record = {**json.loads((run / "run.json").read_text()), **facts}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    return tmp_path


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_door_of_models(run, tmp_path):
    with pytest.raises(InputError, match=r"expected the folder of a finished run .*, got no run.json"):
        open_mask_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="got another run or file"):
        open_mask_model(changed(run, tmp_path, task="classify"))
    with pytest.raises(InputError, match=r"has not finished: .*resight train finish"):
        open_mask_model(changed(run, tmp_path, state="training"))
    with pytest.raises(WorkError, match=r"is damaged, or of another version: .*mask network is damaged"):
        open_mask_model(changed(run, tmp_path, network={"backbone": "test_resnet"}))
    with pytest.raises(WorkError, match="unknown backbone"):
        open_mask_model(changed(run, tmp_path, network={**make_facts(run), "backbone": "nothing"}))
    with pytest.raises(WorkError, match="do not fit the backbone"):
        open_mask_model(changed(run, tmp_path, network={**make_facts(run), "combine": "mult"}))
    with pytest.raises(WorkError, match="model is missing"):
        open_mask_model(changed(run, tmp_path, model=None))
    folder = changed(run, tmp_path)
    torch.save({"a": Hostile(tmp_path / "ran")}, folder / "model.safetensors")
    with pytest.raises(WorkError, match=r"is not what run\.json has recorded"):
        open_mask_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WorkError, match="expected a file, got none"):
        open_mask_model(folder)
    (folder / "run.json").write_text("[" * 100_000)
    with pytest.raises(WorkError, match="not JSON"):
        open_mask_model(folder)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_its_record_vouches_for_is_not_run(run, tmp_path):
    import hashlib

    torch.save({"a": Hostile(tmp_path / "ran")}, tmp_path / "pickle")
    data = (tmp_path / "pickle").read_bytes()
    folder = changed(run, tmp_path, model={"sha256": hashlib.sha256(data).hexdigest()})
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WorkError, match="is damaged, or of another version"):
        open_mask_model(folder)
    assert not (tmp_path / "ran").exists()


def make_facts(run):
    return json.loads((run / "run.json").read_text())["network"]


def test_door_of_finding(run):
    with pytest.raises(InputError, match="threshold must be from 0 to 1, got 2"):
        MaskFinder(THING, Fixed(blobs()), threshold=2)
    with pytest.raises(InputError, match="most must be at least 1"):
        MaskFinder(THING, Fixed(blobs())).find_all(SCENE, most=0)
