"""Logs of format 1, written by the version before, read as those of today.

The files in ``format_1`` are parts of the logs of real runs, as that version wrote them.
"""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsim.core.errors import RunError
from fedsim.log.compare import differences, main
from fedsim.log.folders import RECORDS
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    EmergenceRecord,
    LeakageRecord,
    LogRecord,
    Meaning,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
    dump,
)
from fedsim.log.summary import summarise
from fedsim.log.writer import RunLog
from fedsim.modalities.pictures.measure import PSNR
from fedsim.modalities.texts.measure import TOKENS

FOLDER = Path(__file__).parent / "format_1"
LOGS = ("pictures", "texts", "sum")


def old(name: str) -> list[dict[str, Any]]:
    """Return the records as they stand in the file."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]


def folder_with(records: list[dict[str, Any]], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / RECORDS).write_text(text, "utf-8")
    return folder


def migrated(name: str, folder: Path) -> list[LogRecord]:
    return list(read_records(folder_with(old(name), folder)))


def numbers(value: Any) -> list[float]:
    """Return all numbers in a value but the format's own, truth values as numbers, sorted."""
    if isinstance(value, dict):
        parts = [numbers(v) for k, v in value.items() if k != "format"]
        return sorted(n for part in parts for n in part)
    if isinstance(value, list | tuple):
        return sorted(n for part in value for n in numbers(part))
    return [float(value)] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", LOGS)
def test_no_figure_is_lost_or_changed(name: str, tmp_path: Path) -> None:
    records = migrated(name, tmp_path)
    assert [r.kind for r in records] == [r["kind"] for r in old(name)]
    for record, before in zip(records, old(name), strict=True):
        assert numbers(record.model_dump(mode="json", exclude_unset=True)) == numbers(before)


@pytest.mark.parametrize("name", LOGS)
def test_what_was_read_can_be_written_and_agrees(name: str, tmp_path: Path) -> None:
    before = folder_with(old(name), tmp_path / "before")
    with closing(RunLog(tmp_path / "after")) as log:
        for record in read_records(before):
            log.append(record)
    assert list(read_records(log.folder)) == list(read_records(before))
    assert differences(before, log.folder) == []


def test_a_log_of_pictures(tmp_path: Path) -> None:
    records = migrated("pictures", tmp_path)
    [start] = of_kind(records, RunStarted)
    assert (start.format, start.modality, start.task, start.seed) == (2, "pictures", "classify", 7)
    assert start.sources[0].name == "dlg"
    noisy = of_kind(records, UploadRecord)[1]
    assert noisy.defenses[0].name == "gaussian-noise"
    assert noisy.defenses[0].parameters == {"std": 0.001}
    score = of_kind(records, LeakageRecord)[1].score
    assert score.example == 0
    assert set(score.metrics) == {"mse", "psnr", "ssim", "detail"}
    assert score.figure(PSNR) == pytest.approx(71.923, abs=1e-3)
    assert score.blind(PSNR) == pytest.approx(13.138, abs=1e-3)
    assert score.baselines["nearest"]["ssim"] == pytest.approx(0.4906, abs=1e-4)
    assert (score.label, score.label_found, score.meaning) == (2, 2, Meaning.LEAKED)
    assert of_kind(records, ReconstructionRecord)[1].evaluations == 350
    assert [r.round for r in of_kind(records, RoundRecord)] == [0, 1]
    assert of_kind(records, RunEnded)[0].status == "finished"
    assert summarise(records).rows[0].examples == 1


def test_a_log_of_texts(tmp_path: Path) -> None:
    records = migrated("texts", tmp_path)
    [start] = of_kind(records, RunStarted)
    assert (start.modality, start.task) == ("texts", "masked")
    score = of_kind(records, LeakageRecord)[0].score
    assert (score.figure(TOKENS), score.metrics["exact"], score.metrics["edit_distance"]) == (
        100.0,
        1.0,
        0.0,
    )
    assert score.baselines["frequent"]["token_accuracy"] == pytest.approx(5.88, abs=1e-2)
    assert score.original == score.found
    moments = of_kind(records, EmergenceRecord)[0]
    assert moments.example == 0
    assert moments.moments[-1][1] == score.found


def test_a_log_of_a_secure_sum(tmp_path: Path) -> None:
    records = migrated("sum", tmp_path)
    [total] = of_kind(records, SumRecord)
    assert total.aggregation.name == total.defenses[0].name == "secagg+"
    assert total.defenses[0].parameters == {"clients": 3}
    assert total.aggregation.parameters["clipping_range"] == 8.0
    assert total.partitions == (0, 1, 2)


