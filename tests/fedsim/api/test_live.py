"""What a person sees while a run goes on."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fedsim.api.live import LiveView, view_for
from fedsim.api.plain import PlainView, progress_line
from fedsim.attacks import DLG, Progress
from fedsim.engine import run
from fedsim.log.schema import SUM
from fedsim.server.victims import Victim
from tests.fedsim.runs import accuracy, leakage, started, upload
from tests.fedsim.small import TWENTY_EVALUATIONS, small

FOLDER = Path("runs/x")


def victims(*partitions: int | None) -> list[Victim]:
    return [Victim(1, () if p is None else (p,), "naive", DLG(), None) for p in partitions]


def progress(count: int, value: float = 0.5) -> Progress:
    return Progress(
        victims=torch.arange(count),
        evaluation=7,
        max_evaluations=20,
        objective=torch.full((count,), 1e-3),
        data=lambda: torch.full((count, 1, 1, 8, 8), value),
    )


def terminal(width: int = 100, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=width,
        height=height,
    )


def started_view(console: Console) -> LiveView:
    """Return the live view of a run that has begun."""
    view = LiveView(console)
    view.on_start(small(TWENTY_EVALUATIONS), FOLDER)
    view.on_reader(lambda victim, example, position: (None, example.numpy()))
    return view


def screen_of(view: LiveView, width: int = 100) -> str:
    page = Console(file=io.StringIO(), width=width, height=60, color_system=None)
    page.print(view._render())
    return page.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_gets_the_live_view_and_a_pipe_plain_lines() -> None:
    assert isinstance(view_for(terminal()), LiveView)
    assert isinstance(view_for(Console(file=io.StringIO())), PlainView)


def test_live_view_shows_rounds_clients_objective_and_pictures() -> None:
    view = started_view(terminal())
    view.on_record(upload(2, "plain"))
    assert "client 2 (plain)" in screen_of(view)
    view.on_record(accuracy(1, 0.25))
    attacked = victims(None, 0, 1)
    view.on_victims(attacked)
    view.on_progress(attacked, progress(3))
    view.on_record(accuracy(2, 0.5))
    screen = screen_of(view)
    for part in (
        "round 2 of 2",
        "accuracy 25.0% ▅█ 50.0%",
        "evaluation 7 of 20",
        "3 running",
        "fit 1e-03",
    ):
        assert part in screen
    assert screen.count("plain") == 2
    assert "positive" in screen
    assert view.folder == FOLDER


def test_pictures_change_as_they_emerge_and_end_with_their_score() -> None:
    view = started_view(terminal())
    attacked = victims(0)
    view.on_victims(attacked)
    view.on_progress(attacked, progress(1, value=0.0))
    dark = screen_of(view)
    view._looked = 0.0
    view.on_progress(attacked, progress(1, value=1.0))
    assert screen_of(view) != dark
    view.on_record(started())
    view.on_record(leakage(attacked[0].name, "plain", psnr=36.2))
    assert "36 dB" in screen_of(view)


def test_looking_is_rare_so_that_it_costs_little() -> None:
    looks = []
    seen = Progress(
        torch.arange(1), 1, 9, torch.ones(1), lambda: looks.append(1) or torch.zeros(1, 1, 1, 8, 8)
    )
    view = started_view(terminal())
    for _ in range(200):
        view.on_progress(victims(0), seen)
    assert 1 <= len(looks) <= 3


def test_a_sum_is_one_victim_under_its_own_name() -> None:
    console = Console(file=io.StringIO(), width=80)
    plain = PlainView(console)
    total = Victim(1, (0, 1, 2), "naive", DLG(), None)
    plain.on_victims([*victims(None), total])
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said == "round 1: attacking the sum of 3 uploads and a positive control\n"
    view = started_view(terminal())
    view.on_victims([total])
    view.on_progress([total], progress(1))
    assert SUM[:10] in screen_of(view)


def test_a_rounds_later_victims_clear_no_picture_and_are_not_told_again() -> None:
    view, console = started_view(terminal()), Console(file=io.StringIO(), width=80)
    plain, attacked = PlainView(console), victims(None, 0, 1)
    for each in (view, plain):
        each.on_victims(attacked)
        each.on_progress(attacked, progress(3))
        each.on_victims(victims(0, 1))
    assert "evaluation 7 of 20" in screen_of(view)
    assert "fit 1e-03" in screen_of(view)
    assert console.file.getvalue().count("attacking 2 uploads") == 1  # type: ignore[attr-defined]


def test_many_pictures_fit_a_small_terminal() -> None:
    view = started_view(terminal(width=60, height=20))
    attacked = victims(*[0] * 20, *range(3))
    view.on_victims(attacked)
    view._looked = 0.0
    view.on_progress(attacked[20:], progress(3))
    assert len(screen_of(view, width=60).splitlines()) <= 20


def test_plain_lines_tell_of_every_round_and_picture() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = PlainView(console)
    view.on_start(small(TWENTY_EVALUATIONS), FOLDER)
    view.on_record(started())
    view.on_victims(victims(None, 0, 1))
    view.on_record(upload(2, "plain", problem="the tensor 'w' is missing [/]"))
    view.on_record(accuracy(1, 0.25))
    view.on_record(leakage("r0001-c0000-naive", "plain", psnr=36.2))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "Small: 3 clients",
        "run folder: runs/x",
        "round 1: attacking 2 uploads and a positive control",
        "round 1: client 2: the tensor 'w' is missing [/]",
        "round 1: test accuracy 25.0%",
        "  r0001-c0000-naive (plain, naive): 36 dB leaked",
    ]


def test_accuracy_of_a_language_model_has_its_own_name() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = PlainView(console)
    view.on_record(started(modality="texts", task="masked"))
    view.on_record(accuracy(1, 0.25))
    assert console.file.getvalue() == "round 1: accuracy on masked tokens 25.0%\n"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_run_under_the_live_view_draws_pictures(tmp_path: Path) -> None:
    console = terminal()
    with LiveView(console) as view:
        run(small(TWENTY_EVALUATIONS), tmp_path / "run", observer=view)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\u2580" in drawn
    assert "evaluation" in drawn


def test_a_film_is_named_as_one() -> None:
    view = started_view(terminal())
    filmed = [Victim(1, (0,), "naive", DLG(), None, film=True)]
    view.on_progress(filmed, progress(1))
    assert "round 1: film of a search (idlg), evaluation 7 of 20" in screen_of(view)


def test_an_interrupt_is_answered_even_while_the_view_is_being_changed() -> None:
    view = started_view(terminal())
    with view._lock:
        view.on_interrupt()
    assert "stopping: scoring what was finished" in screen_of(view)
    console = Console(file=io.StringIO(), width=80)
    PlainView(console).on_interrupt()
    assert "stopping" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_resized_terminal_is_cleared_once() -> None:
    console = terminal()
    view = started_view(console)
    codes = []
    for width in (100, 100, 60, 60):
        console.width = width
        console.file = io.StringIO()
        console.print(view._render())
        codes.append("\x1b[2J\x1b[H" in console.file.getvalue())
    assert codes == [False, False, True, False]


def test_the_time_left_comes_before_what_a_narrow_terminal_cuts() -> None:
    line = progress_line(progress(3), ", at most 2 min left")
    assert line.startswith("evaluation 7 of 20, at most 2 min left, 3 running")


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 40), (200, 50)])
def test_nothing_said_of_the_attack_is_cut(width: int, height: int) -> None:
    console = terminal(width, height)
    view = started_view(console)
    attacked = victims(None, *range(3))
    view.on_victims(attacked)
    view.on_progress(attacked, progress(4))
    screen = screen_of(view, width)
    assert "…" not in screen
    said = "adversary round 1: naive attack, evaluation 7 of 20, 4 running, median objective 1e-03"
    assert said in " ".join(screen.split())
    with console.capture() as captured:
        console.print(view._render())
    assert len(captured.get().splitlines()) < height
