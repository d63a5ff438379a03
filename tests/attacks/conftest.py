import pytest
import torch


@pytest.fixture(autouse=True)
def few_threads() -> None:
    """Tensors this small are slower on many threads."""
    torch.set_num_threads(1)
