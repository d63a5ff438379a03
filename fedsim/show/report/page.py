"""Self-contained HTML pages: templates, style, scripts and Plotly in one file.

The templates escape everything. In addition, a page forbids all requests and runs only scripts with
its own nonce, so that injected markup has no effect.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, FunctionLoader, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fedsim.core.errors import RunError
from fedsim.core.modality import MODALITIES
from fedsim.core.version import __version__
from fedsim.show.figures.files import replace_file
from fedsim.show.headline import counted
from fedsim.show.privacy import upper
from fedsim.show.report import words

REPORT = "report.html"
_PACKAGE = "fedsim.show.report"
_ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")
_CODE = re.compile(r"``([^`]+)``")


def is_available() -> bool:
    """Return whether the templates are installed.

    They are missing under ``flwr run``, whose bundles have no HTML.
    """
    return files(_PACKAGE).joinpath("templates").is_dir()


def render(template: str, seed: str, **values: object) -> str:
    """Return a page.

    Args:
        template: name of the template.
        seed: content hashed into the script nonce; equal seeds give equal pages.
        values: variables of the template.

    Raises:
        RunError: the templates are not installed.
    """
    if not is_available():
        raise RunError(
            "the report's templates are not installed here (Flower's bundles omit them); "
            "write the report with `fedsim report` where fedsim itself is installed"
        )
    nonce = hashlib.sha256(seed.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    html = _environment().get_template(template).render(nonce=nonce, **values)
    return html.encode("utf-8", "backslashreplace").decode("utf-8")


def write_page(path: Path, html: str) -> Path:
    """Write a page atomically, and return its path.

    Raises:
        RunError: the page cannot be written.
    """
    try:
        replace_file(path, html.encode("utf-8"))
    except OSError as error:
        raise RunError(
            f"{path}: the report cannot be written: {error.strerror or error}; "
            "give --out a writable file"
        ) from None
    return path


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as the data URI of a CSV file."""
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
    return "data:text/csv;charset=utf-8," + quote(text.getvalue().encode("utf-8", "replace"))


def as_text_file(text: str) -> str:
    """Return text as the data URI of a text file."""
    return "data:text/plain;charset=utf-8," + quote(text.encode("utf-8", "replace"))


def prose(text: str) -> Markup:
    """Return a docstring as HTML: paragraphs, code, and links to arXiv."""
    paragraphs = []
    for part in re.split(r"\n\s*\n", text.strip()):
        html = str(escape(" ".join(part.split())))
        html = _CODE.sub(r"<code>\1</code>", html)
        html = _ARXIV.sub(r'<a rel="noreferrer" href="https://arxiv.org/abs/\g<0>">\g<0></a>', html)
        paragraphs.append(f"<p>{html}</p>")
    return Markup("".join(paragraphs))  # noqa: S704  (escaped above)


def _harmless(cell: object) -> object:
    """Return a cell that a spreadsheet does not interpret as a formula."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(_PACKAGE), FunctionLoader(_of_modality)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "upper": upper,
        "size": words.size,
        "moment": words.moment,
        "duration": words.duration,
        "counted": counted,
        "prose": prose,
    }
    environment.globals |= {
        "asset": _asset,
        "plotly": _plotly,
        "meanings": words.MEANINGS,
        "version": __version__,
        "refresh_s": None,
    }
    return environment


def _of_modality(name: str) -> str | None:
    """Return the template ``<modality>/<file>`` in the folder of the view's module."""
    modality, _, file = name.partition("/")
    if modality not in MODALITIES.names():
        return None
    package = MODALITIES.get(modality).view.partition(":")[0].rpartition(".")[0]
    return files(package).joinpath("templates", file).read_text("utf-8")


def _asset(name: str) -> Markup:
    """Return the text of a style sheet or script."""
    return Markup(files(_PACKAGE).joinpath("templates", name).read_text("utf-8"))  # noqa: S704


@lru_cache(maxsize=1)
def _plotly() -> Markup:
    """Return Plotly's code as base64 of gzip, a third of its size, which browsers can unpack."""
    code = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    packed = base64.b64encode(gzip.compress(code, 9, mtime=0)).decode("ascii")
    return Markup(packed)  # noqa: S704  (letters and digits)
