import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from resight.errors import InputError
from resight.features.whitening import learned_whitening, pca_whitening
from resight.search.fitting import fit_whitening
from resight.search.store import Item
from resight.train.projecting import PROJECTIONS, class_pairs, fit_projection, largest_dim


def sample(count=60, width=8, seed=0):
    """Vectors whose directions have clearly different deviations, so that axes are well defined; three classes."""
    dice = np.random.default_rng(seed)
    turn = np.linalg.qr(dice.standard_normal((width, width)))[0]
    vectors = dice.standard_normal((count, width)) * 1.5 ** -np.arange(width) @ turn + dice.standard_normal(width)
    return vectors.astype(np.float32), np.arange(count) % 3


def aligned(ours, theirs):
    """Their columns with the signs of ours."""
    return theirs * np.sign((ours * theirs).sum(0))


@pytest.mark.oracle
@pytest.mark.parametrize("how", ["whiten", "pca"])
@pytest.mark.parametrize("dim", [1, 5, 8])
def test_equals_sklearns_pca(how, dim):
    vectors, labels = sample()
    fitted = fit_projection(vectors, labels, dim, how)
    peer = PCA(dim, whiten=how == "whiten", svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(fitted.mean, peer.mean_, atol=1e-6)
    ours = (vectors.astype(np.float64) - fitted.mean) @ fitted.projection
    np.testing.assert_allclose(ours, aligned(ours, peer.transform(vectors.astype(np.float64))), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fitted.apply(vectors), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("how", ["whiten", "pca"])
def test_the_largest_component_of_each_axis_is_positive(how):
    vectors, labels = sample()
    projection = fit_projection(vectors, labels, 8, how).projection
    assert (projection[np.abs(projection).argmax(0), np.arange(8)] > 0).all()


def test_whiten_is_pca_whitening_and_pca_differs_by_the_deviations():
    vectors, labels = sample()
    whiten, pca = fit_projection(vectors, labels, 4, "whiten"), fit_projection(vectors, labels, 4, "pca")
    assert whiten == pca_whitening(vectors, 4)
    np.testing.assert_allclose(pca.projection.T @ pca.projection, np.eye(4), atol=1e-6)
    deviations = ((vectors - pca.mean) @ pca.projection).std(0, ddof=1)
    np.testing.assert_allclose(pca.projection / deviations, whiten.projection, rtol=1e-4, atol=1e-6)
    assert (np.diff(deviations) < 0).all()


def test_identity_keeps_the_first_axes():
    vectors, labels = sample()
    fitted = fit_projection(vectors, labels, 3, "identity")
    first = vectors[:, :3]
    np.testing.assert_allclose(fitted.apply(vectors), first / np.linalg.norm(first, axis=1)[:, None], atol=1e-6)
    assert fitted.mean.tolist() == [0] * 8


def test_centre_takes_the_mean_away_and_keeps_all_angles_from_it():
    vectors, labels = sample()
    fitted = fit_projection(vectors, labels, 8, "centre")
    moved = vectors - vectors.mean(0)
    np.testing.assert_allclose(fitted.apply(vectors), moved / np.linalg.norm(moved, axis=1)[:, None], atol=1e-5)
    assert largest_dim(vectors[:3], "centre") == 8


class Shelf:
    """As much of a store as a learned whitening asks for."""

    def __init__(self, vectors, labels):
        self.items = [
            Item(path=f"{i}.png", id=i, label=str(label), vector=vector, sha256=f"{i:064x}")
            for i, (vector, label) in enumerate(zip(vectors, labels))
        ]

    def scan(self, where):
        return iter(self.items)

    def get(self, ids, vectors=False):
        return [self.items[i] for i in ids]


@pytest.mark.oracle
def test_learned_is_what_a_collection_of_the_same_images_fits():
    vectors, labels = sample(48)
    theirs = fit_whitening(Shelf(vectors, labels), 5, how="learned", fitted_on="itself")
    ours = fit_projection(vectors, labels, 5, "learned", fitted_on="itself")
    assert ours == theirs and ours.sample == theirs.sample


def test_learned_of_pairs_that_are_known():
    """Two images a class leave no choice of pairs; the ridge is Ledoit and Wolf's of the differences."""
    vectors, _ = sample(40, 4)
    labels = np.repeat(np.arange(20), 2)
    queries, positives = class_pairs(labels, 20)
    assert queries.tolist() == list(range(40)) and positives.tolist() == [place ^ 1 for place in range(40)]
    differences = vectors[queries].astype(np.float64) - vectors[positives]
    share = LedoitWolf(assume_centered=True).fit(differences).shrinkage_
    wanted = learned_whitening(vectors[queries], vectors[positives], 3, ridge=share / (1 - share))
    np.testing.assert_allclose(fit_projection(vectors, labels, 3, "learned").projection, wanted.projection, rtol=1e-5)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 5))
