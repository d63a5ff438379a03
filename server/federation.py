"""Federated rounds of a scenario."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from flwr.app import ArrayRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from torch import Tensor, nn

from fedsim.core.arrays import record_of, tensors_of
from fedsim.core.errors import RunError
from fedsim.data import Examples
from fedsim.scenario import Scenario
from fedsim.server.asking import ask_partitions
from fedsim.server.beside import Beside
from fedsim.server.continuing import Continuing, Start
from fedsim.server.eavesdropper import Eavesdropper, OnUploads
from fedsim.server.fedsgd import FedSGD
from fedsim.server.manipulating import Manipulating, OnSent, Sent, nothing_sent
from fedsim.server.orderly import Orderly
from fedsim.server.readings import Readings
from fedsim.server.relaying import Relaying
from fedsim.server.replies import OneReplyEach
from fedsim.server.secure.strategy import OnSum, Protocol, ProtocolOf, SecureAggregation
from fedsim.server.standing_out import OnNote, StandingOut, no_note
from fedsim.server.uploads import Limits, Shapes, Upload

OnRound = Callable[[int, float], None]
"""``(server_round, test accuracy of the global model)``; round 0 is before the first round."""
OnState = Callable[[int, ArrayRecord], None]
"""``(server_round, global model after it)``."""


def federate(  # noqa: PLR0913  (each is one thing that it needs)
    grid: Grid,
    scenario: Scenario,
    model: nn.Module,
    test: Examples,
    *,
    on_uploads: OnUploads,
    on_round: OnRound,
    on_sum: OnSum = lambda server_round, arrays, total: None,
    on_sent: OnSent = nothing_sent,
    on_note: OnNote = no_note,
    on_state: OnState = lambda server_round, arrays: None,
    sizes: Sequence[int] = (),
    start: Start | None = None,
    beside: bool = False,
) -> Result:
    """Run the rounds of a scenario and return Flower's result.

    Args:
        grid: the grid with the clients.
        scenario: the scenario.
        model: the initial global model.
        test: examples on which the global model is evaluated; no client holds them.
        on_uploads: called with each round's uploads before they are aggregated.
        on_round: called with the accuracy before the first round and after evaluated rounds.
        on_sum: called with the revealed sum of a round, instead of its uploads, under a secure
            aggregation.
        on_sent: called with each model that a malicious server has changed.
        on_note: called with each remark on a round: replies that are ignored, results that are not
            finite, and uploads far out of their cohort.
        on_state: called with the global model after each round, when all else of it is done.
        sizes: number of examples of each client, which bounds those that it can report.
        start: where the rounds begin; None with the first.
        beside: whether the global model is evaluated while the next round's clients train;
            ``on_round`` and ``on_state`` are then called from a thread, in order.

    Raises:
        RunError: too few clients connect, or the run had no usable upload.
    """
    federation = scenario.federation
    partitions = ask_partitions(grid, scenario.num_clients, federation.timeout_s)
    grid = OneReplyEach(grid, partitions, on_note)
    shapes, limits = upload_shapes(scenario, model), upload_limits(scenario, model, sizes)
    protocol = secure_protocol(scenario, partitions, sizes)
    gradients = gradient_names(scenario, model)
    readings = Readings()
    inner: Strategy = Orderly(
        base_strategy(scenario, model),
        partitions,
        shapes,
        seed=scenario.seed,
        fraction=federation.fraction,
        limits=limits if protocol is None else Limits(limits.types),
        on_note=on_note,
        summed=protocol is not None,
        readings=readings,
    )
    manipulating = _manipulating(inner, scenario, partitions, model, test, on_sent)
    inner = _relaying(inner if manipulating is None else manipulating, scenario)

    measured = copy.deepcopy(model)

    def after_round(server_round: int, arrays: ArrayRecord) -> None:
        evaluated = not server_round % federation.evaluate_every
        if evaluated or server_round == federation.rounds:
            measured.load_state_dict(tensors_of(arrays))
            on_round(server_round, accuracy(measured, test))
        if server_round:
            on_state(server_round, arrays)

    def changed() -> Sent | None:
        return None if manipulating is None else manipulating.sent

    strategy: Strategy
    if protocol is None:
        heard = _with_remarks(on_uploads, StandingOut(gradients, on_note), changed)
        strategy = Eavesdropper(inner, partitions, shapes, heard, changed, limits, readings)
    else:
        strategy = SecureAggregation(
            inner,
            protocol,
            partitions,
            shapes,
            gradients,
            on_sum,
            changed,
            unit=1.0 if gradients else -1 / scenario.federation.learning_rate,
        )
    if start is not None:
        strategy = Continuing(strategy, start)
    with Beside(at_once=not beside) as others:

        def evaluate(server_round: int, arrays: ArrayRecord) -> None:
            if start is None or server_round > start.after:
                others.do(partial(after_round, server_round, arrays))

        result = strategy.start(
            grid,
            record_of(model.state_dict()) if start is None else start.arrays,
            num_rounds=federation.rounds,
            timeout=federation.timeout_s,
            evaluate_fn=evaluate,
        )
    if not result.arrays:
        raise RunError(
            f"no client sent a usable upload in any of the {federation.rounds} rounds; "
            "see the problem of each upload in the run's records"
        )
    return result


def _relaying(inner: Strategy, scenario: Scenario) -> Strategy:
    """Return the strategy, with announcements relayed if clients need those of others."""
    if any(d.needs_others for group in scenario.clients for d in group.defenses):
        return Relaying(inner, scenario.federation.timeout_s)
    return inner


def _manipulating(
    inner: Strategy,
    scenario: Scenario,
    partitions: Mapping[int, int],
    model: nn.Module,
    test: Examples,
    on_sent: OnSent,
) -> Manipulating | None:
    """Return the strategy of a malicious server around another one, or None without one."""
    plan = scenario.adversary
    if plan is None or plan.malicious is None:
        return None
    return Manipulating(
        inner,
        scenario,
        plan,
        plan.malicious,
        partitions,
        model,
        test,
        accuracy=partial(accuracy, split=test),
        shapes_of=partial(upload_shapes, scenario),
        gradients_of=partial(gradient_names, scenario),
        on_sent=on_sent,
    )


def _with_remarks(
    on_uploads: OnUploads, standing_out: StandingOut, changed: Callable[[], Sent | None]
) -> OnUploads:
    """Return a listener that also gets remarks on uploads that stand out of their cohort.

    Answers to a model that a malicious server has changed are not compared.
    """

    def heard(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
        on_uploads(server_round, arrays, uploads)
        if changed() is None:
            standing_out.remark(server_round, tensors_of(arrays), uploads)

    return heard


def base_strategy(scenario: Scenario, model: nn.Module) -> Strategy:
    """Return FedSGD for gradient uploads, Flower's FedAvg for model updates."""
    if scenario.federation.upload == "gradient":
        return FedSGD(scenario.federation.learning_rate, gradient_names(scenario, model))
    return FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)


