"""LIME: the weights of a network that are known, the lime package's numbers for its own draw, and the doors."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from network_samples import network
from samples import picture
from torch import nn

from resight.errors import ImageError, InputError
from resight.explain.explaining import explain, explain_each
from resight.explain.lime import (
    by_superpixels,
    choose,
    default_samples,
    draw_masks,
    hidden_square,
    lime,
    score_masks,
)
from resight.explain.subject import module_subject
from resight.explain.superpixels import superpixels
from resight.explain.surrogate import fit_surrogate
from resight.explain.work import Batch

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 32


def small(classes=4, seed=0):
    """A subject with a tiny random network, whose scores differ between images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * 64, classes)
        )
        with torch.no_grad():
            net[-1].weight.mul_(8)
    names = [f"class {number}" for number in range(classes)]
    return module_subject(net, lambda pixels: pixels.float() / 255, SIDE, classes=names)


class Means(nn.Module):
    """Two classes; the first one's probability is a sum over parts of weight times mean grey level."""

    def __init__(self, labels, weights, level):
        super().__init__()
        parts = torch.nn.functional.one_hot(torch.from_numpy(labels).long()).double()
        self.means, self.weights, self.level = parts / parts.sum((0, 1)), torch.from_numpy(weights), level

    def forward(self, pixels):
        share = self.level + torch.einsum("bhw,hwn->bn", pixels.double().mean(1) / 255, self.means) @ self.weights
        return torch.stack([share, 1 - share], 1).log()


def means_subject(labels, weights, level=0.5):
    return module_subject(Means(labels, weights, level), lambda pixels: pixels, SIDE, classes=["it", "rest"])


def probabilities(subject, images):
    """(B, S, S, 3) uint8 -> (B, C) float64."""
    with torch.no_grad():
        return subject.forward(torch.from_numpy(images).permute(0, 3, 1, 2)).double().softmax(1).numpy()


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["slic", "grid"]))
def test_a_network_linear_in_the_parts_gives_its_weights_in_their_order(seed, method):
    image = picture(seed, SIDE, SIDE)
    labels = superpixels(image, method, 9)
    count = labels.max() + 1
    random = np.random.default_rng(seed)
    means = np.bincount(labels.ravel(), image.mean(2).ravel()) / np.bincount(labels.ravel()) / 255
    # What a part adds when it is shown on black is weight times mean: even steps, in any order, both signs.
    adds = random.permutation(np.linspace(-0.4, 0.4, count)) / count
    subject = means_subject(labels, adds / np.maximum(means, 1e-3))
    found = lime(image, subject, ["it", "rest"], segments=method, count=9, hide="black", seed=seed)
    assert np.argsort(found.coefficients[0]).tolist() == np.argsort(adds).tolist()
    assert found.coefficients[0] == pytest.approx(adds, abs=0.15 * np.abs(adds).max())  # the ridge shrinks them
    assert found.coefficients[1] == pytest.approx(-found.coefficients[0], abs=1e-9)
    assert found.stability == pytest.approx(1) and found.r2.min() > 0.99


@pytest.mark.oracle
@pytest.mark.parametrize(("method", "hide"), [("slic", "mean"), ("slic", "black"), ("grid", "mean")])
def test_with_the_lime_packages_draw_the_coefficients_are_the_lime_packages(method, hide):
    from lime.lime_image import LimeImageExplainer

    subject, image = small(), picture(5, SIDE, SIDE)
    labels = superpixels(image, method, 16)
    theirs = LimeImageExplainer(random_state=np.random.RandomState(7)).explain_instance(
        image, lambda images: probabilities(subject, images), top_labels=4, num_samples=150, random_seed=0,
        hide_color=None if hide == "mean" else 0, segmentation_fn=lambda _: labels, batch_size=10,
    )  # fmt: skip
    count = labels.max() + 1
    masks = np.random.RandomState(7).randint(0, 2, 150 * count).reshape(150, count).astype(np.uint8)
    masks[0] = 1
    _, targets, scores = score_masks(subject, image, labels, masks, lambda logits: range(4), hide)
    ours = fit_surrogate(masks, scores)
    for place, target in enumerate(targets):
        known = dict(theirs.local_exp[target])
        assert ours.coefficients[place] == pytest.approx([known[part] for part in range(count)], abs=1e-7)
        assert np.abs(ours.coefficients[place]).max() > 1e-3
        assert ours.intercepts[place] == pytest.approx(theirs.intercept[target], abs=1e-7)
    assert ours.r2[np.argmax(scores[0])] == pytest.approx(theirs.score, abs=1e-6)


