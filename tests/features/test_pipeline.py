"""The stream: in order, bounded, honest about errors, and gone without a trace."""

import threading
from itertools import count, islice

import numpy as np
import pytest
import torch
from samples import picture

from resight.errors import ImageError, InputError
from resight.features.encoder import Encoder
from resight.features.pipeline import CHUNK, Encoded, cores, encode_stream
from resight.models import Preprocessing


class Colours:
    """Stands in for an encoder: an image's vector is its first pixel, so that the stream is what counts."""

    class backbone:
        device = torch.device("cpu")
        preprocessing = Preprocessing((0, 0, 0), (1, 1, 1), "bicubic", 1, 64)

    def __init__(self, size=64):
        self.size = size
        self.threads = set()

    def fit(self, image):
        return image

    def encode_fitted(self, images):
        self.threads.add(torch.get_num_threads())
        return np.stack([image[0, 0].astype(np.float32) for image in images])


class Accelerated(Colours):
    """As if on an accelerator: the workers only prepare, this thread runs the network."""

    class backbone(Colours.backbone):
        device = torch.device("cuda")

    def encode_fitted(self, images):
        assert threading.current_thread() is threading.main_thread()
        return super().encode_fitted(images)


def colour(number):
    return np.full((2, 2, 3), (number % 256, number // 256, 7), np.uint8)


def workers_alive():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("resight")]


@pytest.fixture(autouse=True)
def no_trace():
    """Whatever happens in a stream, its threads end and torch's settings are what they were."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    assert workers_alive() == []
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


both_kinds = pytest.mark.parametrize("kind", [Colours, Accelerated])


@both_kinds
@pytest.mark.parametrize("workers", [1, 3, None])
@pytest.mark.parametrize("number", [0, 1, CHUNK, 5 * CHUNK + 3, 700])
def test_one_result_per_item_in_order(kind, workers, number):
    found = list(encode_stream(kind(), range(number), colour, workers=workers))
    assert [result.item for result in found] == list(range(number))
    assert all(result.error is None for result in found)
    assert [result.vector.tolist() for result in found] == [[n % 256, n // 256, 7] for n in range(number)]


@both_kinds
def test_errors_and_nothing_stay_in_their_places(kind):
    def load(number):
        if number % 7 == 3:
            raise ImageError(f"{number}.jpg", "the file is empty")
        return None if number % 5 == 0 else colour(number)

    found = list(encode_stream(kind(), range(200), load, workers=3))
    for number, result in enumerate(found):
        assert result.item == number
        if number % 7 == 3:
            assert (result.vector, result.error.where, result.error.reason) == (
                None, f"{number}.jpg", "the file is empty",
            )  # fmt: skip
        elif number % 5 == 0:
            assert (result.vector, result.error) == (None, None)
        else:
            assert result.error is None and result.vector[0] == number % 256


@both_kinds
def test_a_chunk_of_nothing_but_errors(kind):
    def load(number):
        raise ImageError(str(number), "no")

    assert [str(r.error) for r in encode_stream(kind(), range(3), load, workers=2)] == ["0: no", "1: no", "2: no"]


def test_later_images_do_not_overtake():
    """The first image waits until another worker has long finished a later one."""
    later = threading.Event()

    def load(number):
        if number == 0:
            assert later.wait(10)
        if number == 3 * CHUNK:
            later.set()
        return colour(number)

    assert [r.item for r in encode_stream(Colours(), range(5 * CHUNK), load, workers=2)] == list(range(5 * CHUNK))


@both_kinds
@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_a_bounded_number_is_taken_ahead(kind, workers):
    taken = []

    def source():
        for number in count():
            taken.append(number)
            yield number

    stream = encode_stream(kind(size=224), source(), colour, workers=workers)
    chunk = CHUNK if kind is Colours else 4 * CHUNK
    for used in range(1, 4 * chunk):
        next(stream)
        in_use = -(-used // chunk) * chunk  # the chunks that the results so far came from
        assert len(taken) <= in_use + 2 * workers * chunk
    stream.close()


@pytest.mark.parametrize(("size", "most"), [(64, CHUNK), (224, CHUNK), (448, CHUNK // 4), (4096, 1)])
def test_large_images_travel_in_smaller_chunks(size, most):
    """Pixels in memory are bounded, not images."""
    taken = []
    stream = encode_stream(Colours(size), (taken.append(n) or n for n in range(500)), colour, workers=1)
    next(stream)
    assert len(taken) == 2 * most
    stream.close()


@both_kinds
def test_an_error_of_the_source_is_raised(kind):
    def source():
        yield from range(100)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(encode_stream(kind(), source(), colour, workers=3))


@both_kinds
@pytest.mark.parametrize("error", [ValueError("not an image's fault"), MemoryError("full"), KeyboardInterrupt()])
def test_other_errors_of_load_are_raised(kind, error):
    def load(number):
        if number == 70:
            raise error
        return colour(number)

    with pytest.raises(type(error)):
        list(encode_stream(kind(), range(1000), load, workers=3))


def test_an_error_of_the_network_is_raised():
    encoder = Colours()
    encoder.encode_fitted = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(encode_stream(encoder, range(100), colour, workers=2))


@both_kinds
@pytest.mark.parametrize("used", [0, 1, 40])
def test_closed_early(kind, used):
    stream = encode_stream(kind(), count(), colour, workers=3)
    assert len(list(islice(stream, used))) == used
    assert bool(workers_alive()) == (used > 0)
    stream.close()
    assert workers_alive() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_the_workers_share_the_cores(workers):
    encoder = Colours()
    list(encode_stream(encoder, range(64), colour, workers=workers))
    assert encoder.threads == {max(1, cores() // workers)}


def test_this_threads_setting_is_kept_while_it_runs():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        stream = encode_stream(Colours(), range(200), colour, workers=2)
        next(stream)
        assert torch.get_num_threads() == 3
        list(stream)
        assert torch.get_num_threads() == 3
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert found == [3]  # also for threads born after it
    finally:
        torch.set_num_threads(before)


def test_two_streams_at_once_do_not_mix():
    first = encode_stream(Colours(), range(100), colour, workers=2)
    second = encode_stream(Colours(), range(100, 200), colour, workers=2)
    pairs = list(zip(first, second, strict=True))
    assert [(a.item, b.item) for a, b in pairs] == list(zip(range(100), range(100, 200), strict=True))
    assert all(b.vector[0] == b.item for _, b in pairs)


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_from_one(workers):
    with pytest.raises(InputError, match=f"workers must be at least 1, got {workers}"):
        next(iter(encode_stream(Colours(), range(3), colour, workers=workers)))


def test_a_backbone_without_weights_starts_no_threads():
    with pytest.raises(InputError, match="no package carries weights"):
        next(iter(encode_stream(Encoder("resnet50"), range(3), colour)))


def test_no_cores_are_invented():
    assert cores() >= 1


@pytest.mark.parametrize("workers", [1, 3])
def test_with_a_network(encoder, workers):
    images = [picture(n, 40 + n, 60) for n in range(6)]
    found = list(encode_stream(encoder, images, lambda image: image, workers=workers))
    for image, result in zip(images, found, strict=True):
        assert isinstance(result, Encoded) and result.item is image
        np.testing.assert_allclose(result.vector, encoder.encode(image), atol=1e-5)
