"""The folder of a finished run of `resight train embed` for tests, made in a moment: a tiny network, never trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

SIZE, DIM = 64, 12
PREPROCESSING = {
    "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear", "crop": 0.9, "size": 96,
}  # fmt: skip


def make_trained(folder, descriptor="gem", *, backbone="test_resnet", seed=1, head=True, tensors=None, **facts):
    """A folder with model.safetensors and encoder.json; facts: what encoder.json says otherwise."""
    import timm
    from safetensors.torch import save

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = timm.create_model(backbone, **({} if head else {"num_classes": 0}))
        state = {f"backbone.{name}": value.contiguous() for name, value in model.state_dict().items()}
        width = model.num_features
        state["projection.mean"] = torch.rand(width) / width**0.5
        state["projection.weight"] = torch.randn(width, DIM)
    state.update(tensors or {})
    data = save({name: value for name, value in state.items() if value is not None})
    (place / "model.safetensors").write_bytes(data)
    record = {
        "format": "resight-encoder-1", "backbone": backbone, "descriptor": descriptor, "size": SIZE, "fit": "squash",
        "dim": DIM, "preprocessing": PREPROCESSING, "model": {"sha256": hashlib.sha256(data).hexdigest()},
        "start": {"weights": "random", "seed": seed}, **facts,
    }  # fmt: skip
    (place / "encoder.json").write_text(json.dumps(record))
    return place
