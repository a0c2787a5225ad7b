"""Whitening against scikit-learn and naive algebra, its file, and its refusals."""

import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening, learned_whitening, pca_whitening, seen_images


def sample(count=200, width=12, seed=0):
    """Correlated, off-centre, of length 1, as descriptors are."""
    random = np.random.default_rng(seed)
    vectors = np.maximum(random.standard_normal((count, width)) @ random.standard_normal((width, width)) + 0.5, 0)
    vectors += 0.01 * random.random((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def matching_pairs(count=100, width=6, seed=1):
    random = np.random.default_rng(seed)
    queries = random.standard_normal((count, width))
    return queries, queries + random.standard_normal((count, width)) @ np.diag(np.linspace(0.1, 1, width))


def test_pca_by_hand():
    """Variances 2 and 1/2 along the axes, centred at (5, 1): divided by their roots."""
    vectors = np.array([[5.0 - 2, 1], [5 + 2, 1], [5, 1 - 1], [5, 1 + 1]]) * np.sqrt([[3 / 4, 3 / 4]])
    fitted = pca_whitening(vectors, 2)
    np.testing.assert_allclose(fitted.mean, np.array([5, 1]) * np.sqrt(3 / 4), rtol=1e-6)
    np.testing.assert_allclose(fitted.projection, np.diag(1 / np.sqrt([2, 0.5])), atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("dim", [1, 5, 12])
def test_pca_equals_scikit_learn(dim):
    from sklearn.decomposition import PCA

    vectors = sample()
    expected = PCA(dim, whiten=True, svd_solver="full").fit(vectors.astype(np.float64)).transform(vectors)
    fitted = pca_whitening(vectors, dim)
    ours = (vectors - fitted.mean) @ fitted.projection
    signs = np.sign((ours * expected).sum(0))
    np.testing.assert_allclose(ours * signs, expected, atol=1e-5)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.apply(vectors) * signs, expected / lengths, atol=1e-5)


@given(st.integers(3, 60), st.integers(1, 8), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_whitened_covariance_is_identity(count, width, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, width))
    dim = min(width, count - 1)
    fitted = pca_whitening(vectors, dim)
    projected = (vectors - vectors.mean(0)) @ fitted.projection
    condition = np.linalg.cond(np.atleast_2d(np.cov(vectors.T))) if dim == width else 1.0
    if condition < 1e4:
        np.testing.assert_allclose(projected.T @ projected / (count - 1), np.eye(dim), atol=1e-3)


def test_sign_is_fixed_and_order_of_rows_does_not_matter():
    vectors = sample()
    fitted = pca_whitening(vectors, 12)
    largest = np.abs(fitted.projection).argmax(0)
    assert (fitted.projection[largest, np.arange(12)] > 0).all()
    shuffled = pca_whitening(vectors[::-1], 12)
    np.testing.assert_allclose(shuffled.projection, fitted.projection, rtol=1e-4, atol=1e-4)


def test_blocks_of_rows_equal_one_covariance(monkeypatch):
    vectors = sample(50)
    whole = pca_whitening(vectors, 4)
    monkeypatch.setattr("resight.features.whitening.ROWS", 7)
    np.testing.assert_allclose(pca_whitening(vectors, 4).projection, whole.projection, rtol=1e-5, atol=1e-5)


def test_apply_gives_float32_of_length_one():
    vectors = sample()
    whitened = pca_whitening(vectors, 5).apply(vectors.astype(np.float64))
    assert whitened.dtype == np.float32 and whitened.shape == (200, 5)
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 1, atol=1e-6)
    fitted = Whitening(np.ones(2), np.eye(2))
    assert fitted.apply(np.ones((1, 2))).tolist() == [[0.0, 0.0]]
    assert fitted.apply(np.ones((0, 2))).shape == (0, 2)


def test_learned_by_hand():
    """Differences +-e1 and +-2 e2, S = diag(1/2, 2): the first axis grows by sqrt 2, the second shrinks by it."""
    queries = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    positives = queries + np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    fitted = learned_whitening(queries, positives, 2)
    np.testing.assert_allclose(fitted.mean, 0, atol=1e-7)
    np.testing.assert_allclose(np.abs(fitted.projection), np.diag([np.sqrt(2), np.sqrt(0.5)]), atol=1e-6)


@pytest.mark.parametrize("with_vectors", [False, True])
def test_learned_equals_naive(with_vectors):
    queries, positives = matching_pairs()
    vectors = np.random.default_rng(5).standard_normal((40, 6)) if with_vectors else None
    spread = sum(np.outer(q - p, q - p) for q, p in zip(queries, positives)) / len(queries)
    inverse = np.linalg.inv(np.linalg.cholesky(spread))
    everything = np.concatenate([queries, positives]) if vectors is None else vectors
    projected = (everything - queries.mean(0)) @ inverse.T
    values, directions = np.linalg.eig(projected.T @ projected)
    naive = (directions[:, np.argsort(-values)].T @ inverse)[:4]
    fitted = learned_whitening(queries, positives, 4, vectors=vectors, fitted_on="pairs")
    np.testing.assert_allclose(np.abs(fitted.projection.T), np.abs(naive), atol=1e-5)
    assert fitted.sample == 100 and fitted.fitted_on == "pairs"


def test_learned_whitens_what_differs_between_matches():
    queries, positives = matching_pairs()
    fitted = learned_whitening(queries, positives, 6)
    differences = (queries - positives) @ fitted.projection
    np.testing.assert_allclose(differences.T @ differences / len(queries), np.eye(6), atol=1e-5)


def test_ridge_takes_dead_channels():
    queries, positives = (np.pad(part, ((0, 0), (0, 2))) for part in matching_pairs())
    with pytest.raises(InputError, match=r"100 pairs do not span all 8 dimensions.*ridge"):
        learned_whitening(queries, positives, 4)
    fitted = learned_whitening(queries, positives, 4, ridge=1e-6)
    plain = learned_whitening(queries[:, :6], positives[:, :6], 4)
    np.testing.assert_allclose(np.abs(fitted.projection[:6]), np.abs(plain.projection), rtol=1e-3, atol=1e-3)


def test_file_round_trip():
    fitted = pca_whitening(sample(), 3, fitted_on="Fotos Zürich")
    again = Whitening.from_bytes(fitted.to_bytes())
    assert again == fitted and hash(again) == hash(fitted)
    assert (again.fitted_on, again.sample, again.key) == ("Fotos Zürich", 200, fitted.key)
    assert repr(again) == f"<Whitening 12 -> 3 fitted on 200 of 'Fotos Zürich', key {fitted.key}>"


def test_key_follows_the_numbers_only():
    fitted = Whitening(np.zeros(2), np.eye(2))
    assert fitted.key == Whitening(np.zeros(2), np.eye(2), "elsewhere", 9).key
    assert fitted.key != Whitening(np.ones(2), np.eye(2)).key
    assert fitted.key != Whitening(np.zeros(2), np.eye(2)[:, :1]).key
    assert len(fitted.key) == 16 and int(fitted.key, 16) >= 0
    assert fitted != "something else"


def test_arrays_are_copies_that_cannot_be_written():
    mean = np.zeros(2, np.float32)
    fitted = Whitening(mean, np.eye(2))
    mean[0] = 1
    assert fitted.mean[0] == 0
    with pytest.raises(ValueError):
        fitted.projection[0, 0] = 5


def stored(**changes):
    """A whitening's file with some arrays replaced or, given None, left out."""
    arrays = {"mean": np.zeros(2, "<f4"), "projection": np.eye(2, dtype="<f4"), "sample": np.array(1, "<i8")}
    arrays |= {"fitted_on": np.empty(0, np.uint8)} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def huge_header():
    """An array of 46 bytes that claims 4 TB."""
    buffer, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("mean", "projection", "fitted_on", "sample"):
            archive.writestr(f"{name}.npy", header.getvalue())
    return buffer.getvalue()


def bomb():
    """100 MB of zeros in 100 kB."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mean=np.zeros(5000, "<f4"),
        projection=np.zeros((5000, 5000), "<f4"),
        fitted_on=np.empty(0, np.uint8),
        sample=np.array(1),
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a zip",
        stored()[:-30],
        stored(mean=None),
        stored(extra=np.zeros(1)),
        stored(mean=np.zeros(3, "<f4")),
        stored(mean=np.zeros(2)),
        stored(mean=np.array([np.nan, 0], "<f4")),
        stored(mean=np.array([None, 1])),
        stored(projection=np.zeros((2, 0), "<f4")),
        stored(projection=np.zeros((2, 3), "<f4")),
        stored(fitted_on=np.array([255], np.uint8)),
        stored(sample=np.array([1, 2], "<i8")),
        huge_header(),
        bomb(),
    ],
    ids=range(15),
)
def test_damaged_files_are_refused(data):
    assert Whitening.from_bytes(stored()).sample == 1
    with pytest.raises(WorkError, match="not a whitening, or it is damaged"):
        Whitening.from_bytes(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_one_changed_byte_is_a_work_error_or_harmless(place, value):
    data = bytearray(stored())
    data[place % len(data)] = value
    with contextlib.suppress(WorkError):
        assert isinstance(Whitening.from_bytes(bytes(data)), Whitening)


@pytest.mark.parametrize(
    ("vectors", "dim", "message"),
    [
        (sample(10), 12, "12 dimensions needs at least 13 vectors, got 10: take more images or dim <= 9"),
        (sample(), 13, "not possible from 12: take dim from 1 to 12"),
        (sample(), 0, "take dim from 1 to 12"),
        (np.ones((20, 3)), 1, "vary in 0"),
        (np.repeat(sample(3), 20, 0), 5, "these 60 vectors vary in 2: take more varied images or dim <= 2"),
        (np.full((20, 3), np.nan), 1, "NaN or infinity"),
        (np.ones(3), 1, r"must be numbers \(N, D\), got float64 of shape \(3,\)"),
        (np.array([["a"]]), 1, "must be numbers"),
    ],
)
def test_pca_door(vectors, dim, message):
    with pytest.raises(InputError, match=message):
        pca_whitening(vectors, dim)


def test_learned_door():
    queries, positives = matching_pairs()
    for arguments, message in [
        ((queries, positives[1:], 2), r"row by row, got \(100, 6\) and \(99, 6\)"),
        ((queries, positives, 7), "take dim from 1 to 6"),
        ((queries, queries, 2), "do not span all 6 dimensions"),
        ((queries[:4], positives[:4], 2), "4 pairs do not span all 6"),
    ]:
        with pytest.raises(InputError, match=message):
            learned_whitening(*arguments)
    with pytest.raises(InputError, match=r"vectors must be \(N, 6\)"):
        learned_whitening(queries, positives, 2, vectors=np.ones((4, 5)))
    with pytest.raises(InputError, match="ridge must be at least 0"):
        learned_whitening(queries, positives, 2, ridge=-1)


def test_apply_door():
    with pytest.raises(InputError, match=r"takes vectors \(N, 2\), got shape \(4, 3\)"):
        Whitening(np.zeros(2), np.eye(2)).apply(np.ones((4, 3)))
    with pytest.raises(InputError, match=r"mean \(2,\), projection \(3, 3\)"):
        Whitening(np.zeros(2), np.eye(3))


def test_what_it_has_seen_is_stored_and_older_files_lack_it():
    digests = ["ab" * 32, "", "cd" * 32, "ab" * 32]
    seen = seen_images(digests)
    assert seen.tolist() == [0, 0xABABABABABABABAB, 0xCDCDCDCDCDCDCDCD]
    made = Whitening(np.zeros(2), np.eye(2), "x", 3, seen)
    again = Whitening.from_bytes(made.to_bytes())
    np.testing.assert_array_equal(again.seen, seen)
    assert Whitening.from_bytes(stored()).seen is None
    assert Whitening.from_bytes(Whitening(np.zeros(2), np.eye(2)).to_bytes()).seen is None
    assert made == again == Whitening(np.zeros(2), np.eye(2)) and made.key == Whitening(np.zeros(2), np.eye(2)).key
    with pytest.raises(WorkError, match="an array claims"):
        Whitening.from_bytes(stored(seen=np.zeros(3, "<i8")))
    with pytest.raises(InputError, match="expected SHA-256 digests in hex"):
        seen_images(["no hex"])
