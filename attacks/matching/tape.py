"""Functions of tensors that are recorded once and then replayed.

The gradient of a distance between gradients is small arithmetic below three layers of dispatch: the
outer derivative, the inner one, and `vmap`. On networks like those of the papers these layers take
as long as the arithmetic. A tape keeps the operations that reach the processor, and repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

SOON, LATE = 3, 25
"""Calls with equal shapes before a function is recorded, which takes as long as about ten: after
shapes that lasted, and after those that did not, as while one lane after another ends."""
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
    """A function of tensors without side effects, which is recorded after some calls.

    A function that cannot be repeated from a tape (see `taped`) is called as before.

    Args:
        function: takes and returns nested tuples and dictionaries of tensors.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._layouts: list[tuple[torch.Size, tuple[int, ...]]] = []
        self._calls, self._after = 0, SOON
        self._tape: Function | None = None

    def __call__(self, *inputs: Any) -> Any:
        """Return the result of the function, without its graph."""
        flat, structure = tree_flatten(inputs)
        layouts = [(x.shape, x.stride()) for x in flat]
        if layouts != self._layouts:
            self._after = SOON if not self._layouts or self._calls >= LATE else LATE
            self._layouts, self._calls, self._tape = layouts, 0, None
        self._calls += 1
        if self._calls == self._after:

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
        recorder.graph.eliminate_dead_code()
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
    new objects. Views are not recorded: what an operation takes is one view of what another made,
    or of a constant, which keeps none of the many that autograd and `vmap` pass through. Only those
    of inputs are, which lie elsewhere each time.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._nodes: dict[tuple[object, ...], fx.Node] = {}
        self._alive: list[Tensor] = []  # so that no place in memory is used twice
        self._given: set[int] = set()  # storages of inputs
        self._fixed: set[int] = set()  # storages of constants
        self._made: dict[int, tuple[fx.Node, Tensor]] = {}  # by storage, what it was made as
        for number, x in enumerate(inputs):
            self._nodes[_place(x)] = self.graph.placeholder(f"input_{number}")
            self._alive.append(x)
            self._given.add(_storage(x))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; to say so PyTorch would import its compiler for seconds."""
        return False

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
        writes = func._schema.is_mutable
        if any(_storage(x) not in self._made for x in _written(func, args, kwargs)):
            raise RuntimeError(f"{func} changes a tensor that is not its own")
        taken = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        self._fixed |= set(map(_storage, taken)) - self._given - self._made.keys()
        result = func(*args, **kwargs)
        parts = [result] if isinstance(result, Tensor) else list(result or ())
        tensors = [part for part in parts if isinstance(part, Tensor)]
        self._alive += taken + tensors
        if not writes and all(self._is_view(x) for x in tensors):
            return result
        nodes, named = tree_map_only(Tensor, self.node_of, (args, kwargs))
        node = self.graph.call_function(_direct(func, args, kwargs), nodes, named)
        for number, part in enumerate(parts):
            if isinstance(part, Tensor) and not (writes and self._is_view(part)):
                whole = part is result
                item = node if whole else self.graph.call_function(getitem, (node, number))
                self._make(part, item)
        return result

    def node_of(self, x: Tensor) -> fx.Node:
        """Return the node of a tensor; one that is not known yet is a constant."""
        place = _place(x)
        if place not in self._nodes:
            if _storage(x) in self._made:
                base, _ = self._made[_storage(x)]
                view = (base, list(x.shape), list(x.stride()), x.storage_offset())
                self._nodes[place] = self.graph.call_method("as_strided", view)
            else:
                name = f"constant_{len(self.constants)}"
                self.constants[name] = x.detach()
                self._alive.append(x)  # one that no operation has taken
                self._nodes[place] = self.graph.get_attr(name)
        return self._nodes[place]

    def _is_view(self, x: Tensor) -> bool:
        """Return whether a tensor is another view of a constant, or of numbers that were made."""
        if x.is_conj() or x.is_neg():
            raise RuntimeError("a view changes signs")
        made = self._made.get(_storage(x))
        return _storage(x) in self._fixed if made is None else made[1].dtype == x.dtype

    def _make(self, x: Tensor, node: fx.Node) -> None:
        self._nodes[_place(x)] = node
        if _storage(x) not in self._given | self._fixed:
            self._made.setdefault(_storage(x), (node, x))


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that an operation writes to."""
    given = {a.name: x for a, x in zip(func._schema.arguments, args, strict=False)}
    named = [a.name for a in func._schema.arguments if a.alias_info and a.alias_info.is_write]
    values = [given.get(name, kwargs.get(name)) for name in named]
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _direct(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return PyTorch's function for an operation, which is called in half the time, or itself.

    What writes stays itself, whose schema tells that it must not be left out.
    """
    plain = not kwargs and all(isinstance(x, Tensor | int | float) for x in args)
    plain = plain and not func._schema.is_mutable
    direct = getattr(torch, func.overloadpacket.__name__, None)
    return direct if plain and isinstance(direct, BuiltinFunctionType) else func


def _is_repeatable(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether an operation depends on the shapes of tensors alone."""
    if func is torch.ops.aten.index.Tensor:  # masks choose by value, positions do not
        return all(i is None or i.dtype not in (torch.bool, torch.uint8) for i in args[1])
    return not REFUSED & set(func.tags)


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _place(x: Tensor) -> tuple[object, ...]:
    return _storage(x), x.storage_offset(), x.shape, x.stride(), x.dtype
