"""kill -9 while indexing, full disks, and a reader beside a writer: with real processes."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from samples import picture

from resight import Collection, Encoder

pytestmark = pytest.mark.slow

WRITER = """
import sys
import resight
from resight.search import adding
adding.COMMIT_IMAGES = 8
def tell(done, failed):
    print(done, flush=True)
where, photos = sys.argv[1:]
with resight.Collection.open(where) as collection:
    report = collection.add(photos, progress=tell)
    print("finished", report.added, report.unchanged, flush=True)
"""


@pytest.fixture
def many(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(600):
        Image.fromarray(picture(number, 40, 40)).save(tmp_path / "photos" / f"{number:03d}.png")
    Collection.create(tmp_path / "c.resight", Encoder(descriptor="spoc", size=64)).close()
    return tmp_path


def start(folder, **options):
    command = [sys.executable, "-c", WRITER, str(folder / "c.resight"), str(folder / "photos")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_kill_9_at_random_moments_loses_nothing_that_was_acknowledged(many):
    chance = random.Random(7)
    acknowledged = kills = 0
    for _ in range(4):
        before = len(Collection.open(many / "c.resight"))
        writer = start(many)
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it is at work
        if first.startswith("finished"):
            break
        told = int(first)
        time.sleep(chance.uniform(0, 0.6))
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        kills += 1
        told = max([told, *(int(line) for line in rest.split() if line.isdigit())])
        with Collection.open(many / "c.resight") as collection:
            assert len(collection) >= told  # `done` counts the known images, too
            assert len(collection) >= before
            assert collection.verify() == []
            acknowledged = len(collection)
            item = next(iter(collection.items()))
            assert collection.search(item.id, k=1).ids.tolist() == [item.id]
    assert kills >= 2
    writer = start(many)
    out, err = writer.communicate(timeout=120)
    assert writer.returncode == 0, err
    added, unchanged = map(int, out.split("finished")[1].split())
    assert unchanged >= acknowledged > 0  # nothing finished was described again
    assert added + unchanged == 600
    with Collection.open(many / "c.resight") as collection:
        assert len(collection) == 600
        assert collection.verify() == []


def test_a_second_process_searches_while_the_first_adds(many):
    writer = start(many)
    sizes = []
    with Collection.open(many / "c.resight") as reader:
        query = reader.encoder.encode(picture(0, 40, 40))
        while writer.poll() is None:
            ids, scores = reader.search_vectors(query, k=3)
            sizes.append(len(reader))
            if sizes[-1]:
                assert ids[0, 0] > 0
                assert scores[0, 0] > 0.2
            time.sleep(0.02)
        _, err = writer.communicate()
        assert writer.returncode == 0, err
        assert len(reader) == 600
        assert reader.search_vectors(query, k=1)[1][0, 0] == pytest.approx(1, abs=1e-4)
        assert reader.verify() == []
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3  # it did see the collection grow


def test_a_full_disk_ends_with_one_line_and_an_intact_collection(many):
    def no_more_than(size):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return limit

    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "resight", "index", str(many / "photos"), "--to", str(many / "c.resight")]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, preexec_fn=no_more_than(700_000), check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("resight:")]
    assert len(lines) == 1
    assert "disk" in lines[0]
    with Collection.open(many / "c.resight") as collection:
        assert collection.verify() == []
        kept = len(collection)
        assert collection.add(many / "photos").unchanged == kept
        assert len(collection) == 600
