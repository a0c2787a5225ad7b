"""Taking parts of an image away: the order, what stands there instead, and the imputation beside a direct solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples import picture

from resight.errors import InputError
from resight.explain.removal import FILLINGS, KERNEL, exchange, filled, impute, removal_ranks


def test_pixels_go_from_the_highest_value_to_the_lowest():
    values = np.array([[5.0, -1.0], [0.0, 9.0]])
    assert removal_ranks(values, 2).tolist() == [[0.25, 0.75], [0.5, 0.0]]


def test_equal_values_go_from_the_upper_left():
    assert removal_ranks(np.zeros((2, 2)), 2).tolist() == [[0, 0.25], [0.5, 0.75]]


def test_cells_share_a_rank_also_where_the_side_is_no_multiple():
    ranks = removal_ranks(np.array([[1.0, 4.0], [3.0, 2.0]]), 5, cells=2)
    assert ranks.tolist() == [[0.75] * 3 + [0.0] * 2] * 3 + [[0.25] * 3 + [0.5] * 2] * 2


def test_cells_of_a_finer_map_go_by_their_mean():
    values = np.array([[9.0, 0.0, 3.0, 3.0], [0.0, 0.0, 3.0, 3.0]] * 2)[[0, 1, 1, 3]]  # means 9 / 4, 3, 0, 3
    assert removal_ranks(values, 4, cells=2)[:, [0, 3]].tolist() == [[0.5, 0.0]] * 2 + [[0.75, 0.25]] * 2


@given(arrays(np.float32, (3, 4), elements=st.floats(-5, 5, width=32)))
def test_ranks_are_shares_and_follow_a_map_of_the_squares_size(values):
    square = np.kron(values, np.ones((4, 3), np.float32))  # 12 x 12, laid over itself
    ranks = removal_ranks(square, 12)
    assert sorted((ranks.ravel() * 144).round().astype(int)) == list(range(144))
    order = square.ravel()[np.argsort(ranks.ravel())]
    assert (np.diff(order) <= 1e-6).all()


@pytest.mark.parametrize("values", [np.ones(3), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])])
def test_only_finite_maps_have_an_order(values):
    with pytest.raises(InputError, match="finite"):
        removal_ranks(values, 4)


@pytest.mark.parametrize("cells", [0, 5])
def test_cells_must_fit(cells):
    with pytest.raises(InputError, match=f"from 1 to the image's side, 4, got {cells}"):
        removal_ranks(np.eye(2), 4, cells)


def test_fillings():
    image = picture(3, 32, 32)
    assert (filled(image, "black") == 0).all()
    assert (filled(image, "mean") == np.rint(image.reshape(-1, 3).mean(0))).all()
    blur = filled(image, "blur").astype(float)
    assert blur.mean((0, 1)) == pytest.approx(image.mean((0, 1)), abs=3)
    assert set(FILLINGS) == {"mean", "blur", "black"}
    with pytest.raises(InputError, match="did you mean 'blur'"):
        filled(image, "blurr")


def test_the_blur_is_a_gaussian_of_ten_pixels_of_224():
    image = np.zeros((224, 224, 3), np.uint8)
    image[:, 112:] = 255
    edge = filled(image, "blur")[100, :, 0] / 255
    from scipy.stats import norm

    assert edge == pytest.approx(norm.cdf((np.arange(224) + 0.5 - 112) / 10), abs=0.01)


def test_exchange_takes_exactly_the_share():
    before, after = picture(0, 6, 6), picture(1, 6, 6)
    ranks = removal_ranks(np.random.default_rng(0).random((6, 6)), 6)
    changed = exchange(before, after, ranks, 0.25)
    assert (changed == np.where((ranks < 0.25)[..., None], after, before)).all()
    assert int((ranks < 0.25).sum()) == 9
    assert (exchange(before, after, ranks, 0) == before).all() and (exchange(before, after, ranks, 1) == after).all()


def direct(image, gone):
    """The imputation by its definition: one equation for each missing pixel, solved directly."""
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    places = {tuple(at): number for number, at in enumerate(np.argwhere(gone))}
    system, known = lil_matrix((len(places), len(places))), np.zeros((len(places), 3))
    for (y, x), row in places.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at, weight = (y + dy, x + dx), KERNEL[dy + 1, dx + 1]
                if (dy or dx) and 0 <= at[0] < gone.shape[0] and 0 <= at[1] < gone.shape[1]:
                    system[row, row] += weight
                    if at in places:
                        system[row, places[at]] -= weight
                    else:
                        known[row] += weight * image[at]
    found = image.astype(float)
    found[gone] = spsolve(system.tocsr(), known).reshape(-1, 3)
    return found


@pytest.mark.oracle
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("high", "wide"), [(24, 24), (17, 31)])
def test_imputation_is_the_solution_of_its_equations(share, high, wide):
    image = picture(5, high, wide)
    gone = np.random.default_rng(1).random((high, wide)) < share
    gone[2:9, 3:12] = True
    found = impute(image, gone, noise=0)
    assert np.abs(found - direct(image, gone)).max() <= 0.5 + 0.1  # rounded to whole grey levels
    assert (found[~gone] == image[~gone]).all()


def test_the_weights_are_those_of_the_paper():
    assert np.allclose(KERNEL, [[1 / 12, 1 / 6, 1 / 12], [1 / 6, 0, 1 / 6], [1 / 12, 1 / 6, 1 / 12]])


def test_a_hole_in_a_ramp_is_filled_with_the_ramp():
    ramp = np.broadcast_to((np.arange(32) * 4)[None, :, None], (32, 32, 3)).astype(np.uint8)
    gone = np.zeros((32, 32), bool)
    gone[5:27, 5:27] = True
    spoilt = np.where(gone[..., None], 255, ramp).astype(np.uint8)
    assert np.abs(impute(spoilt, gone, noise=0).astype(int) - ramp).max() <= 1


@given(st.integers(0, 99), st.floats(0.05, 0.95))
def test_what_was_there_does_not_shine_through_and_nothing_is_brighter_than_the_rest(seed, share):
    image, random = picture(seed, 16, 16), np.random.default_rng(seed)
    gone = random.random((16, 16)) < share
    gone[0, 0] = False
    found = impute(image, gone, noise=0)
    other = np.where(gone[..., None], random.integers(0, 256, image.shape), image).astype(np.uint8)
    assert (impute(other, gone, noise=0) == found).all()
    low, high = image[~gone].min(0).astype(int), image[~gone].max(0).astype(int)
    assert (found >= low - 1).all() and (found <= high + 1).all()


def test_noise_is_as_strong_as_said_and_by_the_seed():
    image = np.full((64, 64, 3), 128, np.uint8)
    gone = np.ones((64, 64), bool)
    gone[0] = False
    found = impute(image, gone, noise=5, seed=1)
    assert found[gone].astype(float).std() == pytest.approx(5, rel=0.05)
    assert (impute(image, gone, noise=5, seed=1) == found).all()
    assert (impute(image, gone, noise=5, seed=2) != found).any()
    assert (found[0] == 128).all()


def test_nothing_and_everything_missing():
    image = picture(0, 8, 8)
    assert (impute(image, np.zeros((8, 8), bool)) == image).all()
    with pytest.raises(InputError, match="nothing of the image is left"):
        impute(image, np.ones((8, 8), bool))
