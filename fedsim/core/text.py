"""Text from clients, logs and files of others, which is not trusted."""

MAX_SHOWN = 500
"""Maximum number of characters of a message that is shown."""


def printable(text: str, most: int | None = MAX_SHOWN) -> str:
    """Return untrusted text without control characters, which could steer a terminal.

    Args:
        text: the text.
        most: maximum number of characters; None for all.
    """
    return "".join(c if c.isprintable() else " " for c in text)[:most]
