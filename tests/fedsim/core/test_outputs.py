"""Outputs of any model as one tensor."""

import pytest
import torch

from fedsim.core.errors import DataError
from fedsim.core.outputs import Parts, as_tensor


def test_outputs_become_one_tensor_and_back() -> None:
    one, two = torch.rand(4, 2), torch.rand(4, 3, 2)
    assert as_tensor(one) is one
    assert as_tensor({"logits": one, "hidden": two}) is one
    assert as_tensor((one,)) is one
    for outputs in ({"a": one, "b": two}, (one, two)):
        heads = Parts.of(outputs)
        assert heads is not None
        back = heads.split(as_tensor(outputs))
        assert type(back) is type(outputs)
        parts = back.values() if isinstance(back, dict) else back
        assert all(torch.equal(x, y) for x, y in zip(parts, (one, two), strict=True))
    assert Parts.of(one) is None
    with pytest.raises(DataError, match="expected a tensor"):
        as_tensor("text")


def test_logits_are_the_output_whatever_stands_beside_them() -> None:
    logits = torch.rand(2, 3)

    class Output:
        def __init__(self) -> None:
            self.logits = logits

    for output in (logits, {"logits": logits, "loss": torch.rand(1)}, {"out": logits}, Output()):
        assert as_tensor(output) is logits
