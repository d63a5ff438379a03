"""A run folder is read with care: somebody else may have written it."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fedsim.core.errors import RunError
from fedsim.log.folders import RECORDS
from fedsim.log.reader import inside, load_tensors, read_records
from fedsim.log.schema import dump
from fedsim.log.writer import RunLog
from tests.fedsim.log.samples import EVERY_KIND, LEAKAGE, STARTED, UPLOAD
from tests.fedsim.runs import accuracy, started

OUTSIDE = ["../x", "../../etc/passwd", "/etc/passwd", "..", ".", "", "a\0b", "x" * 5000]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with closing(RunLog(tmp_path / "run")) as log:
        yield log


def write(log: RunLog, *lines: dict[str, Any]) -> None:
    """Write records as somebody else may have."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (log.folder / RECORDS).write_text(text, "utf-8")


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_line_that_was_cut_off_is_left_out(log: RunLog, cut: int) -> None:
    log.append(STARTED)
    log.append(UPLOAD.model_copy(update={"problem": "été 漢字"}))
    path = log.folder / RECORDS
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert list(read_records(log.folder)) == [STARTED]


def test_a_line_in_the_middle_that_is_not_json_is_an_error(log: RunLog) -> None:
    log.append(STARTED)
    with (log.folder / RECORDS).open("ab") as file:
        file.write(b'{"kind": \xff}\n{"kind": "end"}\n')
    with pytest.raises(RunError, match=r"records\.jsonl, line 2: not valid JSON"):
        list(read_records(log.folder))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000])
def test_a_line_of_great_depth_is_an_error(log: RunLog, line: str) -> None:
    (log.folder / RECORDS).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(RunError, match="line 1: not valid JSON"):
        list(read_records(log.folder))


@pytest.mark.parametrize("line", ["[]", "3", '"run"', "null"])
def test_a_line_that_is_not_a_record_is_an_error(log: RunLog, line: str) -> None:
    (log.folder / RECORDS).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(RunError, match="line 1: not a record"):
        list(read_records(log.folder))


@pytest.mark.parametrize("found", [3, 0, None, "1", 1.0, True, [2]])
def test_another_format_is_an_error(log: RunLog, found: object) -> None:
    write(log, {**dump(STARTED), "format": found})
    with pytest.raises(RunError, match="this version of fedsim reads 1 and 2"):
        list(read_records(log.folder))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("round", "1", "round: Input should be a valid integer, not '1'"),
        ("group", 5, "group: Input should be a valid string, not 5"),
        (
            "attacker",
            "clever",
            "attacker: Input should be 'naive', 'adaptive' or 'over-rounds', not 'clever'",
        ),
        ("score", None, "score: Input should be a valid dictionary"),
        ("score", {**dump(LEAKAGE)["score"], "meaning": "sad"}, r"score\.meaning: .*, not 'sad'"),
        (
            "score",
            {**dump(LEAKAGE)["score"], "metrics": {"psnr": "loud"}},
            r"score\.metrics\.psnr: Input should be a valid number, not 'loud'",
        ),
        (
            "score",
            {**dump(LEAKAGE)["score"], "baselines": {"nearest": {"psnr": 9.0}}},
            r"score\.baselines: expected the psnr of a blind guess",
        ),
        ("kind", None, "kind: Input tag 'None' found"),
        ("kind", ["leakage"], "kind: "),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_line_and_key(
    log: RunLog, key: str, value: object, said: str
) -> None:
    write(log, dump(STARTED), {**dump(LEAKAGE), key: value})
    with pytest.raises(RunError, match=rf"records\.jsonl, line 2: {said}"):
        list(read_records(log.folder))


@pytest.mark.parametrize("record", EVERY_KIND[1:], ids=lambda r: r.kind)
def test_a_missing_key_is_an_error_that_names_it(log: RunLog, record: Any) -> None:
    values = dump(record)
    first = next(key for key in values if key not in ("kind", "group"))
    write(log, dump(STARTED), {k: v for k, v in values.items() if k != first})
    with pytest.raises(RunError, match=f"line 2: {first}: Field required"):
        list(read_records(log.folder))


def test_the_first_record_is_that_of_the_run(log: RunLog) -> None:
    write(log, {**dump(UPLOAD), "format": 2})
    with pytest.raises(RunError, match="line 1: kind: expected 'run' in the first record"):
        list(read_records(log.folder))


def test_a_modality_that_is_not_installed_is_an_error(log: RunLog) -> None:
    log.append(started(modality="textz"))
    with pytest.raises(RunError, match=r"line 1: modality: .*did you mean 'texts'"):
        list(read_records(log.folder))


def test_what_only_a_later_version_knows_is_passed_over(log: RunLog) -> None:
    later = {"kind": "of magic", "power": 9}
    write(log, {**dump(STARTED), "magic": True}, later, dump(accuracy(0, 0.5)))
    assert list(read_records(log.folder)) == [STARTED, accuracy(0, 0.5)]


def test_a_run_without_records_yet_has_none(log: RunLog) -> None:
    assert list(read_records(log.folder)) == []


def test_a_folder_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        list(read_records(tmp_path))
    with pytest.raises(RunError, match="not a run folder"):
        list(read_records(tmp_path / "missing"))


@pytest.mark.parametrize("name", OUTSIDE)
def test_places_outside_are_not_read(log: RunLog, name: str) -> None:
    (log.folder.parent / "x").write_bytes(b"secret")
    with pytest.raises(RunError, match=r"there is no file .* inside this run folder"):
        inside(log.folder, name)
    with pytest.raises(RunError, match="inside this run folder"):
        load_tensors(log.folder, name)


def test_links_out_of_the_folder_are_not_followed(log: RunLog, tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(b"secret")
    (log.folder / "tensors" / "link.safetensors").symlink_to(secret)
    with pytest.raises(RunError, match="inside this run folder"):
        load_tensors(log.folder, "tensors/link.safetensors")


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\x80\x04cposix\nsystem\n"])
def test_a_file_that_holds_no_tensors_is_an_error(log: RunLog, garbage: bytes) -> None:
    (log.folder / "tensors" / "x.safetensors").write_bytes(garbage)
    with pytest.raises(RunError, match="not a file of tensors"):
        load_tensors(log.folder, "tensors/x.safetensors")
