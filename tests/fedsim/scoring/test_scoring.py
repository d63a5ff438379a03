"""Scores of constructed outcomes against the private batches."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.attacks.types import Status
from fedsim.clients.site import open_site
from fedsim.clients.training import gradient, local_training
from fedsim.core.names import ADAPTIVE, CHOSEN_BY_TRUTH, NEAREST
from fedsim.log.schema import Doubt, Meaning, Verdict
from fedsim.log.score import worst_fit
from fedsim.scenario import Scenario
from fedsim.scoring import Scored, Scorer
from fedsim.scoring.metrics.baselines import nearest_public
from fedsim.scoring.metrics.images import PSNR_CAP_DB
from fedsim.scoring.metrics.verdict import GAIN_DB
from fedsim.server.control import control_indices
from fedsim.server.orderly import draw_cohort
from fedsim.server.victims import Outcome, Victim
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small
from tests.server.stubs import run_rounds
from tests.server.wire import arrays_of, client_reply, global_weights, same

NOISY = groups("[{name='gaussian-noise', std=0.05}]")
STRONG = groups("[{name='gaussian-noise', std=0.5}]")


def scorer(case: Scenario) -> Scorer:
    return Scorer(open_site(case))


def victims(case: Scenario) -> list[Outcome]:
    """Return real outcomes of one round, the control first."""
    return run_rounds(case).outcomes


def outcome(case: Scenario, partition: int | None = 0) -> Outcome:
    return next(o for o in victims(case) if o.victim.partition == partition)


def having(real: Outcome, data: Tensor | None, objective: float, labels: Tensor | None) -> Outcome:
    """Return an outcome with this in place of what the attack had found."""
    found = Reconstruction(data, labels, objective, objective, Status.STALLED, 20)
    return replace(real, reconstruction=found)


def scored(
    case: Scenario, make: Callable[[Tensor], Tensor | None], objective: float = 1.0
) -> Scored:
    """Return the score of what ``make`` makes of the first client's private pictures."""
    judge, real = scorer(case), outcome(case)
    originals, labels = judge.truth(real.victim)
    return judge.score(having(real, make(originals), objective, labels))


def rebuilt_control(case: Scenario) -> Scorer:
    """Return a scorer that has seen the first round's positive control reconstructed."""
    judge, real = scorer(case), outcome(case, None)
    data, labels = judge.truth(real.victim)
    judge.score(having(real, data, 0.0, labels))
    return judge


def guess(judge: Scorer, real: Outcome, objective: float) -> tuple[Tensor, float, Tensor]:
    """Return the mean public picture, with an objective and the labels of a victim."""
    originals, labels = judge.truth(real.victim)
    public = open_site(adversary()).dataset.test
    pictures, _ = public.batch(np.arange(len(public)))
    return pictures.mean(0, keepdim=True).expand_as(originals), objective, labels


def noise(originals: Tensor) -> Tensor:
    return torch.rand(originals.shape, generator=torch.Generator().manual_seed(0))


def adversary(*overrides: str) -> Scenario:
    return small(TWENTY_EVALUATIONS, *overrides)


@pytest.mark.parametrize("partition", [0, 2])
@pytest.mark.parametrize("server_round", [1, 7])
def test_the_truth_is_what_the_client_trained_on(partition: int, server_round: int) -> None:
    case = adversary()
    judge = scorer(case)
    attack = case.adversary.attack if case.adversary else None
    images, labels = judge.truth(Victim(server_round, (partition,), "naive", attack, None))
    model = open_site(case).model(global_weights(case))
    sent = arrays_of(client_reply(case, partition, server_round))
    for name, value in gradient(model, (images, labels)).arrays.items():
        torch.testing.assert_close(sent[name], value, atol=1e-7, rtol=1e-5)


def test_the_truth_of_several_steps_is_all_their_batches_in_order() -> None:
    case = adversary("federation={upload='update', local_steps=3, batch_size=2}")
    images, labels = scorer(case).truth(outcome(case).victim)
    assert images.shape == (6, 1, 28, 28)
    model = open_site(case).model(global_weights(case))
    steps = list(zip(images.split(2), labels.split(2), strict=True))
    expected = local_training(model, steps, case.federation.learning_rate).arrays
    sent = arrays_of(client_reply(case))
    assert all(torch.allclose(sent[k], v, atol=1e-6) for k, v in expected.items())


