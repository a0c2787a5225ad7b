"""The compiled loops: vector code on any x86, and a cache that is never in the way."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import resight

GOLDEN = """
import numpy as np
from resight.features.fractal import counting, fractal, kernels
from resight.features.fractal.options import make_options
y, x = np.mgrid[:40, :48]
image = np.stack([(3 * x + 5 * y) % 32, (x * y) % 17, (x * x + y) % 23], -1).astype(np.uint8)
found = fractal(image, scales="3:11:2", preset="gcc", percolation=CLUSTERS, threads=1)
assert abs(found.lacunarity[4] - 0.10617131200550403) < 1e-12
"""
WITH_CLUSTERS = GOLDEN.replace("CLUSTERS", "True") + "assert abs(found.clusters[4] - 7.057894736842106) < 1e-12\n"
GOLDEN = GOLDEN.replace("CLUSTERS", "False")
WHERE = "print(kernels.kernel('masses')._cache.cache_path or '')\n"


def run(code, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    kept["PYTHONPATH"] = str(Path(resight.__file__).parents[1])
    command = [sys.executable, "-B", "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_change_of_lanes_reaches_the_cache():
    """numba looks for changes in the file of the compiled function only, and would go on with the old code."""
    from resight.features.fractal import kernels

    digest = hashlib.sha256(Path(kernels.__file__).with_name("lanes.py").read_bytes()).hexdigest()
    assert digest[: len(kernels.LANES)] == kernels.LANES and len(kernels.LANES) == 12


@pytest.fixture
def unwritable(tmp_path):
    """A copy of the package that nothing can be cached in; a file in the folder's place stops root too."""
    copy = tmp_path / "site" / "resight"
    shutil.copytree(Path(resight.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "features" / "fractal" / "__pycache__").write_text("")
    return copy.parent


@pytest.mark.slow
def test_a_read_only_package_caches_with_the_user(unwritable, tmp_path):
    environment = {"PYTHONPATH": str(unwritable), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run(GOLDEN + WHERE, **environment).startswith(str(tmp_path / "cache"))
    assert list((tmp_path / "cache").rglob("*.nbi"))


@pytest.mark.slow
def test_without_any_cache_it_still_runs(unwritable):
    environment = {"PYTHONPATH": str(unwritable), "HOME": "/dev/null/no", "XDG_CACHE_HOME": "/dev/null/no"}
    run(GOLDEN, **environment)


@pytest.mark.slow
def test_a_cache_folder_can_be_named(tmp_path):
    assert run(GOLDEN + WHERE, NUMBA_CACHE_DIR=str(tmp_path)).startswith(str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 processors by name")
@pytest.mark.parametrize(("processor", "has"), [("haswell", "+avx2,+popcnt,+bmi,+bmi2"), ("generic", "")])
def test_older_processors_get_the_same_numbers(processor, has, tmp_path):
    """haswell: AVX2 and nothing newer; generic: SSE2."""
    run(WITH_CLUSTERS, NUMBA_CPU_NAME=processor, NUMBA_CPU_FEATURES=has, NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="looks at x86 instructions")
def test_the_loops_are_vector_code(tmp_path):
    code = (
        "from resight.features.fractal.kernels import KERNELS, njit\n"
        "function, signature = KERNELS['masses']\n"
        "code = ''.join(njit(signature, nogil=True)(function).inspect_asm().values())\n"
        "print([word for word in ('vpminub', 'vpmaxub', 'vpsubb', 'ymm', 'zmm') if word in code])"
    )
    assert run(code, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx2") == "['vpminub', 'vpmaxub', 'vpsubb', 'ymm']"
