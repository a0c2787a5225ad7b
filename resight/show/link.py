"""Addresses that are safe to click."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive
KEPT = "%/:?#[]@!$&()*+,;=~-._"


def link(href: str | os.PathLike[str] | None) -> str | None:
    r"""A local path as a quoted file: address, an http(s) address as it is, None for anything else.

    What comes back starts with file://, http:// or https:// and holds no quote, blank or angle bracket.

    >>> link("/photos/a b.jpg"), link("javascript:alert(1)")
    ('file:///photos/a%20b.jpg', None)
    """
    text = "" if href is None else os.fspath(href)
    if not text or "\0" in text:
        return None
    try:
        if SCHEME.match("".join(char for char in text if char > " ")) is None:
            return Path(os.path.abspath(text)).as_uri()  # not resolve(), which follows symbolic links
        address = urlsplit(text)
        if address.scheme in ("http", "https") and address.hostname:
            return quote(address.geturl(), safe=KEPT)
    except ValueError:  # undecodable, or not an address
        return None
    return None