def test_pairs_are_of_one_class_and_never_an_image_with_itself(labels, rounds):
    labels = np.array(labels)
    queries, positives = class_pairs(labels, rounds)
    assert (labels[queries] == labels[positives]).all() and (queries != positives).all()
    pairs = list(zip(queries.tolist(), positives.tolist()))
    assert pairs == sorted(set(pairs))
    several = [place for place in range(len(labels)) if (labels == labels[place]).sum() > 1]
    assert sorted(set(queries.tolist())) == several


def test_the_largest_dim_is_the_rank_of_the_centred_sample():
    vectors, _ = sample(60, 8)
    few, flat = vectors[:5], vectors.copy()
    flat[:, 6:] = flat[:, :2] * 2 + 1
    for how in ("whiten", "pca", "learned"):
        assert largest_dim(vectors, how) == 8
        assert largest_dim(few, how) == 4
        assert largest_dim(flat, how) == 6 == np.linalg.matrix_rank(flat - flat.mean(0), tol=1e-3)
        for number in (1, 0.1, 1 / 3, 0):
            assert largest_dim(np.full((7, 3), number, np.float32), how) == 0
        rounded = np.tile(np.random.default_rng(0).standard_normal(8), (7, 1))  # their mean differs in the last bit
        assert (rounded != rounded.mean(0)).any() and largest_dim(rounded, how) == 0
        assert largest_dim(np.float32(1) + np.float32(1e-6) * vectors, how) > 0
    assert largest_dim(few, "identity") == 8


@pytest.mark.parametrize("how", PROJECTIONS)
def test_the_largest_dim_works_and_one_more_does_not(how):
    vectors, labels = sample(7, 9)
    most = largest_dim(vectors, how)
    assert fit_projection(vectors, labels, most, how).projection.shape == (9, most)
    with pytest.raises(InputError, match=f"take a dim of at most {most}"):
        fit_projection(vectors, labels, most + 1, how)
    with pytest.raises(InputError, match=f"allows 1 to {most} dimensions, got 0"):
        fit_projection(vectors, labels, 0, how)


def test_the_error_says_what_the_sample_allows():
    vectors, labels = sample(7, 9)
    with pytest.raises(InputError, match="7 images, which vary in 6 directions, allows 1 to 6 dimensions, got 8"):
        fit_projection(vectors, labels, 8, "whiten")
    with pytest.raises(InputError, match="identity of features of 9 numbers allows 1 to 9 dimensions, got 10"):
        fit_projection(vectors, labels, 10, "identity")
    with pytest.raises(InputError, match="all 4 have the same features"):
        fit_projection(np.ones((4, 3), np.float32), np.zeros(4, int), 1, "pca")


def test_doors():
    vectors, labels = sample(10, 3)
    with pytest.raises(InputError, match="unknown projection 'whitten', did you mean 'whiten'"):
        fit_projection(vectors, labels, 2, "whitten")
    with pytest.raises(InputError, match="unknown projection"):
        largest_dim(vectors, "lda")
    with pytest.raises(InputError, match=r"labels must be \(10,\), one for each vector, got shape \(9,\)"):
        fit_projection(vectors, labels[:9], 2, "pca")
    with pytest.raises(InputError, match=r"vectors must be floats \(N, D\), got int64 of shape \(3,\)"):
        fit_projection(np.arange(3), labels, 2, "pca")
    with pytest.raises(InputError, match="hold NaN or infinity"):
        fit_projection(np.where(vectors == vectors[3], np.nan, vectors), labels, 2, "pca")
    with pytest.raises(InputError, match="needs two images of one class, no class has two"):
        fit_projection(vectors, np.arange(10), 2, "learned")
