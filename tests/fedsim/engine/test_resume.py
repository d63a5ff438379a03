"""Unfinished runs go on to the records that they would have had."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedsim.core.errors import RunError
from fedsim.engine import Observer, resume, run
from fedsim.engine.checkpoints import CHECKPOINTS, latest
from fedsim.engine.past import Past
from fedsim.log.folders import RECORDS
from fedsim.log.lock import hold
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import (
    AttackedRecord,
    LogRecord,
    ReconstructionRecord,
    UploadRecord,
)
from tests.fedsim.engine.unfinished import CASES, case_of, plain, same_tensors

QUICK = ("nobody attacks", "malicious")


class Ends(Observer):
    """Ends a run, as a full disk or Ctrl-C does, when it has so many records."""

    def __init__(self, after: int, how: type[BaseException]) -> None:
        self._left, self._how = after, how

    def on_record(self, record: LogRecord) -> None:
        self._left -= 1
        if self._left == 0:
            raise self._how("broken off")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES],
)
def test_an_unfinished_run_goes_on_to_the_same_records(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    whole = run(case, tmp_path / "whole")
    count = len(list(read_records(whole)))
    chance = random.Random(name)  # noqa: S311
    for number, after in enumerate(sorted(chance.sample(range(2, count), 3))):
        folder = tmp_path / str(number)
        how = chance.choice([KeyboardInterrupt, RunError])
        with pytest.raises(how):
            run(case, folder, observer=Ends(after, how))
        resume(folder)
        assert plain(folder) == plain(whole)
        assert same_tensors(folder, whole)
        assert not (folder / CHECKPOINTS).exists()


def broken_off(folder: Path, after: int = 20) -> Path:
    with pytest.raises(RunError, match="broken off"):
        run(case_of("nobody attacks"), folder, observer=Ends(after, RunError))
    return folder


def test_training_is_not_repeated(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    found = latest(folder, (), (folder / RECORDS).stat().st_size)
    assert found is not None
    assert found.after >= 1
    seen: list[LogRecord] = []
    resume(folder, observer=Sees(seen))
    kept = next(
        i for i, r in enumerate(seen) if isinstance(r, UploadRecord) and r.round > found.after
    )
    assert {r.round for r in seen[:kept] if isinstance(r, UploadRecord)} == set(
        range(1, found.after + 1)
    )


class Sees(Observer):
    def __init__(self, seen: list[LogRecord]) -> None:
        self._seen = seen

    def on_record(self, record: LogRecord) -> None:
        self._seen.append(record)


def test_finished_attacks_are_not_repeated(tmp_path: Path) -> None:
    case, folder = case_of("malicious"), tmp_path / "run"
    whole = run(case, tmp_path / "whole")
    records = list(read_records(whole))
    first = next(i for i, r in enumerate(records) if isinstance(r, AttackedRecord)) + 1
    with pytest.raises(KeyboardInterrupt):
        run(case, folder, observer=Ends(first + 1, KeyboardInterrupt))
    ended = {r.round for r in read_records(folder) if isinstance(r, AttackedRecord)}
    found = [r for r in read_records(folder) if isinstance(r, ReconstructionRecord)]
    done = [r for r in found if r.round in ended]
    resume(folder)
    again = [r for r in read_records(folder) if isinstance(r, ReconstructionRecord)]
    assert done
    assert [r for r in again if r.victim in {d.victim for d in done}] == done  # with their times


def test_what_is_damaged_behind_the_last_record_is_done_again(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    with (folder / RECORDS).open("ab") as file:
        file.write(b'\0\0\0\n{"kind": "upload", "rou')
    for checkpoint in (folder / CHECKPOINTS).iterdir():
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    whole = run(case_of("nobody attacks"), tmp_path / "whole")
    assert plain(resume(folder)) == plain(whole)


def test_tensors_that_a_power_cut_took_are_made_again(tmp_path: Path) -> None:
    case, folder = case_of("local training"), tmp_path / "run"
    whole = run(case, tmp_path / "whole")
    last = len(list(read_records(whole))) - 1
    with pytest.raises(KeyboardInterrupt):
        run(case, folder, observer=Ends(last, KeyboardInterrupt))
    first = of_kind(read_records(folder), ReconstructionRecord)[0]
    path = folder / first.tensors
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="not a file of tensors"):
        load_tensors(folder, first.tensors)
    resume(folder)
    assert plain(folder) == plain(whole)
    assert same_tensors(folder, whole)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    folder = run(case_of("nobody attacks"), tmp_path / "run")
    before = (folder / RECORDS).read_bytes()
    with pytest.raises(RunError, match="this run is finished"):
        resume(folder)
    assert (folder / RECORDS).read_bytes() == before


def test_other_versions_and_plugins_are_named(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    text = (folder / RECORDS).read_text("utf-8")
    first = json.loads(text.splitlines()[0])
    older = first | {"versions": first["versions"] | {"torch": "0.1"}}
    edited(folder, older)
    with pytest.raises(RunError, match=r"began with torch 0\.1, and here is"):
        resume(folder)
    edited(folder, first | {"device": "other"})
    with pytest.raises(RunError, match="began with device other, and here is"):
        resume(folder)
    edited(folder, first | {"plugins": [{"name": "other.py", "sha256": "0" * 64}]})
    with pytest.raises(RunError, match=r"plugin 'other\.py', which is not loaded"):
        resume(folder)


def edited(folder: Path, first: dict[str, Any]) -> None:
    lines = (folder / RECORDS).read_text("utf-8").splitlines(keepends=True)
    (folder / RECORDS).write_text(json.dumps(first) + "\n" + "".join(lines[1:]), "utf-8")


def test_a_run_of_another_process_is_left_alone(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    with (folder / RECORDS).open("ab") as file:
        hold(file, "a test is running")
        with pytest.raises(RunError, match="another process is running in this folder"):
            resume(folder)
    resume(folder)


def test_a_run_that_somebody_went_on_with_is_left_alone(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    past = Past.read(folder)
    resume(folder)
    before = (folder / RECORDS).read_bytes()
    with pytest.raises(RunError, match="this run is finished"):
        past.reopen()
    assert (folder / RECORDS).read_bytes() == before


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        resume(tmp_path)


ON_RAY = """
from pathlib import Path
from fedsim.engine import resume
resume(Path("run"))
"""


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_ray_goes_on(tmp_path: Path) -> None:
    whole = run(case_of("nobody attacks"), tmp_path / "whole")
    folder = broken_off(tmp_path / "run")
    for each in (whole, folder):
        first = json.loads((each / RECORDS).read_text("utf-8").splitlines()[0])
        edited(each, first | {"engine": "ray"})
    subprocess.run([sys.executable, "-c", ON_RAY], cwd=tmp_path, check=True)
    assert plain(folder) == plain(whole)
