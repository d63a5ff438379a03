"""Attack that reads tokens off the gradient of the embeddings."""

from __future__ import annotations

from torch import Tensor

from fedsim.attacks.text.bag import Bag, bag_of_tokens, in_order
from fedsim.attacks.text.masked import fill_masked
from fedsim.attacks.text.model import TextModel
from fedsim.attacks.text.reading import TextReading
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS


@ATTACKS.register("bag-of-tokens")
class BagOfTokens(TextReading):
    """Bag of tokens: the tokens of a batch, from the gradient of the embeddings.

    That the rows of an embedding table's gradient that are not zero are the tokens of the batch
    is folklore (for example Gupta et al., NeurIPS 2022, arXiv 2205.08514, section 3). With tied
    weights all rows are: see `bag_of_tokens`.

    For a single text the order comes back too if the table of positions is trained as well: the row
    of position t is the gradient d_t of what was added up there, the row of token v the sum of d_t
    over the positions where v stands, so that least squares say which token stands where. We know
    of no earlier use. Without that, and for batches, the tokens are in no order, and how often each
    comes is not known: the most prominent ones fill up the positions.
    """

    def _read(
        self, model: TextModel, observation: Observation, frame: Tensor, seed: int
    ) -> tuple[Tensor, float]:
        """Return a batch's tokens, and the unexplained share of the table's gradient."""
        bag = bag_of_tokens(model, observation)
        if bag is None:
            raise AttackError(
                f"the gradient of {model.table_name!r} was not shared, so that no token was looked "
                "up in what was; use 'dager' or 'dlg'"
            )
        if not bag.inputs:
            raise AttackError(
                "no row of the word embeddings' gradient stands out: no token can be read"
            )
        ordered = in_order(model, observation, bag, frame)
        if ordered is None:
            return _filled_up(bag, frame), 1.0
        tokens, unexplained = ordered
        return fill_masked(model, observation, tokens), unexplained


def _filled_up(bag: Bag, frame: Tensor) -> Tensor:
    """Return the bag's tokens at the free positions, in no order."""
    tokens, free = frame.clone(), (frame < 0).nonzero().tolist()
    ordered = [t for t in bag.inputs if t in bag.tokens] or sorted(bag.tokens) or list(bag.inputs)
    ordered += [t for t in sorted(bag.tokens) if t not in ordered]  # known as labels alone
    for number, (row, position) in enumerate(free):
        tokens[row, position] = ordered[number % len(ordered)]
    return tokens
