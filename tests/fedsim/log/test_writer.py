"""The run folder: whole at any moment, and nothing leaves it."""

import errno
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsim.core.errors import RunError
from fedsim.log.folders import RECORDS
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import RoundRecord
from fedsim.log.writer import SAFE_NAME, RunLog
from tests.fedsim.log.samples import EVERY_KIND, OF_A_TEXT, STARTED, UPLOAD
from tests.fedsim.runs import accuracy


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with closing(RunLog(tmp_path / "deep" / "run")) as log:
        yield log


def test_every_line_is_json_at_any_moment(log: RunLog) -> None:
    path = log.folder / RECORDS
    written = []
    for record in (r for r in EVERY_KIND if r is not OF_A_TEXT):
        log.append(record)
        written.append(record)
        lines = path.read_text("utf-8").splitlines()
        assert [json.loads(line)["kind"] for line in lines] == [r.kind for r in written]
        assert list(read_records(log.folder)) == written


def test_numbers_that_are_not_finite_become_null(log: RunLog) -> None:
    did = {"0.fp16.rms": float("nan"), "1.int8.rms": float("-inf"), "2.none": 1.0}
    log.append(type(UPLOAD)(**{**dict(UPLOAD), "loss": float("inf"), "did": did}))
    record = json.loads((log.folder / RECORDS).read_text("utf-8"))
    assert record["loss"] is None
    assert record["did"] == {"0.fp16.rms": None, "1.int8.rms": None, "2.none": 1.0}


def test_text_of_any_kind_survives_with_escapes_for_control_characters(log: RunLog) -> None:
    text = 'é "quotes" \\ \n \r \u2028 \x00 \x1b[2J 漢 \udc80'
    log.append(STARTED.model_copy(update={"title": text, "command": (text,)}))
    log.append(accuracy(1, 0.5))
    first, second = read_records(log.folder)
    lines = 'é "quotes" \\ \n \\r \\u2028 \\x00 \\x1b[2J 漢 \\udc80'
    line = lines.replace("\n", "\\n")
    assert first == STARTED.model_copy(update={"title": line, "command": (lines,)})
    assert second == accuracy(1, 0.5)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    with closing(RunLog(tmp_path)) as log:
        assert log.folder == tmp_path


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(RunError, match="not empty; give --out a new one"):
        RunLog(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_finished_run_is_not_overwritten(log: RunLog) -> None:
    log.append(STARTED)
    log.close()
    with pytest.raises(RunError, match="not empty"):
        RunLog(log.folder)
    assert len(list(read_records(log.folder))) == 1


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for folder in (file, file / "run", Path("/proc/no/such/run")):
        with pytest.raises(RunError, match=r"cannot be written: .+; give --out"):
            RunLog(folder)


class InTwoParts(io.TextIOWrapper):
    """A file that lets other threads in between both halves of what is written."""

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        time.sleep(0)
        return half + super().write(text[half:])


def test_several_threads_append_whole_lines(log: RunLog) -> None:
    log.close()
    log._records = InTwoParts((log.folder / RECORDS).open("ab"), encoding="utf-8")
    log.append(STARTED)

    def work(thread: int) -> None:
        for number in range(200):
            log.append(RoundRecord(round=1000 * thread + number, accuracy=0.5 / (number % 37 + 1)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rounds = [r.round for r in of_kind(read_records(log.folder), RoundRecord)]
    assert len(rounds) == 8 * 200
    for n in range(8):
        assert [r % 1000 for r in rounds if r // 1000 == n] == list(range(200))


def test_tensors_come_back(log: RunLog) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3), "c": torch.zeros(0)}
    place = log.save_tensors("r0001-c0000-naive", tensors)
    assert place == "tensors/r0001-c0000-naive.safetensors"
    found = load_tensors(log.folder, place)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)


def test_nothing_half_written_is_left(log: RunLog) -> None:
    log.save_tensors("x", {"a": torch.ones(2)})
    log.write_text("scenario.toml", "seed = 1")
    log.write_text("scenario.toml", "seed = 2")
    assert (log.folder / "scenario.toml").read_text("utf-8") == "seed = 2"
    assert list(log.folder.rglob("*.part")) == []


NAMES = st.text(max_size=30) | st.from_regex(r"[a-z0-9./\\_-]{0,12}", fullmatch=True)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_names_cannot_leave_the_folder(log: RunLog, name: str) -> None:
    try:
        path = log._path("tensors", name)
    except RunError:
        assert not SAFE_NAME.fullmatch(name)
    else:
        assert path.parent == log.folder / "tensors"
        assert path.name == name
        assert path.resolve().is_relative_to(log.folder.resolve())


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "A", "a b", "a\n"])
def test_unsafe_names_are_refused_for_every_kind_of_file(log: RunLog, name: str) -> None:
    with pytest.raises(RunError, match="is not a valid file name in a run folder"):
        log.write_text(name, "text")
    if name:  # tensors get a suffix, which would be hidden
        with pytest.raises(RunError, match="is not a valid file name"):
            log.save_tensors(name, {"a": torch.ones(1)})


def test_a_full_disk_is_a_clear_error(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunError, match=r"No space left on device; what was finished .* make space"):
        log.write_text("a.txt", "text")


def test_tensors_can_be_read_by_those_who_can_read_the_records(log: RunLog) -> None:
    place = log.save_tensors("a", {"x": torch.zeros(2)})
    modes = {(log.folder / f).stat().st_mode for f in (place, "records.jsonl")}
    assert len(modes) == 1
