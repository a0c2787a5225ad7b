"""Where channels and places of a layer's output are."""

import pytest
import torch

from resight.explain.layout import Layout, layout_of


@pytest.mark.parametrize(
    ("shape", "prefix", "expected"),
    [
        ((2, 5, 4, 4), 0, Layout("maps")),
        ((2, 4, 4, 5), 0, Layout("last")),
        ((2, 16, 5), 0, Layout("tokens")),
        ((2, 17, 5), 1, Layout("tokens", 1)),
        ((2, 16, 5), 1, Layout("tokens")),  # a network with a class token that this layer has not got yet
        ((2, 18, 5), 2, Layout("tokens", 2)),
        ((2, 17, 5), 0, None),
        ((2, 5, 1, 1), 0, None),
        ((2, 1, 1, 5), 0, None),
        ((2, 1, 5), 0, None),
        ((2, 5), 0, None),
        ((2, 5, 3, 4), 0, None),
    ],
)
def test_layouts(shape, prefix, expected):
    assert layout_of(torch.zeros(shape), prefix) == expected


@pytest.mark.parametrize("layout", [Layout("maps"), Layout("last"), Layout("tokens"), Layout("tokens", 2)])
def test_channels_and_places(layout):
    places = torch.arange(2 * 5 * 9.0).view(2, 5, 3, 3)
    output = {
        "maps": lambda: places,
        "last": lambda: torch.stack([places[:, k] for k in range(5)], -1),
        "tokens": lambda: torch.cat([
            torch.full((2, layout.prefix, 5), -1.0),
            torch.stack([places[:, :, n // 3, n % 3] for n in range(9)], 1),
        ], 1),
    }[layout.kind]()  # fmt: skip
    assert torch.equal(layout.maps(output), places)


@pytest.mark.parametrize("layout", [Layout("maps"), Layout("last"), Layout("tokens", 2)])
def test_maps_are_a_view(layout):
    output = torch.zeros({"maps": (2, 5, 3, 3), "last": (2, 3, 3, 5), "tokens": (2, 11, 5)}[layout.kind])
    layout.maps(output)[:, 4] = 1
    assert float(output.sum()) == 2 * 9
