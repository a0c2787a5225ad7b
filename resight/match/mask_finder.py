"""Finds a template by a trained mask network: the pixels it marks, their parts, and a box around each."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.images import ImageLike, read_image, resize
from resight.images.lines import read_bytes_of
from resight.match.result import Match
from resight.match.template import Template, as_template

if TYPE_CHECKING:
    import torch

    from resight.match.mask_network import MaskNetwork

RECORD, MODEL = "run.json", "model.safetensors"
FORMAT, TASK = "resight-train-1", "locate"
RECORD_BYTES, MODEL_BYTES = 4 << 20, 4 << 30
MARKED = 0.5  # probability from which a pixel belongs to the thing
LEAST_SHARE = 4e-4  # of the network's square that a part covers: smaller ones are specks
SIZES_KEPT = 4  # shapes of scenes for which the template is kept encoded

Image = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MaskModel:
    """A trained mask network, ready to use.

    network: in evaluation mode, on `device`;  size: S, the side of what it sees;  file: of its weights
    """

    network: MaskNetwork = field(repr=False)
    size: int
    device: torch.device
    file: Path

    def encode(self, query: Image) -> list[torch.Tensor]:
        """(S, S, 3) uint8, as `place_query` gives it -> its maps."""
        import torch

        with torch.inference_mode():
            return self.network.encode(self._batch(query))

    def probabilities(self, scene: Image, query: list[torch.Tensor]) -> Probabilities:
        """Where the query is: (S, S, 3) uint8 -> (S, S) float32 in 0..1."""
        import torch

        with torch.inference_mode():
            found = self.network.decide(self._batch(scene), query).sigmoid()
        array: Probabilities = found[0, 0].cpu().numpy()
        return array

    def _batch(self, image: Image) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None].to(self.device)


def open_mask_model(place: str | os.PathLike[str], device: str = "auto") -> MaskModel:
    """A trained mask network.

    place:  the folder of a run of `resight train locate`, or its model.safetensors with run.json beside it
    device: auto, cpu, cuda or mps

    Nothing in the files can run. Raises InputError if there is no such network, or its training has not finished;
    WorkError if it is damaged.
    """
    from safetensors.torch import load

    from resight.match.mask_network import rebuild_mask_network
    from resight.models.backbone import choose_device
    from resight.models.weights import load_state

    file, record = _record(Path(place).expanduser())
    data = _weights(file, record)
    try:
        network = rebuild_mask_network(record["network"])
        load_state(network, load(data), str(file))
    except Exception as error:  # safetensors and timm raise types of their own for what cannot be
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorkError(f"{file} is damaged, or of another version: {first}") from error
    where = choose_device(device)
    network = network.eval().requires_grad_(False).to(where)
    return MaskModel(network, int(network.facts["size"]), where, file)


def place_query(template: Template, canvas: tuple[int, int], size: int) -> Image:
    """The template on black, in the middle of a canvas of (H, W), squashed to (S, S, 3) uint8; as in training.

    What does not belong to the template (its mask) is black too. A template larger than the canvas lies on one of the
    canvas's shape that just holds it.

    >>> place_query(Template(np.full((4, 4, 3), 9, np.uint8)), (8, 8), 8)[:, :, 0].sum(0).tolist()
    [0, 0, 36, 36, 36, 36, 0, 0]
    """
    image = template.image if template.mask is None else template.image * template.mask[:, :, None]
    high, wide = template.size
    grow = max(1.0, high / canvas[0], wide / canvas[1])
    height, width = max(high, round(canvas[0] * grow)), max(wide, round(canvas[1] * grow))
    top, left = (height - high) // 2, (width - wide) // 2
    ground = np.zeros((height, width, 3), np.uint8)
    ground[top : top + high, left : left + wide] = image
    return resize(ground, (size, size), "bilinear")


class MaskFinder:
    """A template, prepared once, that a mask network finds in any number of scenes.

    template:  a Template, an image or a file;  model: a MaskModel, or what `open_mask_model` takes
    threshold: least mean probability of a part that counts as found

    The score is the mean probability of the marked pixels. It is not calibrated: a network that is sure is not always
    right.
    """

    def __init__(
        self, template: Template | ImageLike, model: MaskModel | str | os.PathLike[str], *, threshold: float = 0.5,
        device: str = "auto",
    ) -> None:  # fmt: skip
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold must be from 0 to 1, got {threshold}")
        self.template = as_template(template)
        self.model = model if isinstance(model, MaskModel) else open_mask_model(model, device)
        self.threshold = threshold
        self._encoded: OrderedDict[tuple[int, int], list[torch.Tensor]] = OrderedDict()

    def find(self, scene: ImageLike) -> Match:
        """The template's best place in a scene; a Match that says absent if there is none."""
        found = self._matches(read_image(scene), 1)
        return found[0]

    def find_all(self, scene: ImageLike, most: int = 20) -> tuple[Match, ...]:
        """Every place that counts as found, the best first; parts that touch are one."""
        if most < 1:
            raise InputError(f"most must be at least 1, got {most}")
        return tuple(one for one in self._matches(read_image(scene), most) if one.found)

    def probabilities(self, scene: ImageLike) -> Probabilities:
        """(H, W) float32 in 0..1: how likely each pixel of the scene belongs to the template."""
        return self._map(read_image(scene))

    def _map(self, scene: Image) -> Probabilities:
        import cv2

        height, width = scene.shape[:2]
        square = resize(scene, (self.model.size, self.model.size), "bilinear")
        found = self.model.probabilities(square, self._query((height, width)))
        grown = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(grown, np.float32)

    def _query(self, canvas: tuple[int, int]) -> list[torch.Tensor]:
        """The template's maps for scenes of this size; those of the last few sizes are kept."""
        if canvas not in self._encoded:
            self._encoded[canvas] = self.model.encode(place_query(self.template, canvas, self.model.size))
            while len(self._encoded) > SIZES_KEPT:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(canvas)
        return self._encoded[canvas]

    def _matches(self, scene: Image, most: int) -> list[Match]:
        probabilities = self._map(scene)
        peak = float(probabilities.max())
        size = (int(scene.shape[0]), int(scene.shape[1]))
        made = [self._match(part, probabilities, peak, size) for part in parts(probabilities, most)]
        if made:
            return sorted(made, key=lambda one: -one.score)
        nothing = np.zeros(size, bool)
        return [Match(False, min(peak, MARKED), None, "mask", size, self.template.size, evidence={"peak": peak},
                      outline=nothing)]  # fmt: skip

    def _match(
        self, part: NDArray[np.bool_], probabilities: Probabilities, peak: float, size: tuple[int, int]
    ) -> Match:
        score = float(probabilities[part].mean())
        evidence = {"probability": score, "area": float(part.mean()), "peak": peak}
        place = box_homography(part, self.template.size)
        return Match(score >= self.threshold, score, place, "mask", size, self.template.size, evidence=evidence,
                     outline=part)  # fmt: skip


