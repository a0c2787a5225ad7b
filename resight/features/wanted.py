"""What a feature table shall hold, as a person writes it: "fractal,gem:resnet50,p=4,layer:resnet50.layer3"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resight.errors import InputError, unknown
from resight.features.descriptor import OPTIONS as DESCRIPTORS

CLASSICAL = ("fractal", "densesift")
KINDS = (*CLASSICAL, "layer", *DESCRIPTORS)
NETWORK_OPTIONS = ("weights", "size", "fit")  # of one extractor, before those for all


@dataclass(frozen=True)
class Wanted:
    """One extractor as asked for.

    kind     "fractal", "densesift", "layer" or a descriptor (gem, rmac, ...)
    subject  a network's name; for layer "NETWORK.MODULE", or "MODULE" of the default network; "" if not given
    options  ((name, text), ...) in the order given
    """

    kind: str
    subject: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [self.subject] if self.subject else []
        parts += [f"{name}={text}" for name, text in self.options]
        return f"{self.kind}:{','.join(parts)}" if parts else self.kind

    def take(self, *names: str) -> dict[str, str]:
        """Those of its options that are named."""
        return {name: text for name, text in self.options if name in names}

    def without(self, *names: str) -> dict[str, str]:
        """Its other options."""
        return {name: text for name, text in self.options if name not in names}


def parse_wanted(texts: str | Iterable[str]) -> tuple[Wanted, ...]:
    """The extractors in texts such as "fractal:set=gcc,gem:resnet50"; commas part them and their options alike.

    A part with = and no colon before it is an option of the extractor before it.
    Raises InputError for an unknown kind (with the closest match), an option before any extractor, or one asked twice.

    >>> [str(one) for one in parse_wanted("fractal:set=gcc,size=512,gem,layer:resnet50.layer3,pool=max")]
    ['fractal:set=gcc,size=512', 'gem', 'layer:resnet50.layer3,pool=max']
    """
    found: list[Wanted] = []
    for text in [texts] if isinstance(texts, str) else texts:
        for part in text.split(","):
            _take_in(found, part.strip(), text)
    if not found:
        raise InputError(f"no features asked for: choose from {', '.join(KINDS)}")
    twice = [str(one) for place, one in enumerate(found) if one in found[:place]]
    if twice:
        raise InputError(f"{twice[0]} is asked for twice")
    return tuple(found)


def _take_in(found: list[Wanted], part: str, text: str) -> None:
    if not part:
        raise InputError(f"nothing between two commas, or before or after one, in {text!r}")
    head, equals, value = part.partition("=")
    if equals and ":" not in head:
        if not found:
            raise InputError(f"{part!r} is an option, but no extractor stands before it in {text!r}")
        found[-1] = _with(found[-1], head.strip(), value.strip(), part)
        return
    kind, _, rest = part.partition(":")
    kind = kind.strip().lower()
    if kind not in KINDS:
        raise unknown("features", kind, KINDS)
    if "=" in rest:
        name, _, value = rest.partition("=")
        found.append(_with(Wanted(kind), name.strip(), value.strip(), part))
    else:
        found.append(Wanted(kind, rest.strip()))


def _with(wanted: Wanted, name: str, value: str, part: str) -> Wanted:
    if not name or not value:
        raise InputError(f"expected option=value, got {part!r}")
    if name in dict(wanted.options):
        raise InputError(f"option {name} of {wanted} is given more than once")
    return Wanted(wanted.kind, wanted.subject, (*wanted.options, (name, value)))
