"""The projection of a run of `resight train embed`, and whether the run is still the one that was configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resight.errors import InputError, WorkError
from resight.features.descriptor import parse_descriptor
from resight.features.whitening import Whitening

if TYPE_CHECKING:
    from torch import Tensor

    from resight.features.config import EncoderConfig


def load_projection(config: EncoderConfig) -> Whitening:
    """The projection y = L2((x - mean) @ P) that the run of a configuration has trained.

    Raises InputError if the run is gone or is none, WorkError if it is damaged or not the run that was configured: then
    another one was trained in its folder since.
    """
    from resight.models.backbone import check_name
    from resight.models.trained import projection_arrays, read_trained

    if config.encoder is None:
        raise InputError("expected the configuration of a run, got one without encoder")
    run = read_trained(config.encoder)
    mean, projection = projection_arrays(run)
    try:
        check_name(run.backbone)
        own = {"backbone": run.backbone, "descriptor": str(parse_descriptor(run.descriptor))}
        found = Whitening(mean, projection)
    except InputError as error:  # of what the run itself has recorded: no mistake of the caller
        raise WorkError(f"{config.encoder} is damaged, or of another version: {error}") from error
    for name, value in own.items():
        if getattr(config, name) != value:
            raise WorkError(f"{config.encoder} is another run than it was: its {name} is {value!r}, expected "
                            f"{getattr(config, name)!r}: bring the former one back")  # fmt: skip
    return found


def as_tensors(projection: Whitening) -> tuple[Tensor, Tensor]:
    """Mean (D,) and projection (D, d) as float32 tensors on the CPU, copies that may be written to."""
    import torch

    return torch.from_numpy(np.array(projection.mean)), torch.from_numpy(np.array(projection.projection))
