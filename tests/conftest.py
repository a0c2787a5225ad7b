"""Real images when they are there, and small helpers that several rooms' tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; before torch is loaded
os.environ.pop("COLUMNS", None)  # what is printed must not depend on the terminal of whoever runs the tests
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; tests interrupt their processes
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings
from PIL import Image
from samples import picture

# No time limits in tests, and the same examples on every machine.
settings.register_profile("resight", deadline=None, derandomize=True)
settings.load_profile("resight")

DATA = Path(os.environ.get("RESIGHT_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def real_images():
    """A function name -> folder of real images; skips, with the reason, where they are not on this machine."""

    def folder(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"real images {name!r} are not here (set RESIGHT_DATA to the folder that has them)")
        return DATA / name

    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of twelve small pictures: a/0.jpg .. a/5.jpg, b/6.png .. b/11.png."""
    for number in range(12):
        folder, suffix = ("a", "jpg") if number < 6 else ("b", "png")
        (tmp_path / "photos" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(tmp_path / "photos" / folder / f"{number}.{suffix}")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def encoder():
    """The default encoder, loaded once."""
    import resight

    return resight.Encoder(descriptor="spoc")


@pytest.fixture(scope="module")
def one_thread():
    """Barriers between torch's threads make a small pass many times slower on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def collection(tmp_path, photos, encoder):
    """The twelve pictures of `photos`, described."""
    import resight

    with resight.Collection.create(tmp_path / "c.resight", encoder) as made:
        made.add(photos)
        yield made
