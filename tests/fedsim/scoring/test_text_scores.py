"""Scores of constructed outcomes against the private texts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.attacks.types import Status
from fedsim.clients.site import open_site
from fedsim.clients.training import gradient
from fedsim.core.names import ADAPTIVE, NEAREST
from fedsim.data import TokenDataset
from fedsim.log.schema import Doubt, ExampleScore, Meaning, Verdict
from fedsim.modalities.texts.judge import TextJudge
from fedsim.models import TextModel
from fedsim.scenario import Scenario
from fedsim.scoring import Scored, Scorer
from fedsim.server.victims import Outcome
from tests.fedsim.text_runs import texts
from tests.server.stubs import run_rounds
from tests.server.wire import arrays_of, client_reply, global_weights

MASKED = "model.task='masked'"
NEXT = "model={name='gpt2', layers=2, width=48}"


@pytest.fixture(scope="module")
def case() -> Scenario:
    return texts()


@pytest.fixture(scope="module")
def outcomes(case: Scenario) -> list[Outcome]:
    return run_rounds(case).outcomes


@pytest.fixture(scope="module")
def judge(case: Scenario) -> Scorer:
    return Scorer(open_site(case))


def score(
    judge: Scorer, outcome: Outcome, make: Callable[[Tensor], Tensor | None], objective: float = 1.0
) -> tuple[Scored, tuple[ExampleScore, ...]]:
    """Return the score of what ``make`` makes of the private texts."""
    data = make(judge.originals(outcome.victim))
    found = Reconstruction(data, None, objective, objective, Status.COMPUTED, 1)
    result = judge.score(replace(outcome, reconstruction=found))
    return result, result.leakage


def client(outcomes: list[Outcome]) -> Outcome:
    return next(o for o in outcomes if o.victim.partition == 0)


def control(outcomes: list[Outcome]) -> Outcome:
    return next(o for o in outcomes if o.victim.is_control)


@pytest.mark.parametrize("override", [MASKED, NEXT], ids=["masked", "next"])
def test_the_truth_is_what_the_client_trained_on(override: str) -> None:
    case = texts(override)
    judge = Scorer(open_site(case))
    victim = next(o.victim for o in run_rounds(case).outcomes if o.victim.partition == 0)
    batch = judge.truth(victim)
    model = open_site(case).model(global_weights(case))
    sent = arrays_of(client_reply(case, 0, 1))
    for name, value in gradient(model, batch).arrays.items():
        torch.testing.assert_close(sent[name], value, atol=1e-6, rtol=1e-4)
    specials = model.vocabulary.specials
    assert not (judge.originals(victim) == specials.mask).any()


def test_a_perfect_reconstruction_is_a_leak(judge: Scorer, outcomes: list[Outcome]) -> None:
    _, leakage = score(judge, client(outcomes), lambda originals: originals)
    for number, leak in enumerate(leakage):
        assert leak.example == number
        assert leak.metrics["exact"] == 1
        assert leak.found == leak.original
        assert leak.metrics["edit_distance"] == 0
        full = ("rouge1", "rouge2", "rouge_l", "token_accuracy")
        assert [leak.metrics[name] for name in full] == [100.0] * 4
        assert leak.verdict is Verdict.RECOGNISABLE
        assert leak.meaning is Meaning.LEAKED
        assert "[CLS]" not in leak.original
        assert "[PAD]" not in leak.original


def test_a_permuted_batch_is_matched(judge: Scorer, outcomes: list[Outcome]) -> None:
    """Also where the texts are of different lengths."""
    result, leakage = score(judge, client(outcomes), lambda originals: originals.flip(0))
    assert result.matching is not None
    assert result.matching.tolist() == [1, 0]
    assert [leak.metrics["exact"] for leak in leakage] == [1, 1]


def test_one_good_text_does_not_stand_for_two(judge: Scorer, outcomes: list[Outcome]) -> None:
    _, leakage = score(judge, client(outcomes), lambda x: x[:1].expand_as(x).clone())
    assert [leak.metrics["exact"] for leak in leakage].count(1) == 1


@pytest.mark.parametrize(
    "make", [lambda x: None, lambda x: x[:1], lambda x: x[:, :3]], ids=["none", "few", "short"]
)
def test_what_cannot_be_scored_is_unscored_and_never_zero(
    judge: Scorer, outcomes: list[Outcome], make: Callable[[Tensor], Tensor | None]
) -> None:
    result, leakage = score(judge, client(outcomes), make)
    assert len(leakage) == 2
    assert result.matching is None
    for leak in leakage:
        assert (leak.metrics, leak.found) == ({}, None)
        assert leak.verdict is Verdict.UNSCORED
        assert leak.meaning is Meaning.UNSCORED
        assert leak.original
        assert set(leak.baselines) == {"random", "frequent", "likeliest", "nearest"}


def test_a_wrong_text_of_an_attack_that_cannot_tell_a_fit(
    judge: Scorer, outcomes: list[Outcome]
) -> None:
    """No merit of a defense."""
    result, leakage = score(judge, client(outcomes), lambda x: torch.where(x > 4, 5, x), 0.0)
    assert result.fit is None
    assert {leak.verdict for leak in leakage} == {Verdict.GUESSING}
    assert {leak.meaning for leak in leakage} == {Meaning.ATTACK_FAILED}


def test_another_attack_behind_defenses_has_its_own_control(case: Scenario) -> None:
    noisy = texts(
        "clients=[{name='a', count=1, defenses=[{name='gaussian-noise', std=0.1}]}]",
        "adversary.adaptive=true",
    )
    judge = Scorer(open_site(noisy))
    heard = run_rounds(case).outcomes
    plain, victim = control(heard), client(heard)
    adaptive = replace(victim, victim=replace(victim.victim, attacker=ADAPTIVE))
    own = replace(plain, victim=replace(plain.victim, attacker=ADAPTIVE))

    def doubts() -> set[Doubt]:
        scores = score(judge, adaptive, torch.zeros_like)[1]
        return {doubt for each in scores for doubt in each.doubts}

    assert Doubt.NO_CONTROL in doubts()
    score(judge, plain, lambda texts: texts)
    assert Doubt.NO_CONTROL not in doubts()
    score(judge, own, torch.zeros_like)
    assert Doubt.NO_CONTROL in doubts()


def test_the_controls_text_is_not_its_own_nearest(judge: Scorer, outcomes: list[Outcome]) -> None:
    """It is public, and leaked all the same."""
    _, leakage = score(judge, control(outcomes), lambda originals: originals)
    for leak in leakage:
        assert (leak.baselines[NEAREST]["rouge_l"] or 0) < 100
        assert leak.meaning is Meaning.LEAKED


@pytest.mark.parametrize("override", [MASKED, NEXT], ids=["masked", "next"])
def test_what_the_model_says_of_a_text_it_has_not_seen(override: str) -> None:
    site = open_site(texts(override))
    dataset, model = site.dataset, site.architecture
    assert isinstance(dataset, TokenDataset)
    assert isinstance(model, TextModel)
    judge = TextJudge(dataset, model)
    guess = judge._unconditional(5)
    assert guess is not None
    assert len(guess) == 5
    assert guess == judge._unconditional(5)
    assert "model" in judge._baselines.guesses(["a"] * 5)


def test_scoring_does_not_change_what_it_scores(judge: Scorer, outcomes: list[Outcome]) -> None:
    real = client(outcomes)
    before = {k: v.clone() for k, v in real.model.state_dict().items()}
    assert judge.score(real).leakage == judge.score(real).leakage
    assert all(torch.equal(before[k], v) for k, v in real.model.state_dict().items())


UNREADABLE = 'data.dataset.texts=["see you at noon \u4eca", "\u4eca \u5929", "we pay", "call me"]'


@pytest.fixture(scope="module")
def unreadable() -> tuple[Scorer, Outcome]:
    """Return a client with one text of which some is unknown, and one of which all is."""
    case = texts(UNREADABLE, "clients=[{name='plain', count=2}]")
    judge = Scorer(open_site(case))
    with_all = [
        o
        for o in run_rounds(case).outcomes
        if not o.victim.is_control and (judge.originals(o.victim) == 1).sum() > 1
    ]
    return judge, with_all[0]


def test_tokens_that_the_vocabulary_lacks_are_left_out(
    unreadable: tuple[Scorer, Outcome],
) -> None:
    """They are counted apart; nothing can leak of a text of them alone."""
    judge, outcome = unreadable
    _, leakage = score(judge, outcome, lambda originals: torch.where(originals == 1, 9, originals))
    for leak in leakage:
        unknown = [word == "[UNK]" for word in leak.original or ()]
        assert leak.metrics["unknown_tokens"] == sum(unknown)
        if all(unknown):
            assert leak.verdict is Verdict.NOTHING
            assert leak.meaning is Meaning.NOTHING
        else:
            assert leak.metrics["token_accuracy"] == 100
            assert leak.meaning is Meaning.LEAKED
    assert Meaning.NOTHING in {leak.meaning for leak in leakage}


def test_an_attack_names_the_unknown_token(unreadable: tuple[Scorer, Outcome]) -> None:
    judge, outcome = unreadable
    found = outcome.reconstruction.data
    assert found is not None
    assert sorted(found.tolist()) == sorted(judge.originals(outcome.victim).tolist())
