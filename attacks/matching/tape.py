"""Functions of tensors that are recorded once and then replayed.

The gradient of a distance between gradients is small arithmetic below three layers of dispatch: the
outer derivative, the inner one, and `vmap`. On networks like those of the papers these layers take
as long as the arithmetic. A tape keeps the operations that reach the processor, and repeats them;
small convolutions by another kernel (`quicker`), whose results are rounded otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from fedsim.attacks.matching.small_convolutions import quicker

AFTER = 25
"""Calls with equal shapes before a function is recorded, which takes as long as about fifty."""
PERTURBATION = 0.1
"""Relative size of the change of the inputs at which a tape is compared with its function."""
AGREES = 1e-3
"""Relative difference of outputs up to which they agree."""
REFUSED = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
}

Function = Callable[..., Any]


class Replaying:
    """A function of tensors without side effects, which is recorded after `AFTER` calls.

    A function that cannot be repeated from a tape (see `taped`) is called as before.

    Args:
        function: takes and returns nested tuples and dictionaries of tensors.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._shapes: list[torch.Size] = []
        self._calls = 0
        self._tape: Function | None = None

    def __call__(self, *inputs: Any) -> Any:
        """Return the result of the function, without its graph."""
        flat, structure = tree_flatten(inputs)
        shapes = [x.shape for x in flat]
        if shapes != self._shapes:
            self._shapes, self._calls, self._tape = shapes, 0, None
        self._calls += 1
        if self._calls == AFTER:

            def of_flat(*flat: Tensor) -> Any:
                return self._function(*tree_unflatten(flat, structure))

            self._tape = taped(of_flat, flat)
        return self._function(*inputs) if self._tape is None else self._tape(*flat)


def taped(function: Function, inputs: Sequence[Tensor]) -> Function | None:
    """Return a function that repeats the operations of another one, or None if it cannot.

    It cannot where the operations depend on values, draw random numbers or change tensors that
    they have not made, and where the tape does not agree with the function at other inputs.
    Tensors that the function reads besides its inputs, such as weights, are read again each time.

    Args:
        function: takes tensors, and returns nested tuples and dictionaries of them.
        inputs: at which it is recorded.
    """
    recorder = _Recorder(inputs)
    try:
        with recorder:
            outputs, structure = tree_flatten(function(*inputs))
        recorder.graph.output([recorder.node_of(x.detach()) for x in outputs])
    except RuntimeError:
        return None
    module = fx.GraphModule(recorder.constants, recorder.graph)

    def replay(*inputs: Tensor) -> Any:
        with torch.no_grad():
            return tree_unflatten(module.forward(*inputs), structure)

    others = _changed(inputs)
    pairs = zip(tree_flatten(function(*others))[0], tree_flatten(replay(*others))[0], strict=True)
    agree = all(bool((a - b).norm() <= AGREES * a.norm()) for a, b in pairs)
    return replay if agree else None


def _changed(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return inputs at which nothing that was computed at the given ones holds."""
    generator = torch.Generator().manual_seed(0)

    def changed(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        return x + PERTURBATION * x.square().mean().sqrt() * noise

    return [changed(x) for x in inputs]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations below autograd and `vmap`, with their results, as a graph.

    Tensors are told apart by where their numbers lie, since autograd hands on the same numbers in
    new objects.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._nodes: dict[tuple[object, ...], fx.Node] = {}
        self._alive: list[Tensor] = []  # so that no place in memory is used twice
        self._given: set[int] = set()  # storages of inputs and constants
        self._made: set[int] = set()
        for number, x in enumerate(inputs):
            self._keep(x, self.graph.placeholder(f"input_{number}"), self._given)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if not _is_repeatable(func, args):
            raise RuntimeError(f"{func} is not repeated")
        func, args = quicker(func, args)
        nodes, named = tree_map_only(Tensor, self.node_of, (args, kwargs))
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and _storage(value) in self._given:
                raise RuntimeError(f"{func} changes a tensor that is not its own")
        result = func(*args, **kwargs)
        node = self.graph.call_function(func, nodes, named)
        if isinstance(result, Tensor):
            self._keep(result, node, self._made)
        else:
            for number, part in enumerate(result):
                if isinstance(part, Tensor):
                    item = self.graph.call_function(operator.getitem, (node, number))
                    self._keep(part, item, self._made)
        return result

    def node_of(self, x: Tensor) -> fx.Node:
        """Return the node of a tensor; one that is not known yet is a constant."""
        place = _place(x)
        if place not in self._nodes:
            if _storage(x) in self._made:
                raise RuntimeError("a view was made unseen")
            name = f"constant_{len(self.constants)}"
            self.constants[name] = x.detach()
            self._keep(x, self.graph.get_attr(name), self._given)
        return self._nodes[place]

    def _keep(self, x: Tensor, node: fx.Node, storages: set[int]) -> None:
        self._nodes[_place(x)] = node
        self._alive.append(x)
        if _storage(x) not in self._given:
            storages.add(_storage(x))


def _is_repeatable(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether an operation depends on the shapes of tensors alone."""
    if func is torch.ops.aten.index.Tensor:  # masks choose by value, positions do not
        return all(i is None or i.dtype not in (torch.bool, torch.uint8) for i in args[1])
    return not REFUSED & set(func.tags)


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _place(x: Tensor) -> tuple[object, ...]:
    return _storage(x), x.storage_offset(), x.shape, x.stride(), x.dtype
