"""Columns of dense SIFT are the statistics of the function, named and numbered as asked."""

import numpy as np
import pytest
from samples import picture

from resight.errors import InputError
from resight.features.dense_sift import sift_statistics
from resight.features.sift_features import SiftExtractor
from resight.features.wanted import Wanted
from resight.images import fit


def extractor(subject="", **options):
    return SiftExtractor(Wanted("densesift", subject, tuple(options.items())))


@pytest.mark.parametrize(
    ("options", "meant"),
    [({}, {"step": 4, "cell": 4}), ({"step": "6", "cell": "5", "window": "gaussian"},
                                    {"step": 6, "cell": 5, "window": "gaussian"})],
)  # fmt: skip
def test_columns_are_the_statistics(options, meant):
    made = extractor(**options)
    (values,) = made.finish([made.prepare(picture(3))])
    expected = sift_statistics(picture(3), **meant).features()
    assert [feature.name for feature in made.features] == list(expected) and len(expected) == 256
    assert all(feature.width == 0 for feature in made.features) and made.on_cpu
    np.testing.assert_array_equal(values, list(expected.values()))


def test_reduced_and_named_with_a_prefix():
    made = extractor(size="48", prefix="small_")
    assert made.features[0].name == "small_siftmean_0" and made.features[-1].name == "small_siftstd_127"
    assert made.settings["size"] == 48 and made.settings["step"] == 4 and made.settings["window"] == "flat"
    expected = sift_statistics(fit(picture(3), 48, "longest"), step=4).features()
    np.testing.assert_array_equal(made.prepare(picture(3)), list(expected.values()))


def test_an_image_without_room_is_nan():
    assert np.isnan(extractor().prepare(picture(1, 12, 40))).all()
    assert np.isfinite(extractor().prepare(picture(1, 13, 40))).all()


@pytest.mark.parametrize(
    ("subject", "options", "message"),
    [
        ("", {"stp": "4"}, "unknown option of densesift 'stp', did you mean 'step'"),
        ("", {"step": "0"}, "step must be a whole number from 1"),
        ("", {"step": "-4"}, "step of densesift must be a whole number, got '-4'"),
        ("", {"cell": "big"}, "cell of densesift must be a whole number"),
        ("", {"window": "gausian"}, "did you mean 'gaussian'"),
        ("", {"size": "1e3"}, "size of densesift must be a whole number"),
        ("resnet50", {}, "densesift takes options only"),
    ],
)
def test_doors(subject, options, message):
    with pytest.raises(InputError, match=message):
        extractor(subject, **options)


def test_it_is_what_a_table_calls_densesift():
    from resight.features.config import EncoderConfig
    from resight.features.extractors import make_extractors
    from resight.features.wanted import parse_wanted

    (made,) = make_extractors(parse_wanted("densesift:step=8"), EncoderConfig())
    assert isinstance(made, SiftExtractor) and len(made.features) == 256
