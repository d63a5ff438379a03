"""The clients' local training as the server knows it: it has set it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedsim.attacks import LocalTraining
from fedsim.attacks.local_optimisers import SGD, Adam, LocalOptimiser
from fedsim.core.errors import UploadError
from fedsim.core.registry import OPTIMIZERS
from fedsim.scenario import Federation
from fedsim.scenario import optimizers as configured


def training_of(
    federation: Federation,
    learning_rate: float,
    examples: int,
    clients: int = 1,
    *,
    server_round: int = 1,
) -> LocalTraining:
    """Return the local training behind an update, or behind the mean of several clients' updates.

    The optimiser and its parameters are known; the order of the examples is not.

    Args:
        federation: the clients' configuration.
        learning_rate: the learning rate as assumed by the server.
        examples: number of different examples behind the update.
        clients: number of clients in the mean. They take their steps side by side, as one client
            with the examples of all.
        server_round: the round, on which the learning rate depends under a schedule.

    Raises:
        UploadError: attacks cannot follow the optimiser.
    """
    optimiser, size = optimiser_of(federation.optimizer), federation.batch_size * clients
    if federation.local_epochs is None:
        training = LocalTraining(learning_rate, federation.local_steps, size, optimiser=optimiser)
    else:
        epochs = federation.local_epochs
        training = LocalTraining.of_epochs(
            learning_rate, epochs, size, examples, optimiser=optimiser
        )
    training = replace(
        training, max_norm=federation.max_grad_norm, proximal_mu=federation.proximal_mu
    )
    if federation.schedule.is_constant:
        return training
    return replace(training, factors=tuple(federation.factors_of(server_round, training.steps)))


def of_unequal(
    training: LocalTraining, federation: Federation, examples: Sequence[int]
) -> LocalTraining:
    """Return the training behind a sum of clients whose whole epochs differ in steps.

    The sum is that of the clients' changes of the weights, weighted by their numbers of examples
    n_i, over the sum of these numbers. To first order a client's change is its number of steps
    s_i times that of one step, so that the mean change is ``sum(n_i s_i) / sum(n_i)`` steps. One
    client with the examples of all takes another number of steps: its learning rate is multiplied
    by the quotient. For clients of one step each, or of equal size, nothing changes. That examples
    of larger clients weigh more is left out: equations of several steps of several clients are
    approximate.

    Args:
        training: the training of one client with the examples of all.
        federation: the clients' configuration.
        examples: number of examples of each client.
    """
    total = sum(examples)
    if federation.local_epochs is None or not total:
        return training
    mean = sum(n * federation.steps_of(n) for n in examples) / total
    return replace(training, learning_rate=training.learning_rate * mean / training.steps)


def optimiser_of(optimizer: configured.Optimizer) -> LocalOptimiser:
    """Return the differentiable counterpart of the clients' optimiser.

    Raises:
        UploadError: there is none.
    """
    if isinstance(optimizer, configured.Sgd):
        return SGD(optimizer.weight_decay, optimizer.momentum, nesterov=optimizer.nesterov)
    if isinstance(optimizer, configured.Adam | configured.AdamW):
        betas = (optimizer.beta1, optimizer.beta2)
        decoupled = isinstance(optimizer, configured.AdamW)
        return Adam(optimizer.weight_decay, betas, optimizer.eps, decoupled)
    name = OPTIMIZERS.name_of(optimizer)
    raise UploadError(
        f"attacks cannot follow the clients' optimizer {name!r}: expected sgd or adam"
    )
