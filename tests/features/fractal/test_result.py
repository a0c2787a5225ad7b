"""What a result shows of itself and writes down."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from resight.errors import InputError, WorkError
from resight.features.fractal import fractal


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 30, (20, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def result(image):
    return fractal(image, scales="3:21:2")


def test_one_line(result):
    assert repr(result) == (
        f"Fractal(D={result.dimension.value:.4f} +- {result.dimension.standard_error:.4f}, "
        f"r2={result.dimension.r2:.4f}, 10 scales 3..21, hypercube, chebyshev, 24 x 20 x 3, 2 warnings)"
    )
    assert "warning" not in repr(fractal(np.zeros((9, 9), np.uint8), scales=(3, 5)))


def test_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.scales = 1
    for array in (result.scales, result.boxes, result.lacunarity, result.clusters, result.probability[0]):
        assert not array.flags.writeable
    with pytest.raises(TypeError):
        result.curves["lacunarity"] = None


def test_goes_to_other_processes_and_comes_back(result):
    back = pickle.loads(pickle.dumps(result))
    assert back == result and back.features() == pytest.approx(result.features(), nan_ok=True)
    assert not back.lacunarity.flags.writeable and type(back.curves) is type(result.curves)


def test_save_writes_all_numbers(result, tmp_path):
    result.save(tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == ["curves.csv", "fractal.json", "probability.npz"]
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    for name in ("scales", "lacunarity", "box_count", "clusters", "coverage", "percolation"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], getattr(result, name))
    with np.load(folder / "probability.npz") as stored:
        for side, p in zip(result.scales, result.probability):
            np.testing.assert_array_equal(stored[f"P{side}"], p)
    record = json.loads((folder / "fractal.json").read_text())
    assert record["dimension"]["value"] == result.dimension.value
    assert record["options"]["rule"] == "hypercube" and record["shape"] == [20, 24, 3]
    assert record["lacunarity"][-1] is None and record["warnings"] == list(result.warnings)
    result.save(folder)  # again, over what is there


def test_save_doors(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file: give a folder"):
        result.save(tmp_path / "file")
    with pytest.raises((WorkError, OSError)):
        result.save(tmp_path / "file" / "below")


def test_importing_the_package_is_cheap():
    code = (
        "import sys, resight.features.fractal as f; f.fractal; f.FEATURE_SETS\n"
        "print([m for m in ('numba', 'llvmlite', 'matplotlib', 'scipy', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_computing_does_not_load_matplotlib():
    code = (
        "import sys, numpy as np; from resight.features.fractal import fractal\n"
        "fractal(np.zeros((9, 9), np.uint8), scales=(3, 5)).features()\n"
        "print([m for m in ('matplotlib', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
