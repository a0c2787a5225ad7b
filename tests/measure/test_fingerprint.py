"""What a score was measured by."""

import json

import pytest

from resight.errors import InputError
from resight.images.truth import Query, Setting, Truth, truth_from_labels
from resight.measure.fingerprint import AP, fingerprint, fingerprint_key
from resight.measure.names import name_index

ENCODER = {"backbone": "resnet50", "weights": "abc", "descriptor": "gem:p=3", "size": 1024, "fit": "longest"}


def made(database=("a", "b"), distractors=True, published=2, **changes):
    query = Query("q", "q", None, {"easy": frozenset("a"), "junk": frozenset("b")})
    settings = {"E": Setting(("easy",), ("junk",)), "H": Setting(("hard",))}
    truth = Truth("toy", (query,), settings, database, "absent", published, distractors=distractors)
    index = name_index(truth, ["a", "z", "q"], allow_missing=True)
    return fingerprint(truth, index, **{"crop": "pixels", **ENCODER, **changes})


def test_every_key():
    assert made(after=("aqe",), whitening="512 dimensions, fitted on Paris") == {
        "protocol": "toy",
        "queries": 1,
        "crop": "pixels",
        "own": "queries are not in the database",
        "junk": {"E": "easy right, junk ignored", "H": "hard right, nothing ignored"},
        "ap": AP,
        "database": 2,
        "published": 2,
        "distractors": 1,
        "missing": 1,
        "unreadable": 0,
        "size": 1024,
        "fit": "longest",
        "scales": [1.0],
        "stage": "last",
        "precision": "float32",
        "backbone": "resnet50",
        "weights": "abc",
        "descriptor": "gem:p=3",
        "space": "",
        "whitening": "512 dimensions, fitted on Paris",
        "whitening_key": "",
        "leak": False,
        "after": ["aqe"],
        "budget": None,
        "transductive": False,
        "transductive_by": [],
    }


@pytest.mark.parametrize(("name", "value"), [("stage", 2), ("precision", "bfloat16"), ("space", "0a1b")])
def test_what_makes_vectors_is_in_the_key(name, value):
    assert made(**{name: value})[name] == value
    assert fingerprint_key(made(**{name: value})) != fingerprint_key(made())


def test_queries_in_their_own_rankings():
    """Own image removed: still a neighbour of others. In no database, or counting: the protocol as it was published."""
    removed = truth_from_labels(["a", "b"], ["x", "x"])
    counts = Truth("toy", removed.queries, removed.settings, removed.database, "counts")
    near = "the query's own image is a neighbour of others in"
    asked = "the query is one of the images in diffusion"
    for truth, after, by in [
        (removed, ["dba", "aqe", "k-reciprocal:k1=5,k2=2", "dba:k=3"], [f"{near} dba, k-reciprocal"]),
        (removed, ["diffusion"], [f"{near} diffusion"]),
        (removed, ["diffusion:transductive=yes"], [f"{near} diffusion", asked]),
        (removed, ["aqe", "alpha-qe", "dqe", "ransac", "cam-regions", "cam-online"], []),
        (counts, ["dba", "k-reciprocal", "diffusion"], []),
        (counts, ["diffusion:transductive=yes"], [asked]),
    ]:
        found = fingerprint(truth, name_index(truth, ["a", "b"]), crop="none", **ENCODER, after=after)
        assert (found["transductive"], found["transductive_by"], found["after"]) == (bool(by), by, after)
    assert made(after=["dba"])["transductive"] is False  # queries are absent
    outside = Truth("toy", (Query("q", "z", None, {"positive": frozenset("a")}),), removed.settings, ("a", "b"))
    found = fingerprint(outside, name_index(outside, ["a", "b"]), crop="none", **ENCODER, after=["dba"])
    assert found["transductive"] is False  # its image is nowhere in the collection


def test_distractors():
    assert made(distractors=False)["distractors"] == 0
    assert made(database=None, published=None)["distractors"] == 0
    assert made(database=None, published=1)["distractors"] == 1


def test_key_knows_every_value_and_no_order():
    base = made()
    assert fingerprint_key(base) == fingerprint_key(json.loads(json.dumps(dict(reversed(base.items())))))
    assert len(fingerprint_key(base)) == 12
    keys = {fingerprint_key({**base, name: "other"}) for name in base}
    assert len(keys | {fingerprint_key(base)}) == len(base) + 1


def test_door():
    truth = truth_from_labels(["a", "b"], ["x", "x"])
    with pytest.raises(InputError, match="unknown crop 'pixel', did you mean 'pixels'"):
        fingerprint(truth, name_index(truth, ["a", "b"]), crop="pixel", **ENCODER)
    with pytest.raises(InputError, match="plain JSON values only"):
        fingerprint_key({"a": float("nan")})
