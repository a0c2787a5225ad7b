"""Several descriptors in one pass: what each encoder gives by itself."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import Collection, Encoder, EncoderConfig
from resight.features.part_whitening import fit_part_whitening
from resight.measure.grid_together import describe_together, is_behind

pytestmark = pytest.mark.usefixtures("one_thread")

DESCRIPTORS = ("spoc", "gem:p=4", "mac", "crow", "rmac:levels=2", "cam:count=3")


def config(descriptor, **more):
    return EncoderConfig("test_resnet", descriptor, weights="random", **{"size": 64, **more})


@pytest.fixture
def make(tmp_path):
    """Empty collections for encoders that share the first one's network; closed at the end."""
    made = []

    def run_it(encoders):
        shared = [
            Encoder.from_config(one.config, one.part_whitening, backbone=encoders[0].backbone) for one in encoders
        ]
        for one in shared:
            made.append(Collection.create(tmp_path / f"{len(made)}.resight", one))
        return made[-len(shared) :]

    yield run_it
    for one in made:
        one.close()


def together(collections, photos):
    describe_together(collections, [str(photos)], lambda done, failed: None)


@pytest.mark.parametrize(
    "more",
    [{}, {"scales": (1.0, 0.7071, 0.5)}, {"stage": 2}, {"fit": "longest", "size": 96}, {"precision": "bfloat16"}],
    ids=str,
)
def test_the_vectors_are_those_of_each_encoder(make, photos, more):
    """Image by image, for every descriptor, at several scales, of an inner stage, and for images of several shapes."""
    Image.fromarray(picture(50)[:40]).save(photos / "flat.png")
    encoders = [Encoder.from_config(config(name, **more)) for name in DESCRIPTORS]
    collections = make(encoders)
    together(collections, photos)
    for encoder, made in zip(encoders, collections):
        items, vectors = made.vectors()
        expected = np.stack([encoder.encode(item.path) for item in items])
        assert len(items) == 13
        assert np.abs(vectors - expected).max() < (1e-5 if more.get("precision") is None else 2e-2)


def test_whitened_parts_stand_beside_plain_ones_of_another_length(make, photos):
    plain = Encoder.from_config(config("rmac"))
    whitening = fit_part_whitening(plain, sorted(photos.rglob("*.*")), 5)
    parted = Encoder.from_config(config("rmac"), whitening)
    collections = make([plain, parted])
    together(collections, photos)
    for encoder, made in zip((plain, parted), collections):
        items, vectors = made.vectors()
        np.testing.assert_allclose(vectors, [encoder.encode(item.path) for item in items], atol=1e-5)
    assert [made.dim for made in collections] == [96, 5]


def test_each_collection_is_as_if_it_had_been_made_alone(make, photos):
    """Records, sizes, labels and failures are those of `Collection.add`, which then finds nothing left to do."""
    (photos / "a" / "broken.png").write_bytes(b"\x89PNG and nothing more")
    encoders = [Encoder.from_config(config(name)) for name in ("spoc", "gem")]
    one, two = make(encoders)
    (alone,) = make(encoders[:1])
    together([one, two], photos)
    alone.add([str(photos)])
    for made in (one, two):
        for mine, theirs in zip(made.items(), alone.items(), strict=True):
            assert (mine.path, mine.label, mine.size, mine.mtime_ns, mine.sha256) == (
                theirs.path, theirs.label, theirs.size, theirs.mtime_ns, theirs.sha256,
            )  # fmt: skip
            assert (mine.status, mine.error, mine.width, mine.height) == (
                theirs.status, theirs.error, theirs.width, theirs.height,
            )  # fmt: skip
        report = made.add([str(photos)])
        assert (report.encoded, report.unchanged, report.failed) == (0, 12, 1)
        assert made.verify() == []


def test_what_one_lacks_is_described_for_all_and_who_lacks_something_is_known(make, photos):
    one, two = make([Encoder.from_config(config(name)) for name in ("spoc", "gem")])
    paths = [str(path) for path in sorted(photos.rglob("*.*"))]
    assert is_behind(one, paths)
    one.add([str(photos)])
    assert not is_behind(one, paths) and is_behind(two, paths)
    together([one, two], photos)
    assert not is_behind(two, paths) and len(one) == len(two) == 12
    Image.fromarray(picture(77)).save(photos / "a" / "0.jpg")
    assert is_behind(one, paths) and is_behind(two, paths)
    (photos / "a" / "0.jpg").unlink()
    assert is_behind(one, paths)


def test_an_interrupted_pass_goes_on(make, photos, monkeypatch):
    from resight.search import adding

    monkeypatch.setattr(adding, "COMMIT_IMAGES", 1)
    one, two = make([Encoder.from_config(config(name)) for name in ("spoc", "gem")])

    def stop(done, failed):
        if done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe_together([one, two], [str(photos)], stop)
    assert 5 <= len(one) == len(two) < 12
    kept = {item.path: item.id for item in one.items()}
    together([one, two], photos)
    assert len(one) == len(two) == 12
    assert {item.path: item.id for item in one.items()}.items() >= kept.items()
