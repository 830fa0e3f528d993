"""From a template to one self-contained HTML file, in the report's style.

A page loads nothing: its Content-Security-Policy allows its own style sheet, and of scripts only
the one that the page was made with, both by their hash.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from toprope.errors import UserError
from toprope.files import write_text
from toprope.report.page import environment
from toprope.techniques.interpretability.pages.tokens import LEVELS

if TYPE_CHECKING:
    from jinja2 import Environment

# No scheme and no host: a link stays among the files beside the page.
_BESIDE = re.compile(r"(?!//)[\w./#-]+")


def document(template: str, *, script: str = "", **values: object) -> str:
    """The page that a template makes of values; all that isn't `Markup` is escaped.

    Args:
        script: name of a file among the templates, to run at the page's end.
    """
    style = _text("style.html") + _text("pages.css", levels=LEVELS)
    code = _text(script) if script else ""
    policy = [f"style-src '{_hash(style)}'", *([f"script-src '{_hash(code)}'"] if code else [])]
    return (
        _templates()
        .get_template(template)
        .render(style=Markup(style), script=Markup(code), policy="; ".join(policy), **values)
    )


def write(path: Path, page: str) -> Path:
    """Writes the page, all of it or nothing.

    Raises:
        UserError: the file can't be written.
    """
    try:
        write_text(path, page)
    except OSError as error:
        raise UserError(f"can't write the page {path}: {error.strerror}") from error
    return path


def check_link(href: str | None) -> None:
    """
    Raises:
        ValueError: the link leads elsewhere than to a file beside the page.
    """
    if href is not None and not _BESIDE.fullmatch(href):
        raise ValueError(f"{href!r} isn't a link to a file beside the page")


@cache
def _templates() -> "Environment":
    return environment(__package__ or "")


@cache
def _text(template: str, **values: object) -> str:
    return _templates().get_template(template).render(**values).strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
