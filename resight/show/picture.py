"""The one value this room draws: an image with what is said about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from resight.errors import InputError, unknown

if TYPE_CHECKING:
    from resight.images import ImageLike

Box: TypeAlias = tuple[float, float, float, float]

# Apart in hue and in lightness for the common kinds of colour blindness (after Okabe and Ito), dark enough for a
# white glyph (contrast above 4.5 to 1). Never used without the glyph or the word.
MARKS = {"query": "#0b62a8", "right": "#00795a", "wrong": "#c2410c"}


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """An image (or None) with its caption and note.

    caption: what is measured, "0.912"        note: what it is, usually the file's name
    mark: "", "query", "right" or "wrong"     box: x0, y0, x1, y1 in pixels of the original image
    href: where a click leads, a local path or an http(s) address; anything else is dropped when drawn

    An image that cannot be read is no error: it is drawn as a grey placeholder with the reason.
    Raises InputError for an unknown mark, or a box that is not four finite, ordered numbers.
    """

    image: ImageLike | None
    caption: str = ""
    note: str = ""
    mark: str = ""
    box: Box | None = None
    href: str | None = None

    def __post_init__(self) -> None:
        if self.mark and self.mark not in MARKS:
            raise unknown("mark", self.mark, MARKS)
        if self.box is not None:
            object.__setattr__(self, "box", _checked(self.box))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Picture):
            return NotImplemented
        return self._words() == other._words() and _same(self.image, other.image)

    def __hash__(self) -> int:
        return hash(self._words())

    def __repr__(self) -> str:
        shape = getattr(self.image, "shape", None)
        image = repr(self.image) if shape is None else f"<array {'x'.join(map(str, shape))}>"
        words = zip(("caption", "note", "mark", "box", "href"), self._words())
        return f"Picture({', '.join([image, *(f'{name}={value!r}' for name, value in words if value)])})"

    def _words(self) -> tuple[object, ...]:
        return self.caption, self.note, self.mark, self.box, self.href


def _checked(box: Box) -> Box:
    sides = tuple(float(side) for side in box)
    if len(sides) != 4 or not all(map(math.isfinite, sides)) or sides[0] > sides[2] or sides[1] > sides[3]:
        raise InputError(f"expected a box as four finite pixels x0 <= x1, y0 <= y1 (x0, y0, x1, y1), got {sides}")
    return sides[0], sides[1], sides[2], sides[3]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return one.shape == other.shape and bool((one == other).all())
    return type(one) is type(other) and bool(one == other)
