"""Fishing isolates the example of a class, or one example of several."""

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Status
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.attacks.fished import Fished, fished_row, of_one, one_output
from fedsim.core.errors import AttackError, RunError
from fedsim.models import MLP, ConvNet, ModelSpec
from fedsim.scoring.metrics.images import psnr
from fedsim.server.malicious import Fishing, Public
from tests.server.malicious.batches import changed, clothes, observed, private, public, recovered

SHAPE, BATCH, CLASS = (1, 28, 28), 64, 1


def batch_with_one(label: int) -> tuple[Tensor, Tensor]:
    """Return a private batch of 64 with one picture of a class, at the end."""
    pictures, labels = private(300)
    rest, ours = (labels != label).nonzero().flatten(), (labels == label).nonzero().flatten()
    rows = torch.cat([rest[: BATCH - 1], ours[:1]])
    return pictures[rows], labels[rows]


def test_the_only_picture_of_a_class_comes_out_of_a_batch_of_64() -> None:
    sent = changed(Fishing(label=CLASS), MLP().build(SHAPE, 10, seed=0), BATCH)
    batch = batch_with_one(CLASS)
    [found] = Fished().run(sent.model, [observed(sent.model, batch)])
    assert found.data is not None
    assert found.status is Status.COMPUTED
    assert float(psnr(found.data[:1], batch[0][-1:])) > 60
    assert (found.data[1:] == 0.5).all()
    assert found.data.shape == batch[0].shape
    assert found.labels is not None
    assert found.labels.tolist() == [CLASS] * BATCH


@pytest.mark.slow
def test_through_a_convolutional_network() -> None:
    sent = changed(Fishing(label=CLASS), ConvNet().build(SHAPE, 10, seed=0), BATCH)
    batch = batch_with_one(CLASS)
    assert float(recovered(Fished(evaluations=150), sent.model, batch)[-1]) > 25
    # The honest model gives the same attack nothing to fish.
    honest = ConvNet().build(SHAPE, 10, seed=0)
    [nothing] = Fished().run(honest, [observed(honest, batch)])
    assert "does not fish" in str(nothing.error)


def test_several_of_a_class_come_out_mixed_and_by_feature_alone() -> None:
    """The batches are as they come, with about six pictures of each class."""
    clear, scored = {}, {}
    batches = [private(BATCH, first=BATCH * number) for number in range(30)]
    for by in ("class", "feature"):
        model = MLP().build(SHAPE, 10, seed=0)
        sent = changed(Fishing(label=CLASS, by=by), model, BATCH)
        single = one_output(sent.model, "head", CLASS)
        got = []
        for batch in batches:
            upload = observed(sent.model, batch)
            part = upload.gradient["head.bias"][CLASS]
            if part == 0:
                continue
            [found] = DenseInversion().run(single, [of_one(upload, "head", CLASS, part)])
            assert found.data is not None
            got.append(psnr(found.data.expand_as(batch[0]), batch[0]).max())
        clear[by] = sum(float(score) > 25 for score in got)
        scored[by] = len(got)
    # By class every batch has some of it; by feature the threshold leaves some batches nothing.
    assert scored["class"] == len(batches)
    assert clear["class"] <= 2
    assert clear["feature"] >= 0.2 * len(batches)
    assert sent.expected * BATCH == pytest.approx(clear["feature"] / len(batches), abs=0.2)


@pytest.mark.parametrize(
    ("spec", "manipulation", "said"),
    [(MLP(), Fishing(label=10), "needs the class 10"), (MLP(), Fishing(), "needs public labels")],
)
def test_what_cannot_be_fished_is_refused(
    spec: ModelSpec, manipulation: Fishing, said: str
) -> None:
    known = public(BATCH)
    blind = Public(known.inputs, BATCH) if manipulation.label == 0 else known
    with pytest.raises(RunError, match=said):
        manipulation.change(spec.build(SHAPE, 10, seed=0), blind, torch.Generator())


@pytest.mark.parametrize("label", [0, 9])
def test_the_fished_class_is_read_off_the_last_layer(label: int) -> None:
    sent = changed(Fishing(label=label), MLP().build(SHAPE, 10, seed=0), BATCH)
    assert fished_row(sent.model.get_submodule("head")) == label  # type: ignore[arg-type]
    with pytest.raises(AttackError, match="does not fish"):
        fished_row(torch.nn.Linear(4, 3))


def test_the_expected_share_counts_the_batches_with_one_example_of_the_class() -> None:
    """500 public pictures, 50 of each class: a batch of 10 has one of it in 0.39 of all draws."""
    sent = changed(Fishing(label=CLASS), MLP().build(SHAPE, 10, seed=0), 10)
    assert sent.expected * 10 == pytest.approx(0.39, abs=0.08)
    assert clothes().num_classes == 10
