"""Optimisers of the clients' local training, those of ``torch.optim``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from fedsim.core.checked import Parameters, checked
from fedsim.core.registry import OPTIMIZERS


@checked
class Optimizer(Parameters):
    """Optimiser of local training: its hyper-parameters, without the learning rate."""

    class_name: ClassVar[str]
    """Name of the class in ``torch.optim``."""

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of that class, besides the parameters and ``lr``."""


@OPTIMIZERS.register("sgd")
class Sgd(Optimizer):
    """SGD: ``torch.optim.SGD``, by default without momentum and weight decay."""

    class_name: ClassVar[str] = "SGD"

    momentum: Annotated[float, Field(ge=0, lt=1, description="factor of the velocity")] = 0.0
    nesterov: Annotated[bool, Field(description="Nesterov's momentum")] = False
    weight_decay: Annotated[float, Field(ge=0, description="factor of the L2 penalty")] = 0.0

    @model_validator(mode="after")
    def _has_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true needs momentum > 0; set momentum, or remove nesterov")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of ``torch.optim.SGD``."""
        return {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.weight_decay,
        }


@checked
class _Adaptive(Optimizer):
    """Parameters of Adam and AdamW."""

    beta1: Annotated[float, Field(ge=0, lt=1, description="decay of the first moment")] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1, description="decay of the second moment")] = 0.999
    eps: Annotated[float, Field(gt=0, description="addend to the second moment's root")] = 1e-8
    weight_decay: float

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of ``torch.optim.Adam`` and ``torch.optim.AdamW``."""
        betas = (self.beta1, self.beta2)
        return {"betas": betas, "eps": self.eps, "weight_decay": self.weight_decay}


@OPTIMIZERS.register("adam")
class Adam(_Adaptive):
    """Adam: ``torch.optim.Adam``, whose weight decay is a part of the gradient."""

    class_name: ClassVar[str] = "Adam"

    weight_decay: Annotated[float, Field(ge=0, description="factor of the L2 penalty")] = 0.0


@OPTIMIZERS.register("adamw")
class AdamW(_Adaptive):
    """AdamW: ``torch.optim.AdamW``, whose weight decay acts on the weights themselves."""

    class_name: ClassVar[str] = "AdamW"

    weight_decay: Annotated[float, Field(ge=0, description="decay per unit of the rate")] = 0.01
