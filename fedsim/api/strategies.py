"""Audits of other Flower apps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedsim.core.errors import RunError
from fedsim.log.folders import new_folder

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from flwr.serverapp.strategy import Strategy
    from torch import Tensor, nn

    from fedsim.attacks import Attack
    from fedsim.attacks.assumptions import Numbers
    from fedsim.clients.defenses import Defense
    from fedsim.engine.audit import Audit, AuditPlan, Session, Truth


def audit(  # noqa: PLR0913  (what there is to say about an app)
    strategy: Strategy,
    *,
    model: nn.Module | Callable[[], nn.Module],
    input_shape: Sequence[int],
    learning_rate: float,
    batch_size: int = 1,
    local_steps: int | None = None,
    local_epochs: int | None = None,
    optimizer: str | dict[str, Any] = "sgd",
    schedule: str | dict[str, Any] = "constant",
    max_grad_norm: float | None = None,
    proximal_mu: float = 0.0,
    augmentations: Sequence[str | dict[str, Any]] = (),
    loss: str | dict[str, Any] | Callable[[Any, Any], Tensor] | None = None,
    uploads: Literal["weights", "gradients"] = "weights",
    mode: Literal["train", "eval"] = "train",
    normalisation: tuple[Numbers, Numbers] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    truth: Truth | Path | str | None = None,
    public: tuple[Tensor, Tensor] | None = None,
    defenses: Sequence[Defense] = (),
    attack: str | dict[str, Any] | Attack = "best",
    evaluations: int | None = None,
    rounds: Sequence[int] = (1,),
    clients: int | None = 2,
    time_limit_s: float = 120.0,
    seed: int = 0,
    out: Path | str | None = None,
) -> Audit:
    """Return a strategy that trains exactly as the given one does, and audits what clients leak.

    For any ServerApp of Flower's Message API. When the training ends, the run folder holds records,
    reconstructions, positive control, verdicts and the report, like that of `run`. Errors of the
    attacks are recorded; they neither end nor change the training.

    Clients are numbered by the ``partition-id`` in the metrics of their replies, if all report it,
    or else in the order in which the grid lists them.

    Args:
        strategy: the strategy of the app.
        model: the clients' model, or a function without arguments that makes it. Its weights do not
            matter: those that the strategy sends are used.
        input_shape: shape of one example as the model takes it, such as ``(3, 32, 32)``.
        learning_rate: the clients' learning rate.
        batch_size: examples in each local step.
        local_steps: number of local steps; 1 by default.
        local_epochs: instead of ``local_steps``: number of passes over the client's
            ``num-examples`` examples.
        optimizer: the clients' optimiser: ``"sgd"``, ``"adam"``, ``"adamw"``, or a table of name
            and parameters such as ``{"name": "sgd", "momentum": 0.9}``.
        schedule: schedule of the learning rate, a name or a table as in ``federation.schedule``,
            such as ``{"name": "cosine", "over": "steps", "warmup": 5}``.
        max_grad_norm: L2 norm to which clients clip the gradient of each step; None for no
            clipping.
        proximal_mu: weight of FedProx's proximal term in the clients' loss.
        augmentations: random changes of the pictures before each step, names or tables as in
            ``federation.augmentations``; no example of such clients is called protected.
        loss: the clients' mean loss of a batch; by default the cross-entropy. A function, a module,
            or a name or a table as in ``federation.loss``, such as
            ``{"name": "cross-entropy", "smoothing": 0.1}``.
        uploads: whether replies hold the trained weights, or gradients.
        mode: mode of the model's layers when the clients train.
        normalisation: mean and standard deviation with which the clients normalise their pictures,
            a number or one for each channel.
        value_range: range of the data before the normalisation; [0, 1] for pictures.
        truth: function of partition and round that returns the examples that the client trained on,
            as its model takes them ``(N, *input_shape)``, and their labels; or the folder in which
            `fedsim.AuditMod` keeps the clients' batches. It serves to score; no attack sees it.
            None: reconstructions are shown beside a blind guess, and unscored.
        public: public examples as the model takes them, and their labels, for the positive control
            and the blind guesses. By default pictures of clothes.
        defenses: the clients' defenses (see ``fedsim list defenses``), for an attacker who knows
            them.
        attack: name of an attack, a table of its name and parameters, or an attack.
        evaluations: largest number of evaluations of the attack.
        rounds: the rounds to attack.
        clients: largest number of clients to attack in a round; None for all.
        time_limit_s: time limit of the positive control, and of the other attacks in a round, in
            seconds.
        seed: seed of the attacks.
        out: the run folder, new or empty; a new one in ``runs`` if None.

    Raises:
        FedsimError: an argument is invalid, or the folder cannot be written.
    """
    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.engine.audit.details import TrainingDetails  # noqa: PLC0415  (loads torch)
    from fedsim.engine.audit.making import plan_of  # noqa: PLC0415

    plan = plan_of(
        model=model,
        input_shape=input_shape,
        learning_rate=learning_rate,
        batch_size=batch_size,
        local_steps=local_steps,
        local_epochs=local_epochs,
        optimizer=optimizer,
        loss=loss,
        details=TrainingDetails(schedule, max_grad_norm, proximal_mu, tuple(augmentations)),
        uploads=uploads,
        mode=mode,
        normalisation=normalisation,
        value_range=value_range,
        truth=truth,
        public=public,
        defenses=defenses,
        attack=attack,
        evaluations=evaluations,
        rounds=rounds,
        clients=clients,
        time_limit_s=time_limit_s,
        seed=seed,
    )
    return around(strategy, plan, new_folder("audit") if out is None else Path(out))


def around(
    strategy: Strategy, plan: AuditPlan | Callable[[int, int], AuditPlan], folder: Path
) -> Audit:
    """Return the audit of a strategy that follows a plan.

    Args:
        strategy: the strategy of the app.
        plan: the plan, or a function of the first node that replies and the round.
        folder: the run folder, new or empty.

    Raises:
        RunError: the folder cannot be written, or the strategy is not of Flower's Message API.
    """
    from flwr.serverapp.strategy import Strategy  # noqa: PLC0415  (loads Flower)

    from fedsim.engine.audit import Audit  # noqa: PLC0415

    if not isinstance(strategy, Strategy):
        raise RunError(
            f"strategy: expected one of flwr.serverapp.strategy, not {type(strategy).__module__}."
            f"{type(strategy).__name__}; apps with SecAggPlusWorkflow are audited by the command "
            "'fedsim audit APP'"
        )
    return Audit(strategy, *opened(plan, folder))


def opened(
    plan: AuditPlan | Callable[[int, int], AuditPlan], folder: Path
) -> tuple[Session, Callable[[], None]]:
    """Return the session of an audit, and the function to call after its end.

    Args:
        plan: the plan, or a function of the first node that replies and the round.
        folder: the run folder, new or empty.

    Raises:
        RunError: the folder cannot be written.
    """
    from fedsim.api.watch import Drawing  # noqa: PLC0415
    from fedsim.engine.audit import Session  # noqa: PLC0415
    from fedsim.log.writer import RunLog  # noqa: PLC0415
    from fedsim.show import conclude  # noqa: PLC0415

    session = Session(plan, RunLog(folder), Drawing())

    def on_end() -> None:
        for text in session.notes:
            logger.warning("%s: %s", folder, text)
        if not session.notes:
            conclude.conclude_run(folder)

    return session, on_end
