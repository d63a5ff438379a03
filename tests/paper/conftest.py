import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def two_threads() -> None:
    """Say on how many threads the reproductions were timed."""
    torch.set_num_threads(2)
