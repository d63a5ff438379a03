"""TOML texts of strangers."""

import tomllib
from importlib.resources import files

import pytest

from fedsim.core.toml import MOST_PARTS, parse_toml


@pytest.mark.parametrize("part", ["a", "-", '"a b"', "'a.b'", '""', "é", r'"\""', r'"\\"'])
@pytest.mark.parametrize("dot", [".", " . ", "\t."])
@pytest.mark.parametrize("before", ["", "[t]\n", "[", "x = { "])
def test_a_key_of_very_many_parts_is_refused(part: str, dot: str, before: str) -> None:
    # A hundred thousand parts would take minutes.
    text = f"y = 1\n{before}{dot.join([part] * 100_000)} = 1"
    with pytest.raises(tomllib.TOMLDecodeError, match=f"more than {MOST_PARTS} parts"):
        parse_toml(text)


@pytest.mark.parametrize(
    "text",
    ['"' + r"\"" * 300_000, '"' * 1_900_000, "a" * 1_900_000, "x\n" * 900_000, "'\n" * 900_000],
    ids=["an open string", "quotes", "a word", "lines", "open strings"],
)
def test_no_text_takes_long(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(text)


def test_long_texts_are_refused() -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match="2,000,000 characters"):
        parse_toml("#" * 2_000_001)


def test_the_line_is_named() -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match="line 3"):
        parse_toml(f"a = 1\n\n{'.'.join('a' * 200)} = 1")


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * MOST_PARTS) + " = 1",
        "x = [" + "0.1, " * 10_000 + "]",
        "x = '" + "A sentence. Another. " * 1000 + "'",
        "x = '" + "a" * 1_000_000 + "'",
        "# " + "...\n",
    ],
    ids=["as many as allowed", "numbers", "sentences", "a long word", "dots"],
)
def test_other_texts_are_read_as_they_are(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


def test_the_bundled_files_are_read() -> None:
    for file in files("fedsim.scenarios").iterdir():
        if file.name.endswith(".toml"):
            assert parse_toml(file.read_text("utf-8"))["title"]
