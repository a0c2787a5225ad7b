"""From images to heats: batches, many classes, streams, errors, and that nothing of the model is changed."""

import threading

import numpy as np
import pytest
import torch
from explain_samples import FrameScores, bent, frames_subject, pixels, pooled_linear, subject, to_unit
from made_runs import colour_images, make_run
from PIL import Image
from samples import picture
from torch import nn
from training_samples import clip_folders

from resight.errors import ImageError, InputError, WorkError
from resight.explain.explaining import explain, explain_each
from resight.explain.faithfulness import class_scorer
from resight.explain.lime import lime
from resight.explain.methods import METHODS, OPTIONS, find_method
from resight.explain.subject import module_subject, open_subject

pytestmark = pytest.mark.usefixtures("one_thread")
CHEAP = ["gradcam", "gradcam++", "xgrad", "layercam", "hires", "eigen", "score:channels=3", "ablation"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    return make_run(place / "run", colour_images(place / "data", images=2))


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    place = tmp_path_factory.mktemp("fusion")
    return make_run(place / "run", colour_images(place / "data", images=2), input="fusion", sift="vlfeat:step=4")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    place = tmp_path_factory.mktemp("clips")
    data = clip_folders(place / "data", each=3)
    return make_run(place / "run", data, sequences=True, head="average"), data


def spot(where, colour=0, shape=(60, 90)):
    """A dark image with a spot of one colour."""
    image = np.full((*shape, 3), 20, np.uint8)
    x1, y1, x2, y2 = where
    image[y1:y2, x1:x2, colour] = 255
    return image


def redness(**given):
    """Scores that are the mean of red and of green; maps of the layer are those of an image's own pixels."""
    module = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module[0].weight.data = torch.eye(3)[:2].view(2, 3, 1, 1)
    return module_subject(module, lambda x: x.float() / 255, 48, classes=("red", "green"), **given)


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_the_map_lies_where_the_evidence_is(mode):
    where = (40, 20, 55, 35)
    heat = explain(spot(where), redness(mode=mode), "hires", "red")
    spread = heat.spread()
    assert spread.shape == heat.size == (60, 90)
    inside = np.zeros((60, 90), bool)
    inside[where[1] : where[3], where[0] : where[2]] = True
    assert spread[inside].min() > 0.3 * spread.max()
    near = np.zeros_like(inside)
    near[where[1] - 3 : where[3] + 3, where[0] - 3 : where[2] + 3] = True
    assert spread[~near].max() < 0.15 * spread.max()
    x1, y1, x2, _ = heat.box
    assert (x1 > 0, x2 < 90) == ((mode == "crop"), (mode == "crop"))
    if mode == "crop":
        assert (spread[:, : int(x1) - 1] == 0).all() and (spread[: int(y1) - 1] == 0).all()


def test_what_a_heat_says():
    image = spot((10, 10, 40, 40))
    heat = explain(image, redness(), target="green")
    logits = redness().forward(redness().fit(image)[None])[0].detach()
    assert (heat.target, heat.label, heat.method, heat.part, heat.parts) == (1, "green", "gradcam", "", ())
    assert heat.score == pytest.approx(float(logits[1])) and heat.layer == "1"
    assert heat.probability == pytest.approx(float(logits.softmax(0)[1]))
    assert heat.map.shape == (48, 48) and heat.map.dtype == np.float32
    assert explain(image, redness()).label == "red"  # the most probable


def test_an_explained_image():
    images = [picture(0), picture(1, 50, 40)]
    found = list(explain_each(images, subject(classes=("a", "b", "c", "d")), classes="top:2"))
    for image, one in zip(images, found):
        assert one.item is image and np.array_equal(one.image, image) and one.classes == ("a", "b", "c", "d")
        assert one.probabilities.sum() == pytest.approx(1) and one.probabilities.dtype == np.float32
        best = one.top(2)
        assert best[0][0] == one.probabilities.max() and best[0][0] >= best[1][0]
        assert [heat.label for heat in one.heats] == [name for _, name in best]
        assert [heat.probability for heat in one.heats] == pytest.approx([share for share, _ in best])


@pytest.mark.parametrize("method", [*CHEAP, "lime:samples=20,segments=grid,count=4"])
def test_a_batch_is_its_images_one_by_one(method):
    images = [picture(n) for n in range(5)]
    together = list(explain_each(images, subject(size=16), method, classes=[0, 3], batch=3))
    for image, one in zip(images, together):
        alone = next(iter(explain_each([image], subject(size=16), method, classes=[0, 3], batch=1)))
        assert np.allclose(one.probabilities, alone.probabilities, atol=1e-6)
        for place in range(2):
            assert np.allclose(one.heats[place].map, alone.heats[place].map, atol=1e-5)
            assert one.heats[place].score == pytest.approx(alone.heats[place].score, abs=1e-5)


@pytest.mark.parametrize("method", CHEAP)
def test_a_target_for_each_image(method):
    images, targets = [picture(n) for n in range(4)], [2, [0, 1], "3", "top:1"]
    found = list(explain_each(images, subject(), method, targets=targets, batch=4))
    assert [[heat.target for heat in one.heats] for one in found[:3]] == [[2], [0, 1], [3]]
    for image, one in zip(images, found):
        for heat in one.heats:
            assert np.allclose(heat.map, explain(image, subject(), method, heat.target).map, atol=1e-5)
    assert len(list(explain_each(iter(images), subject(), method, targets=iter(targets)))) == 4


@pytest.mark.parametrize(
    ("images", "targets", "words"),
    [
        (4, [1], "one target for each image, got 1 for 4"),
        (1, [1, 2], "one target for each image, got 2 for 1"),
        (2, ["1", "9"], "class 9 is out of range: there are 4"),
    ],
)
def test_targets_that_do_not_fit_are_an_error_before_the_first_image(images, targets, words):
    with pytest.raises(InputError, match=words):
        explain_each([picture(0)] * images, subject(), targets=targets)


@pytest.mark.parametrize(("images", "targets"), [(3, 1), (1, 3)])
def test_targets_of_unknown_number_that_do_not_fit(images, targets):
    with pytest.raises(InputError, match=r"one target for each image: (targets|images) end after 1, \w+ go on"):
        list(explain_each((picture(n) for n in range(images)), subject(), targets=(0 for _ in range(targets))))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "gradcm"}, "unknown method 'gradcm', did you mean 'gradcam'"),
        ({"method": "score:chanels=3"}, "unknown option of score 'chanels', did you mean 'channels'"),
        ({"method": "score:channels=-1"}, "channels of score must be a whole number of at least 1, or 0 for all"),
        ({"method": "eigen:k=2"}, "eigen takes no options"),
        ({"classes": "cirus"}, "unknown class of net 'cirus', did you mean 'cirrus'"),
        ({"classes": 4}, "class 4 is out of range: there are 4, numbered from 0"),
        ({"layer": "10"}, "unknown layer of net '10'"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_an_error_before_the_first_image(given, words):
    def never():
        raise AssertionError("an image was read")
        yield

    with pytest.raises(InputError, match=words):
        explain_each(never(), subject(classes=("cirrus", "b", "c", "d")), **given)


def test_a_layer_without_places():
    with pytest.raises(InputError, match=r"layer 4 of net gives \(6, 1, 1\), which has no places: .* such as 3$"):
        explain(picture(0), subject(), layer="4")


def test_methods_and_their_options_have_the_same_names():
    assert list(METHODS) == list(OPTIONS)
    assert find_method("GradCAM")[0] == "gradcam"
    assert find_method("ablation:channels=0")[0] == "ablation"
    assert explain(picture(0), subject(), "ablation: channels=2").method == "ablation:channels=2"


def test_what_cannot_be_read_is_told_in_its_place(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.fromarray(picture(1)).save(tmp_path / "good.png")
    seen = []
    names = [tmp_path / "bad.png", tmp_path / "good.png", tmp_path / "none.png"]
    found = list(explain_each(names, subject(), targets=[0, 1, 2], progress=lambda *counts: seen.append(counts)))
    assert [isinstance(one, ImageError) for one in found] == [True, False, True]
    assert found[1].item == names[1] and found[1].heats[0].target == 1
    assert seen == [(1, 1), (2, 1), (3, 2)]
    with pytest.raises(ImageError, match=r"bad\.png"):
        explain(names[0], subject())
    (alone,) = explain_each(names[1], subject())  # one path is one image
    assert np.array_equal(alone.image, picture(1))


def state(module):
    return [
        [one.training for one in module.modules()], [one.requires_grad for one in module.parameters()],
        [None if one.grad is None else one.grad.tolist() for one in module.parameters()],
        [len(one._forward_hooks) for one in module.modules()],
        [one.tolist() for one in (*module.parameters(), *module.buffers())], torch.get_rng_state().tolist(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
    ]  # fmt: skip


def unusual():
    module = nn.Sequential(*bent(), nn.Dropout(0.5))
    module.train()
    module[2].eval()
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        parameter.grad = torch.ones_like(parameter) if number % 3 == 0 else None
    return module


@pytest.mark.parametrize("method", [*CHEAP, "lime:samples=20,segments=grid,count=4"])
def test_the_model_is_as_before(method):
    module = unusual()
    before = state(module)
    first = explain(picture(0), subject(module, 16), method, 1)
    assert state(module) == before
    again = explain(picture(0), subject(module.eval(), 16), method, 1)
    assert np.array_equal(first.map, again.map)


@pytest.mark.parametrize("method", ["gradcam", "eigen", "score", "ablation"])
def test_the_model_is_as_before_after_an_error(method):
    module = unusual()
    who = subject(module, classes=tuple("abcd"))
    explain(picture(0), who, method)  # the layer is found
    passes = []

    def interrupt(*_):
        passes.append(1)
        if len(passes) == {"gradcam": 1, "eigen": 1, "score": 2, "ablation": 2}[method]:
            raise KeyboardInterrupt

    handle = module[3].register_forward_pre_hook(interrupt)
    before = state(module)
    with pytest.raises(KeyboardInterrupt):
        explain(picture(0), who, method)
    assert state(module) == before
    handle.remove()


@pytest.mark.parametrize("method", CHEAP)
def test_within_no_grad_and_inference_mode(method):
    expected = explain(picture(0), subject(), method, 1).map
    for around in (torch.no_grad, torch.inference_mode):
        module = bent()
        before = state(module)
        with around():
            assert np.array_equal(explain(picture(0), subject(module), method, 1).map, expected)
        assert state(module) == before


def test_a_network_that_is_opened_within_inference_mode():
    with torch.inference_mode():
        inside = explain(picture(0), "test_resnet", target=3, weights="random", device="cpu")
    assert np.array_equal(inside.map, explain(picture(0), "test_resnet", target=3, weights="random", device="cpu").map)


def test_threads_that_explain_one_model_at_once():
    module, images = unusual(), [picture(n) for n in range(4)]
    before = state(module)
    jobs = [(image, method) for image in images for method in ("gradcam", "hires", "ablation", "score")]
    expected = [explain(image, subject(module), method, 1).map for image, method in jobs]
    got = [None] * len(jobs)

    def work(start):
        for place in range(start, len(jobs), 4):
            image, method = jobs[place]
            got[place] = explain(image, subject(module), method, 1).map

    for _ in range(3):
        threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(got, expected))
        assert state(module) == before


def test_a_run(run):
    image = np.full((40, 48, 3), 60, np.uint8)
    image[..., 0] += 100
    heat = explain(image, run, "cam", "red")
    assert heat.label == "red" and heat.layer == "" and heat.box == pytest.approx((0, 0, 48, 40))
    bias = float(run.network.head.bias[2])
    assert heat.total == pytest.approx(heat.score - bias, abs=1e-4)
    assert np.allclose(explain(image, run, "gradcam", 2).map, heat.map, atol=1e-5)
    probabilities = next(run.scores(image))[1]
    (one,) = explain_each([image], str(run.folder), device="cpu")
    assert np.allclose(one.probabilities, probabilities, atol=1e-5)


@pytest.mark.parametrize("method", ["cam", "gradcam", "hires", "xgrad"])
def test_a_fusion_run_has_a_map_per_branch_and_they_sum_to_the_score(fusion, method):
    for one in explain_each([picture(0), picture(1)], fusion, method, classes=[2, 0]):
        for heat in one.heats:
            assert [part.part for part in heat.parts] == ["rgb", "sift"]
            bias = float(fusion.network.head.bias[heat.target])
            assert heat.total == pytest.approx(heat.score - bias, abs=1e-4)
            assert sum(part.total for part in heat.parts) == pytest.approx(heat.total, abs=1e-5)
            assert {part.layer for part in heat.parts} == ({""} if method == "cam" else {"layer4"})


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("method", ["gradcam", "hires", "layercam", "gradcam++"])
def test_of_a_sequence_the_frame_with_the_evidence(method, one_by_one):
    who = frames_subject(one_by_one)
    who.module.conv.weight.data[:] = 0
    who.module.conv.weight.data[0, 0] = 1  # red only, above the middle
    who.module.conv.bias.data[:] = 0
    who.module.head.weight.data[1, 0] = 2
    clips = []
    for length, frame in ((4, 2), (2, 0), (3, 1)):
        clip = np.zeros((length, 3, 6, 6), np.uint8)
        clip[frame, 0, 1:3, 4:6] = 255
        clips.append((clip, frame))
    found = explain_each([clip for clip, _ in clips], who, method, classes=[1, 0], batch=2)
    for (clip, frame), one in zip(clips, found):
        assert one.image.shape == (len(clip), 6, 6, 3)
        heat = one.heats[0]
        assert [part.part for part in heat.parts] == [f"frame {n + 1}" for n in range(len(clip))]
        for number, part in enumerate(heat.parts):
            expected = clip[number, 0] > 0
            assert np.array_equal(part.map > 0, expected) and (expected.any() == (number == frame))
        assert np.allclose(heat.map, sum(part.map for part in heat.parts))
        if method == "hires":
            assert heat.total == pytest.approx(heat.score - who.module.head.bias[1].item(), abs=1e-5)


def test_a_run_on_sequences(clips):
    run, data = clips
    names = sorted(place for place in data.glob("*/*") if place.is_dir())[:3]
    found = list(explain_each(names, run, "gradcam", classes=[0, 1], batch=2))
    for name, one in zip(names, found):
        frames = len(list(name.glob("*.png")))
        assert len(one.heats[0].parts) == frames == len(one.image)
        assert np.allclose(one.probabilities, next(run.scores(name))[1], atol=1e-5)
    alone = explain(names[1], run, target=1)
    for part, other in zip(alone.parts, found[1].heats[1].parts):
        assert np.allclose(part.map, other.map, atol=1e-5) and part.part == other.part
    with pytest.raises(InputError, match="cam"):
        explain(names[0], run, "cam")


def test_frames_keep_their_order(clips):
    """What EigenCAM sees in a frame hangs on that frame alone: each is found where its clip of one frame says."""
    run, data = clips
    who = open_subject(run)
    name = max((place for place in data.glob("*/*") if place.is_dir()), key=lambda place: len(list(place.iterdir())))
    whole = explain(name, who, "eigen")
    fit, frames = who.fit, who.fit(name)
    assert len(frames) > 2
    for number, part in enumerate(whole.parts):
        object.__setattr__(who, "fit", lambda item, number=number: frames[number : number + 1])
        assert np.allclose(explain(name, who, "eigen").map, part.map, atol=1e-4)
    object.__setattr__(who, "fit", fit)


def test_sequences_of_the_samples_are_right():
    module = FrameScores().double()
    frames = torch.stack([pixels(3, 6)])
    expected = module.head(module.relu(module.conv(to_unit(frames[0, :2]))).mean((0, 2, 3)))
    assert torch.allclose(module(frames, torch.tensor([2]))[0], expected)


@pytest.mark.parametrize("method", [*METHODS])
def test_of_one_output_the_probability_is_its_sigmoid(method):
    who = subject(pooled_linear(classes=1))
    image = picture(0, 12, 12)
    heat = explain(image, who, "lime:samples=40,count=4" if method == "lime" else method)
    assert heat.probability == pytest.approx(1 / (1 + np.exp(-heat.score)), abs=1e-6) and 0 < heat.probability < 1
    assert method not in ("cam", "gradcam", "hires", "lime") or np.abs(heat.map).max() > 0
    assert class_scorer(who, 0)([image])[0] == pytest.approx(heat.probability, abs=1e-6)
    assert lime(image, who, samples=40, count=4).heats[0].probability == pytest.approx(heat.probability, abs=1e-6)


@pytest.mark.parametrize("method", [*METHODS])
def test_scores_that_are_no_numbers_are_an_error_with_the_images_name(method, tmp_path):
    class Blind(nn.Module):
        """No number where an image is dark."""

        def __init__(self):
            super().__init__()
            self.net = pooled_linear()

        def forward(self, x):
            return self.net(torch.where(x.amax((1, 2, 3), keepdim=True) < 0, x * np.nan, x))

    who, path = subject(Blind()), tmp_path / "dark.png"
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(path)
    with pytest.raises(WorkError, match=r"dark\.png: the network's scores of it are no numbers"):
        list(explain_each([picture(0, 12, 12), path], who, method))
    with pytest.raises(WorkError, match=r"^image 2: the network's scores"):
        list(explain_each([picture(0, 12, 12), np.zeros((12, 12, 3), np.uint8)], who, method))
    with pytest.raises(WorkError, match=r"^the image: the network's scores"):
        lime(np.zeros((12, 12, 3), np.uint8), who)


def test_the_fit_of_a_network_by_name():
    image = picture(1, 60, 100)
    given = {"weights": "random", "device": "cpu"}
    whole = explain(image, "test_resnet", fit="squash", **given)
    assert whole.box == (0, 0, 100, 60)
    usual, crop = explain(image, "test_resnet", **given), explain(image, "test_resnet", fit="crop", **given)
    assert usual.box == crop.box and np.array_equal(usual.map, crop.map) and usual.box[0] > 0
    (found,) = explain_each([image], "test_resnet", fit="squash", **given)
    assert np.array_equal(found.heats[0].map, whole.map)


@pytest.mark.parametrize(("image", "target"), [(["a.jpg", "b.jpg"], None), (picture(1), [0, 1]), (picture(1), (2,))])
def test_several_images_or_classes_are_not_dropped_in_silence(image, target):
    with pytest.raises(InputError, match="explain_each"):
        explain(image, subject(), "cam", target)


@pytest.mark.parametrize("method", ["cam", "gradcam", "score"])
def test_a_network_that_fails_is_an_error_in_one_line_whatever_the_method(method):
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head, self.ready = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), False

        def forward(self, x):
            if self.ready:
                raise RuntimeError("boom")
            return self.head(self.layer(x).mean((2, 3)))

    network = Failing()
    made = module_subject(network, lambda pixels: pixels.float() / 255, 16)
    network.ready = True
    with pytest.raises(WorkError, match=r"failed on .*boom"):
        explain(picture(1), made, method)
