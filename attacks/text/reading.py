"""Base class of attacks that read texts off a gradient without gradient matching."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.labels.known import require_cross_entropy
from fedsim.attacks.text.model import TextModel, as_module, text_model
from fedsim.attacks.text.ngrams import Bigrams
from fedsim.attacks.text.tables import frame_of
from fedsim.attacks.text.token_search import TokenSearch
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)
from fedsim.core.checked import CodeOnly, checked
from fedsim.core.errors import AttackError
from fedsim.core.modality import TEXTS
from fedsim.core.tasks import Task


@checked
class TextReading(Attack):
    """An attack that reads one victim after the other."""

    modalities: ClassVar[frozenset[str] | None] = frozenset({TEXTS})

    public: CodeOnly[Bigrams | None] = None

    def with_public_texts(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return a copy with a language model of public texts, for the adaptive form.

        Args:
            texts: the tokens of each, without padding.
        """
        return replace(self, public=Bigrams.of(texts) if texts else None)

    def against_defenses(self) -> Attack | None:
        """Return the search among tokens, which can weigh what a defense leaves uncertain."""
        return TokenSearch(public=self.public)

    @abstractmethod
    def _read(
        self, model: TextModel, observation: Observation, frame: Tensor, seed: int
    ) -> tuple[Tensor, float]:
        """Return a batch's tokens ``(B, L)``, and their distance from the shared gradient.

        Args:
            model: the attacked model.
            observation: what is attacked, of one step.
            frame: ``(B, L)``, the tokens that are known, else -1.
            seed: of anything random.

        Raises:
            AttackError: it cannot be read.
        """

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        texts = text_model(model)
        results = {}
        for i, observation in observations.items():
            if should_stop():
                results[i] = Reconstruction.failed("stopped before its turn")
                continue
            try:
                results[i] = self._one(texts, observation, seed)
            except AttackError as error:
                results[i] = Reconstruction.failed(str(error))
                continue
            self._tell(on_progress, i, results[i])
        return results

    def _one(self, model: TextModel, observation: Observation, seed: int) -> Reconstruction:
        if observation.training is not None:
            raise AttackError(
                "this attack reads the gradient of one step, but this upload is the sum of "
                "several; use 'dlg', which unrolls them"
            )
        tokens, distance = self._read(model, observation, frame_of(model, observation), seed)
        tokens = tokens.cpu()
        return Reconstruction(
            data=tokens,
            labels=classes_of(model, observation),
            objective=distance,
            relative_objective=distance,
            status=Status.COMPUTED,
            evaluations=1,
            history=(Snapshot(1, distance, tokens),),
        )

    def _tell(self, on_progress: OnProgress, victim: int, found: Reconstruction) -> None:
        data = found.data
        if data is not None:
            on_progress(
                Progress(
                    victims=torch.tensor([victim]),
                    evaluation=1,
                    max_evaluations=1,
                    objective=torch.tensor([found.relative_objective]),
                    data=lambda: data[None],
                )
            )


def classes_of(model: TextModel, observation: Observation) -> Tensor | None:
    """Return the classes of a batch's texts, known or read off; None if they cannot be."""
    if observation.labels is not None or model.task is not Task.CLASSIFY:
        return observation.labels
    try:
        require_cross_entropy(observation)
        return infer_labels(
            as_module(model), observation.gradient, observation.input_shape, observation.batch_size
        )
    except AttackError:  # the texts are useful without classes
        return None
