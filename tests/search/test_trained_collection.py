"""A collection that a trained run describes: it remembers the run, and says what is the matter when that is gone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from made_encoders import DIM, make_trained
from samples import picture

from resight import Collection, Encoder
from resight.errors import InputError, WorkError
from resight.features import EncoderConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path):
    return make_trained(tmp_path / "run")


@pytest.fixture
def made(tmp_path, run, photos):
    """A collection, closed."""
    with Collection.create(tmp_path / "c.resight", Encoder.open(run, device="cpu")) as collection:
        collection.add(photos)
    return tmp_path / "c.resight"


def test_it_is_opened_again_with_its_run(made, run, photos):
    own = Encoder.open(run, device="cpu")
    with Collection.open(made) as found:
        assert found.dim == DIM
        assert found.config.encoder == str(run)
        assert found.encoder.projection == own.projection
        assert found.projection is None  # it is with the run
        best = found.search(photos / "a" / "3.jpg", k=1)
        assert best.paths == (str(photos / "a" / "3.jpg"),)
        items, vectors = found.vectors()
        expected = own.encode_many([item.path for item in items])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_whitening_on_top(made, run, photos):
    with Collection.open(made) as found:
        whitening = found.whiten(5)
        assert whitening.projection.shape == (DIM, 5)
        ranking = found.search(photos / "b" / "7.png", k=12)
        own = Encoder.open(run, device="cpu")
        query = whitening.apply(own.encode(photos / "b" / "7.png")[None])[0]
        others = whitening.apply(own.encode_many(ranking.paths))
    np.testing.assert_allclose(ranking.scores, others @ query, atol=1e-5)


def test_steps_that_look_again_describe_by_the_projection_too(made, photos):
    with Collection.open(made) as found:
        ranking = found.search(photos / "a" / "1.jpg", k=3, then=["cam-regions:top=3"])
        assert ranking.vector.shape == (DIM,)
        np.testing.assert_allclose(ranking.vector, found.encoder.encode(photos / "a" / "1.jpg"), atol=1e-5)
        assert ranking.scores[0] == pytest.approx(1, abs=1e-4)


def test_what_needs_no_network_works_where_the_run_is_gone(made, run, photos):
    shutil.rmtree(run)
    with Collection.open(made) as found:
        assert found.info()["encoder"]["encoder"] == str(run)
        assert found.info()["encoder"]["backbone"] == "test_resnet"
        assert found.encoder_space["projection"]
        first = next(found.items(path="*/2.jpg"))
        assert found.search(first.id, k=1).ids.tolist() == [first.id]
        assert len(found.vectors()[0]) == 12
        found.whiten(3)
        assert found.verify() == []
        assert found.remove([photos / "a"]) == 6
        for ask in (lambda: found.search(picture(1)), lambda: found.add(photos), lambda: found.sync()):
            with pytest.raises(InputError, match=r"run: expected .* there is no such folder: bring it back, or give"):
                ask()


def test_a_run_that_was_moved(made, run, photos, tmp_path):
    moved = run.rename(tmp_path / "moved")
    with Collection.open(made, Encoder.open(moved, device="cpu")) as found:
        assert found.search(photos / "a" / "3.jpg", k=1).scores[0] == pytest.approx(1, abs=1e-4)


def test_a_run_that_was_replaced_or_damaged(made, run):
    make_trained(run, seed=5)
    with Collection.open(made) as found, pytest.raises(WorkError, match=r"another embedding space .*weights: .* here"):
        found.search(picture(1))
    other = Encoder.open(make_trained(run.parent / "other", seed=6), device="cpu")
    with pytest.raises(InputError, match="another embedding space"):
        Collection.open(made, other)
    (run / "model.safetensors").write_bytes(b"x")
    with Collection.open(made) as found, pytest.raises(WorkError, match="damaged, or replaced; bring the file back"):
        found.search(picture(1))
    (run / "encoder.json").unlink()
    with Collection.open(made) as found, pytest.raises(InputError, match=r"got no encoder\.json"):
        found.search(picture(1))


def test_a_projection_that_was_given_is_kept_with_the_collection(tmp_path, run, photos):
    config = EncoderConfig(
        backbone="test_resnet", weights=str(run / "model.safetensors"), size=64, device="cpu"
    )  # fmt: skip
    projection = Encoder.open(run).projection
    with Collection.create(tmp_path / "c.resight", Encoder.from_config(config, projection=projection)) as collection:
        collection.add(photos)
    with Collection.open(tmp_path / "c.resight") as found:
        assert found.projection == projection
        assert found.search(photos / "a" / "3.jpg", k=1).paths == (str(photos / "a" / "3.jpg"),)
