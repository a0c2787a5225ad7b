"""Maps that know nothing."""

from __future__ import annotations

import numpy as np

from resight.explain.baselines import BASELINES


def test_the_random_map_goes_by_the_generator_only():
    first, again, other = (BASELINES["random"](np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).all() and first.shape == (7, 7)


def test_the_gaussian_stands_at_the_centre_with_a_quarter_of_the_side():
    found = BASELINES["gaussian"](np.random.default_rng(0))
    assert np.allclose(found, found[::-1]) and np.allclose(found, found.T)
    centres = (np.arange(28) + 0.5) / 28 - 0.5
    for row, column in ((0, 0), (3, 20), (14, 14)):
        far = centres[row] ** 2 + centres[column] ** 2
        assert np.isclose(found[row, column], np.exp(-far / (2 * 0.25**2)))


def test_the_uniform_map_shows_everything():
    assert (BASELINES["uniform"](np.random.default_rng(0)) == 1).all()
