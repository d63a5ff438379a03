"""Docstrings, messages and texts avoid turns of phrase that are hard to read and to search."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("attacks", "clients", "docs", "fedsim", "scenarios", "server")
ENDINGS = {".html", ".md", ".py", ".toml"}

RELATIVE_CLAUSE = "a summary is a noun phrase or an imperative with the field's term"
TURNS = {
    r'"""(What|How|Which|Whom|Whose|Where|Whence)\b': RELATIVE_CLAUSE,
    r"\bReturn (what|how|which|why|whom|where)\b": "name the value: 'Return the reason, or None'",
    r"(?<![Tt]here )\bis no (?!longer|more\b|better|worse|less)": "'is not a', or 'there is no'",
    r"(?<![Tt]here )\bare none\b": "name the things: 'there are no arrays'",
    r"\bfrom which on\b": "'from ... on', or 'minimum'",
    r"\bcannot be had\b": "'does not support', or 'cannot be loaded'",
    r"\b(came|comes?|coming) to nothing\b": "'failed', or 'gave no reconstruction'",
    r"\bcomes? by\b": "'computes', or 'obtains'",
    r"(\bas there\b(?! (is|are)\b)|: as there\b)": "each docstring can be read alone",
    r"\bthose of the same\b": "each docstring can be read alone",
}
"""Patterns, each with the reason or a better wording."""


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in ENDINGS and not any(p.is_symlink() for p in path.parents):
                yield path
    yield from sorted(ROOT.glob("*.md"))


TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in files()}


@pytest.mark.parametrize("pattern", TURNS)
def test_texts_avoid(pattern: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert not found, f"{TURNS[pattern]}\n" + "\n".join(found)


def test_the_patterns_find_and_spare() -> None:
    found = {
        '"""What entered a convolution."""': RELATIVE_CLAUSE,
        "this is no run folder": "'is not a', or 'there is no'",
    }
    spared = ["there is no run folder", "the upload is no longer seen", '"""Whatever."""']
    for line, reason in found.items():
        assert reason in {TURNS[pattern] for pattern in TURNS if re.search(pattern, line)}
    assert not [line for line in spared for pattern in TURNS if re.search(pattern, line)]
