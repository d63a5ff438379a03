"""Run folders of strangers: nothing steers a terminal, leaves the folder or goes on for ever."""

import io
import json
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fedsim.core.errors import FedsimWarning, RunError
from fedsim.core.text import STEERING, escaped, harmless
from fedsim.engine import run
from fedsim.log.reader import read_records
from fedsim.log.run import Run
from fedsim.scenario import bundled, scenario_text
from fedsim.scenario.comparison import comparison_text, comparisons
from fedsim.show.explain import explain
from fedsim.show.explain.terminal import show
from fedsim.show.report.write import write_report
from fedsim.show.terminal.table import remarks, summary_table
from tests.fedsim.small import TWENTY_EVALUATIONS, small

EVIL = "\x1b]0;PWN\x07\x1b[2J\x9b31m\u202e\n<script>[bold]"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run, for copies."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run(small(TWENTY_EVALUATIONS, "federation.rounds=1"), folder)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder of a run."""
    copy = tmp_path / "run"
    for file in [f for f in whole.rglob("*") if f.is_file()]:
        place = copy / file.relative_to(whole)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    return copy


def rewrite(folder: Path, change: Callable[[object], object]) -> None:
    """Change every record of a run."""
    path = folder / "records.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    changed = [change(values) for values in lines]
    text = "".join(json.dumps(v, ensure_ascii=i % 2 == 0) + "\n" for i, v in enumerate(changed))
    path.write_text(text, "utf-8", errors="surrogatepass")


FREE = {"title", "group", "problem", "error", "attack", "status", "device", "engine", "started"}


def evil(value: object, key: str = "") -> object:
    """Put control characters into every free text."""
    if isinstance(value, dict):
        return {k: evil(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [evil(v, key) for v in value]
    return (value or "") + EVIL if key in FREE and isinstance(value, str | None) else value


def printed(*things: object) -> str:
    """Return what a colour terminal would get, without rich's own colours."""
    console = Console(file=io.StringIO(), width=200, color_system=None, force_terminal=True)
    for thing in things:
        console.print(thing)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_control_characters_are_shown_as_text() -> None:
    assert escaped("a\x1b[2Jb\n") == "a\\x1b[2Jb\n"
    assert harmless({"k\x1b": ["a\nb", 1, None]}) == {"k\\x1b": ["a\\nb", 1, None]}
    assert harmless({"text": "a\nb"}) == {"text": "a\nb"}


def test_bundled_scenarios_and_comparisons_are_left_as_they_are() -> None:
    files = [scenario_text(name) for name in bundled()]
    files += [comparison_text(name) for name in comparisons()]
    assert any("\n" in tomllib.loads(text)["description"] for text, _ in files)
    for text, name in files:
        assert harmless(tomllib.loads(text)) == tomllib.loads(text), name


def test_nothing_in_a_log_steers_the_terminal(folder: Path) -> None:
    rewrite(folder, evil)
    text = (folder / "scenario.toml").read_text("utf-8")
    (folder / "scenario.toml").write_text(text.replace('"dlg"', json.dumps(EVIL)), "utf-8")
    found = Run.read(folder)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    show(explain(folder), console)
    said = [
        printed(summary_table(found.summary), *remarks(found.summary)),
        console.file.getvalue(),  # type: ignore[attr-defined]
        found.title,
    ]
    for each in said:
        assert not STEERING.search(each)
        assert "PWN" in each
    assert "\\x1b]0;PWN" in said[0]


def test_markup_of_a_log_is_text_in_the_report(folder: Path) -> None:
    rewrite(folder, evil)
    page = write_report(folder).read_text("utf-8")
    assert "<script>[bold]" not in page
    assert "&lt;script&gt;[bold]" in page
    assert "\x1b" not in page


@pytest.mark.parametrize("name", ["records.jsonl", "scenario.toml"])
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hostname", "../secret"])
def test_links_out_of_the_folder_are_not_followed(folder: Path, name: str, target: str) -> None:
    (folder.parent / "secret").write_text("secret", "utf-8")
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    with pytest.raises(RunError) as caught:
        explain(folder)
    assert "secret" not in str(caught.value).replace("../secret", "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    (folder / "records.jsonl").unlink()
    os.mkfifo(folder / "records.jsonl")
    with pytest.raises(RunError, match="not a run folder"):
        list(read_records(folder))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x00" * 8])
def test_a_damaged_file_of_tensors_is_left_out_of_the_report(folder: Path, content: bytes) -> None:
    damaged = next(f for f in sorted((folder / "tensors").iterdir()) if f.name.startswith("r0001"))
    damaged.write_bytes(content)
    with pytest.warns(FedsimWarning, match=r"not a file of tensors, and left out"):
        assert write_report(folder).is_file()


SCENARIOS = [
    "federation = 3",
    "federation = { local_epochs = 'x' }",
    "federation = { batch_size = [], local_epochs = 1 }",
    "adversary = 7",
    "adversary = { attack = 3, learning_rate = 'x' }",
    "federation = { upload = 'update' }\nadversary = { learning_rate = [1] }",
]


@pytest.mark.parametrize("text", SCENARIOS)
def test_any_scenario_is_explained_or_refused(folder: Path, text: str) -> None:
    (folder / "scenario.toml").write_text(text, "utf-8")
    try:
        explain(folder)
    except RunError as error:
        assert str(folder) in str(error)  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("victim", [None, 3, "", "\x00", "../../x", "a" * 5000])
def test_any_path_of_tensors_is_left_out_or_refused(folder: Path, victim: object) -> None:
    def change(values: object) -> object:
        assert isinstance(values, dict)
        return {**values, "tensors": victim} if "tensors" in values else values

    rewrite(folder, change)
    try:
        explain(folder)
    except RunError as error:
        assert str(folder) in str(error)  # noqa: PT017 - both outcomes are right
