"""The table of protocols, and truth from labels."""

import pytest

from resight.errors import InputError
from resight.images.truth import PROTOCOLS, read_truth, truth_from_labels


def test_unknown_protocol():
    with pytest.raises(InputError, match="unknown protocol 'oxford', did you mean 'oxford5k'"):
        read_truth("oxford", "anywhere")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_missing_path_is_named(protocol, tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_truth(protocol, tmp_path / "nowhere")


def test_labels():
    truth = truth_from_labels(["a", "b", "c", "d", "e"], ["x", "y", "x", "z", None])
    assert [query.image for query in truth.queries] == ["a", "c"]
    assert [truth.positives(query, "all") for query in truth.queries] == [{"c"}, {"a"}]
    assert truth.database == ("a", "b", "c", "d", "e") and truth.own == "removed"


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (["a"], [], "0 labels for 1 images"),
        (["a", "a"], ["x", "x"], "'a' comes again"),
        (["a", "b"], ["x", "y"], "no two of the 2 images share a label"),
        (["a", "b"], [None, None], "no two of the 2 images share a label"),
    ],
)
def test_labels_that_measure_nothing(names, labels, message):
    with pytest.raises(InputError, match=message):
        truth_from_labels(names, labels)
