"""What the engine reads of the options of a training, whatever it is that is trained."""

from __future__ import annotations

from typing import Any, Protocol


class Course(Protocol):
    """Options of any training: `TrainOptions` of classifiers, `LocateOptions` of mask networks."""

    @property
    def unit(self) -> str:
        """What is counted: images, sequences, samples."""

    @property
    def find_unused(self) -> bool:
        """Whether some weights may get no gradient in a step, which several devices must look out for."""

    @property
    def epochs(self) -> int | None:
        """How many there are; None: not known yet."""

    @property
    def batch(self) -> int:
        """Examples of one step, over all devices."""

    @property
    def lr(self) -> float | None:
        """The highest learning rate."""

    @property
    def weight_decay(self) -> float | None:
        """Decay of weights, biases and normalisations left out."""

    @property
    def optimiser(self) -> str:
        """adamw or sgd."""

    @property
    def schedule(self) -> str:
        """cosine, step or constant."""

    @property
    def warmup(self) -> float:
        """Epochs over which the learning rate grows from zero."""

    @property
    def decay_every(self) -> int:
        """Epochs between the steps of schedule step."""

    @property
    def decay(self) -> float:
        """Factor of each such step."""

    @property
    def ema(self) -> float:
        """Decay of an average of the weights; 0: none."""

    @property
    def early_stop(self) -> int:
        """Epochs to wait for a better validation; 0: for ever."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""

    @property
    def precision(self) -> str:
        """float32, bfloat16 or float16."""

    @property
    def device(self) -> str:
        """auto, cpu, cuda or mps."""

    @property
    def devices(self) -> int:
        """Devices to train on."""

    @property
    def nodes(self) -> int:
        """Machines to train on."""

    @property
    def workers(self) -> int | None:
        """Processes that make batches; None: by the machine."""

    def as_dict(self) -> dict[str, Any]:
        """Every option, as JSON and YAML can hold it."""
        ...
