"""Descriptors by name: text in, text out, and messages for what cannot be."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.descriptor import OPTIONS, Descriptor, parse_descriptor
from resight.features.pooling import POOLINGS


@pytest.mark.parametrize(
    ("text", "canonical", "settings"),
    [
        ("gem", "gem", {"p": 3.0}),
        ("gem:p=4", "gem:p=4", {"p": 4.0}),
        ("gem:p=3.0", "gem", {"p": 3.0}),
        (" GeM : P = 2.50 ", "gem:p=2.5", {"p": 2.5}),
        ("gem:p=1e-1", "gem:p=0.1", {"p": 0.1}),
        ("mac", "mac", {}),
        ("spoc:centre=true", "spoc:centre=true", {"centre": True}),
        ("spoc:centre=false", "spoc", {"centre": False}),
        (
            "rmac:levels=4,include_global=true",
            "rmac:include_global=true,levels=4",
            {"levels": 4, "include_global": True},
        ),
        ("rmac:include_global=True,levels=3", "rmac:include_global=true", {"levels": 3, "include_global": True}),
        ("cam:count=32", "cam:count=32", {"count": 32, "fixed": ""}),
        ("cam:fixed=3+1", "cam:fixed=3+1", {"count": 64, "fixed": "3+1"}),
        ("crow", "crow", {}),
    ],
)
def test_parse(text, canonical, settings):
    descriptor = parse_descriptor(text)
    assert str(descriptor) == canonical
    assert descriptor.settings == settings
    assert parse_descriptor(canonical) == descriptor
    assert hash(parse_descriptor(canonical)) == hash(descriptor)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gme", "unknown descriptor 'gme', did you mean 'gem'"),
        ("", "unknown descriptor ''"),
        ("gem:q=3", "unknown option of gem 'q'"),
        ("rmac:level=3", "unknown option of rmac 'level', did you mean 'levels'"),
        ("mac:p=3", "mac takes no options, got 'p'"),
        ("gem:p=0", "p of gem must be a finite number above 0, got 0.0"),
        ("gem:p=-1", "p of gem must be a finite number above 0, got -1.0"),
        ("gem:p=1e999", "p of gem must be a finite number above 0, got inf"),
        ("gem:p=nan", "p of gem must be a finite number above 0, got 'nan'"),
        ("gem:p=three", "got 'three'"),
        ("gem:p=", "got ''"),
        ("gem:p", "expected option=value after 'gem:', got 'p'"),
        ("gem:", "expected option=value after 'gem:', got ''"),
        ("gem:p=3,p=4", "option p of gem is given more than once"),
        ("rmac:levels=0", "levels of rmac must be a whole number from 1 to 16, got 0"),
        ("rmac:levels=17", "from 1 to 16, got 17"),
        ("rmac:levels=2.5", "whole number from 1 to 16, got '2.5'"),
        ("rmac:include_global=yes", "include_global of rmac must be true or false, got 'yes'"),
        ("cam:count=0", "count of cam must be a whole number of at least 1, got 0"),
        ("cam:fixed=3+3", "fixed of cam must be class numbers joined by +"),
        ("cam:fixed=a", "as in 12+281+340"),
        ("cam:count=" + "9" * 5000, "count of cam must be a whole number"),
    ],
)
def test_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_descriptor(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [("gem", (("p", "3"),)), ("gem", (("p", True),)), ("rmac", (("levels", 2.5),)), ("spoc", (("centre", 1),))],
)
def test_values_of_the_wrong_type_are_refused(name, options):
    with pytest.raises(InputError, match=f"{options[0][0]} of {name} must be"):
        Descriptor(name, options)


@given(st.floats(1e-300, 1e300), st.integers(1, 16), st.booleans(), st.integers(1, 10**15))
def test_text_and_back(p, levels, include_global, count):
    for descriptor in (
        Descriptor("gem", (("p", p),)),
        Descriptor("rmac", (("levels", levels), ("include_global", include_global))),
        Descriptor("cam", (("count", count),)),
    ):
        assert parse_descriptor(str(descriptor)) == descriptor


def test_table_agrees_with_the_functions():
    """Every pooling can be named, and its defaults here are its defaults there."""
    assert set(OPTIONS) == set(POOLINGS)
    for name, options in OPTIONS.items():
        parameters = inspect.signature(POOLINGS[name]).parameters
        assert {key: parameters[key].default for key in options if key != "fixed"} == {
            key: value for key, value in parse_descriptor(name).settings.items() if key != "fixed"
        }


def test_pool_calls_the_pooling_with_its_options():
    maps = torch.rand(2, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(parse_descriptor("gem:p=5").pool(maps), POOLINGS["gem"](maps, p=5.0))
    assert torch.equal(parse_descriptor("rmac:levels=2").pool(maps, weight), POOLINGS["rmac"](maps, levels=2))
    assert torch.equal(parse_descriptor("cam:count=4").pool(maps, weight), POOLINGS["cam"](maps, weight, count=4))
    classes = torch.tensor([1, 2])
    assert torch.equal(
        parse_descriptor("cam").pool(maps, weight, classes=classes), POOLINGS["cam"](maps, weight, classes)
    )


def test_power_is_p_for_gem_only():
    assert parse_descriptor("gem:p=4").power == 4.0
    assert {parse_descriptor(name).power for name in POOLINGS if name != "gem"} == {1.0}


@pytest.mark.parametrize(("weight", "found"), [(None, "got none"), (torch.ones(10, 5), r"got shape \(10, 5\)")])
def test_cam_without_a_head_names_backbones_that_work(weight, found):
    with pytest.raises(InputError, match=f"K = 6 as the map, {found}.*resnet50.*gem"):
        parse_descriptor("cam").pool(torch.ones(1, 6, 4, 4), weight)
