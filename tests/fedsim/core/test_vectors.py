"""Named tensors as one vector and back."""

import pytest
import torch

from fedsim.core.vectors import differences, flat, restored, unflat

SENT = {
    "b.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    "a.running_var": torch.tensor([100.0, 200.0]),
    "count": torch.tensor(7),
}
UPLOAD = {
    "count": torch.tensor(8),
    "b.weight": torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]),
    "a.running_var": torch.tensor([100.5, 199.0]),
}
SHAPES = {k: tuple(v.shape) for k, v in UPLOAD.items()}


def test_the_order_is_that_of_the_names() -> None:
    vector = flat(UPLOAD)
    assert vector.dtype == torch.float64
    torch.testing.assert_close(
        vector, torch.tensor([100.5, 199, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 8]).double()
    )
    assert torch.equal(vector, flat(dict(reversed(UPLOAD.items()))))


def test_there_and_back() -> None:
    back = unflat(flat(UPLOAD), SHAPES)
    assert all(torch.equal(back[k], v.double()) for k, v in UPLOAD.items())
    with pytest.raises(ValueError, match=r"shape \(8,\): expected \(9,\)"):
        unflat(flat(UPLOAD)[1:], SHAPES)


def test_differences_are_small_where_values_are_large() -> None:
    changes = differences(UPLOAD, SENT, {"b.weight"})
    assert changes["count"] == 1
    assert changes["a.running_var"].tolist() == [0.5, -1.0]
    assert torch.equal(changes["b.weight"], UPLOAD["b.weight"].double())


def test_what_was_taken_apart_is_put_together_in_its_type() -> None:
    changes = differences(UPLOAD, SENT, {"b.weight"})
    changes["count"] = changes["count"] - 1e-4  # a sum that was rounded on its way
    back = restored(changes, SENT, {"b.weight"})
    assert all(back[k].dtype == v.dtype for k, v in SENT.items())
    assert all(torch.equal(back[k], v) for k, v in UPLOAD.items())