def test_scores_of_masks_are_those_of_a_naive_loop():
    subject, image = small(), picture(2, SIDE, SIDE)
    labels, hidden = superpixels(image, "slic", 12), np.zeros_like(image)
    for part in range(labels.max() + 1):
        hidden[labels == part] = image[labels == part].mean(0)  # into uint8: downwards
    assert np.array_equal(hidden_square(image, labels), hidden)
    assert not hidden_square(image, labels, "black").any()
    masks = draw_masks(labels.max() + 1, 21, 0)
    logits, targets, scores = score_masks(subject, image, labels, masks, lambda logits: [3, int(logits.argmin())])
    for row, mask in enumerate(masks):
        covered = image.copy()
        for part in np.flatnonzero(mask == 0):
            covered[labels == part] = hidden[labels == part]
        assert scores[row] == pytest.approx(probabilities(subject, covered[None])[0, list(targets)], abs=1e-6)
    assert targets == (3, int(logits.argmin()))
    with torch.no_grad():
        whole = subject.forward(torch.tensor(image).permute(2, 0, 1)[None])[0]
    assert logits == pytest.approx(whole.numpy(), abs=1e-5)


def test_masks_hide_half_and_the_first_hides_nothing():
    masks = draw_masks(40, 1000, 3)
    assert masks.shape == (1000, 40) and masks[0].all() and set(np.unique(masks)) == {0, 1}
    assert masks[1:].mean() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(masks, draw_masks(40, 1000, 3)) and not np.array_equal(masks, draw_masks(40, 1000, 4))
    assert [default_samples(count) for count in (2, 17, 50, 84, 2000)] == [200, 204, 600, 1000, 1000]


@given(arrays(np.float64, (2, 7), elements=st.floats(-1, 1)), st.integers(0, 9), st.booleans())
def test_the_strongest_are_chosen(coefficients, features, positive):
    for row, found in zip(coefficients, choose(coefficients, features, positive), strict=True):
        allowed = [part for part in range(7) if not positive or row[part] > 0]
        best = sorted(allowed, key=lambda part: -abs(row[part]))[: features or None]
        assert np.flatnonzero(found).tolist() == sorted(best)


def test_the_heat_is_the_coefficient_of_each_pixels_superpixel():
    image = picture(1, 40, 60)
    found = lime(image, small(), "top:2", segments="grid", count=16, samples=80)
    assert found.coefficients.shape == (2, 16) and found.samples == 80
    assert found.targets == tuple(np.argsort(-found.logits)[:2]) and found.heat is found.heats[0]
    for place, heat in enumerate(found.heats):
        assert heat.map == pytest.approx(found.coefficients[place][found.segments], abs=1e-7)
        assert (heat.method, heat.layer, heat.size, heat.box) == ("lime", "", (40, 60), (0, 0, 60, 40))
        assert (heat.target, heat.label) == (found.targets[place], found.labels[place])
        assert heat.score == pytest.approx(found.logits[heat.target])
        assert heat.probability == pytest.approx(
            float(np.exp(heat.score) / np.exp(found.logits.astype(float)).sum()), abs=1e-6
        )


def test_as_the_predecessor_drew_it_five_superpixels_for_the_class_on_black():
    image = picture(1, SIDE, SIDE)
    whole = lime(image, small(), 0, segments="grid", count=16, samples=100, hide="black")
    found = lime(
        image, small(), 0, segments="grid", count=16, samples=100, hide="black", features=5, positive_only=True
    )
    assert np.array_equal(found.coefficients, whole.coefficients)
    order = [part for part in np.argsort(-np.abs(whole.coefficients[0])) if whole.coefficients[0, part] > 0][:5]
    assert np.flatnonzero(found.chosen[0]).tolist() == sorted(order)
    kept = np.isin(found.segments, order)
    assert np.array_equal(found.heat.map != 0, kept) and found.heat.map.min() == 0
    assert np.array_equal(found.cut_out(), np.where(kept[..., None], image, 0)) and kept.any() and not kept.all()


