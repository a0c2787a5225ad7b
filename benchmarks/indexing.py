"""Claim: indexing 1,000 photographs runs at 0.9x or more of a bare loop of the same network over ready tensors.

python benchmarks/indexing.py [FOLDER]     (default: 1,000 JPEGs made from the packaged photographs)

The bare loop does no decoding, no resizing, no pooling and stores nothing: `model.forward_features` on normalised
float tensors that are already in memory, at torch's default threads. It is run at batch 32, as people write it, and at
smaller ones, which are faster here.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _common import interleaved, machine, peak_memory_mb

import resight
from resight.demo import packaged_photographs
from resight.images import list_images, read_image, resize
from resight.models.backbone import build


def photographs(folder: Path) -> Path:
    """1,000 JPEGs of 384 x 256 cut from the packaged photographs."""
    from PIL import Image

    sources = [Image.fromarray(read_image(path)) for path in packaged_photographs()]
    rng = np.random.default_rng(0)
    for number in range(1000):
        image = sources[number % len(sources)]
        w, h = min(384, image.width), min(256, image.height)
        x, y = int(rng.integers(0, image.width - w + 1)), int(rng.integers(0, image.height - h + 1))
        image.crop((x, y, x + w, y + h)).resize((384, 256)).save(folder / f"{number:04d}.jpg", quality=90)
    return folder


def main() -> None:
    work = Path(tempfile.mkdtemp(prefix="resight-bench-"))
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else photographs(work)
    paths = [listing.path for listing in list_images(given)][:1000]
    encoder = resight.Encoder(descriptor="gem")
    own = encoder.backbone
    model = build("tf_efficientnet_lite0", "package")[0].eval().requires_grad_(False)  # as timm makes it
    model = model.to(memory_format=torch.channels_last)

    def index() -> None:
        with tempfile.TemporaryDirectory(dir=work) as place, resight.Collection.create(place, encoder) as photos:
            report = photos.add(paths)
            if (report.added, report.failed) != (len(paths), 0):
                raise SystemExit(f"not all were indexed: {report}")

    encoder.encode(paths[0])
    index()
    memory = peak_memory_mb()
    pixels = torch.from_numpy(np.stack([resize(read_image(path), (224, 224)) for path in paths])).permute(0, 3, 1, 2)
    ready = torch.cat([own.normalise(part) for part in pixels.split(100)]).contiguous(memory_format=torch.channels_last)

    def bare(batch: int) -> None:
        with torch.inference_mode():
            for part in ready.split(batch):
                model.forward_features(part)

    bare(32)
    batches = (4, 8, 32)
    actions = {"resight index": index, **{f"bare loop, batch {b}": (lambda b=b: bare(b)) for b in batches}}
    times = interleaved(actions, 5)
    print(machine())
    print(f"{len(paths)} photographs, tf_efficientnet_lite0 at 224, float32, medians of 5 interleaved runs")
    for name, seconds in times.items():
        print(f"  {name:<22} {len(paths) / seconds:7.1f} images/s")
    fastest = min((n for n in times if n.startswith("bare")), key=times.__getitem__)
    print(f"  ratio to the bare loop at batch 32: {times['bare loop, batch 32'] / times['resight index']:.2f}x")
    print(f"  ratio to the fastest ({fastest}): {times[fastest] / times['resight index']:.2f}x")
    print(f"  peak memory of indexing: {memory:.0f} MB")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