def without(record: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


@pytest.mark.parametrize(("name", "modality"), [("pictures", "pictures"), ("texts", "texts")])
def test_the_first_logs_said_less(name: str, modality: str, tmp_path: Path) -> None:
    first, *rest = old(name)
    later = ("data_kind", "task", "chance", "estimate_s", "model", "sources", "command")
    records = [without(first, *later), *(without(r, "privacy", "did") for r in rest)]
    read = list(read_records(folder_with(records, tmp_path)))
    [start] = of_kind(read, RunStarted)
    assert (start.modality, start.task) == (modality, "classify")
    assert start.chance == start.random_label == first["random_label"]
    assert start.model.piecewise_linear == 0
    assert all(u.privacy is None for u in of_kind(read, UploadRecord))
    assert of_kind(read, LeakageRecord)


def test_what_was_unscored_has_no_figures(tmp_path: Path) -> None:
    records = old("pictures")
    for record in records:
        if record["kind"] == "leakage":
            nothing = dict.fromkeys(("mse", "psnr", "ssim", "detail", "label_found"))
            record |= {**nothing, "verdict": "unscored", "meaning": "unscored"}
    found = of_kind(read_records(folder_with(records, tmp_path)), LeakageRecord)
    assert {len(r.score.metrics) for r in found} == {0}
    assert summarise(read_records(tmp_path)).rows[0].scores == []


@pytest.mark.parametrize(
    ("kind", "key", "value", "said"),
    [
        ("leakage", "image", "first", "score.example"),
        ("leakage", "psnr", "loud", "score.metrics.psnr"),
        ("leakage", "baselines", [1], "score.baselines"),
        ("leakage", "baselines", {"grey": 3}, "score.baselines.grey"),
        ("leakage", "baselines", {"grey": []}, "score.baselines"),
        ("leakage", "meaning", None, "score.meaning"),
        ("upload", "defenses", "fp16", "defenses"),
        ("upload", "defenses", [3], "defenses.0"),
        ("upload", "defenses", [{"std": 1}], "defenses.0.name"),
        ("upload", "privacy", 3, "privacy"),
        ("run", "model", [1], "model"),
        ("run", "data_kind", 3, "modality"),
        ("run", "random_label", "x", "random_label"),
        ("end", "seconds", None, "seconds"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_it(
    kind: str, key: str, value: object, said: str, tmp_path: Path
) -> None:
    records = old("pictures")
    line, record = next((i, r) for i, r in enumerate(records, start=1) if r["kind"] == kind)
    record[key] = value
    folder = folder_with(records, tmp_path)
    with pytest.raises(RunError, match=rf"records\.jsonl, line {line}: {said}[.:]"):
        list(read_records(folder))


def test_a_difference_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = old("pictures")
    one = folder_with(records, tmp_path / "one")
    other = tmp_path / "other"
    shutil.copytree(one, other)
    assert main([str(one), str(other)]) == 0
    assert "figures agree" in capsys.readouterr().out
    changed = [dict(r) for r in records if r["kind"] != "round"]
    for record in changed:
        if record["kind"] == "leakage" and record["victim"] == "r0001-c0014-naive":
            record["psnr"] = 1.0
        if "seconds" in record:
            record["seconds"] = 99.0
    folder_with(changed, other)
    assert [line.partition(": ")[0] for line in differences(one, other)] == [
        "leakage r0001-c0014-naive 1 14 0",
        "round 0",
        "round 1",
    ]
    assert main([str(one), str(other)]) == 1
    assert "score.metrics.psnr" in capsys.readouterr().out
    assert main([str(one), str(tmp_path)]) == 1
    assert "not a run folder" in capsys.readouterr().err
    assert main([str(one)]) == 2


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_log_it_is_read_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    """An old log and one of today, with any value in place of one that belongs there."""
    records = old(data.draw(st.sampled_from(LOGS)))
    if data.draw(st.booleans()):
        folder_with(records, tmp_path)
        records = [dump(record) for record in read_records(tmp_path)]
    place: Any = data.draw(st.sampled_from(records))
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(ANYTHING)
            break
        place = place[key]
    folder_with(records, tmp_path)
    try:
        summarise(read_records(tmp_path))
    except RunError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017  (most logs are refused, some are not)
