"""Feature sets: the predecessors' names exactly, and each name with its own number."""

from __future__ import annotations

import numpy as np
import pytest

from resight.errors import InputError
from resight.features.fractal import FEATURE_SETS, fractal
from resight.features.fractal.names import NAMES, feature_names

# As the predecessors' programs list them, "AreaRation" included.
TAIL = """MinkAreaCluster MinkSkewnessCluster MinkAreaRationCluster MinkMaxCluster MinkAreaPerc MinkSkewnessPerc
MinkAreaRationPerc MinkMaxPerc MinkAreaMaxCluster MinkSkewnessMaxCluster MinkAreaRationMaxCluster MinkMaxMaxCluster"""


@pytest.fixture(scope="module")
def result():
    image = np.random.default_rng(0).integers(0, 60, (48, 50, 3), np.uint8)
    return fractal(image, preset="gcc")


def numbered(stem):
    return [f"{stem}{k}" for k in range(1, 21)]


def test_names_exactly(result):
    lacunarity = ["MinkAreaLAC", "MinkSkewnessLAC", "MinkAreaRatioLAC", "MinkMaxLAC"]
    mink = numbered("MinkLAC") + numbered("MinkDF") + lacunarity
    percolation = numbered("Minkp") + numbered("Minkg") + numbered("Minkh") + TAIL.split()
    assert list(result.features("mink-44")) == mink and len(mink) == 44
    assert list(result.features("percolation-72")) == percolation and len(percolation) == 72
    assert list(result.features("gcc-116")) == mink + percolation
    for name in FEATURE_SETS:
        assert list(result.features(name)) == list(feature_names(name)), name


def test_each_name_has_its_number(result):
    found = result.features("gcc-116")
    for k in (1, 7, 20):
        assert found[f"MinkLAC{k}"] == result.lacunarity[k - 1]
        assert found[f"MinkDF{k}"] == result.box_count[k - 1]
        assert found[f"Minkp{k}"] == result.clusters[k - 1]
        assert found[f"Minkg{k}"] == result.coverage[k - 1]
        assert found[f"Minkh{k}"] == result.percolation[k - 1]
    for curve, stem in [("clusters", "Cluster"), ("percolation", "Perc"), ("coverage", "MaxCluster")]:
        assert found[f"MinkArea{stem}"] == result.curves[curve].area
        assert found[f"MinkSkewness{stem}"] == result.curves[curve].skewness
        assert found[f"MinkAreaRation{stem}"] == result.curves[curve].area_ratio
        assert found[f"MinkMax{stem}"] == result.curves[curve].maximum
    assert found["MinkAreaLAC"] == result.curves["lacunarity"].area
    assert all(type(value) is float for value in found.values())


def test_our_own_set(result):
    found = result.features()
    assert found["dimension"] == result.dimension.value
    assert found["percolation_L41"] == result.percolation[-1]
    assert found["coverage_area_ratio"] == result.curves["coverage"].area_ratio
    assert len(found) == 3 + 4 * 24 and len(set(found)) == len(found)
    less = fractal(np.zeros((9, 9), np.uint8), scales=(3, 5), percolation=False).features()
    assert list(less)[3:] == [f"lacunarity_{part}" for part in "L3 L5 area skewness area_ratio max".split()]


def test_doors(result):
    with pytest.raises(InputError, match="unknown feature set 'mink44', did you mean 'mink-44'"):
        result.features("mink44")
    with pytest.raises(InputError, match="unknown feature set"):
        feature_names("x")
    few = fractal(np.zeros((9, 9), np.uint8), scales=(3, 5))
    with pytest.raises(InputError, match="'gcc-116' has 20 scales, as 3:41:2; this result has 2"):
        few.features("gcc-116")
    bare = fractal(np.zeros((9, 9), np.uint8), percolation=False)
    assert len(bare.features("mink-44")) == 44
    with pytest.raises(InputError, match="percolation=True"):
        bare.features("percolation-72")
    assert {len(NAMES[name]) for name in NAMES} == {44, 72, 116}
