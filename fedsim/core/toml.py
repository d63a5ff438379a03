"""TOML texts of strangers."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 100
"""Maximum number of parts of a dotted key; the time that `tomllib` takes grows with its square."""
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML, or has something like a key of more than
            `MOST_PARTS` parts. It is a ValueError.
        RecursionError: its values are nested too deeply.
    """
    if (found := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise tomllib.TOMLDecodeError(f"a key of more than {MOST_PARTS} parts (at line {line})")
    return tomllib.loads(text)