def test_the_truth_of_the_control_is_public() -> None:
    case = adversary()
    judge, real = scorer(case), outcome(case, None)
    images, labels = judge.truth(real.victim)
    observation = real.victim.observation
    assert observation is not None
    found = gradient(real.model, (images, labels)).arrays
    assert same({k: found[k] for k in observation.gradient}, dict(observation.gradient))


def test_a_perfect_reconstruction_is_a_leak() -> None:
    result = scored(adversary(), lambda originals: originals)
    for i, leak in enumerate(result.leakage):
        assert leak.example == i
        assert leak.metrics["psnr"] == PSNR_CAP_DB
        assert leak.metrics["mse"] == 0.0
        assert leak.metrics["ssim"] == pytest.approx(1.0)
        assert leak.label_found == leak.label
        assert leak.verdict is Verdict.RECOGNISABLE
        assert leak.meaning is Meaning.LEAKED
        assert set(leak.baselines) == {
            "grey",
            "tone",
            "mean",
            "nearest",
            "class mean",
            "nearest of class",
        }


def test_a_bad_objective_does_not_undo_a_leak() -> None:
    result = scored(adversary(), lambda originals: originals, objective=1e9)
    assert {leak.meaning for leak in result.leakage} == {Meaning.LEAKED}


def test_a_permuted_batch_is_matched_picture_by_picture() -> None:
    case = adversary("federation.batch_size=5")
    judge, real = scorer(case), outcome(case)
    originals, labels = judge.truth(real.victim)
    order = torch.tensor([3, 0, 4, 1, 2])
    result = judge.score(having(real, originals[order], 0.0, labels[order]))
    assert result.matching is not None
    assert torch.equal(order[result.matching], torch.arange(5))
    assert [leak.metrics.get("psnr") for leak in result.leakage] == [PSNR_CAP_DB] * 5
    assert [leak.label_found for leak in result.leakage] == labels.tolist()


def test_an_attacker_of_mixtures_returns_more_than_the_batch() -> None:
    case = adversary("federation.batch_size=2")
    judge, real = scorer(case), outcome(case)
    originals, labels = judge.truth(real.victim)
    mixed_in = torch.cat([noise(originals), originals[[1, 0]]])
    result = judge.score(having(real, mixed_in, 0.0, torch.cat([9 - labels, labels[[1, 0]]])))
    assert result.matching is not None
    assert result.matching.tolist() == [3, 2]
    assert [leak.meaning for leak in result.leakage] == [Meaning.LEAKED] * 2
    assert [leak.label_found for leak in result.leakage] == labels.tolist()


def test_one_good_picture_does_not_stand_for_two() -> None:
    result = scored(adversary(), lambda originals: originals[:1].expand_as(originals))
    assert [leak.metrics["psnr"] == PSNR_CAP_DB for leak in result.leakage].count(True) == 1