def gradient_names(scenario: Scenario, model: nn.Module) -> list[str]:
    """Return the names of the tensors of an upload that are gradients, not values."""
    if scenario.federation.upload == "update":
        return []
    return [k for k, p in model.named_parameters() if p.requires_grad]


def secure_protocol(
    scenario: Scenario, partitions: Mapping[int, int], sizes: Sequence[int]
) -> Protocol | None:
    """Return the protocol that hides single uploads, or None for plain uploads.

    Args:
        scenario: the scenario.
        partitions: the partition of each node, by node id.
        sizes: number of examples of each client, of which the server knows the largest if clients
            train whole epochs.

    Raises:
        RunError: the scenario's aggregation needs what is not installed.
    """
    aggregation = scenario.federation.aggregation
    if not aggregation.hides:
        return None
    protocol: ProtocolOf = aggregation.side("server")
    federation = scenario.federation
    return protocol(aggregation, federation, partitions, federation.most_examples(sizes))


def upload_shapes(scenario: Scenario, model: nn.Module) -> Shapes:
    """Return the required shapes of the tensors in an upload."""
    frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
    state = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    if scenario.federation.upload == "update":
        return state
    return {k: shape for k, shape in state.items() if k not in frozen}


def upload_limits(scenario: Scenario, model: nn.Module, sizes: Sequence[int]) -> Limits:
    """Return the types of a usable upload, and the number of examples that each client can report.

    Args:
        scenario: the scenario.
        model: the global model.
        sizes: number of examples of each client; empty if unknown.
    """
    federation = scenario.federation
    types = {k: v.dtype for k, v in model.state_dict().items()}
    if sizes:
        asked = {p: min(size, federation.uses_of(size)) for p, size in enumerate(sizes)}
    elif federation.local_epochs is None:
        asked = dict.fromkeys(range(scenario.num_clients), federation.uses_of(0))
    else:
        asked = {}
    return Limits(types, asked)


def accuracy(model: nn.Module, split: Examples) -> float:
    """Return the model's accuracy on a split, in eval mode.

    For language models: on masked tokens, or on all next tokens. For targets that are not classes
    their own measure (`fedsim.core.targets.Targets.quality`).
    """
    training, right, asked = model.training, 0, 0
    told: list[Tensor] = []
    model.eval()
    with torch.no_grad():
        for begin in range(0, len(split), split.at_once):
            stop = min(begin + split.at_once, len(split))
            inputs, labels = split.batch(torch.arange(begin, stop).numpy())
            outputs = model(inputs)
            if split.targets is not None:
                told.append(outputs)
                continue
            right += int((outputs.argmax(-1) == labels).sum())
            asked += int((labels >= 0).sum())
    model.train(training)
    return right / asked if split.targets is None else split.targets.quality(torch.cat(told))
