"""Uploads that stand out of their cohort, and rounds whose result is not finite."""

from dataclasses import dataclass, field

import pytest
import torch
from flwr.app import Message

from fedsim.scenario import Scenario
from fedsim.server.standing_out import FAR, StandingOut, blame, norm_of
from fedsim.server.uploads import Upload
from tests.fedsim.small import small
from tests.server.bad_clients import BAD, set_first, with_one_bad_client
from tests.server.test_federation import train

RECEIVED = {"w": torch.ones(4), "n": torch.tensor(7)}


@dataclass
class Heard:
    """Remarks."""

    notes: list[tuple[int | None, int | None, str]] = field(default_factory=list)

    def __call__(self, server_round: int | None, partition: int | None, text: str) -> None:
        self.notes.append((server_round, partition, text))


def upload(partition: int, value: float, problem: str | None = None) -> Upload:
    arrays = {"w": torch.full((4,), value), "n": torch.tensor(10**9)}
    return Upload(partition, {} if problem else arrays, problem=problem)


def test_the_norm_is_of_gradients_and_changes_without_counters() -> None:
    arrays = upload(0, 3.0).arrays
    assert norm_of(arrays, RECEIVED, ["w"]) == 6
    assert norm_of(arrays, RECEIVED, []) == 4


def test_a_norm_whose_square_is_no_number_is_still_one() -> None:
    huge = {"w": torch.full((2, 2), 1e200, dtype=torch.float64)}
    received = {"w": torch.zeros(2, 2, dtype=torch.float64)}
    assert norm_of(huge, received, []) == pytest.approx(2e200)


@pytest.mark.parametrize(("value", "remarked"), [(0.9 * FAR, False), (1.1 * FAR, True)])
def test_an_upload_far_out_of_its_cohort_is_remarked_on(value: float, remarked: bool) -> None:
    heard = Heard()
    uploads = [upload(0, 1.0), upload(1, value), upload(2, -1.0)]
    StandingOut(["w"], heard).remark(4, RECEIVED, uploads)
    assert [(r, p) for r, p, _ in heard.notes] == ([(4, 1)] if remarked else [])


def test_two_uploads_do_not_tell_which_of_them_is_far_out() -> None:
    heard = Heard()
    StandingOut(["w"], heard).remark(1, RECEIVED, [upload(0, 1.0), upload(1, 1e9)])
    assert heard.notes == []


def test_silent_uploads_make_no_other_stand_out() -> None:
    heard = Heard()
    uploads = [upload(0, 0.0), upload(1, 1.0), upload(2, 0.0)]
    StandingOut(["w"], heard).remark(1, RECEIVED, uploads)
    assert heard.notes == []


def test_the_cause_of_a_broken_model_is_named_and_not_its_victims() -> None:
    heard = Heard()
    watching = StandingOut(["w"], heard)
    watching.remark(1, RECEIVED, [upload(0, 1.0), upload(1, 1e30), upload(2, 1.0)])
    bad = "the tensor 'w' holds NaN or infinite values"
    watching.remark(2, RECEIVED, [upload(p, 0, bad) for p in range(3)])
    server_round, partition, said = heard.notes[-1]
    assert (server_round, partition) == (2, None)
    assert "3 of 3 uploads are not finite" in said
    assert "client 1 in round 1" in said


def test_blame_needs_an_upload_that_stands_out() -> None:
    assert blame({0: 0.1, 1: 1e38, 2: 0.2})[0] == 1
    assert blame({3: 5.0})[0] == 3
    assert blame({0: 1e38, 1: 2e38, 2: 3e38}) == (
        None,
        "no upload stands out (largest value by client: 0: 1e+38, 1: 2e+38, 2: 3e+38)",
    )


def huge(reply: Message) -> None:
    """Send values at the end of single precision."""
    set_first(reply, lambda x: x * 0 + 3e38)


def sends(value: float) -> Scenario:
    return small("federation.rounds=2", f"federation.learning_rate={value}")


def test_a_result_that_is_not_finite_keeps_the_old_model_and_says_by_whom() -> None:
    scenario = sends(10.0)
    result, seen = train(scenario, with_one_bad_client(scenario, huge))
    assert seen.accuracies[0] == seen.accuracies[1] == seen.accuracies[2]
    arrays = result.arrays.to_torch_state_dict()
    assert all(bool(torch.isfinite(v).all()) for v in arrays.values())
    broken = [(r, p) for r, p, text in seen.notes if "not finite" in text]
    assert broken == [(1, BAD), (2, BAD)]


def test_a_learning_rate_that_breaks_the_model_blames_no_client() -> None:
    scenario = sends(3e38)

    def louder(reply: Message) -> None:
        """Change nothing."""

    result, seen = train(scenario, with_one_bad_client(scenario, louder))
    assert all(bool(torch.isfinite(v).all()) for v in result.arrays.to_torch_state_dict().values())
    assert [p for _, p, _ in seen.notes if p is not None] == []
