"""Defenses of a step's batch and gradient, which act before the upload is computed."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fedsim.clients.defenses.base import Batch, BatchLoss, Computed, Defense, Private
from fedsim.clients.defenses.pipeline import DefenseRecord, record_of
from fedsim.core.errors import ScenarioError
from fedsim.core.registry import DEFENSES
from fedsim.models import cross_entropy

Plain = Callable[[nn.Module, tuple[Tensor, Tensor]], Computed]


def acts_on_steps(kind: type[Defense]) -> bool:
    """Return whether a class of defenses changes a step's batch, or computes its gradient."""
    return (
        kind.protect_batch is not Defense.protect_batch
        or kind.compute_gradient is not Defense.compute_gradient
    )


class DefendedSteps:
    """The local steps of one client in one round, with its defenses.

    Args:
        defenses: in the written order. Batches pass through all of them; at most one of them
            computes the gradient.
        private: the client's private data and model.
        generator: source of all randomness.
        plain: computes the gradient if no defense does.
        loss: the client's loss, for defenses that compute a gradient.

    Raises:
        ScenarioError: two defenses compute the gradient.
    """

    def __init__(
        self,
        defenses: Sequence[Defense],
        private: Private,
        generator: torch.Generator,
        plain: Plain,
        loss: BatchLoss = cross_entropy,
    ) -> None:
        _refuse_two_ways(defenses)
        self._defenses, self._private = defenses, private
        self._generator, self._plain, self._loss = generator, plain, loss
        self._did: list[dict[str, list[float]]] = [defaultdict(list) for _ in defenses]

    def protect(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the defended batch to train on."""
        inputs, labels = batch
        for each, did in zip(self._defenses, self._did, strict=True):
            batch_ = Batch(inputs, labels, loss=self._loss)
            changed = each.protect_batch(batch_, self._private, self._generator)
            inputs, labels = changed.inputs, changed.labels
            for measure, value in changed.did.items():
                did[measure].append(value)
        return inputs, labels

    def compute(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Computed:
        """Return the defended gradient of a step."""
        for each, did in zip(self._defenses, self._did, strict=True):
            whole = Batch(*batch, loss=self._loss)
            computed = each.compute_gradient(model, whole, self._generator)
            if computed is not None:
                for measure, value in computed.did.items():
                    did[measure].append(value)
                return computed
        return self._plain(model, batch)

    def records(self) -> tuple[DefenseRecord, ...]:
        """Return each defense's report, averaged over the steps."""
        means = [{k: sum(v) / len(v) for k, v in did.items()} for did in self._did]
        return tuple(record_of(d, did) for d, did in zip(self._defenses, means, strict=True))


def _refuse_two_ways(defenses: Sequence[Defense]) -> None:
    """Refuse two defenses that compute the gradient, since one of them would have no effect."""
    own = [d for d in defenses if type(d).compute_gradient is not Defense.compute_gradient]
    if len(own) > 1:
        names = " and ".join(repr(DEFENSES.name_of(d)) for d in own)
        raise ScenarioError(
            f"defenses {names} each compute the gradient, but a step can use only one of "
            "them; keep one"
        )
