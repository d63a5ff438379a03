"""What a constant guess has right."""

import pytest
import torch

from fedsim.scoring.metrics.chance import commonest_share


def test_the_commonest_answer_is_what_it_guesses() -> None:
    assert commonest_share(torch.tensor([3, 1, 3, 2])) == 0.5
    with pytest.raises(ValueError, match="at least one answer"):
        commonest_share(torch.tensor([]))
