import pytest
import torch

from fedsim.attacks import Observation, Reconstruction
from fedsim.attacks.dlg import DLG
from fedsim.core.precision import _settings, full_float32
from tests.victims import random_victims


def now() -> list[object]:
    return [getattr(place, name) for place, name, _ in _settings()]


EXACT = [exact for _, _, exact in _settings()]


def test_full_float32_holds_inside_and_ends_with_the_last() -> None:
    before = now()
    assert before != EXACT  # cuDNN rounds by default
    with full_float32():
        assert now() == EXACT
        with full_float32():
            assert now() == EXACT
        assert now() == EXACT
    assert now() == before


def test_contexts_that_overlap_without_being_nested() -> None:
    before = now()
    one, two = full_float32(), full_float32()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert now() == EXACT
    two.__exit__(None, None, None)
    assert now() == before


def test_an_error_ends_it() -> None:
    before = now()
    with pytest.raises(ValueError, match="within"), full_float32():
        raise ValueError("within")
    assert now() == before


def test_attacks_run_inside_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def reconstruct(
        self: DLG, model: object, observations: dict[int, Observation], **how: object
    ) -> dict[int, Reconstruction]:
        seen.append(now())
        return {i: Reconstruction.failed("nothing was tried") for i in observations}

    monkeypatch.setattr(DLG, "_reconstruct", reconstruct)
    victims = random_victims((1, 8, 8), count=1)
    before = now()
    DLG().run(victims.model, victims.observations())
    assert seen == [EXACT]
    assert now() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_convolutions_on_a_gpu() -> None:
    weights, data = torch.randn(8, 8, 3, 3), torch.randn(4, 8, 16, 16)
    exact = torch.nn.functional.conv2d(data.double(), weights.double())
    with full_float32():
        found = torch.nn.functional.conv2d(data.cuda(), weights.cuda()).cpu()
    assert float((found - exact).abs().max()) < 1e-4
