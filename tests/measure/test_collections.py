from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from resight import Collection, Encoder, InputError
from resight.measure import evaluate_labels
from resight.measure.collections import evaluate, per_query_csv


def test_folder_labels_give_what_the_vectors_give(collection):
    items, vectors = collection.vectors()
    expected = evaluate_labels(vectors, [Path(item.path).parent.name for item in items], (1, 3))
    result = evaluate(collection, ks=(1, 3))
    assert result.scores == expected
    assert result.unlabelled == 0
    assert result.protocol["descriptor"] == "spoc"
    assert result.protocol["whitening"] == "none"
    assert result.as_dict()["map_standard"] == expected.map


def test_unlabelled_images_take_no_part(collection, tmp_path, photos):
    rows = [f"photos/a/{n}.jpg,{n % 2}" for n in range(6)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    result = evaluate(collection, f"csv:{tmp_path / 'labels.csv'}")
    items, vectors = collection.vectors()
    chosen = [i for i, item in enumerate(items) if "/a/" in item.path]
    labels = [str(int(Path(items[i].path).stem) % 2) for i in chosen]
    assert result.unlabelled == 6
    assert result.scores == evaluate_labels(vectors[chosen], labels)


def test_per_query_table(collection):
    result = evaluate(collection)
    rows = list(csv.DictReader(io.StringIO(per_query_csv(result))))
    assert np.mean([float(row["ap"]) for row in rows]) == pytest.approx(result.scores.map, abs=1e-6)
    assert [row["label"] for row in rows] == [Path(row["path"]).parent.name for row in rows]


def test_leaks_and_nothing_to_measure_are_refused(collection, tmp_path, encoder):
    collection.whiten(4)
    with pytest.raises(InputError, match="very images to be evaluated"):
        evaluate(collection)
    assert evaluate(collection, allow_leak=True).protocol["leak"] is True
    with Collection.create(tmp_path / "empty", encoder) as empty, pytest.raises(InputError, match="is empty"):
        evaluate(empty)
    (tmp_path / "none.csv").write_text("path,label\nother.jpg,x\n")
    with pytest.raises(InputError, match="none of the 12 images"):
        evaluate(collection, f"csv:{tmp_path / 'none.csv'}", allow_leak=True)


@pytest.mark.oracle
@pytest.mark.slow
def test_corel1k_reaches_the_reference(tmp_path, real_images):
    """Reference for these weights at 224, squash, no whitening: mean pooling mAP .903, P@10 .969; GeM mAP .887."""
    folder = real_images("corel1k")
    rows = [f"{path},{int(path.stem) // 100}" for path in folder.glob("*.jpg")]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    found = {}
    for name in ("spoc", "gem"):
        with Collection.create(tmp_path / name, Encoder(descriptor=name)) as made:
            assert made.add(folder).added == 1000
            found[name] = evaluate(made, f"csv:{tmp_path / 'labels.csv'}").scores
    assert found["spoc"].map >= 0.89
    assert found["spoc"].map == pytest.approx(0.903, abs=0.003)
    assert found["spoc"].precision[10] == pytest.approx(0.969, abs=0.003)
    assert found["gem"].map >= 0.87
    assert found["gem"].map == pytest.approx(0.887, abs=0.003)
