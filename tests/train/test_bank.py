import pytest
import torch
from training_samples import TINY, class_folders, clip_folders

from resight.train.bank import first, make_bank, pick
from resight.train.inputs import Fitting
from resight.train.networks import make_network
from resight.train.options import TrainOptions, resolved

pytestmark = pytest.mark.usefixtures("one_thread")
FITTING = Fitting(32)


@pytest.fixture(scope="module")
def network():
    return make_network(resolved(TrainOptions(**TINY, tune="head"), 32), 3).eval()


@pytest.fixture
def paths(tmp_path):
    root = class_folders(tmp_path / "data", each=3)
    return dict(enumerate(sorted(root.rglob("*.png"))))


def test_features_are_those_of_each_image_alone(network, paths):
    stock = make_bank(network, FITTING, paths, mirrored={0, 5})
    assert list(stock.inputs) == list(paths) and not stock.skipped
    for place, path in paths.items():
        pixels = FITTING(path)[None]
        with torch.no_grad():
            views = [network.features(pixels)[0]] + [network.features(pixels.flip(3))[0]] * (place in (0, 5))
        assert stock.inputs[place].shape == (len(views), views[0].numel())
        torch.testing.assert_close(stock.inputs[place], torch.stack(views), atol=1e-5, rtol=1e-5)


def test_unreadable_images_are_left_out(network, paths):
    paths[2].write_bytes(b"nothing")
    stock = make_bank(network, FITTING, paths)
    assert 2 not in stock.inputs and list(stock.skipped) == [2] and len(stock.inputs) == 8


def test_training_picks_a_view_and_validation_the_image_itself():
    views = torch.tensor([[1.0], [2.0]])
    assert {float(pick(views, seed)) for seed in range(10)} == {1.0, 2.0}
    assert float(first(views, 1)) == 1.0 and float(pick(views[:1], 7)) == 1.0


def test_frames_of_sequences(tmp_path):
    from resight.train.sequence_network import make_sequence_network

    root = clip_folders(tmp_path / "clips", each=3)
    clips = dict(enumerate(sorted((root / "red").iterdir())))
    options = resolved(TrainOptions(**TINY, tune="head", sequences=True, frames=4, augment="none"), 32)
    network = make_sequence_network(options, 2).eval()
    fitting = Fitting(32, frames=4)
    stock = make_bank(network, fitting, clips)
    for place, clip in clips.items():
        frames = fitting(clip)
        with torch.no_grad():
            expected = network.features(frames[None], torch.tensor([len(frames)]))
        torch.testing.assert_close(stock.inputs[place], expected, atol=1e-5, rtol=1e-5)
