"""Public pictures for those who learn from them."""

import numpy as np
import pytest
from torch import Tensor, nn

from fedsim.core.registry import COUNTERMEASURES, DEFENSES
from fedsim.data import FashionMnistMini, load_dataset
from tests.attacks.adaptive.foreign import ExpectRelativeNoise, RelativeNoise


@pytest.fixture(scope="session")
def public_images() -> Tensor:
    """Clothes of 14 x 14."""
    public = load_dataset(FashionMnistMini()).test
    images, _ = public.batch(np.arange(300))
    return nn.functional.avg_pool2d(images, 2)


@pytest.fixture
def relative_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defense and the countermeasure of somebody else, registered."""
    for registry, cls in ((DEFENSES, RelativeNoise), (COUNTERMEASURES, ExpectRelativeNoise)):
        registry.names()
        monkeypatch.setitem(registry._classes, "relative-noise", cls)
