"""Base class of every attack."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Self, final

from torch import Tensor, nn

from fedsim.attacks.batch_norm import Source
from fedsim.attacks.checks import checked_observation, unsupported_computation
from fedsim.attacks.functional import count_classes
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Reconstruction,
    ShouldStop,
    TruthFit,
    ignore_progress,
    never_stop,
)
from fedsim.core.checked import Parameters
from fedsim.core.errors import AttackError
from fedsim.core.modality import PICTURES, modality_of, suits
from fedsim.core.precision import full_float32


class Attack(Parameters, ABC):
    """A gradient inversion attack: a frozen dataclass of its hyper-parameters.

    A subclass implements `_reconstruct`; callers use `run`.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})
    """Supported modalities; None for all."""

    def with_public_texts(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return a copy that uses public texts. The default ignores them.

        Args:
            texts: the tokens of each, without padding.
        """
        return self

    def with_public_pictures(self, images: Tensor) -> Self:
        """Return a copy that uses public pictures. The default ignores them.

        Args:
            images: as the model takes them ``(N, C, H, W)``.
        """
        return self

    @final
    def run(
        self,
        model: nn.Module,
        observations: Sequence[Observation],
        *,
        seed: int = 0,
        on_progress: OnProgress = ignore_progress,
        should_stop: ShouldStop = never_stop,
    ) -> list[Reconstruction]:
        """Reconstruct the batch behind each observation, all of them together.

        An observation that cannot be attacked (a tensor is missing, has another shape or is
        not finite) yields a failed reconstruction that names the reason; the others go on. So does
        a model that attacks cannot follow.

        Args:
            model: the model that the observations answer, with those weights and in the mode
                (train or eval) in which the clients computed their gradients. Not modified.
            observations: the victims, on any device.
            seed: seed of the random starts. Same seed, same result on the same device.
            on_progress: called as the attack goes on.
            should_stop: asked often; when true the attack ends with the best so far.

        Returns:
            One reconstruction for each observation, in order; data in the observation's range.
        """
        results: dict[int, Reconstruction] = {}
        groups: dict[tuple[Any, ...], dict[int, Observation]] = defaultdict(dict)
        outputs = functools.cache(functools.partial(count_classes, model))
        for i, observation in enumerate(observations):
            try:
                self._check_modality(model)
                checked = checked_observation(model, observation, outputs)
            except AttackError as error:
                results[i] = Reconstruction.failed(str(error))
                continue
            groups[_alike(checked)][i] = checked
        for members in groups.values():
            try:
                with full_float32():
                    found = self._reconstruct(
                        model, members, seed=seed, on_progress=on_progress, should_stop=should_stop
                    )
            except AttackError as error:  # none of them can be attacked
                found = dict.fromkeys(members, Reconstruction.failed(str(error)))
            except RuntimeError as error:
                reason = unsupported_computation(error)
                if reason is None:
                    raise
                found = dict.fromkeys(members, Reconstruction.failed(reason))
            results |= found
        return [results[i] for i in range(len(observations))]

    def relative_objective_of(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float | None:
        """Return this attack's relative objective of a given batch.

        It serves to judge an attack that has ended: if the private batch fits worse than the
        reconstruction does, the upload no longer points to it; if it fits better, the attack
        failed to find it. None if the attack has no objective.

        Args:
            model: the model that the observation answers.
            observation: the victim.
            data: ``(batch_size, *input_shape)``, in the range of the data.
            labels: ``(batch_size,)``, or the loss's target as it is.
        """
        return None

    def truth_fit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> TruthFit | None:
        """Return the fit of the private batch, to judge an attack that has ended.

        None if the attack has no objective: then its failure is never evidence for a defense.

        Args:
            model: the model that the observation answers.
            observation: the victim.
            data: the private batch ``(batch_size, *input_shape)``, in the range of the data.
            labels: ``(batch_size,)``, or the loss's target as it is.
        """
        return None

    def against_defenses(self) -> Attack | None:
        """Return the attack that countermeasures adapt to the defenses of an upload.

        The default is None: the attack has no adaptive form.
        """
        return None

    def without_gradient(self) -> Self | None:
        """Return the same attack with the gradient withheld, for a baseline of its priors alone.

        None if the attack has no priors, so that it would find nothing but its start.
        """
        return None

    def statistics_source(self, model: nn.Module, observation: Observation) -> Source | None:
        """Return the source of the BatchNorm statistics that the attack uses; None if unused.

        Args:
            model: the model that the observation answers.
            observation: the victim.
        """
        return None

    def _check_modality(self, model: nn.Module) -> None:
        """Raise for a model of a modality that the attack does not support.

        Raises:
            AttackError: it does not.
        """
        kind = modality_of(model)
        if suits(self.modalities, kind):
            return
        raise AttackError(
            f"{type(self).__name__} reconstructs {' and '.join(sorted(self.modalities or ()))}, "
            f"but the model takes {kind}: choose an attack on {kind}"
        )

    @abstractmethod
    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        """Attack observations of one shape, batch size, local training, loss and range.

        Args:
            model: the model that they answer.
            observations: the checked observations by their position in the list given to
                `run`, which also names their random start, whatever they are batched with.
            seed: seed of the random starts.
            on_progress: called as the attack goes on.
            should_stop: asked often; when true the attack ends with the best so far.

        Returns:
            A reconstruction for each key of ``observations``.

        Raises:
            AttackError: no observation can be attacked.
        """


def _alike(observation: Observation) -> tuple[Any, ...]:
    """Return all that observations must have in common to be attacked as one batch."""
    shape = (observation.input_shape, observation.batch_size, observation.lengths)
    labels = observation.labels
    given = labels is not None and labels.is_floating_point()
    assumed = (id(observation.loss), observation.scale.key, given)
    return (*shape, observation.training, observation.statistics is None, *assumed)
