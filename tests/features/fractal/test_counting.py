"""The plan that kernels follow: offsets in order, groups of eight, margins."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.fractal.counting import GROUP, check_threads, make_plan, mass_rows
from resight.features.fractal.options import make_options


@given(st.lists(st.integers(1, 12), min_size=1, unique=True), st.sampled_from(["each", "common"]))
def test_every_offset_joins_its_first_scale(halves, centers):
    halves = sorted(halves)
    plan = make_plan(make_options([2 * k + 1 for k in halves], centers=centers), (40, 41, 3))
    reach = halves[-1]
    assert plan.reach == reach and len(plan.offsets) == (2 * reach + 1) ** 2 - 1 == GROUP * len(plan.joins)
    assert len({tuple(offset) for offset in plan.offsets.tolist()} | {(0, 0)}) == (2 * reach + 1) ** 2
    for (dy, dx), scale in zip(plan.offsets.tolist(), np.repeat(plan.joins, GROUP).tolist()):
        ring = max(abs(dy), abs(dx))
        assert ring <= halves[scale] and (scale == 0 or ring > halves[scale - 1])
    assert plan.margin.tolist() == (halves if centers == "each" else [reach] * len(halves))


def test_scales_that_do_not_fit_are_left_out():
    assert make_plan(make_options("3:41:2"), (9, 90, 1)).half.tolist() == [1, 2, 3, 4]


def test_rows_of_masses_cover_every_centre_once():
    image = np.random.default_rng(0).integers(0, 9, (23, 19, 1), np.uint8)
    plan = make_plan(make_options((3, 7), centers="common"), image.shape)
    rows = list(mass_rows(image, plan, 4))
    assert [start for start, _ in rows] == [3, 7, 11, 15, 19]
    masses = np.concatenate([part for _, part in rows])
    assert masses.shape == (17, 2, 19) and not masses[:, :, :3].any() and (masses[:, :, 3:-3] >= 1).all()
    assert (masses[:, 0] <= 9).all() and (masses[:, 1] <= 49).all()


def test_threads():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert check_threads(None) == cores and check_threads(3) == 3
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="threads"):
            check_threads(threads)