def parts(probabilities: Probabilities, most: int) -> list[NDArray[np.bool_]]:
    """The connected parts of a map that are marked, the largest first, without specks.

    >>> [int(one.sum()) for one in parts(np.array([[0.9, 0, 0.6], [0.7, 0, 0]], np.float32), 5)]
    [2, 1]
    """
    import cv2

    count, labels, facts, _ = cv2.connectedComponentsWithStats(
        (probabilities >= MARKED).astype(np.uint8), connectivity=8
    )
    areas = facts[1:count, cv2.CC_STAT_AREA]
    order = [int(one) for one in np.argsort(-areas, kind="stable")[:most] if areas[one] >= LEAST_SHARE * labels.size]
    return [labels == one + 1 for one in order]


def box_homography(part: NDArray[np.bool_], template: tuple[int, int]) -> NDArray[np.float64]:
    """The map that stretches a template of (H, W) over the box around the marked pixels, of which there are some.

    >>> box_homography(np.array([[False, True], [False, True]]), (1, 2))[:2].tolist()
    [[0.5, 0.0, 1.0], [0.0, 2.0, 0.0]]
    """
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    high, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    return np.array([[wide / template[1], 0, columns[0]], [0, high / template[0], rows[0]], [0, 0, 1]], np.float64)


def _record(place: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the weights and what run.json beside it says, its form checked as far as it is needed."""
    file = place / MODEL if place.is_dir() else place
    beside = file.parent / RECORD
    expected = f"the folder of a finished run of `resight train locate`, or its {MODEL} with {RECORD} beside it"
    if not beside.is_file():
        raise InputError(f"{place}: expected {expected}, got no {RECORD}")
    try:
        record = json.loads(read_bytes_of(beside, RECORD_BYTES).decode("utf-8"))
        fits = isinstance(record, dict) and record.get("format") == FORMAT
    except (ValueError, RecursionError) as error:
        raise WorkError(f"{beside} is damaged: not JSON ({str(error)[:100]}): bring the file back") from error
    if not fits or record.get("task") != TASK:
        raise InputError(f"{place}: expected {expected}, got another run or file")
    if record.get("state") != "finished":
        raise InputError(f"{place}: this training has not finished: go on with it, or keep its best epoch so far: "
                         f"`resight train finish {file.parent}`")  # fmt: skip
    return file, record


def _weights(file: Path, record: dict[str, Any]) -> bytes:
    """The bytes of the weights. Raises WorkError unless they are those of the record."""
    try:
        expected = str(record["model"]["sha256"])
        data = read_bytes_of(file, MODEL_BYTES)
    except (KeyError, TypeError) as error:
        raise WorkError(f"{file.parent / RECORD} is damaged: model is missing or something else") from error
    except InputError as error:
        raise WorkError(str(error)) from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise WorkError(f"{file} is not what {RECORD} has recorded: it is damaged or was replaced")
    return data
