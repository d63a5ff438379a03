"""Work beside the rounds: in order, one piece at a time, and its errors are not lost."""

import threading

import pytest
from flwr.app import ArrayRecord

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.inline import InlineGrid
from fedsim.server.beside import Beside
from fedsim.server.federation import federate
from tests.fedsim.small import small
from tests.server.stubs import WAIT_S


@pytest.mark.parametrize("at_once", [True, False])
def test_pieces_are_done_in_order(at_once: bool) -> None:
    done: list[int] = []
    with Beside(at_once=at_once) as beside:
        for number in range(5):
            beside.do(lambda n=number: done.append(n))
    assert done == [0, 1, 2, 3, 4]


def test_the_caller_goes_on_meanwhile() -> None:
    may_end = threading.Event()
    with Beside(at_once=False) as beside:
        beside.do(lambda: may_end.wait(WAIT_S) and None)
        may_end.set()  # reached only if the piece is not waited for


@pytest.mark.parametrize("last", [True, False])
def test_what_a_piece_raises_is_raised(last: bool) -> None:
    def fails() -> None:
        raise ValueError("of a piece")

    def run() -> None:
        with Beside(at_once=False) as beside:
            beside.do(fails)
            if not last:
                beside.do(lambda: None)

    with pytest.raises(ValueError, match="of a piece"):
        run()


def accuracies(*, beside: bool) -> tuple[list[tuple[int, float]], list[int], set[str]]:
    case = small("federation.rounds=3")
    site = site_of(case.to_toml())
    seen: list[tuple[int, float]] = []
    stored: list[int] = []
    threads: set[str] = set()

    def on_round(server_round: int, accuracy: float) -> None:
        assert stored == list(range(1, server_round))
        seen.append((server_round, accuracy))
        threads.add(threading.current_thread().name)

    def on_state(server_round: int, arrays: ArrayRecord) -> None:
        stored.append(server_round)

    federate(
        InlineGrid(make_client_app(case.to_toml()), 3),
        case,
        site.model(site.architecture.state_dict()),
        site.dataset.test,
        on_uploads=lambda server_round, arrays, uploads: None,
        on_round=on_round,
        on_state=on_state,
        beside=beside,
    )
    return seen, stored, threads


def test_evaluation_beside_the_rounds_gives_the_same() -> None:
    seen, stored, threads = accuracies(beside=True)
    assert (seen, stored) == accuracies(beside=False)[:2]
    assert [r for r, _ in seen] == [0, *stored] == [0, 1, 2, 3]
    assert all(name.startswith("beside") for name in threads)
