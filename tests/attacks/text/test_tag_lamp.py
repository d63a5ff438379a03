"""TAG and LAMP, as far as they differ from what they are built on."""

import pytest
import torch
from pydantic import ValidationError

from fedsim.attacks import Lamp, Status, Tag
from fedsim.attacks.text.tag import LayerWeightedDistance
from fedsim.core.tasks import Task
from tests.texts import SHORT, upload, victim


def test_the_distance_of_tag() -> None:
    """Squares, and absolute differences that weigh the first tensor most."""
    dummy = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    shared = {"a": torch.tensor([0.0, 0.0]), "b": torch.tensor([1.0])}
    found = LayerWeightedDistance(0.1)(dummy, shared)
    assert float(found) == pytest.approx(1 + 4 + 0.1 * 3 + 4 + 0.1 * 0.5 * 2)
    assert float(LayerWeightedDistance(0.0)(dummy, shared)) == 9.0


@pytest.mark.slow
def test_tag_finds_a_short_text() -> None:
    data, model = victim(Task.CLASSIFY, width=32)
    seen, truth = upload(data, model, [SHORT])
    [found] = Tag(evaluations=120).run(model, [seen])
    assert found.data is not None
    assert sorted(found.data.flatten().tolist()) == sorted(truth.flatten().tolist())
    assert found.relative_objective < 0.5


@pytest.mark.parametrize("task", [Task.MASKED, Task.NEXT])
def test_lamp_is_for_models_that_tell_kinds_apart(task: Task) -> None:
    data, model = victim(task, width=16)
    [found] = Lamp().run(model, [upload(data, model, [SHORT])[0]])
    assert found.status is Status.FAILED
    assert "use 'dager' or 'dlg'" in str(found.error)


@pytest.mark.slow
def test_lamp_finds_words_of_a_short_text() -> None:
    """Two of three in a small budget, with a language model of public texts."""
    data, model = victim(Task.CLASSIFY, width=32)
    seen, truth = upload(data, model, [SHORT])
    attack = Lamp(evaluations=120, turns=2).with_public_texts(data.test.rows())
    assert attack.public is not None
    [found] = attack.run(model, [seen])
    assert found.data is not None
    own = set(truth[0, 1:4].tolist())
    assert len(own & set(found.data[0, 1:4].tolist())) >= 2


@pytest.mark.parametrize("kind", [Lamp, Tag])
@pytest.mark.parametrize(
    "parameters",
    [{"evaluations": 0}, {"step_size": 0.0}, {"start": "black"}, {"words": 1}],
    ids=str,
)
def test_bad_parameters(kind: type, parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        kind(**parameters)
