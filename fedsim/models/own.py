"""A module of one's own as a model that scenarios can name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.core.registry import MODELS
from fedsim.core.seeds import derive
from fedsim.data.types import Dataset
from fedsim.models.spec import Spec
from fedsim.models.torchvision_models import settled

Maker = nn.Module | Callable[..., nn.Module]
"""A module, which is copied with its weights; or its class or a function that returns it, called
with those of ``image_shape`` and ``num_classes`` that it has as parameters."""


@checked
class OwnModel(Spec):
    """A module of the user's own, in the class attribute ``maker``."""

    modality = PICTURES
    maker: ClassVar[Any]

    dropout: Annotated[
        bool,
        Field(
            description="whether layers of dropout draw while clients train; otherwise they are "
            "off. F.dropout in a forward pass follows the module's mode"
        ),
    ] = False

    def for_data(self, dataset: Dataset, seed: int) -> tuple[Dataset, nn.Module]:
        """Return the data set, and the module in training mode.

        Layers of dropout are off unless the specification says otherwise, and nothing works in
        place. ``F.dropout`` in a forward pass follows the mode, and draws. What is drawn is unknown
        to attacks, whose equations are an approximation then, wherever it is drawn. Of outputs
        that are mappings, such as Hugging Face's, the logits are taken.

        Raises:
            DataError: the module cannot be made, or does not return logits for these pictures.
        """
        shape, classes = dataset.image_shape, dataset.num_classes
        # A factory draws from the global state, which is restored.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "model"))
            model = settled(_made(self.maker, shape, classes), "train", dropout=self.dropout)
            model.register_forward_hook(_take_logits)
            _check(copy.deepcopy(model).eval(), shape, classes)
        return dataset, model.float().cpu().train()


def register_model(name: str, maker: Maker) -> type[OwnModel]:
    """Register a module as a model, and return the class of its specification.

    To be called in a plugin file (``fedsim run --plugin FILE``) or in a script; scenarios then name
    the model. A second registration of a name replaces the first.

    Args:
        name: name in scenarios.
        maker: see `Maker`. It takes pictures ``(N, C, H, W)`` in [0, 1], so that it normalises and
            resizes by itself, and returns logits ``(N, classes)``, or a mapping with ``logits``.

    Raises:
        ValueError: another model has the name.
    """

    class Registered(OwnModel):
        """A module of the user's own."""

    Registered.maker = staticmethod(maker) if inspect.isfunction(maker) else maker
    Registered.__doc__ = _described(maker)
    return MODELS.register(name)(Registered)


def logits_of(output: object) -> Tensor:
    """Return the logits among a module's outputs.

    They are the output itself, the entry or attribute ``logits``, or the only tensor of a mapping.

    Raises:
        DataError: there are none.
    """
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, Mapping) else None
    logits = getattr(output, "logits", None) if logits is None else logits
    if isinstance(logits, Tensor):
        return logits
    if isinstance(output, Mapping) and len(output) == 1:
        return logits_of(next(iter(output.values())))
    raise DataError(
        f"the model returns a {type(output).__name__}: expected logits, or a mapping with "
        "'logits'; return one of them from its forward"
    )


def _take_logits(_module: nn.Module, _inputs: object, output: object) -> Tensor:
    return logits_of(output)


def _made(maker: Maker, shape: tuple[int, int, int], classes: int) -> nn.Module:
    if isinstance(maker, nn.Module):
        return copy.deepcopy(maker)
    given = {"image_shape": shape, "num_classes": classes}
    try:
        known = inspect.signature(maker).parameters
        made: object = maker(**{k: v for k, v in given.items() if k in known})
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{_described(maker)}: it cannot be made ({error}); expected a function with no "
            "parameters but image_shape and num_classes, or others that have defaults"
        ) from None
    if not isinstance(made, nn.Module):
        raise DataError(f"{_described(maker)}: it returns a {type(made).__name__}, not a module")
    return made


def _check(model: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    try:
        with torch.no_grad():
            found = model(torch.rand(2, *shape))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"the model does not take pictures of shape {shape} ({type(error).__name__}: {reason})"
        ) from None
    if found.ndim != 2 or found.shape[1] < classes:
        raise DataError(
            f"the model returns outputs of shape {tuple(found.shape)} for 2 pictures: expected "
            f"logits of {classes} classes, (2, {classes}); set its number of classes"
        )


def _described(maker: Maker) -> str:
    """Return the words for a maker in reports and messages."""
    if isinstance(maker, nn.Module):
        return f"A module of the user's own: {type(maker).__qualname__}."
    name = getattr(maker, "__qualname__", type(maker).__qualname__)
    return f"A module of the user's own: {name}."
