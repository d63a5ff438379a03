"""Records are what they were after they have been JSON, and nothing else passes for one."""

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from fedsim.core.errors import RunError
from fedsim.log.schema import (
    CONTROL,
    ExampleScore,
    LogRecord,
    Meaning,
    UploadRecord,
    Verdict,
    dump,
    parse,
)
from fedsim.modalities.pictures.measure import PSNR
from fedsim.modalities.texts.measure import TOKENS
from tests.fedsim.log.samples import EVERY_KIND, LEAKAGE, PICTURE, ROUND, TEXT, UPLOAD


def through_json(record: LogRecord) -> LogRecord:
    return parse(json.loads(json.dumps(dump(record), allow_nan=False)))


@pytest.mark.parametrize("record", EVERY_KIND, ids=lambda r: r.kind)
def test_each_record_survives_json(record: LogRecord) -> None:
    assert through_json(record) == record
    assert type(through_json(record)) is type(record)


@pytest.mark.parametrize("record", EVERY_KIND, ids=lambda r: r.kind)
def test_keys_of_a_later_version_are_left_out(record: LogRecord) -> None:
    assert parse({**dump(record), "later": [1]}) == record


@pytest.mark.parametrize("record", EVERY_KIND, ids=lambda r: r.kind)
def test_records_are_frozen(record: LogRecord) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record.kind = "other"  # type: ignore[assignment]  # that is what is tested


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValidationError, match="'rumour' found using 'kind'"):
        parse({"kind": "rumour"})
    with pytest.raises(ValidationError, match="Unable to extract tag using discriminator 'kind'"):
        parse({"round": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("round", "1"),
        ("round", 1.0),
        ("round", None),
        ("loss", "2.5"),
        ("defenses", "fp16"),
        ("defenses", [{"std": 0.1}]),
        ("did", []),
        ("privacy", 8.0),
        ("problem", 3),
    ],
)
def test_a_wrong_type_is_an_error_that_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as problem:
        parse({**dump(UPLOAD), key: value})
    assert problem.value.errors()[0]["loc"][:2] == ("upload", key)


@pytest.mark.parametrize("key", ["round", "loss", "defenses", "problem"])
def test_a_missing_key_is_an_error(key: str) -> None:
    values = {k: v for k, v in dump(UPLOAD).items() if k != key}
    with pytest.raises(ValidationError, match="Field required"):
        parse(values)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_null(number: float) -> None:
    record = UploadRecord(**{**dict(UPLOAD), "loss": number, "did": {"0.fp16.rms": number}})
    assert record.loss is None
    assert dump(record)["did"] == {"0.fp16.rms": None}
    assert through_json(record) == record


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_must_be_there_is_finite(number: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        parse({**dump(ROUND), "accuracy": number})


@pytest.mark.parametrize("text", ["\x00\x1b[2J\r\n\u2028", "漢字 é", "\udc80"])
def test_text_of_any_kind_survives(text: str) -> None:
    record = UPLOAD.model_copy(update={"problem": text})
    assert through_json(record) == record


def test_the_figures_of_a_score() -> None:
    assert (PICTURE.figure(PSNR), PICTURE.second(PSNR), PICTURE.blind(PSNR)) == (20.0, 0.5, 11.0)
    assert (TEXT.figure(TOKENS), TEXT.second(TOKENS), TEXT.blind(TOKENS)) == (50.0, 40.0, 10.0)


def test_what_is_unscored_has_no_figure() -> None:
    score = ExampleScore.unscored(2, PICTURE.baselines, label=7, original=["a"])
    assert score.figure(PSNR) is score.second(PSNR) is score.found is score.label_found is None
    assert (score.verdict, score.meaning) == (Verdict.UNSCORED, Meaning.UNSCORED)
    assert (score.example, score.label, score.original) == (2, 7, ("a",))
    assert score.blind(PSNR) == 11.0


@pytest.mark.parametrize("guesses", [{}, {"grey": {"psnr": None}}, {"grey": {"ssim": 0.5}}])
def test_a_score_without_a_blind_guess_cannot_be_compared(guesses: dict[str, Any]) -> None:
    score = PICTURE.model_copy(update={"baselines": {"nearest": {"psnr": 15.0}, **guesses}})
    with pytest.raises(RunError, match=r"expected the psnr of a blind guess"):
        score.blind(PSNR)


def test_who_was_attacked() -> None:
    assert (LEAKAGE.who, LEAKAGE.is_control) == ("noisy", False)
    control = LEAKAGE.model_copy(update={"group": None})
    assert (control.who, control.is_control) == (CONTROL, True)
