"""Optimisers of the clients' local training, built from ``torch.optim``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from fedsim.core.checked import Parameters, checked
from fedsim.core.registry import OPTIMIZERS

if TYPE_CHECKING:
    import torch


@checked
class Optimizer(Parameters):
    """Optimiser of local training: its hyper-parameters, without the learning rate."""

    @abstractmethod
    def build(
        self, parameters: Iterable[torch.nn.Parameter], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Return the optimiser of a client, at the beginning of its local training.

        Args:
            parameters: the trained parameters.
            learning_rate: > 0.
        """


@OPTIMIZERS.register("sgd")
class Sgd(Optimizer):
    """SGD: ``torch.optim.SGD``, by default without momentum and weight decay."""

    momentum: Annotated[float, Field(ge=0, lt=1, description="factor of the velocity")] = 0.0
    nesterov: Annotated[bool, Field(description="Nesterov's momentum")] = False
    weight_decay: Annotated[float, Field(ge=0, description="factor of the L2 penalty")] = 0.0

    @model_validator(mode="after")
    def _has_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true needs momentum > 0; set momentum, or remove nesterov")
        return self

    def build(
        self, parameters: Iterable[torch.nn.Parameter], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Return ``torch.optim.SGD``."""
        import torch  # noqa: PLC0415  (a scenario is read without it)

        return torch.optim.SGD(
            parameters,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@checked
class _Adaptive(Optimizer):
    """Parameters of Adam and AdamW."""

    beta1: Annotated[float, Field(ge=0, lt=1, description="decay of the first moment")] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1, description="decay of the second moment")] = 0.999
    eps: Annotated[float, Field(gt=0, description="addend to the second moment's root")] = 1e-8


@OPTIMIZERS.register("adam")
class Adam(_Adaptive):
    """Adam: ``torch.optim.Adam``, whose weight decay is a part of the gradient."""

    weight_decay: Annotated[float, Field(ge=0, description="factor of the L2 penalty")] = 0.0

    def build(
        self, parameters: Iterable[torch.nn.Parameter], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Return ``torch.optim.Adam``."""
        import torch  # noqa: PLC0415  (a scenario is read without it)

        betas, decay = (self.beta1, self.beta2), self.weight_decay
        return torch.optim.Adam(
            parameters, lr=learning_rate, betas=betas, eps=self.eps, weight_decay=decay
        )


@OPTIMIZERS.register("adamw")
class AdamW(_Adaptive):
    """AdamW: ``torch.optim.AdamW``, whose weight decay acts on the weights themselves."""

    weight_decay: Annotated[float, Field(ge=0, description="decay per unit of the rate")] = 0.01

    def build(
        self, parameters: Iterable[torch.nn.Parameter], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Return ``torch.optim.AdamW``."""
        import torch  # noqa: PLC0415  (a scenario is read without it)

        betas, decay = (self.beta1, self.beta2), self.weight_decay
        return torch.optim.AdamW(
            parameters, lr=learning_rate, betas=betas, eps=self.eps, weight_decay=decay
        )
