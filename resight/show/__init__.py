"""Draws: contact sheets (PNG), self-contained HTML reports, notebook fragments. Knows nothing but plain values."""

from resight.show.files import write_atomic
from resight.show.picture import MARKS, Picture
from resight.show.report import Section, Table, inline, report
from resight.show.saving import save_picture
from resight.show.sheet import sheet
from resight.show.thumbnail import data_uri, placeholder, thumbnail

__all__ = [
    "MARKS",
    "Picture",
    "Section",
    "Table",
    "data_uri",
    "inline",
    "placeholder",
    "report",
    "save_picture",
    "sheet",
    "thumbnail",
    "write_atomic",
]
