"""Vectors in the plane: principal components by scikit-learn, neighbours by t-SNE, and what has no extent."""

from __future__ import annotations

import numpy as np
import pytest

from resight.errors import InputError
from resight.train.plane import in_plane, plane_kind


def test_the_kind_depends_on_the_number():
    assert [plane_kind(count) for count in (1, 4, 5, 3000, 3001)] == ["pca", "pca", "tsne", "tsne", "pca"]
    assert plane_kind(10_000, "tsne") == "tsne"
    with pytest.raises(InputError, match="did you mean 'tsne'"):
        plane_kind(10, "tsn")


@pytest.mark.oracle
def test_pca_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(30, 6)) * [5, 3, 1, 1, 1, 1]
    expected, found = PCA(2).fit_transform(rows), in_plane(rows, "pca")
    signs = np.sign((expected * found).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-8)
    np.testing.assert_array_equal(found, in_plane(rows.copy(), "pca"))


def test_tsne_keeps_neighbours_and_is_the_same_again():
    random = np.random.default_rng(0)
    centres = np.eye(8)[:3]
    rows = np.concatenate([centre + random.normal(0, 0.02, (12, 8)) for centre in centres])
    points = in_plane(rows, "tsne")
    np.testing.assert_array_equal(points, in_plane(rows, "tsne"))
    far = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(36)
    np.testing.assert_array_equal(far.argmin(1) // 12, np.arange(36) // 12)


@pytest.mark.parametrize("kind", ["tsne", "pca"])
def test_vectors_that_are_all_the_same_are_one_point(kind):
    np.testing.assert_array_equal(in_plane(np.ones((6, 4)), kind), np.zeros((6, 2)))


def test_few_directions_and_few_vectors():
    np.testing.assert_allclose(in_plane(np.array([[1.0], [3.0]]), "pca"), [[-1, 0], [1, 0]], atol=1e-12)
    assert in_plane(np.ones((1, 4)), "pca").tolist() == [[0.0, 0.0]]
    assert in_plane(np.random.default_rng(0).normal(size=(5, 3)), "tsne").shape == (5, 2)


def test_what_is_no_sample():
    with pytest.raises(InputError, match="expected finite vectors"):
        in_plane(np.array([[np.nan, 1.0]]), "pca")
    with pytest.raises(InputError, match="expected finite vectors"):
        in_plane(np.ones(3), "pca")
    with pytest.raises(InputError, match="unknown projection 'auto'"):
        in_plane(np.ones((3, 2)), "auto")
