"""Tracking: on the spot while it moves, held to the finder's evidence, and how often the whole frame is searched."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import picture
from video_samples import placed, textured

from resight.errors import InputError
from resight.match.finding import Finder
from resight.match.nearby import look_nearby
from resight.match.planes import project, rectangle, similarity
from resight.match.result import Match
from resight.match.score import CALIBRATION
from resight.match.template import Template
from resight.match.tracking import LEAST_GAP, MOST_GAP, STEADY, Tracker, follow
from resight.match.verify import grey

HEIGHT, WIDTH = 240, 320
GROUND, PICTURE = textured(1, HEIGHT, WIDTH), textured(2, 60, 80)
CENTRE = (40, 30)


class Told:
    """Stands in for a Finder: it is told where the template is, and counts how often it is asked."""

    def __init__(self, image=PICTURE, mask=None, threshold=0.5, method="sift"):
        self.template, self.threshold, self.method = Template(image, mask), threshold, method
        self.place, self.finds, self.calibration = None, method, CALIBRATION
        self.asked = []

    def scored(self, place):
        return place

    def find(self, frame):
        self.asked.append(frame)
        found = self.place is not None
        outline = np.zeros(frame.shape[:2], bool) if self.method == "mask" else None
        return Match(found, float(found), self.place, self.finds, frame.shape[:2], self.template.size, outline=outline)

    def find_all(self, frame, most):
        return (self.find(frame),) * most


def path(frame):
    """Where the template lies in a frame: it goes right, turns, grows, and tips over a little."""
    matrix = similarity(1 + 0.01 * frame, 0.02 * frame, CENTRE, (90 + 4 * frame, 100 + 2 * frame))
    matrix[2, :2] = 2e-5 * frame, -1e-5 * frame
    return matrix / matrix[2, 2]


def scene(matrix, image=PICTURE):
    return placed(GROUND, image, matrix)


def misses(match, matrix, size=(60, 80)):
    return np.linalg.norm(match.corners - project(matrix, rectangle(size)), axis=1)


def test_a_moving_template_is_followed_without_a_search():
    finder = Told()
    finder.place = path(0)
    tracker = Tracker(finder)
    for frame in range(30):
        found = tracker.next(scene(path(frame)))
        assert found.found and misses(found, path(frame)).max() < 1.5
        assert tracker.searched == (frame == 0)
    assert len(finder.asked) == 1
    assert found.method == "sift" and found.evidence["points"] > 20 and found.score > 0.9


@pytest.mark.parametrize("change", ["light", "noise", "blur", "hidden"])
def test_the_same_place_under_changes(change):
    import cv2

    finder = Told()
    finder.place = path(0)
    tracker = Tracker(finder)
    random = np.random.default_rng(0)
    for frame in range(12):
        image = scene(path(frame)).astype(np.float32)
        if frame and change == "light":
            image = image * (1 - 0.04 * frame) + 3 * frame
        elif frame and change == "noise":
            image += random.normal(0, 12, image.shape)
        elif frame and change == "blur":
            image = cv2.GaussianBlur(image, (0, 0), 1.2)
        elif frame and change == "hidden":
            x, y = project(path(frame), [[0, 0]])[0].astype(int)
            image[y : y + 30, x : x + 35] = 128
        found = tracker.next(np.clip(image, 0, 255).astype(np.uint8))
        assert found.found and misses(found, path(frame)).max() < 3
    assert len(finder.asked) == 1


@settings(max_examples=25)
@given(
    st.floats(-0.06, 0.06), st.floats(0.93, 1.07), st.floats(-14, 14), st.floats(-14, 14), st.floats(0.75, 1.4),
    st.floats(-math.pi, math.pi),
)  # fmt: skip
def test_one_step_from_any_place(turn, scale, x, y, size, angle):
    """Whatever the place was, the corners of the next one within a step are found to three pixels."""
    last = similarity(size, angle, CENTRE, (160, 120))
    now = similarity(size * scale, angle + turn, CENTRE, (160 + x, 120 + y))
    template = Told().template
    found, points = next(look_nearby(template, grey(scene(now)), last))
    assert points >= 8
    assert np.linalg.norm(project(found, rectangle((60, 80))) - project(now, rectangle((60, 80))), axis=1).max() < 3.0


def test_fast_things_are_looked_for_where_they_go():
    """Steps of 60 pixels, far beyond what is looked at around the last place; it gets that fast by and by."""
    finder = Told()
    tracker = Tracker(finder)
    x = np.cumsum([60, 15, 30, 45, 60, 60])
    for place in x:
        finder.place = similarity(1, 0, CENTRE, (place, 100))
        found = tracker.next(scene(finder.place))
        assert found.found and misses(found, finder.place).max() < 1
    assert len(finder.asked) == 1


def test_where_half_of_it_is_hidden_local_features_are_looked_at():
    finder = Told(threshold=0.75)
    finder.place = path(0)
    tracker = Tracker(finder)
    image = scene(path(0)).copy()
    tracker.next(image)
    image[70:130, 50:92] = 128
    found = tracker.next(image)
    assert found.found and not tracker.searched and misses(found, path(0)).max() < 1
    assert found.inliers > 10  # which correlation alone does not have


def test_errors_do_not_add_up():
    """Two rounds on a circle: the place is as exact at the end as at the beginning."""
    finder = Told()
    tracker = Tracker(finder)

    def circle(frame):
        return similarity(1, 0, CENTRE, (160 + 50 * math.cos(frame / 12), 120 + 50 * math.sin(frame / 12)))

    finder.place = circle(0)
    worst = [misses(tracker.next(scene(circle(frame))), circle(frame)).max() for frame in range(150)]
    assert len(finder.asked) == 1
    assert max(worst[-50:]) < 1


def test_searches_that_find_nothing_become_rarer():
    finder = Told()
    tracker = Tracker(finder)
    searched = []
    for frame in range(100):
        found = tracker.next(GROUND)
        assert not found.found and found.homography is None
        searched += [frame] if tracker.searched else []
    expected, gap = [0], LEAST_GAP
    while expected[-1] + gap < 100:
        expected.append(expected[-1] + gap)
        gap = min(2 * gap, MOST_GAP)
    assert searched == expected and len(finder.asked) == len(expected)


def test_all_methods_are_asked_in_each_third_search(monkeypatch):
    asked = []

    class Quick(Told):
        def __init__(self, template, method, threshold, calibration):
            super().__init__(threshold=threshold, method=method)
            assert template is finder.template and calibration is finder.calibration

        def find(self, frame):
            asked.append(self.method)
            return super().find(frame)

    monkeypatch.setattr("resight.match.finding.Finder", Quick)
    finder = Told(method="auto", threshold=0.7)
    tracker = Tracker(finder)
    for _ in range(3):
        tracker.next(GROUND)
    assert len(finder.asked) == 2 and not asked  # nothing is known of it yet
    finder.place, finder.finds = path(0), "sift"
    while not tracker.next(scene(path(0))).found:
        pass
    for frame in range(STEADY):
        assert tracker.next(scene(path(frame))).found
    finder.place, before = None, len(finder.asked)
    for _ in range(15):
        assert not tracker.next(GROUND).found  # searched in frames 0, 2, 6, 14
    assert asked == ["sift", "sift", "sift"] and len(finder.asked) == before + 1


def test_what_comes_back_where_it_was_is_found_without_a_search_and_elsewhere_by_the_next():
    finder = Told()
    finder.place = path(0)
    tracker = Tracker(finder)
    assert tracker.next(scene(path(0))).found
    finder.place = None
    for _ in range(9):
        assert not tracker.next(GROUND).found  # searched in frames 2 and 6
    assert len(finder.asked) == 3
    assert tracker.next(scene(path(1))).found and not tracker.searched
    far = similarity(1, 1, CENTRE, (250, 180))
    finder.place = far
    searched = []
    for _ in range(16):
        searched.append((tracker.next(scene(far)).found, tracker.searched))
    assert searched == [(False, False)] * 3 + [(True, True)] + [(True, False)] * 12  # in frame 14
    finder.place = None
    searched = []
    for _ in range(8):
        tracker.next(GROUND)
        searched.append(tracker.searched)
    assert searched == [True, False, True, False, False, False, True, False]  # rare no more


def test_another_thing_in_its_place_is_not_taken_for_it():
    finder = Told()
    finder.place = path(0)
    tracker = Tracker(finder)
    tracker.next(scene(path(0)))
    finder.place = None
    for _ in range(2):
        found = tracker.next(scene(path(0), textured(7, 60, 80)))
        assert not found.found
    assert tracker.searched


def test_the_threshold_is_the_finders():
    finder = Told(threshold=1.0)
    finder.place = path(0)
    tracker = Tracker(finder)
    tracker.next(scene(path(0)))
    assert not tracker.next(scene(path(1))).found and not tracker.searched
    assert tracker.next(scene(path(2))).found and tracker.searched  # the finder is told


def test_masks_of_a_network_are_searched_for_in_each_frame():
    finder = Told(method="mask")
    tracker = Tracker(finder)
    for frame in range(6):
        finder.place = path(0) if frame == 3 else None
        assert tracker.next(GROUND).found == (frame == 3) and tracker.searched
    assert len(finder.asked) == 6


def test_a_frame_of_another_size_is_searched():
    finder = Told()
    finder.place = path(0)
    tracker = Tracker(finder)
    tracker.next(scene(path(0)))
    found = tracker.next(scene(path(0))[:200])
    assert tracker.searched and found.scene_size == (200, WIDTH)


@pytest.mark.parametrize("side", [8, 14])
def test_small_templates_are_followed_by_correlation(side):
    small = picture(3, side, side)  # smooth: between pixels it looks as it does on them
    finder = Told(small)

    def at(frame):
        return similarity(1, 0, (0, 0), (100 + 2.4 * frame, 90 + 0.7 * frame))

    finder.place = at(0)
    tracker = Tracker(finder)
    worst = []
    for frame in range(12):
        found = tracker.next(scene(at(frame), small))
        assert found.found
        worst.append(misses(found, at(frame), (side, side)).max())
    assert max(worst) < 0.3  # of a pixel
    assert len(finder.asked) == 1


def test_only_what_is_in_the_mask_counts():
    """A round thing over a ground that changes from frame to frame."""
    rows, columns = np.mgrid[:60, :60]
    mask = (rows - 29.5) ** 2 + (columns - 29.5) ** 2 < 27**2
    ball = textured(4, 60, 60)
    finder = Told(ball, mask)

    def at(frame):
        return similarity(1, 0.01 * frame, (30, 30), (100 + 3 * frame, 120))

    finder.place = at(0)
    tracker = Tracker(finder)
    for frame in range(15):
        x, y = (round(value) for value in project(at(frame), [[30, 30]])[0])
        whole = placed(textured(50 + frame, HEIGHT, WIDTH), ball, at(frame))
        across = (np.arange(WIDTH) - x) ** 2 + ((np.arange(HEIGHT) - y) ** 2)[:, None] < 27**2
        image = np.where(across[:, :, None], whole, textured(50 + frame, HEIGHT, WIDTH))
        found = tracker.next(image)
        assert found.found and misses(found, at(frame), (60, 60)).max() < 2
    assert len(finder.asked) == 1


def test_follow():
    finder = Told()
    finder.place = path(0)
    frames = [(number / 10, scene(path(number))) for number in range(7)]
    seen = list(follow(finder, iter(frames), every=3))
    assert [(one.number, one.seconds, one.searched) for one in seen] == [
        (1, 0.0, True),
        (4, 0.3, False),
        (7, 0.6, False),
    ]
    assert all(one.matches[0].found and one.image is frames[one.number - 1][1] and one.ms > 0 for one in seen)
    several = list(follow(finder, frames[:2], most=2))
    assert [len(one.matches) for one in several] == [2, 2] and all(one.searched for one in several)


@pytest.mark.parametrize("options", [{"every": 0}, {"every": 1.5}, {"most": 0}, {"every": True}])
def test_wrong_numbers(options):
    with pytest.raises(InputError, match=r"expected (every|most) as a whole number from 1, got"):
        follow(Told(), [], **options)


def test_the_calibration_is_the_finders():
    weak = replace(CALIBRATION, bias=CALIBRATION.bias - 100, plain_bias=CALIBRATION.plain_bias - 100)
    template, frame = Template(PICTURE), scene(path(0))
    usual, held = Tracker(Finder(template)), Tracker(Finder(template, threshold=0.0, calibration=weak))
    assert usual.next(frame).found and held.next(frame).found
    assert usual.next(scene(path(1))).score > 0.9 and held.next(scene(path(1))).score < 0.01
