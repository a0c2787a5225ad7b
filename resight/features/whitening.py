"""Whitening: centre, rotate and rescale descriptors so that no direction dominates, and shorten them."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError

Floats = NDArray[np.floating[Any]]
LIMIT = 512 * 2**20  # bytes of a stored whitening; 8192 -> 8192 in float32 takes half of it
ROWS = 4096
FIELDS = {"mean": "<f4", "projection": "<f4", "fitted_on": "|u1", "sample": "<i8", "seen": "<u8"}
OPTIONAL = ("seen",)  # whitenings stored before it was recorded lack it


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted whitening; compares and hashes by what it does to vectors.

    mean:       (D,)    float32, subtracted first
    projection: (D, d)  float32, d <= D
    fitted_on:  what it was fitted on, for the record of an evaluation
    sample:     how many vectors (or pairs) it was fitted on
    seen:       (n,)    uint64, the images it was fitted on as `seen_images` names them; None if not recorded

    Raises InputError if shapes do not fit or a number is not finite.

    >>> Whitening(np.zeros(2), np.eye(2)[:, :1]).apply(np.array([[3.0, 4.0]])).tolist()
    [[1.0]]
    """

    mean: Floats
    projection: Floats
    fitted_on: str = ""
    sample: int = 0
    seen: NDArray[np.uint64] | None = None

    def __post_init__(self) -> None:
        if self.seen is not None:
            seen = np.unique(np.asarray(self.seen, np.uint64))
            seen.setflags(write=False)
            object.__setattr__(self, "seen", seen)
        for name in ("mean", "projection"):
            array = np.array(getattr(self, name), dtype=np.float32, order="C")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        mean, projection = self.mean, self.projection
        shapes = f"mean {mean.shape}, projection {projection.shape}"
        if mean.ndim != 1 or projection.ndim != 2 or len(mean) != len(projection):
            raise InputError(f"a whitening needs mean (D,) and projection (D, d), got {shapes}")
        if not 1 <= projection.shape[1] <= len(projection):
            raise InputError(f"a whitening needs 1 <= d <= D, got {shapes}")
        if not (np.isfinite(mean).all() and np.isfinite(projection).all()):
            raise InputError(f"a whitening holds finite numbers only, got NaN or infinity in {shapes}")

    def apply(self, vectors: Floats) -> NDArray[np.float32]:
        """Whitened vectors of length 1.

        vectors: (N, D)
        ->       (N, d)   float32, L2((x - mean) @ projection); a vector equal to the mean becomes zero

        Raises InputError if vectors is not (N, D).
        """
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise InputError(f"this whitening takes vectors (N, {len(self.mean)}), got shape {vectors.shape}")
        projected = (vectors.astype(np.float32, copy=False) - self.mean) @ self.projection
        length = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / np.where(length > 0, length, 1), dtype=np.float32)

    @property
    def key(self) -> str:
        """16 hex digits of the SHA-256 of mean and projection: equal for equal results, whatever the record says."""
        digest = hashlib.sha256(repr(self.projection.shape).encode())
        for array in (self.mean, self.projection):
            digest.update(array.astype("<f4", copy=False).tobytes())
        return digest.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Whitening):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.projection, other.projection)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        before, after = self.projection.shape
        origin = f" fitted on {self.sample:,} of {self.fitted_on!r}" if self.fitted_on else ""
        return f"<Whitening {before} -> {after}{origin}, key {self.key}>"

    def to_bytes(self) -> bytes:
        """The whitening as an uncompressed .npz file, for `from_bytes`."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            mean=self.mean.astype("<f4"),
            projection=self.projection.astype("<f4"),
            fitted_on=np.frombuffer(self.fitted_on.encode(), np.uint8),
            sample=np.array(self.sample, "<i8"),
            **({} if self.seen is None else {"seen": self.seen.astype("<u8")}),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Whitening:
        """The whitening that `to_bytes` wrote.

        Nothing is unpickled, and no more memory is taken than the data is long.
        Raises WorkError if the data is damaged, too large, or something else.
        """
        try:
            fields = _read_fields(data)
            name = fields["fitted_on"].tobytes().decode()
            return cls(fields["mean"], fields["projection"], name, int(fields["sample"][()]), fields.get("seen"))
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise WorkError(f"this is not a whitening, or it is damaged ({error}): fit it again") from error


def seen_images(digests: Iterable[str]) -> NDArray[np.uint64]:
    """What a whitening keeps of the images it was fitted on: the first 8 bytes of the SHA-256 of each file.

    digests: in hex; "" for an image that no file is known of
    ->       (n,)  each once, ascending; 0 stands for all without a file

    Two different files share 8 bytes once in 10^19 pairs. Raises InputError for what is no SHA-256.

    >>> seen_images(["00" * 7 + "ff" * 25, ""]).tolist()
    [0, 255]
    """
    try:
        return np.unique(np.array([int(digest[:16] or "0", 16) for digest in digests], np.uint64))
    except (ValueError, OverflowError) as error:
        raise InputError(f"expected SHA-256 digests in hex: {error}") from error


def pca_whitening(
    vectors: Floats, dim: int, *, fitted_on: str = "", eps: float = 1e-10, seen: NDArray[np.uint64] | None = None
) -> Whitening:
    """PCA-whitening: after it, the sample's first `dim` principal directions are uncorrelated with variance 1.

    vectors: (N, D)   a sample of descriptors, not of the set that is to be evaluated
    dim:     1 .. min(D, N - 1) and the sample's rank
    eps:     directions with less than eps times the largest variance do not count towards the rank
    seen:    the images of the sample, for the record: see `seen_images`
    ->       projection = E_dim diag(lambda_dim)^(-1/2), from cov = E diag(lambda) E^T (divided by N - 1)

    Jegou and Chum 2012. The largest component of each direction is positive, so that two machines agree.
    Raises InputError if there are too few vectors, too little variance, or numbers that are not finite.

    >>> sample = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> np.allclose(pca_whitening(sample, 1).projection, [[0.0], [np.sqrt(3 / 8)]])
    True
    """
    vectors = _matrix(vectors, "vectors")
    count, width = vectors.shape
    _check_dim(dim, width)
    if dim > count - 1:
        raise InputError(
            f"whitening to {dim} dimensions needs at least {dim + 1} vectors, got {count}: "
            f"take more images or dim <= {max(count - 1, 0)}"
        )
    mean = vectors.mean(0, dtype=np.float64)
    values, directions = _principal(_scatter(vectors, mean) / (count - 1))
    rank = int((values > eps * max(values[0], 0)).sum())
    if dim > rank:
        raise InputError(
            f"whitening to {dim} dimensions needs a sample that varies in as many directions, these {count} vectors "
            f"vary in {rank}: take more varied images or dim <= {rank}"
        )
    return Whitening(mean, directions[:, :dim] / np.sqrt(values[:dim]), fitted_on, count, seen)


def learned_whitening(
    queries: Floats,
    positives: Floats,
    dim: int,
    *,
    vectors: Floats | None = None,
    ridge: float = 0.0,
    fitted_on: str = "",
    seen: NDArray[np.uint64] | None = None,
) -> Whitening:
    """Lw: whiten what differs between matching images, then keep the directions where images differ most.

    queries:   (M, D)   row i matches row i of positives
    positives: (M, D)
    dim:       1 .. D
    vectors:   (N, D)   what the rotation is fitted on; queries and positives if not given
    ridge:     this share of S's mean variance is added to S's diagonal, for few pairs or dead channels
    seen:      the images of the pairs, for the record: see `seen_images`
    ->         mean of the queries; projection = P^T V_dim, with S = mean (q - p)(q - p)^T, P = inv(chol(S)),
               V the eigenvectors of P X X^T P^T for the centred vectors X, largest eigenvalues first

    Mikolajczyk and Matas 2007; Radenovic 2018 (and its code, `whitenlearn`).
    Raises InputError if shapes differ, numbers are not finite, or S is singular.

    >>> query = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> learned_whitening(query, query + [[0.1, 0.0], [0.0, 0.2], [0.1, 0.1]], 2).projection.shape
    (2, 2)
    """
    queries, positives = _matrix(queries, "queries"), _matrix(positives, "positives")
    if queries.shape != positives.shape:
        raise InputError(f"queries and positives must match row by row, got {queries.shape} and {positives.shape}")
    everything = np.concatenate([queries, positives]) if vectors is None else _matrix(vectors, "vectors")
    pairs, width = queries.shape
    if everything.shape[1] != width:
        raise InputError(f"vectors must be (N, {width}) as the pairs, got shape {everything.shape}")
    if not 0 <= ridge < math.inf:
        raise InputError(f"ridge must be at least 0 and finite, got {ridge}")
    _check_dim(dim, width)
    spread = _scatter(queries.astype(np.float64) - positives, np.zeros(width)) / pairs
    spread += ridge * np.trace(spread) / width * np.eye(width)
    lowest, highest = np.linalg.eigvalsh(spread)[[0, -1]]
    if lowest <= 1e-12 * highest:
        raise InputError(
            f"the differences of {pairs} pairs do not span all {width} dimensions: give more pairs, "
            "shorten the vectors with pca_whitening first, or set ridge=1e-3"
        )
    inverse = np.linalg.inv(np.linalg.cholesky(spread))
    mean = queries.mean(0, dtype=np.float64)
    _, directions = _principal(inverse @ _scatter(everything, mean) @ inverse.T)
    return Whitening(mean, inverse.T @ directions[:, :dim], fitted_on, pairs, seen)


def _matrix(vectors: Floats, name: str) -> Floats:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "fiu":
        raise InputError(f"{name} must be numbers (N, D), got {vectors.dtype} of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise InputError(f"{name} {vectors.shape} hold NaN or infinity: the model or its input is damaged")
    return vectors


def _check_dim(dim: int, width: int) -> None:
    if not 1 <= dim <= width:
        raise InputError(f"whitening to {dim} dimensions is not possible from {width}: take dim from 1 to {width}")


def _scatter(vectors: Floats, centre: Floats) -> NDArray[np.float64]:
    """Sum of (x - centre)(x - centre)^T in float64, by blocks of rows so that no second copy is needed."""
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), ROWS):
        block = vectors[start : start + ROWS].astype(np.float64) - centre
        total += block.T @ block
    return total


def _principal(scatter: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues, largest first, and their vectors as columns with the largest component positive."""
    values, vectors = np.linalg.eigh((scatter + scatter.T) / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(0), np.arange(len(values))]
    return values, vectors * np.where(largest < 0, -1.0, 1.0)


def _read_fields(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz, each only as large as its header and its bytes agree on."""
    if len(data) > LIMIT:
        raise ValueError(f"{len(data):,} bytes, the limit is {LIMIT:,}")
    fields: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(info.filename for info in archive.infolist())
        wanted = [name for name in FIELDS if name not in OPTIONAL or f"{name}.npy" in names]
        if names != sorted(f"{name}.npy" for name in wanted):
            raise ValueError(f"it holds {names[:8]}")
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
                raise ValueError(f"{info.filename} is compressed")
            name = info.filename.removesuffix(".npy")
            fields[name] = _read_array(archive.read(info), FIELDS[name])
    return fields


def _read_array(raw: bytes, dtype: str) -> NDArray[Any]:
    buffer = io.BytesIO(raw)
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise ValueError("an array is of another version")
    shape, fortran, found = np.lib.format.read_array_header_1_0(buffer)
    body = memoryview(raw)[buffer.tell() :]
    if fortran or found != np.dtype(dtype) or math.prod(shape) * found.itemsize != len(body):
        raise ValueError(f"an array claims {found} {shape} in {len(body)} bytes")
    return np.frombuffer(body, found).reshape(shape)
