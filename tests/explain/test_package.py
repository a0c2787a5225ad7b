"""`resight.explain` is a function and a package at once, and cheap to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import resight


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


BEFORE = (
    "import resight",
    "import resight.explain.heat",
    "from resight import explain",
    "from resight.explain.explaining import explain\nassert resight.explain.explain is explain",
)


@pytest.mark.parametrize("before", BEFORE)
def test_it_is_both_in_whatever_order_it_is_imported(before):
    code = (
        f"import resight\n{before}\nimport resight.explain.heat as heat\nfrom resight.explain import Heat\n"
        "assert heat.Heat is Heat is resight.Heat is resight.explain.Heat\n"
        "assert callable(resight.explain) and 'explain' in resight.__all__ and 'explain' in dir(resight)"
    )
    python(code)


def test_importing_it_loads_nothing_heavy():
    heavy = "torch timm skimage sklearn scipy cv2 numpy PIL".split()
    code = f"import sys, resight\nresight.explain\nprint([m for m in {heavy} if m in sys.modules])"
    assert python(code) == "[]"


def test_calling_the_package_is_calling_the_function(one_thread):
    import torch

    from resight.explain import explain, module_subject

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    subject = module_subject(network, lambda pixels: pixels.float() / 255, 16)
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    assert np.array_equal(resight.explain(image, subject, "hires", 1).map, explain(image, subject, "hires", 1).map)
    with pytest.raises(ValueError, match="did you mean 'gradcam'"):
        resight.explain(image, subject, "grad-cam")


def test_every_public_name_is_there_and_says_what_it_is():
    for name in resight.explain.__all__:
        found = getattr(resight.explain, name)
        assert name == "METHODS" or found.__doc__, name
