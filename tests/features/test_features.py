"""The package's front: every promised name is there, and looking at it loads nothing heavy."""

import subprocess
import sys


def test_import_is_light():
    code = "import sys, resight.features, resight.measure; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_parsing_a_descriptor_needs_no_torch():
    code = (
        "import sys; from resight.features import parse_descriptor as p; p('gem:p=4'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_every_name_loads():
    import resight.features

    for name in resight.features.__all__:
        assert getattr(resight.features, name) is not None
    assert callable(resight.features.cam) and callable(resight.features.rmac)
