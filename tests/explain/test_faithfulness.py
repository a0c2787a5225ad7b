"""Curves and drops, with scores whose answers are known by hand."""

from __future__ import annotations

import explain_samples
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import picture

from resight.errors import InputError
from resight.explain.faithfulness import Curve, class_scorer, deletion, drop, insertion, road

CORNER = np.array([[1.0, 0.0], [0.0, 0.0]])
WHITE = np.full((8, 8, 3), 255, np.uint8)


def corner(images):
    """How bright the upper left quarter is, 0 to 1."""
    return np.array([image[:4, :4].mean() / 255 for image in images])


def counted(score):
    """The score, and how many images it was asked for."""
    asked = []

    def count(images):
        asked.append(len(images))
        return score(images)

    return count, asked


def test_area_by_hand():
    assert Curve(np.array([0, 0.25, 1]), np.array([1, 0.5, 0])).area == pytest.approx(0.25 * 0.75 + 0.75 * 0.25)


def test_deleting_the_evidence_first_loses_all_at_once():
    right = deletion(WHITE, CORNER, corner, steps=4, filling="black", cells=2)
    assert right.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert right.scores.tolist() == [1, 0, 0, 0, 0] and right.area == 0.125
    wrong = deletion(WHITE, -CORNER, corner, steps=4, filling="black", cells=2)
    assert wrong.scores.tolist() == [1, 1, 1, 1, 0] and wrong.area == 0.875


def test_inserting_the_evidence_first_brings_all_at_once():
    right = insertion(WHITE, CORNER, corner, steps=4, filling="black", cells=2)
    assert right.scores.tolist() == [0, 1, 1, 1, 1] and right.area == 0.875
    wrong = insertion(WHITE, -CORNER, corner, steps=4, filling="black", cells=2)
    assert wrong.scores.tolist() == [0, 0, 0, 0, 1] and wrong.area == 0.125


@given(st.integers(0, 50), st.sampled_from([None, 3, 5]), st.integers(1, 6))
def test_each_step_is_the_image_with_that_share_exchanged(seed, cells, steps):
    image, values = picture(seed, 10, 10), np.random.default_rng(seed).random((3, 3))
    from resight.explain.removal import filled, removal_ranks

    ranks = removal_ranks(values, 10, cells)
    for way, start, end in (
        (deletion, image, filled(image, "mean")), (insertion, filled(image, "blur"), image)
    ):  # fmt: skip
        seen = []

        def keep(images, seen=seen):
            seen.extend(images)
            return np.zeros(len(images))

        way(image, values, keep, steps=steps, cells=cells)
        assert len(seen) == steps + 1
        for step, shown in enumerate(seen):
            for y in range(10):
                for x in range(10):
                    wanted = end if ranks[y, x] < step / steps else start
                    assert (shown[y, x] == wanted[y, x]).all()


def test_a_known_probability_is_not_asked_for_again():
    image = picture(0, 8, 8)
    for way in (deletion, insertion):
        score, asked = counted(corner)
        own = way(image, CORNER, score, steps=5)
        given_ = way(image, CORNER, score, steps=5, whole=float(corner([image])[0]))
        assert asked == [6, 5] and given_.scores.tolist() == own.scores.tolist()


def test_drop_by_hand():
    half = np.zeros((8, 8))
    half[:4] = 2.0  # scaled by its maximum
    assert drop(WHITE, half, lambda images: np.array([image.mean() / 255 for image in images])) == (0.5, 0.0)
    assert drop(WHITE, half, corner) == (0.0, 0.0)


def test_a_map_that_hides_what_speaks_against_the_class_increases_it():
    values = np.zeros((8, 8))
    values[:4, :4] = 1.0

    def against(images):
        return np.array([0.2 + 0.5 * (image[4:].mean() == 0) for image in images])

    assert drop(WHITE, values, against) == (0.0, 1.0)


def test_negative_places_are_hidden_and_a_map_without_positive_ones_shows_nothing():
    values = np.full((8, 8), -1.0)
    assert drop(WHITE, values, corner) == (1.0, 0.0)
    values[:4, :4] = 3.0
    assert drop(WHITE, values, corner) == (0.0, 0.0)


def test_an_image_without_any_probability_loses_none():
    assert drop(WHITE, CORNER, lambda images: np.zeros(len(images))) == (0.0, 0.0)


def test_road_by_hand():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4] = 200  # the left half is bright, the right one black

    def left(images):
        return np.array([shown[:, :4].mean() / 200 for shown in images])

    values = np.zeros((8, 8))
    values[:, :4] = 1.0
    found = road(image, values, left, fractions=[0.5], noise=0)
    # Without the left half the right, black one goes on; without the right half nothing is lost.
    assert found.most == pytest.approx([0.0], abs=0.01) and found.least.tolist() == [1.0]
    assert found.gain == pytest.approx(0.5, abs=0.005)
    assert road(image, -values, left, fractions=[0.5], noise=0).gain == pytest.approx(-0.5, abs=0.005)


def test_road_removes_the_same_share_from_both_ends():
    seen = []

    def keep(images):
        seen.extend(images)
        return np.zeros(len(images))

    image = np.zeros((10, 10, 3), np.uint8)
    image[::2] = 255
    road(image, np.random.default_rng(0).random((10, 10)), keep, fractions=[0.2, 0.7], noise=0)
    changed = [int((shown != image).any(2).sum()) for shown in seen]
    assert len(seen) == 4 and changed[0] <= 20 and changed[1] <= 70 and changed[2] <= 20 and changed[3] <= 70
    assert changed[0] >= 15 and changed[2] >= 15  # stripes are lost where they are imputed


@pytest.mark.parametrize("fractions", [[], [0.0], [1.0], [0.5, 1.5], [[0.5]]])
def test_fractions_lie_between_nothing_and_all(fractions):
    with pytest.raises(InputError, match="between 0 and 1"):
        road(WHITE, CORNER, corner, fractions=fractions)


def test_steps_and_filling_are_checked():
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        deletion(WHITE, CORNER, corner, steps=0)
    with pytest.raises(InputError, match="unknown filling"):
        insertion(WHITE, CORNER, corner, filling="grey")


def test_the_scorer_is_the_networks_softmax(one_thread):
    subject = explain_samples.subject()
    images = [picture(seed, 12, 12) for seed in range(5)]
    found = class_scorer(subject, 2, batch=2)(images)
    with torch.no_grad():
        for image, share in zip(images, found, strict=True):
            logits = subject.forward(torch.tensor(image).permute(2, 0, 1)[None])
            assert share == pytest.approx(float(logits.softmax(1)[0, 2]), abs=1e-6)
    assert class_scorer(subject, 2)([]).shape == (0,)


def test_the_scorer_leaves_a_network_in_training_as_it_was(one_thread):
    subject = explain_samples.subject()
    subject.module.train()
    class_scorer(subject, 0)([picture(0, 12, 12)])
    assert subject.module.training and all(one.requires_grad for one in subject.module.parameters())
