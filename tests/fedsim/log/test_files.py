"""The run folder: whole at any moment, and nothing leaves it."""

import io
import json
import threading
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsim.core.errors import RunError
from fedsim.log.files import FORMAT, RECORDS, SAFE_NAME, RunLog, inside, load_tensors, read_records

OUTSIDE = ["../x", "../../etc/passwd", "/etc/passwd", "..", ".", "", "a\0b", "x" * 5000]


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    return RunLog(tmp_path / "deep" / "run")


def test_every_line_is_json_at_any_moment(log: RunLog) -> None:
    path = log.folder / RECORDS
    for number in range(5):
        log.append("run" if number == 0 else "round", format=FORMAT, number=number)
        lines = path.read_text("utf-8").splitlines()
        assert [json.loads(line)["number"] for line in lines] == list(range(number + 1))
        assert [r["number"] for r in read_records(log.folder)] == list(range(number + 1))


def test_append_returns_the_record(log: RunLog) -> None:
    assert log.append("round", accuracy=0.5) == {"kind": "round", "accuracy": 0.5}


def test_numbers_that_are_not_finite_become_null(log: RunLog) -> None:
    nan, inf = float("nan"), float("inf")
    log.append("run", format=FORMAT, a=nan, b=[1.0, -inf], c={"d": (inf, 2)}, e=True)
    [record] = read_records(log.folder)
    assert record == {
        "kind": "run",
        "format": FORMAT,
        "a": None,
        "b": [1.0, None],
        "c": {"d": [None, 2]},
        "e": True,
    }


def test_text_of_any_kind_survives(log: RunLog) -> None:
    text = 'é "quotes" \\ \n \r \u2028 \x00 \x1b[2J 漢 \udc80'
    log.append("run", format=FORMAT, text=text)
    log.append("round", after=1)
    first, second = read_records(log.folder)
    assert first["text"] == text
    assert second["after"] == 1


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_line_that_was_cut_off_is_left_out(log: RunLog, cut: int) -> None:
    log.append("run", format=FORMAT)
    log.append("round", x="été 漢字")
    path = log.folder / RECORDS
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [r["kind"] for r in read_records(log.folder)] == ["run"]


def test_a_line_in_the_middle_that_is_not_json_is_an_error(log: RunLog) -> None:
    log.append("run", format=FORMAT)
    with (log.folder / RECORDS).open("ab") as file:
        file.write(b'{"kind": \xff}\n{"kind": "end"}\n')
    with pytest.raises(RunError, match=r"records\.jsonl, line 2: this is not JSON"):
        list(read_records(log.folder))


@pytest.mark.parametrize("line", ["[]", "3", '"run"', "null"])
def test_a_line_that_is_no_record_is_an_error(log: RunLog, line: str) -> None:
    (log.folder / RECORDS).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(RunError, match="line 1: this is no record"):
        list(read_records(log.folder))


@pytest.mark.parametrize("found", [FORMAT + 1, 0, None, "1"])
def test_another_format_is_an_error(log: RunLog, found: object) -> None:
    log.append("run", format=found)
    with pytest.raises(RunError, match=f"this version of fedsim reads {FORMAT}"):
        list(read_records(log.folder))


def test_a_run_without_records_yet_has_none(log: RunLog) -> None:
    assert list(read_records(log.folder)) == []


def test_a_folder_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="this is no run folder"):
        list(read_records(tmp_path))
    with pytest.raises(RunError, match="this is no run folder"):
        list(read_records(tmp_path / "missing"))


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert RunLog(tmp_path).folder == tmp_path


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(RunError, match="not empty; give --out a new one"):
        RunLog(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_finished_run_is_not_overwritten(log: RunLog) -> None:
    log.append("run", format=FORMAT)
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
    log._records = InTwoParts((log.folder / RECORDS).open("ab"), encoding="utf-8")
    log.append("run", format=FORMAT)

    def work(thread: int) -> None:
        for number in range(200):
            log.append("round", thread=thread, number=number, text="x" * (number % 37))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = list(read_records(log.folder))[1:]
    assert len(records) == 8 * 200
    for n in range(8):
        assert [r["number"] for r in records if r["thread"] == n] == list(range(200))


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
    with pytest.raises(RunError, match="this is no file of tensors"):
        load_tensors(log.folder, "tensors/x.safetensors")


NAMES = st.text(max_size=30) | st.from_regex(r"[a-z0-9./\\_-]{0,12}", fullmatch=True)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_names_cannot_leave_the_folder(log: RunLog, name: str) -> None:
    try:
        path = log.picture_path(name)
    except RunError:
        assert not SAFE_NAME.fullmatch(name)
    else:
        assert path.parent == log.folder / "pictures"
        assert path.name == name
        assert path.resolve().is_relative_to(log.folder.resolve())


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "A", "a b", "a\n"])
def test_unsafe_names_are_refused_for_every_kind_of_file(log: RunLog, name: str) -> None:
    with pytest.raises(RunError, match="is not a file name that a run folder may hold"):
        log.picture_path(name)
    with pytest.raises(RunError, match="is not a file name"):
        log.write_text(name, "text")
    if name:  # tensors get a suffix, which would be hidden
        with pytest.raises(RunError, match="is not a file name"):
            log.save_tensors(name, {"a": torch.ones(1)})
