"""A module of one's own as a model that scenarios can name."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.core.outputs import Parts, as_tensor, returning_tensor
from fedsim.core.randomness import global_randomness
from fedsim.core.registry import MODELS
from fedsim.core.seeds import derive
from fedsim.data.types import Dataset
from fedsim.models.spec import Spec
from fedsim.models.torchvision_models import settled

PARTS = "output_parts"
"""Name of a model's attribute with the parts of its output, if it has several."""

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
        that are mappings, such as Hugging Face's, the logits are taken; several heads are put side
        by side (`fedsim.core.outputs`).

        Raises:
            DataError: the module cannot be made, or its outputs do not suit the data set.
        """
        shape, classes = dataset.image_shape, dataset.num_classes
        # A factory draws from the global state, which is restored.
        with global_randomness(derive(seed, "model")):
            model = settled(_made(self.maker, shape, classes), "train", dropout=self.dropout)
            parts = _parts(copy.deepcopy(model).eval(), dataset)
        setattr(returning_tensor(model), PARTS, parts)
        return dataset, model.float().cpu().train()


def register_model(name: str, maker: Maker) -> type[OwnModel]:
    """Register a module as a model, and return the class of its specification.

    To be called in a plugin file (``fedsim run --plugin FILE``) or in a script; scenarios then name
    the model. A second registration of a name replaces the first.

    Args:
        name: name in scenarios.
        maker: see `Maker`. It takes pictures ``(N, C, H, W)`` in [0, 1], so that it normalises and
            resizes by itself, and returns logits ``(N, classes)`` or outputs of the shape of the
            targets, or a mapping with ``logits``, or a tuple or mapping of heads.

    Raises:
        ValueError: another model has the name.
    """

    class Registered(OwnModel):
        """A module of the user's own."""

    Registered.maker = staticmethod(maker) if inspect.isfunction(maker) else maker
    Registered.__doc__ = _described(maker)
    return MODELS.register(name)(Registered)


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


def _parts(model: nn.Module, dataset: Dataset) -> Parts | None:
    """Return the parts of the model's output, if it has several.

    Raises:
        DataError: it does not take the data set's pictures, or its outputs do not suit the targets.
    """
    shape, outputs = dataset.image_shape, dataset.num_classes
    try:
        with torch.no_grad():
            raw = model(torch.rand(2, *shape))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"the model does not take pictures of shape {shape} ({type(error).__name__}: {reason})"
        ) from None
    found = as_tensor(raw)
    more = found.ndim == 2 and found.shape[1] > outputs and dataset.targets is None
    if found.shape != (2, outputs) and not more:
        expected = f"logits of {outputs} classes" if dataset.targets is None else "a target"
        raise DataError(
            f"the model returns outputs of shape {tuple(found.shape)} for 2 pictures: expected "
            f"{expected}, (2, {outputs}); set its number of outputs"
        )
    parts = Parts.of(raw)
    if parts is not None and dataset.targets is not None:
        widths = [math.prod(shape) for shape in parts.shapes]
        wanted = [head.width for head in dataset.targets.heads]
        if len(wanted) > 1 and widths != wanted:
            raise DataError(
                f"the model's heads have {widths} outputs: expected {wanted}, those of the "
                "targets, in the same order"
            )
    return parts


def _described(maker: Maker) -> str:
    """Return the words for a maker in reports and messages."""
    if isinstance(maker, nn.Module):
        return f"A module of the user's own: {type(maker).__qualname__}."
    name = getattr(maker, "__qualname__", type(maker).__qualname__)
    return f"A module of the user's own: {name}."
