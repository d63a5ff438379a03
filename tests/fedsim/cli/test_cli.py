"""The command line as a user has it: a process with output and an exit code."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from fedsim.cli.main import main
from fedsim.cli.options import Described
from fedsim.cli.run_view import INTERRUPTED
from fedsim.cli.schemas import schema_of
from fedsim.cli.threshold import LEAKS, NO_EVIDENCE
from fedsim.core.errors import RunError
from fedsim.core.precision import DEVICE_VARIABLE, best_device, use_device
from fedsim.core.registry import DEFENSES
from fedsim.engine.flower import logs_to
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    LeakageRecord,
    ReconstructionRecord,
    RunEnded,
    RunStarted,
    UploadRecord,
)
from fedsim.scenario import bundled
from fedsim.scoring import Scored, Scorer
from fedsim.server.victims import Outcome
from tests.fedsim.show.report.logs import Log

FEDSIM = [sys.executable, "-c", "from fedsim.cli.main import main; main()"]
Fedsim = Callable[..., "Done"]
TINY = """
title = "Tiny"
seed = 3
[federation]
rounds = 1
[[clients]]
name = "plain"
count = 2
[[clients]]
name = "[bold]pruned[/bold]"
defenses = [{ name = "pruning", fraction = 0.5 }]
[adversary]
attack = { name = "dlg", evaluations = 12 }
adaptive = true
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def fedsim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return the command, run in this process: a new one loads torch for seconds each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["fedsim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capfd.readouterr())

    return command


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_help_loads_neither_torch_nor_flower() -> None:
    spy = (
        "import sys\nfrom fedsim.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'flwr', 'ray', 'torchvision', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", spy, "--help"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    for command in ("run", "leak", "list", "show"):
        assert command in shown.stdout


def test_run_writes_a_folder_and_a_table(fedsim: Fedsim, tmp_path: Path, tiny: Path) -> None:
    done = fedsim("run", str(tiny), "--out", "here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = tmp_path / "here"
    records = list(read_records(folder))
    assert isinstance(records[0], RunStarted)
    assert isinstance(records[-1], RunEnded)
    assert records[-1].status == "finished"
    attacked = {(r.group, r.attacker) for r in of_kind(records, LeakageRecord)}
    pruned = "[bold]pruned[/bold]"
    assert attacked == {
        ("plain", "naive"), (pruned, "naive"), (pruned, "adaptive"), (None, "naive")
    }  # fmt: skip
    for name in ("round-0001.png", "round-0001.gif", "r0001-c0002-adaptive.png"):
        with Image.open(folder / "pictures" / name) as picture:
            picture.verify()
    assert (folder / "flower.log").stat().st_size > 0
    assert str(Path("here") / "report.html") in done.stdout
    assert "Deep Leakage from Gradients" in (folder / "report.html").read_text("utf-8")
    # A name is shown as it is, and not taken for markup.
    assert "[bold]" in done.stdout
    assert "What leaked" in done.stdout
    assert max(map(len, done.stdout.split("\n"))) <= max(80, len(str(folder)) + 40)


def test_report_writes_a_page_and_opens_it(
    fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    Log().write(tmp_path / "run")
    done = fedsim("report", "run")
    assert (done.returncode, done.stdout) == (0, "run/report.html\n")
    assert opened == []
    done = fedsim("report", "run", "--out", "mine.html", "--open")
    assert (done.returncode, done.stdout) == (0, "mine.html\n")
    assert opened == [(tmp_path / "mine.html").as_uri()]


@pytest.mark.slow
def test_the_resolved_scenario_runs_to_the_same_uploads(
    fedsim: Fedsim, tmp_path: Path, tiny: Path
) -> None:
    assert fedsim("run", str(tiny), "--out", "one").returncode == 0
    again = fedsim("run", "one/scenario.toml", "--out", "two")
    assert again.returncode == 0, again.stderr
    digests = [
        [r.digest for r in of_kind(read_records(tmp_path / run), UploadRecord)]
        for run in ("one", "two")
    ]
    assert len(digests[0]) == 3
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_seed_and_set_change_the_run(fedsim: Fedsim, tmp_path: Path, tiny: Path) -> None:
    options = ("--seed", "9", "--set", "clients.0.count=1", "--set", "adversary.adaptive=false")
    done = fedsim("run", str(tiny), "--out", "x", *options)
    assert done.returncode == 0, done.stderr
    records = list(read_records(tmp_path / "x"))
    assert [r.seed for r in of_kind(records, RunStarted)] == [9]
    assert len(of_kind(records, UploadRecord)) == 2
    assert {r.attacker for r in of_kind(records, LeakageRecord)} == {"naive"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "tiny.toml", "--device", "cuda:99"), ("'cuda:99'", "expected cpu")),
        (("run", "tiny.toml", "--device", "no such"), ("'no such'", "expected cpu")),
        (("compare", "tiny.toml"), ("a scenario", "fedsim run tiny.toml")),
        (("run", "quickstrt"), ("quickstrt", "'quickstart'")),
        (("run", "--set", "federation.round=3"), ("[federation]", "'round'", "'rounds'")),
        (("run", "--set", "federation.rounds=two"), ("federation.rounds", "integer", "'two'")),
        (("run", "--set", "clients.0.count=3000"), ("2000 images", "3012 clients")),
        (("leak", "absent.png"), ("absent.png", "no file")),
        (("leak", "tiny.toml"), ("tiny.toml", "not a picture")),
        (("leak", "tiny.toml", "--defense", "pruning,0.7"), ("pruning,0.7", "PARAMETER=VALUE")),
        (("run", "tiny.toml", "--out", "tiny.toml/run"), ("tiny.toml/run", "--out")),
        (("run", "tiny.toml", "--out", "."), ("not empty", "--out")),
        (("run", "tiny.toml", "--set", "data.dataset=svhn"), ("svhn", "data_dir", "download")),
        (("show", "dgl"), ("'dgl'", "'dlg'")),
        (("report", "absent"), ("absent", "no such folder", "fedsim run")),
        (("report", "."), ("no run in this folder", "fedsim run")),
    ],
)
def test_bad_input_is_one_clear_error(
    fedsim: Fedsim, tmp_path: Path, tiny: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = fedsim(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.toml"]


def test_an_interrupt_ends_with_130(
    fedsim: Fedsim, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the first victim is scored; engine/test_run.py has what the folder holds."""
    score = Scorer.score

    def interrupted(self: Scorer, outcome: Outcome) -> Scored:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return score(self, outcome)

    monkeypatch.setattr(Scorer, "score", interrupted)
    monkeypatch.setattr(os, "_exit", sys.exit)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = fedsim("run", str(tiny), "--out", "cut")
    finally:
        signal.signal(signal.SIGINT, usual)
    assert done.returncode == 130
    assert "interrupted" in done.stdout
    assert "fedsim run --resume cut" in done.stdout
    [end] = of_kind(read_records(tmp_path / "cut"), RunEnded)
    assert end.status == "interrupted"
    monkeypatch.setattr(Scorer, "score", score)
    refused = fedsim("run", "--resume", "cut", "--seed", "3")
    assert refused.returncode == 2
    assert "leave seed out" in " ".join(refused.stderr.replace("│", " ").split())
    again = fedsim("run", "--resume", "cut")
    assert again.returncode == 0, again.stderr
    [end] = of_kind(read_records(tmp_path / "cut"), RunEnded)
    assert end.status == "finished"


@pytest.mark.slow
def test_leak_attacks_ones_own_picture(fedsim: Fedsim, tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "mine.png")
    options = ("--evaluations", "15", "--size", "16", "--defense", "pruning,fraction=0.5")
    done = fedsim("leak", "mine.png", "--out", "run", *options)
    assert done.returncode == 0, done.stderr
    records = list(read_records(tmp_path / "run"))
    assert {r.group for r in of_kind(records, UploadRecord)} == {"mine.png"}
    leakage = [r for r in of_kind(records, LeakageRecord) if r.group == "mine.png"]
    attackers = [r.attacker for r in leakage]
    assert sorted(attackers) == ["adaptive", "naive"]


@pytest.mark.slow
def test_leak_computes_a_picture_and_films_a_search(fedsim: Fedsim, tmp_path: Path) -> None:
    """By default, and its control is a photograph that leaks too."""
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "mine.png")
    options = ("--size", "16", "--set", "adversary.film=12", "--json")
    done = fedsim("leak", "mine.png", "--out", "run", *options)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    jsonschema.validate(printed, json.loads(schema_of(Described.LEAK)))
    assert printed["examples"] == {"leaked": 1}
    assert printed["control"]
    found = of_kind(read_records(tmp_path / "run"), ReconstructionRecord)
    assert [(r.attack, r.status, r.film) for r in sorted(found, key=lambda r: r.film)] == [
        ("BestOf", "computed", False),
        ("BestOf", "computed", True),
    ]
    with Image.open(tmp_path / "run" / "pictures" / "round-0001.gif") as film:
        assert film.n_frames > 3


@pytest.mark.slow
def test_leak_attacks_ones_own_sentence(fedsim: Fedsim, tmp_path: Path) -> None:
    """Exactly, by DAGER; and in a defended upload nothing of it is called a leak."""
    sentence = "the bank lost it"
    small = ("--set", "model.width=48")
    done = fedsim("leak", "--text", sentence, "--out", "run", *small, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)  # and nothing else
    jsonschema.validate(printed, json.loads(schema_of(Described.LEAK)))
    assert printed["examples"] == {"leaked": 1}
    records = of_kind(read_records(tmp_path / "run"), LeakageRecord)
    [leak] = [r.score for r in records if r.group == "you"]
    assert leak.metrics["exact"] == 1
    assert " ".join(leak.original or ()) == sentence
    options = ("--attack", "dlg", "--evaluations", "5", "--defense", "gaussian-noise,std=10.0")
    done = fedsim("leak", "--text", sentence, "--out", "noisy", *small, *options)
    assert done.returncode == 0, done.stderr
    noisy = of_kind(read_records(tmp_path / "noisy"), LeakageRecord)
    found = {r.score.meaning for r in noisy if r.group == "you"}
    assert found <= {"protected", "attack failed"}
    assert found


def test_quiet_prints_the_folder_alone_and_verbose_the_log(
    fedsim: Fedsim, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--set", "adversary.attack.evaluations=1", "--set", "adversary.adaptive=false")
    done = fedsim("run", str(tiny), "--out", "one", "-q", "--device", "cpu", *few)
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n", "")
    root, levels = logging.getLogger(), []
    monkeypatch.setattr(logging, "basicConfig", lambda level, format: levels.append(level))
    assert fedsim("run", "--resume", "one", "-vq").returncode == 1
    assert fedsim("run", "--resume", "one", "-vv").returncode == 1
    assert levels == [logging.INFO, logging.DEBUG]
    monkeypatch.setattr(root, "level", logging.INFO)
    with logs_to(tmp_path / "flower.log"):
        assert logging.getLogger("flwr").propagate
    monkeypatch.setattr(root, "level", logging.WARNING)
    with logs_to(tmp_path / "flower.log"):
        assert not logging.getLogger("flwr").propagate


def test_a_device_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert best_device().type == "cpu"
    use_device("cpu")
    monkeypatch.setenv(DEVICE_VARIABLE, "meta")
    with pytest.raises(RunError, match="has no values"):
        best_device()


EXIT_CODES = {
    ("list", "attacks"): 0,
    ("run", "no-such-scenario"): 1,
    ("list", "no-such-kind"): 2,
    ("leak",): 2,
}
"""Of 3 and 4 see test_audit.py, of 130 the interrupt above."""


@pytest.mark.parametrize("arguments", EXIT_CODES)
def test_exit_codes(fedsim: Fedsim, arguments: tuple[str, ...]) -> None:
    assert fedsim(*arguments).returncode == EXIT_CODES[arguments]


def test_exit_codes_are_told(fedsim: Fedsim) -> None:
    shown = " ".join(fedsim("--help").stdout.split())
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text("utf-8")
    for code in (0, 1, 2, LEAKS, NO_EVIDENCE, INTERRUPTED):
        assert f" {code} " in shown
        assert f"| {code} |" in page


def test_leak_takes_a_picture_or_a_sentence(fedsim: Fedsim) -> None:
    for arguments in ((), ("mine.png", "--text", "a sentence")):
        done = fedsim("leak", *arguments)
        assert done.returncode == 2
        assert "give either a picture" in done.stderr


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("scenarios", "pruning-sweep"),
        ("attacks", "idlg"),
        ("defenses", "bfloat16"),
        ("models", "resnet18"),
        ("datasets", "cifar100"),
        ("partitions", "dirichlet"),
        ("aggregations", "secagg+"),
        ("losses", "dice"),
        ("augmentations", "flip"),
        ("schedules", "cosine"),
        ("metrics", "psnr"),
    ],
)
def test_list_has_a_line_for_each(fedsim: Fedsim, kind: str, some: str) -> None:
    listed = fedsim("list", kind)
    assert listed.returncode == 0, listed.stderr
    lines = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert some in lines
    if kind == "scenarios":
        assert sorted(lines) == bundled()


def test_show_explains_parameters_and_scenarios(fedsim: Fedsim) -> None:
    shown = fedsim("show", "pruning").stdout
    assert "fraction (float, >= 0, <= 1; required)" in shown
    assert "rounds = 120" in fedsim("show", "quickstart").stdout


def test_a_plugin_file_is_used_and_recorded(
    fedsim: Fedsim, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEFENSES, "_classes", dict(DEFENSES._classes))
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from fedsim.clients.defenses import Defense\n"
        "from fedsim.core.registry import DEFENSES\n\n\n"
        "@DEFENSES.register('mine')\n"
        "class Mine(Defense):\n"
        '    """Do nothing, by a plugin."""\n'
    )
    assert "by a plugin" in fedsim("list", "defenses", "--plugin", "mine.py").stdout
    out = tmp_path / "out"
    use = ("--set", "clients.1.defenses=['mine']", "--set", "adversary.attack.evaluations=2")
    done = fedsim("run", str(tiny), "--plugin", "mine.py", *use, "--out", str(out))
    assert done.returncode == 0, done.stderr
    first = json.loads((out / "records.jsonl").read_text().splitlines()[0])
    [recorded] = [p for p in first["plugins"] if p["name"] == "mine.py"]
    assert recorded["sha256"] == hashlib.sha256(plugin.read_bytes()).hexdigest()
    plugin.write_text("import no_such_module\n")
    broken = fedsim("list", "defenses", "--plugin", "mine.py")
    assert broken.returncode == 1
    assert "mine.py could not be loaded: ModuleNotFoundError" in broken.stderr
