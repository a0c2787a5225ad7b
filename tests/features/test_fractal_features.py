"""Fractal columns are what `fractal` gives, named and numbered as asked."""

import numpy as np
import pytest
from samples import picture

from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.features.extractors import make_extractors
from resight.features.fractal import fractal
from resight.features.wanted import parse_wanted
from resight.images import fit


def extractor(text):
    (made,) = make_extractors(parse_wanted(text), EncoderConfig())
    return made


@pytest.mark.parametrize(
    ("text", "count", "options"),
    [
        ("fractal", 99, {}),
        ("fractal:preset=gcc", 116, {"preset": "gcc"}),
        ("fractal:set=mink-44,rule=glidingbox", 44, {"rule": "glidingbox", "percolation": False}),
        ("fractal:percolation=no", 27, {"percolation": False}),
        ("fractal:scales=3:9:2,channels=grey,connectivity=8,distance=manhattan,centers=common", 35,
         {"scales": "3:9:2", "channels": "grey", "connectivity": 8, "distance": "manhattan", "centers": "common"}),
    ],
)  # fmt: skip
def test_columns_are_the_features(text, count, options):
    image = picture(3)
    made = extractor(text)
    (values,) = made.finish([made.prepare(image)])
    expected = fractal(image, **options).features(made.set)
    assert [feature.name for feature in made.features] == list(expected) and len(expected) == count
    np.testing.assert_array_equal(values, list(expected.values()))


def test_reduced_and_named_with_a_prefix():
    made = extractor("fractal:set=mink-44,size=48,prefix=small_")
    assert made.features[0].name == "small_MinkLAC1" and made.settings["size"] == 48
    expected = fractal(fit(picture(3), 48, "longest"), percolation=False).features("mink-44")
    np.testing.assert_array_equal(made.prepare(picture(3)), list(expected.values()))


def test_a_box_larger_than_the_image_is_nan():
    made = extractor("fractal")
    values = dict(zip((feature.name for feature in made.features), made.prepare(picture(1, 20, 30)), strict=True))
    assert np.isnan(values["lacunarity_L21"]) and not np.isnan(values["lacunarity_L19"])


def test_two_at_once_need_two_names():
    with pytest.raises(InputError, match=r"two columns would have the name 'dimension'.*prefix=TEXT"):
        make_extractors(parse_wanted("fractal,fractal:rule=glidingbox"), EncoderConfig())
    assert len(make_extractors(parse_wanted("fractal,fractal:rule=glidingbox,prefix=go_"), EncoderConfig())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fractal:rul=hypercube", "unknown option of fractal 'rul', did you mean 'rule'"),
        ("fractal:rule=hypercub", "unknown rule 'hypercub', did you mean 'hypercube'"),
        ("fractal:set=gcc", "unknown feature set 'gcc'"),
        ("fractal:scales=4:8:2", "is even"),
        ("fractal:channels=infrared", "channels"),
        ("fractal:percolation=true", "must be yes or no"),
        ("fractal:size=big", "size of fractal must be a whole number"),
        ("fractal:resnet50", "takes options only"),
        ("fractal:set=gcc-116,scales=3:9:2", "has 20 scales"),
    ],
)
def test_doors(text, message):
    with pytest.raises(InputError, match=message):
        extractor(text)
