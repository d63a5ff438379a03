"""Text from clients, logs and files of others, which is not trusted."""

import re
from collections.abc import Mapping
from typing import Any

MAX_SHOWN = 500
"""Maximum number of characters of a message that is shown."""

CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
DIRECTIONS = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
STEERING = re.compile(f"[{CONTROLS}{DIRECTIONS}]")
"""Characters that steer a terminal, or the direction of text; tabs and ends of lines are not."""


LINES = frozenset(
    {"text", "texts", "error", "problem", "original", "found", "moments", "command", "description"}
)
"""Keys of records and scenarios whose texts can have several lines."""


def printable(text: str, most: int | None = MAX_SHOWN) -> str:
    """Return untrusted text without control characters, which could steer a terminal.

    Args:
        text: the text.
        most: maximum number of characters; None for all.
    """
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def escaped(text: str) -> str:
    r"""Return untrusted text in which escapes such as ``\x1b`` replace control characters.

    Tabs and ends of lines are kept.
    """
    return STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def harmless(value: Any, *, lines: bool = False) -> Any:
    """Return nested tables and lists in which escapes replace control characters.

    Ends of lines are escaped too, except in texts that can have several lines: otherwise a name
    could forge lines of a table.

    Args:
        value: what was read from JSON or TOML.
        lines: whether texts can have several lines.
    """
    if isinstance(value, str):
        safe = escaped(value)
        return safe if lines else safe.replace("\n", "\\n").replace("\t", "\\t")
    if isinstance(value, Mapping):
        return {harmless(k): harmless(v, lines=lines or k in LINES) for k, v in value.items()}
    if isinstance(value, list):
        return [harmless(part, lines=lines) for part in value]
    return value
