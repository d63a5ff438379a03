"""The adversary: whom it picks, and that it never stands in the way."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch
from flwr.app import ArrayRecord
from hypothesis import given
from hypothesis import strategies as st

from fedsim.attacks import Attack, GradientMatching, Progress
from fedsim.attacks.adaptive import Answer, Known, MatchSurvivors
from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.adaptive.rounding import SHARE, RoundingTolerance
from fedsim.attacks.dlg import DLG
from fedsim.attacks.functional import parameters, with_statistics
from fedsim.attacks.matching.objectives import GaussianLikelihood
from fedsim.attacks.types import OnProgress, ShouldStop, Status
from fedsim.clients.site import site_of
from fedsim.clients.training import gradient
from fedsim.log.writer import SAFE_NAME
from fedsim.scenario import Scenario
from fedsim.scoring import Scorer
from fedsim.server.adapting import Adapting
from fedsim.server.adversary import Adversary
from fedsim.server.observing import Observing
from fedsim.server.uploads import Sum, Upload
from fedsim.server.victims import Listeners, Outcome, Victim
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small
from tests.server.stubs import (
    WAIT_S,
    Failing,
    Heard,
    Stub,
    Telling,
    Waiting,
    adversary,
    run_rounds,
    uploads_of,
)
from tests.server.wire import global_weights


@dataclass(frozen=True, eq=False)
class Guided(Stub):
    """Takes a time, and has a baseline of its priors alone."""

    clock: list[float] = field(default_factory=lambda: [0.0])
    seconds: float = 0.0
    alone: Stub = field(default_factory=Telling)

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        self.clock[0] += self.seconds

    def without_gradient(self) -> Attack:
        return self.alone


def scenario(*overrides: str) -> Scenario:
    return small(TWENTY_EVALUATIONS, *overrides)


def sent(case: Scenario) -> ArrayRecord:
    return ArrayRecord(global_weights(case))


def test_it_attacks_all_clients_and_a_control() -> None:
    heard = run_rounds(scenario(), rounds=2, attack=Stub())
    for server_round in (1, 2):
        assert heard.names(server_round) == [
            f"r000{server_round}-c0000-naive",
            f"r000{server_round}-c0001-naive",
            f"r000{server_round}-c0002-naive",
            f"r000{server_round}-control-naive",
        ]
    assert heard.rounds == [1, 2]
    assert [len(victims) for victims in heard.victims] == [4, 4]


def test_it_attacks_only_the_groups_that_it_is_told() -> None:
    case = scenario(groups("[]", "['fp16']", "[]", count=2), "adversary.victims=['group 1']")
    names = run_rounds(case, attack=Stub()).names(1)
    assert names == ["r0001-c0002-naive", "r0001-c0003-naive", "r0001-control-naive"]


@pytest.mark.slow
def test_it_attacks_so_many_a_round_and_the_same_ones_again() -> None:
    case = scenario("clients.0.count=8", "adversary.per_round=3")
    first, again = (run_rounds(case, rounds=5, attack=Stub()) for _ in range(2))
    names = [first.names(r) for r in range(1, 6)]
    assert names == [again.names(r) for r in range(1, 6)]
    assert [len(n) for n in names] == [3 + 1] * 5
    assert len({tuple(n[6:] for n in found) for found in names}) > 1


def test_it_attacks_every_other_round() -> None:
    heard = run_rounds(scenario("adversary.every=2"), rounds=5, attack=Stub())
    assert heard.rounds == [1, 3, 5]
    controls = [o.victim.server_round for o in heard.outcomes if o.victim.partition is None]
    assert controls == [1, 3, 5]


def test_victims_of_one_attack_are_one_batch() -> None:
    attack = Stub()
    run_rounds(scenario(), rounds=2, attack=attack)
    assert [len(call.observations) for call in attack.calls] == [4, 4]
    assert attack.calls[0].seed != attack.calls[1].seed


def test_it_attacks_the_model_that_was_sent_in_training_mode() -> None:
    case, attack, heard = scenario(), Stub(), Heard()
    weights = {k: v + 1 for k, v in global_weights(case).items()}
    attacker = adversary(case, heard.listeners(), attack)
    attacker.intercept(1, ArrayRecord(weights), uploads_of(case))
    attacker.finish()
    [call] = attack.calls
    assert call.model.training
    assert all(torch.equal(call.model.state_dict()[k], w) for k, w in weights.items())
    assert all(outcome.model is call.model for outcome in heard.outcomes)


def test_it_observes_the_upload_and_nothing_else() -> None:
    case, attack = scenario("model='resnet18'", "clients.0.count=1"), Stub()
    run_rounds(case, attack=attack)
    [_, observation] = attack.calls[0].observations
    [upload] = uploads_of(case)
    names = {k for k, _ in site_of(case.to_toml()).architecture.named_parameters()}
    assert set(observation.gradient) == names
    assert all(torch.equal(observation.gradient[k], upload.arrays[k]) for k in names)
    assert observation.labels is None
    assert observation.input_shape == (1, 28, 28)
    assert observation.batch_size == case.federation.batch_size


BATCH_NORM = "model={name='convnet', channels=[2], batch_norm=true}"


@pytest.mark.parametrize("upload", ["gradient", "update"])
def test_it_reads_the_batchs_statistics_from_the_buffers(upload: str) -> None:
    case, attack = scenario(BATCH_NORM, "clients.0.count=1", f"federation.upload={upload}"), Stub()
    heard = run_rounds(case, attack=attack)
    _, observation = attack.calls[0].observations
    site = site_of(case.to_toml())
    model = site.model(global_weights(case))
    [(images, _)] = site.batches(0, 1)
    _, exact = with_statistics(model)(parameters(model), images)
    assert observation.statistics is not None
    for name, value in exact.items():
        assert torch.allclose(observation.statistics[name], value, rtol=1e-4, atol=1e-5)
    # The control, too, leaves the attacked model as it was sent.
    attacked = heard.outcomes[0].model.state_dict()
    assert all(torch.equal(attacked[k], w) for k, w in global_weights(case).items())


@pytest.mark.slow
def test_two_passes_have_as_many_unknowns_as_one() -> None:
    """32 or so pictures in 16 steps of 4: reported, observed and scored once each."""
    federation = "federation={upload='update', local_steps=16, batch_size=4}"
    case, attack = scenario(federation, "clients.0.count=62"), Stub()
    site = site_of(case.to_toml())
    upload, held = uploads_of(case)[0], len(site.partitions[0])
    heard = Heard()
    attacker = adversary(case, heard.listeners(), attack)
    attacker.intercept(1, sent(case), [upload])
    attacker.finish()
    observation = attack.calls[1].observations[0]
    assert held < 64
    assert upload.metrics["num-examples"] == observation.batch_size == held
    scorer = Scorer(site)
    [victim] = [o.victim for o in heard.outcomes if not o.victim.is_control]
    assert len(scorer.truth(victim)[1]) == held
    assert scorer.approximate(replace(victim, attack=DLG()))  # the second pass's order is unknown


def test_several_steps_give_no_statistics() -> None:
    attack = Stub()
    federation = "federation={upload='update', local_steps=2, batch_size=2}"
    run_rounds(scenario(BATCH_NORM, federation), attack=attack)
    assert [o.statistics for call in attack.calls for o in call.observations] == [None] * 4


@pytest.mark.parametrize("steps", [1, 3])
def test_an_update_gives_back_the_gradient(steps: int) -> None:
    case = scenario(f"federation={{upload='update', local_steps={steps}, learning_rate=0.5}}")
    attack = Stub()
    run_rounds(case, attack=attack)
    site = site_of(case.to_toml())
    model = site.model(global_weights(case))
    # The control has one step, so it comes alone when clients have more.
    observed = [o for call in attack.calls for o in call.observations][1:]
    assert len(observed) == 3
    for partition, observation in enumerate(observed):
        assert observation.batch_size == steps
        exact = gradient(model, site.batches(partition, 1)[0]).arrays
        worst = max(float((observation.gradient[k] - g).abs().max()) for k, g in exact.items())
        assert (worst < 1e-6) == (steps == 1)


def test_weights_of_another_precision_do_not_spoil_the_attack() -> None:
    case = scenario("federation.upload=update")
    heard = Heard()
    attacker = adversary(case, heard.listeners())
    doubles = {k: v.double() for k, v in global_weights(case).items()}
    uploads = uploads_of(case)
    uploads[1] = replace(uploads[1], arrays={k: v.double() for k, v in uploads[1].arrays.items()})
    attacker.intercept(1, ArrayRecord(doubles), uploads)
    attacker.finish()
    assert [o.reconstruction.error for o in heard.outcomes] == [None] * 4
    observed = [o.victim.observation for o in heard.outcomes]
    assert {g.dtype for o in observed if o for g in o.gradient.values()} == {torch.float32}


def test_an_adaptive_attacker_comes_only_where_a_defense_has_an_answer() -> None:
    pruning = "{name='pruning', fraction=0.5}"
    case = scenario(
        groups("[]", f"[{pruning}]", f"['fp16', {pruning}]"),
        "adversary.adaptive=true",
    )
    heard = run_rounds(case)
    assert heard.names(1) == [
        "r0001-c0000-naive",
        "r0001-c0001-adaptive",
        "r0001-c0001-naive",
        "r0001-c0002-adaptive",
        "r0001-c0002-naive",
        "r0001-control-naive",
    ]
    assert case.adversary is not None
    for outcome in heard.outcomes:
        expected = case.adversary.attack
        if outcome.victim.attacker == "adaptive":
            both = outcome.victim.partition == 2
            rounded = RoundingTolerance("fp16", share=SHARE)
            objective = SurvivingDistance(rounded) if both else SurvivingDistance()
            expected = replace(expected, objective=objective)
        assert outcome.victim.attack == expected
        assert outcome.reconstruction.status is Status.EXHAUSTED


def test_an_adaptive_attacker_knows_a_model_that_defends() -> None:
    precode = "model={name='precode', base='mlp', bottleneck=4}"
    case = scenario(groups("[]"), precode, "adversary.adaptive=true")
    heard = run_rounds(case)
    assert heard.names(1) == ["r0001-c0000-adaptive", "r0001-c0000-naive", "r0001-control-naive"]
    [adapted] = [o.victim.attack for o in heard.outcomes if o.victim.attacker == "adaptive"]
    assert isinstance(adapted, GradientMatching)
    assert adapted.draws


def test_an_adaptive_attacker_knows_the_federation_and_how_large_gradients_are() -> None:
    federation = "federation={upload='update', local_steps=2, batch_size=3, learning_rate=0.5}"
    case = scenario(federation, "adversary={adaptive=true, learning_rate=0.25}")
    site = site_of(case.to_toml())
    assert case.adversary is not None
    test, attack = site.dataset.test, case.adversary.attack
    observing = Observing(case.federation, site.architecture, test, 0.25)
    adapting = Adapting(case, attack, test, observing.unit, torch.device("cpu"))
    gradient = {"w": torch.tensor([3.0, 4.0]), "b": torch.zeros(2)}
    known = adapting.of_clients([0], adapting.known(site.architecture, gradient))
    assert (known.upload, known.batch_size, known.local_steps) == ("update", 3, 2)
    assert known.unit == 1 / (0.25 * 2)
    assert (known.gradient_rms, known.coordinates, known.gradient_norm) == (2.5, 4, 5.0)
    assert known.public is not None
    assert known.public.shape[1:] == (1, 28, 28)
    broken = adapting.known(site.architecture, {"w": torch.tensor([float("nan")])})
    assert broken.gradient_rms == Known().gradient_rms


@pytest.mark.parametrize(
    ("defense", "std"),
    [("{name='gaussian-noise', std=0.3}", 0.1 * 2**0.5), ("{name='signsgd'}", None)],
)
def test_an_adaptive_attacker_of_a_sum_expects_the_noise_of_the_mean(
    defense: str, std: float | None
) -> None:
    case = scenario(groups(f"[{defense}]", f"[{defense}]", "[]"), "adversary.adaptive=true")
    site = site_of(case.to_toml())
    assert case.adversary is not None
    test, attack = site.dataset.test, case.adversary.attack
    adapting = Adapting(case, attack, test, lambda _: 1.0, torch.device("cpu"))
    adapted = adapting.adapted((0, 1, 2), Known())
    if std is None:
        assert adapted is None
        return
    assert isinstance(adapted, GradientMatching)
    assert isinstance(adapted.objective, GaussianLikelihood)
    assert adapted.objective.std == pytest.approx(std)
    assert adapting.adapted((2,), Known()) is None


def test_a_countermeasure_that_raises_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: MatchSurvivors, known: Known) -> Answer:
        raise ZeroDivisionError("of somebody else")

    monkeypatch.setattr(MatchSurvivors, "answer", answer)
    case = scenario(groups("[{name='pruning', fraction=0.5}]"), "adversary.adaptive=true")
    heard = run_rounds(case)
    errors = {o.victim.name: o.reconstruction.error for o in heard.outcomes}
    assert errors == {
        "r0001-c0000-adaptive": "ZeroDivisionError: of somebody else",
        "r0001-c0000-naive": None,
        "r0001-control-naive": None,
    }


@pytest.mark.parametrize("attack", [None, Stub()], ids=["not asked for", "no known adaptation"])
def test_without_an_adaptation_there_is_only_the_naive_one(attack: Stub | None) -> None:
    adaptive = "true" if attack else "false"
    case = scenario(groups("[{name='pruning', fraction=0.5}]"), f"adversary.adaptive={adaptive}")
    names = run_rounds(case, attack=attack).names(1)
    assert names == ["r0001-c0000-naive", "r0001-control-naive"]


def test_an_attack_that_raises_is_an_outcome() -> None:
    heard = run_rounds(scenario(), rounds=2, attack=Failing())
    assert [o.reconstruction.error for o in heard.outcomes] == ["ArithmeticError: diverged"] * 8
    assert {o.reconstruction.status for o in heard.outcomes} == {Status.FAILED}
    assert heard.rounds == [1, 2]


def test_an_upload_that_cannot_be_used_fails_alone() -> None:
    case, heard = scenario(), Heard()
    uploads = uploads_of(case)
    uploads[1] = Upload(1, problem="the tensor 'w' is missing")
    attacker = adversary(case, heard.listeners(), Stub())
    attacker.intercept(1, sent(case), uploads)
    attacker.finish()
    errors = {o.victim.partition: o.reconstruction.error for o in heard.outcomes}
    assert errors == {None: None, 0: None, 1: "the tensor 'w' is missing", 2: None}


def test_a_round_in_which_nobody_sent_anything_usable_still_has_its_control() -> None:
    case, heard = scenario(), Heard()
    attacker = adversary(case, heard.listeners(), Stub())
    attacker.intercept(1, sent(case), [Upload(p, problem="broken") for p in range(3)])
    attacker.finish()
    assert len(heard.outcomes) == 4
    assert [o.victim.name for o in heard.outcomes if not o.reconstruction.error] == [
        "r0001-control-naive"
    ]


def test_time_runs_out() -> None:
    attack = Waiting()
    heard = run_rounds(scenario("adversary.time_limit_s=0.2"), rounds=2, attack=attack)
    assert attack.stopped.is_set()
    assert len(heard.outcomes) == 8


def test_time_runs_out_for_a_real_attack() -> None:
    """It ends, long before its evaluations do, and where that is depends on the machine."""
    attack = "adversary.attack={name='dlg', evaluations=100000000, tolerance=0.0}"
    heard = run_rounds(scenario("adversary.time_limit_s=0.5", attack))
    for outcome in heard.outcomes:
        found = outcome.reconstruction
        assert (found.status, found.error) in {
            (Status.STOPPED, None),
            (Status.FAILED, "stopped before the first evaluation"),
        }


def test_intercept_returns_while_an_attack_runs() -> None:
    """Which cannot end before all rounds have been taken in."""
    case, attack, heard = scenario(), Waiting(stoppable=False), Heard()
    attacker = adversary(case, heard.listeners(), attack)
    rounds = [uploads_of(case, r) for r in range(1, 21)]
    attacker.intercept(1, sent(case), rounds[0])
    assert attack.started.wait(WAIT_S)
    for number, uploads in enumerate(rounds[1:], start=2):
        attacker.intercept(number, sent(case), uploads)
    assert heard.outcomes == []
    attack.released.set()
    attacker.finish()
    assert heard.rounds == list(range(1, 21))


def test_it_computes_on_the_threads_that_it_was_given() -> None:
    case, attack, before = scenario(), Stub(), torch.get_num_threads()
    uploads = uploads_of(case)
    attacker = adversary(case, Heard().listeners(), attack, threads=3)
    torch.set_num_threads(1)  # what the thread that trains does is no matter of this one
    try:
        attacker.intercept(1, sent(case), uploads)
        attacker.finish()
    finally:
        torch.set_num_threads(before)
    assert set(attack.threads) == {3}


def test_cancel_stops_what_runs_and_starts_nothing_else() -> None:
    case, attack, heard = scenario(), Waiting(), Heard()
    attacker = adversary(case, heard.listeners(), attack)
    for server_round in (1, 2, 3):
        attacker.intercept(server_round, sent(case), uploads_of(case))
    assert attack.started.wait(WAIT_S)
    attacker.cancel()
    assert attack.stopped.is_set()
    assert heard.rounds == [1]
    assert len(heard.outcomes) == 4


def test_cancel_before_anything_has_begun() -> None:
    heard = Heard()
    attacker = adversary(scenario(), heard.listeners(), Stub())
    attacker.cancel()
    attacker.finish()
    assert heard.outcomes == []


def broken(*_: object) -> None:
    raise OSError("disk full")


@pytest.mark.parametrize(
    "listeners",
    [
        Listeners(on_outcome=broken),
        Listeners(on_outcome=lambda outcome: None, on_victims=broken),
        Listeners(on_outcome=lambda outcome: None, on_progress=broken),
        Listeners(on_outcome=lambda outcome: None, on_round_done=broken),
    ],
    ids=["outcome", "victims", "progress", "round"],
)
def test_a_listener_that_raises_is_no_failure_of_the_attack(listeners: Listeners) -> None:
    case = scenario()
    attacker = adversary(case, listeners, Telling())
    attacker.intercept(1, sent(case), uploads_of(case))
    with pytest.raises(OSError, match="disk full"):
        attacker.finish()


def test_progress_is_told_with_its_victims() -> None:
    heard = run_rounds(scenario(), attack=Telling())
    assert [p.evaluation for _, p in heard.progress] == list(range(1, 11))
    assert all(
        next(v.name for v in victims) == "r0001-control-naive" for victims, _ in heard.progress
    )


def test_progress_of_a_real_attack_points_into_its_victims() -> None:
    shown: list[str] = []

    def on_progress(victims: Sequence[Victim], progress: Progress) -> None:
        shown.extend(victims[i].name for i in progress.victims.tolist())

    case = scenario("clients.0.count=2")
    attacker = adversary(case, Listeners(lambda outcome: None, on_progress=on_progress))
    attacker.intercept(1, sent(case), uploads_of(case))
    attacker.finish()
    assert set(shown) == {"r0001-c0000-naive", "r0001-c0001-naive", "r0001-control-naive"}


def test_the_same_seed_gives_the_same_reconstructions() -> None:
    def found(*overrides: str) -> list[torch.Tensor]:
        outcomes: list[Outcome] = run_rounds(scenario(*overrides)).outcomes
        return [o.reconstruction.data for o in outcomes if o.reconstruction.data is not None]

    one, other, another = found(), found(), found("seed=6")
    assert len(one) == 4
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, another, strict=True))


@pytest.mark.slow
def test_attacks_side_by_side_find_the_same_in_the_same_order() -> None:
    chains = ("[]", "[{name='pruning', fraction=0.5}]", "[{name='gaussian-noise', std=0.01}]")
    case = scenario(groups(*chains), "adversary.adaptive=true")
    one_by_one, side_by_side = (run_rounds(case, 2, at_once=n).outcomes for n in (1, 3))
    assert [o.victim.name for o in one_by_one] == [o.victim.name for o in side_by_side]
    assert len({o.victim.attack for o in one_by_one}) > 2
    for one, other in zip(one_by_one, side_by_side, strict=True):
        assert one.reconstruction.data is not None
        assert other.reconstruction.data is not None
        assert torch.equal(one.reconstruction.data, other.reconstruction.data)


@given(
    st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.sampled_from(["naive", "adaptive"])
)
def test_names_of_victims_are_names_of_files(
    server_round: int, partition: int | None, attacker: str
) -> None:
    partitions = () if partition is None else (partition,)
    victim = Victim(server_round, partitions, attacker, DLG(), None)  # type: ignore[arg-type]
    assert SAFE_NAME.fullmatch(victim.name)
    assert len(victim.name) < 40


def test_the_control_one_client_and_a_sum_have_different_names() -> None:
    victims = [Victim(1, p, "naive", DLG(), None) for p in ((), (3,), (0, 1, 2))]
    assert [v.name for v in victims] == [
        "r0001-control-naive",
        "r0001-c0003-naive",
        "r0001-sum-naive",
    ]
    assert [v.partition for v in victims] == [None, 3, None]
    assert [v.is_control for v in victims] == [True, False, False]
    assert [v.is_sum for v in victims] == [False, False, True]


@pytest.mark.parametrize("victims", ["'all'", "['group 1']"])
def test_a_sum_is_attacked_as_one_batch_of_all_its_clients(victims: str) -> None:
    case = scenario(
        groups("[]", "[]", "[]"), f"adversary.victims={victims}", "adversary.adaptive=true"
    )
    arrays = uploads_of(case)[0].arrays
    attack, heard = Stub(), Heard()
    attacker = adversary(case, heard.listeners(), attack)
    attacker.intercept(1, sent(case), [Sum((0, 1, 2), arrays, 6)])
    attacker.finish()
    assert heard.names(1) == ["r0001-control-naive", "r0001-sum-naive"]
    assert [o.batch_size for call in attack.calls for o in call.observations] == [2, 6]


@pytest.mark.parametrize(("seconds", "known"), [(50.0, True), (150.0, True), (250.0, False)])
def test_baselines_have_as_much_time_again_as_the_attacks(
    monkeypatch: pytest.MonkeyPatch, seconds: float, known: bool
) -> None:
    attack = Guided(seconds=seconds)
    clock = SimpleNamespace(monotonic=lambda: attack.clock[0])
    monkeypatch.setattr(sys.modules[Adversary.__module__], "time", clock)
    heard = run_rounds(scenario("adversary.time_limit_s=100"), attack=attack)
    assert {outcome.prior is not None for outcome in heard.outcomes} == {known}