def test_segments_of_ones_own_are_those_of_the_image_not_of_the_square():
    image = picture(1, 64, 96)
    labels = np.zeros((64, 96), int)
    labels[:, 48:] = 7
    labels[:32, 48:] = -2
    found = lime(image, small(), 0, segments=labels, samples=50)
    assert np.array_equal(found.segments[:, : SIDE // 2], np.ones((SIDE, SIDE // 2)))  # -2, 0, 7 became 0, 1, 2
    assert (found.segments[: SIDE // 2, SIDE // 2 :] == 0).all() and (found.segments[SIDE // 2 :, -1] == 2).all()
    heat = found.heat.spread()
    assert heat[5, 90] == pytest.approx(found.coefficients[0, 0], abs=1e-6)
    assert heat[60, 90] == pytest.approx(found.coefficients[0, 2], abs=1e-6)


def test_many_classes_cost_as_many_passes_as_one_and_no_more_than_the_samples():
    subject, image, passed = small(), picture(1, SIDE, SIDE), []

    def counting(module, pixels):
        passed.append(len(pixels))
        return subject.run(module, pixels)

    counted = replace(subject, run=counting)
    one = lime(image, counted, "class 2", segments="grid", samples=50)
    assert sum(passed) == 50 and max(passed) <= 16
    passed.clear()
    four = lime(image, counted, [0, 1, 2, 3], segments="grid", samples=50)
    assert sum(passed) == 50
    assert four.coefficients[2] == pytest.approx(one.coefficients[0], abs=1e-12)
    assert four.coefficients.sum(0) == pytest.approx(0, abs=1e-9)  # probabilities sum to 1


def test_it_is_one_of_the_methods_with_options_by_name():
    subject, images = small(), [picture(1, SIDE, SIDE), picture(2, 40, 60)]
    text = "lime:samples=60,segments=grid,count=9,hide=black"
    together = list(explain_each(images, subject, text, "top:2", batch=2))
    for image, found in zip(images, together, strict=True):
        alone = lime(image, subject, "top:2", samples=60, segments="grid", count=9, hide="black")
        for one, other in zip(found.heats, alone.heats, strict=True):
            assert one.map == pytest.approx(other.map, abs=1e-6) and one.map.shape == (SIDE, SIDE)
            assert (one.target, one.size, one.box, one.parts) == (other.target, other.size, other.box, ())
            assert one.score == pytest.approx(other.score, abs=1e-5)
    with pytest.raises(InputError, match="unknown option of lime 'sample', did you mean 'samples'"):
        explain(images[0], subject, "lime:sample=60")


def test_items_that_ask_for_fewer_classes_keep_their_own():
    subject = small()
    pixels = torch.from_numpy(np.stack([picture(n, SIDE, SIDE) for n in (1, 2)])).permute(0, 3, 1, 2)
    asks = iter([[1, 3], [2]])
    found = by_superpixels(Batch(subject, pixels), lambda logits: next(asks), samples=40, segments="grid", count=4)
    assert found.targets == ((1, 3), (2,)) and len(found.maps) == 2
    first, last = found.maps[0].by_branch[""], found.maps[1].by_branch[""]
    assert torch.equal(first[1], last[1]) and not torch.equal(first[0], last[0])
    single = lime(picture(2, SIDE, SIDE), subject, 2, samples=40, segments="grid", count=4)
    assert last[1].numpy() == pytest.approx(single.heat.map, abs=1e-6)


def test_a_fusion_network_has_one_map_for_its_one_image_and_workers_do_not_change_it():
    net = network(input="fusion")
    subject = replace(module_subject(net, lambda pixels: pixels, 64), roots={"rgb": "rgb.", "sift": "sift."})
    image, found = picture(1, 64, 64), []
    for threads in (1, 2):  # on a CPU as many workers
        torch.set_num_threads(threads)
        found.append(explain(image, subject, "lime:samples=40,segments=grid"))
    torch.set_num_threads(1)
    assert np.array_equal(found[0].map, found[1].map) and found[0].map.any()
    assert (found[0].part, found[0].parts, found[0].layer) == ("", (), "")


def test_the_network_and_the_random_numbers_are_as_before_also_after_an_interruption():
    subject, image, told = small(), picture(1, SIDE, SIDE), []
    subject.module.train()
    subject.module[0].eval()
    modes = [one.training for one in subject.module.modules()]
    before, threads, torches = torch.get_rng_state(), threading.active_count(), torch.get_num_threads()
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002

    def stop(done, total):
        told.append((done, total))
        if done >= 24:
            raise KeyboardInterrupt

    lime(image, subject, 0, segments="grid", samples=40, progress=lambda *given: told.append(given))
    assert told == [(8, 40), (16, 40), (24, 40), (32, 40), (40, 40)]
    with pytest.raises(KeyboardInterrupt):
        lime(image, subject, 0, segments="grid", samples=4000, progress=stop)
    assert told[5:] == [(8, 4000), (16, 4000), (24, 4000)]
    assert [one.training for one in subject.module.modules()] == modes
    assert all(one.requires_grad and one.grad is None for one in subject.module.parameters())
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(drawn, np.random.get_state()[1])  # noqa: NPY002
    assert (threading.active_count(), torch.get_num_threads()) == (threads, torches)


def test_inside_no_grad_and_inference_mode_it_is_the_same():
    subject, image = small(), picture(1, SIDE, SIDE)
    plain = lime(image, subject, 0, segments="grid", samples=30).coefficients
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert np.array_equal(lime(image, subject, 0, segments="grid", samples=30).coefficients, plain)


def test_what_it_says_of_itself_is_plain():
    labels = superpixels(picture(1, SIDE, SIDE), "grid", 4)
    dead = lime(picture(1, SIDE, SIDE), means_subject(labels, np.zeros(4)), 0, segments="grid", count=4)
    assert json.loads(json.dumps(dead.about())) == {"superpixels": 4, "samples": 200, "r2": None, "stability": None}
    live = lime(picture(1, SIDE, SIDE), small(), 0, segments="grid", count=4)
    assert live.about() == {
        "superpixels": 4, "samples": 200, "r2": float(live.r2[0]), "stability": float(live.stability[0])
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"segments": "slick"}, "segments of lime must be one of slic, quickshift, felzenszwalb, grid, got 'slick'"),
        ({"segments": np.zeros((40, 60), int)}, "what the network sees of the segments has one part"),
        ({"segments": np.eye(9, dtype=int)}, r"as large as the image, \(H, W\) = \(40, 60\), got \(9, 9\)"),
        ({"samples": 5}, "samples of lime must be a whole number from 10 to 100000, or 0 for 12 of each superpixel"),
        ({"samples": 2.5}, "samples of lime"),
        ({"hide": "blur"}, "hide of lime must be mean or black, got 'blur'"),
        ({"seed": -1}, "seed of lime must be a whole number of at least 0"),
        ({"features": -1}, "features of lime must be a whole number of at least 1, or 0 for all"),
        ({"count": 1}, "count of lime must be a whole number from 2 to 2000"),
        ({"classes": "clas 1"}, "did you mean 'class 1'"),
    ],
)
def test_doors(given, message):
    with pytest.raises(InputError, match=message) as error:
        lime(picture(1, 40, 60), small(), **given)
    assert "\n" not in str(error.value)


def test_sequences_layers_and_segments_of_one_part_are_refused_with_the_reason(tmp_path):
    subject, image = small(), picture(1, SIDE, SIDE)
    with pytest.raises(InputError, match=r"takes sequences: superpixels belong to one frame.*use gradcam"):
        lime(image, replace(subject, frames=True))
    with pytest.raises(InputError, match="lime looks at no layer"):
        explain(image, subject, "lime", layer="0")
    with pytest.raises(InputError, match="segments has one part, but 2 to 2,000 can be explained"):
        lime(image, subject, segments=np.zeros((SIDE, SIDE), int))
    with pytest.raises(ImageError, match=r"none\.jpg"):
        lime(tmp_path / "none.jpg", subject)
    with pytest.raises(InputError, match="needs masks to score"):
        score_masks(subject, image, superpixels(image, "grid", 4), np.zeros((0, 4), np.uint8), lambda logits: [0])


@pytest.mark.slow
def test_on_a_photograph_more_to_see_makes_the_best_class_more_probable(real_images):
    photo = real_images("imagenet-sample") / "n01443537_goldfish.jpg"
    found = lime(photo, "tf_efficientnet_lite0", "top:1", segments="grid", count=9, samples=40)
    assert found.heat.label == "n01443537 goldfish" and found.heat.score == found.logits.max()
    assert found.coefficients.sum() > 0.2 and found.coefficients.max() > -2 * found.coefficients.min()


def test_what_cannot_be_cut_is_cut_by_a_grid():
    plain = np.full((SIDE, SIDE, 3), 90, np.uint8)
    found = lime(plain, small(), 0, segments="felzenszwalb", count=9, samples=20)
    assert np.array_equal(found.segments, superpixels(plain, "grid", 9))
    both = [*explain_each([plain, picture(1, SIDE, SIDE)], small(), "lime:samples=20", targets=[2, 1])]
    assert [one.heats[0].target for one in both] == [2, 1]
