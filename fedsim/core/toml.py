"""TOML texts of strangers."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 100
"""Maximum number of parts of a dotted key; the time that `tomllib` takes grows with its square."""
MOST_CHARACTERS = 2_000_000
"""Maximum size of a text."""
# Longer strings are no parts here, so that the search takes linear time: so few of them fit into a
# text that they do no harm.
_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.){0,200}+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML, has more than `MOST_CHARACTERS`, or has something
            like a key of more than `MOST_PARTS` parts. It is a ValueError.
        RecursionError: its values are nested too deeply.
    """
    if len(text) > MOST_CHARACTERS:
        raise tomllib.TOMLDecodeError(f"a text of more than {MOST_CHARACTERS:,} characters")
    if (found := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise tomllib.TOMLDecodeError(f"a key of more than {MOST_PARTS} parts (at line {line})")
    return tomllib.loads(text)