@pytest.mark.slow
def test_a_picture_between_truth_and_noise_is_a_part_of_it() -> None:
    meanings = [
        scored(adversary(), lambda x, s=share: (1 - s) * x + s * noise(x)).leakage[0].meaning
        for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    rank = [Meaning.LEAKED, Meaning.PARTLY, Meaning.ATTACK_FAILED]
    assert sorted(meanings, key=rank.index) == meanings
    assert set(meanings) == set(rank)


@pytest.mark.slow
def test_a_picture_that_beats_every_guess_is_never_a_guess() -> None:
    case = adversary("federation.batch_size=8")
    judge, real = scorer(case), outcome(case)
    originals, labels = judge.truth(real.victim)
    guesses, _, _ = guess(judge, real, 0.0)
    beaten = 0
    for share in (0.3, 0.5, 0.7, 0.9):
        data = (1 - share) * guesses + share * originals
        for leak in judge.score(having(real, data, 0.0, labels)).leakage:
            blind = max(
                v["psnr"] or 0 for k, v in leak.baselines.items() if k not in CHOSEN_BY_TRUTH
            )
            if (leak.metrics["psnr"] or 0) >= blind + GAIN_DB:
                beaten += 1
                assert leak.meaning in (Meaning.LEAKED, Meaning.PARTLY)
    assert beaten > 8


@pytest.mark.parametrize("objective", [0.0, 7.3e-7, 0.9, math.nan, math.inf])
def test_an_undefended_client_is_never_protected(objective: float) -> None:
    judge, real = rebuilt_control(adversary()), outcome(adversary())
    originals, labels = judge.truth(real.victim)
    result = judge.score(having(real, noise(originals), objective, labels))
    assert result.fit is not None
    assert result.fit.explained
    assert result.fit.relative_objective == pytest.approx(0.0, abs=1e-9)
    for leak in result.leakage:
        assert (leak.verdict, leak.meaning) == (Verdict.GUESSING, Meaning.ATTACK_FAILED)
        assert Doubt.UNDEFENDED in leak.doubts
        assert (Doubt.NO_FIT in leak.doubts) is (objective != 0.0)


def test_a_naive_attacker_of_a_changed_upload_protects_nobody() -> None:
    judge, [_, *found] = rebuilt_control(adversary(NOISY)), victims(adversary(NOISY))
    result = judge.score(having(found[0], *guess(judge, found[0], 0.0)))
    for leak in result.leakage:
        assert leak.meaning is Meaning.ATTACK_FAILED
        assert leak.doubts[:2] == (Doubt.NAIVE_ATTACKER, Doubt.WRONG_EQUATIONS)


@pytest.mark.slow
def test_a_defense_protects_if_an_attacker_who_knows_it_fits_as_well_as_the_truth() -> None:
    case = adversary(STRONG, "adversary.adaptive=true")
    judge = rebuilt_control(case)
    adaptive = next(o for o in victims(case) if o.victim.attacker == ADAPTIVE)
    data, _, labels = guess(judge, adaptive, 0.0)
    misfit = judge.score(having(adaptive, data, 0.0, labels)).fit
    assert misfit is not None
    assert misfit.explained
    assert misfit.relative_objective > 0.1
    worst = worst_fit(misfit.relative_objective)
    for objective, doubts in (
        (0.5 * worst, ()),
        (0.999 * worst, ()),
        (1.001 * worst, (Doubt.NO_FIT,)),
    ):
        result = judge.score(having(adaptive, data, objective, labels))
        assert {leak.doubts for leak in result.leakage} == {doubts}
        assert {leak.meaning is Meaning.PROTECTED for leak in result.leakage} == {not doubts}


@pytest.mark.parametrize(
    ("examples", "rounds", "fraction", "combined", "doubted"),
    [
        (2, 2, 1.0, (), True),  # the same batch
        (3, 2, 1.0, (), True),  # two batches of two of three share one
        (4, 6, 1.0, (), True),
        (3, 3, 1.0, (1, 2), True),  # the third round is left out
        (3, 3, 1.0, (1, 2, 3), False),
        (3, 1, 1.0, (), False),
        (60, 2, 1.0, (), False),  # other examples
        (2, 4, 1 / 3, (), False),  # the client takes part in one round
        (2, 20, 1 / 3, (), True),
    ],
)
def test_an_example_of_several_rounds_is_doubted_unless_they_are_combined(
    examples: int, rounds: int, fraction: float, combined: tuple[int, ...], doubted: bool
) -> None:
    case = adversary(
        f"data.partition={{name='iid', examples={examples}}}",
        f"federation.rounds={rounds}",
        f"federation.fraction={fraction}",
    )
    cohorts = {r: draw_cohort(case.seed, r, range(3), fraction) for r in range(1, rounds + 1)}
    own = [[r for r, cohort in cohorts.items() if p in cohort] for p in range(3)]
    few = sorted((len(seen), partition) for partition, seen in enumerate(own) if seen)
    partition = few[-1 if doubted else 0][1]
    attack = case.adversary.attack if case.adversary else None
    victim = Victim(own[partition][0], (partition,), ADAPTIVE, attack, None, None, combined)
    judge = scorer(case)
    model = open_site(case).model(global_weights(case))
    originals, labels = judge.truth(victim)
    found = Reconstruction(noise(originals), labels, 1.0, 1.0, Status.STALLED, 20)
    result = judge.score(Outcome(victim, found, model, 0.0))
    for leak in result.leakage:
        assert (Doubt.ROUNDS_APART in leak.doubts) is doubted


@pytest.mark.slow
def test_nothing_is_protected_without_a_control_or_below_a_guess() -> None:
    case = adversary(STRONG, "adversary.adaptive=true")
    adaptive = next(o for o in victims(case) if o.victim.attacker == ADAPTIVE)
    judge = scorer(case)
    data, _, labels = guess(judge, adaptive, 0.0)
    result = judge.score(having(adaptive, data, 0.0, labels))
    assert {leak.doubts for leak in result.leakage} == {(Doubt.NO_CONTROL,)}
    judge = rebuilt_control(case)
    inverted = 1 - judge.truth(adaptive.victim)[0].round()
    result = judge.score(having(adaptive, inverted, 0.0, labels))
    assert {leak.doubts for leak in result.leakage} == {(Doubt.BELOW_GUESS,)}


def test_a_fit_of_several_steps_taken_for_one_is_no_merit_of_a_defense() -> None:
    case = adversary(
        "federation={upload='update', local_steps=2}", "adversary.attack.local_steps='average'"
    )
    judge, real = rebuilt_control(case), outcome(case)
    result = judge.score(having(real, *guess(judge, real, 0.0)))
    assert {leak.meaning for leak in result.leakage} == {Meaning.ATTACK_FAILED}
    found = {leak.doubts for leak in result.leakage}
    assert found == {(Doubt.WRONG_EQUATIONS, Doubt.APPROXIMATE)}


@pytest.mark.slow
def test_the_truth_is_judged_by_the_attackers_own_objective() -> None:
    pruned = groups("[{name='pruning', fraction=0.9}]")
    case = adversary(pruned, "adversary.adaptive=true")
    judge = scorer(case)
    fits = {o.victim.attacker: judge.score(o).fit for o in victims(case)[1:]}
    adaptive, naive = fits["adaptive"], fits["naive"]
    assert adaptive is not None
    assert adaptive.explained
    assert adaptive.relative_objective == pytest.approx(0.0, abs=1e-9)
    assert naive is not None
    assert not naive.explained
    assert naive.relative_objective > 1e-3


@pytest.mark.parametrize(
    "make",
    [lambda x: None, lambda x: x[:1], lambda x: x[..., :9], lambda x: torch.full_like(x, math.nan)],
    ids=["no data", "too few", "another shape", "nan"],
)
def test_what_cannot_be_scored_is_unscored_and_never_zero(
    make: Callable[[Tensor], Tensor | None],
) -> None:
    result = scored(adversary(), make)
    assert len(result.leakage) == 2
    for leak in result.leakage:
        assert (leak.metrics, leak.label_found) == ({}, None)
        assert leak.verdict is Verdict.UNSCORED
        assert leak.meaning is Meaning.UNSCORED
        assert (leak.baselines["grey"]["psnr"] or 0) > 0


def test_one_picture_that_is_not_finite_leaves_the_others_scored() -> None:
    def half(originals: Tensor) -> Tensor:
        return torch.cat([torch.full_like(originals[:1], math.inf), originals[:1]])

    result = scored(adversary(), half)
    assert [leak.metrics.get("psnr") for leak in result.leakage] == [PSNR_CAP_DB, None]
    assert [leak.meaning for leak in result.leakage] == [Meaning.LEAKED, Meaning.UNSCORED]


def test_a_failed_attack_is_unscored() -> None:
    judge, real = scorer(adversary()), outcome(adversary())
    failed = replace(real, reconstruction=Reconstruction.failed("diverged"))
    result = judge.score(failed)
    assert (result.matching, result.fit) == (None, None)
    assert {leak.meaning for leak in result.leakage} == {Meaning.UNSCORED}
    assert torch.equal(result.originals, judge.truth(real.victim)[0])


def test_an_attack_that_finds_no_labels_assigns_none() -> None:
    judge, real = scorer(adversary()), outcome(adversary())
    originals, _ = judge.truth(real.victim)
    result = judge.score(having(real, originals, 0.0, None))
    assert [leak.label_found for leak in result.leakage] == [None, None]


def test_the_controls_picture_is_not_its_own_nearest() -> None:
    case = adversary()
    judge, real = scorer(case), outcome(case, None)
    originals, labels = judge.truth(real.victim)
    result = judge.score(having(real, originals, 0.0, labels))
    public = open_site(case).dataset.test
    everything = public.batch(torch.arange(len(public)).numpy())[0]
    own = control_indices(public, 2, seed=case.seed, server_round=1)
    assert nearest_public(originals, everything).tolist() == own.tolist()
    for leak in result.leakage:
        assert (leak.baselines[NEAREST]["psnr"] or 0) < 40
        assert leak.meaning is Meaning.LEAKED


def test_scoring_does_not_change_what_it_scores() -> None:
    judge, real = scorer(adversary()), outcome(adversary())
    before = {k: v.clone() for k, v in real.model.state_dict().items()}
    assert real.reconstruction.data is not None
    data = real.reconstruction.data.clone()
    first, second = judge.score(real), judge.score(real)
    assert first.leakage == second.leakage
    assert same(before, dict(real.model.state_dict()))
    assert torch.equal(data, real.reconstruction.data)
