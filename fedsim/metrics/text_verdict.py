"""A rebuilt text's scores in a word: what would a reader know?

What a message says is in its content words: the function words and the punctuation, which any
message has, count for little. So the content tokens of the private text are what is looked for,
wherever they stand (a reader puts "leaving him next week am i" in order without help), and order
counts a little besides.

The thresholds are set so that "recognisable" means that most of the content is there, and "partly"
that some of it is beyond what a blind guess has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fedsim.metrics.text_baselines import NEAREST
from fedsim.metrics.texts import score_text
from fedsim.metrics.verdict import Verdict

FUNCTION_WORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "down",
        "each",
        "for",
        "from",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "me",
        "more",
        "most",
        "my",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "please",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "s",
        "t",
        "re",
        "ve",
        "ll",
        "d",
        "m",
        ".",
        ",",
        "!",
        "?",
        ";",
        ":",
        "'",
        '"',
        "-",
        "(",
        ")",
        "/",
        "$",
        "%",
        "&",
        "#",
    ]
)
"""English function words and punctuation: any message has them."""

RECOGNISABLE_CONTENT = 60.0
"""Share of the content tokens, in %, from which a reader knows what a message is about: three of
five, such as "biopsy", "back", "cancer" of "the biopsy came back and it is not cancer"."""

RECOGNISABLE_ROUGE_L = 40.0
"""Least ROUGE-L besides: content words in no order at all ("account money new transfer") are a
topic, and not yet a message."""

PARTLY_CONTENT = 25.0
"""Share of the content tokens that gives something away, if a blind guess has fewer."""

GAIN = 15.0
"""How much more of the content than the best blind guess: chance gives short texts one word."""


def text_verdict(
    found: Sequence[str], reference: Sequence[str], blind: Mapping[str, Sequence[str]] | None = None
) -> Verdict:
    """Return the word for one text.

    Args:
        found: the rebuilt tokens.
        reference: the private ones.
        blind: guesses at the same text, by name; all but ``"nearest"`` are blind.
    """
    scores = score_text(found, reference)
    share = content_share(found, reference)
    guesses = (g for name, g in (blind or {}).items() if name != NEAREST)
    guessed = max((content_share(g, reference) for g in guesses), default=0.0)
    if share < guessed + GAIN or share < PARTLY_CONTENT:
        return Verdict.GUESSING
    if share >= RECOGNISABLE_CONTENT and scores.rouge_l >= RECOGNISABLE_ROUGE_L:
        return Verdict.RECOGNISABLE
    return Verdict.PARTLY


def content_share(found: Sequence[str], reference: Sequence[str]) -> float:
    """Return the share of the private content tokens that were found, in %.

    Of a text of function words alone all tokens count.
    """
    wanted = [t for t in reference if t not in FUNCTION_WORDS] or list(reference)
    return 100 * sum((Counter(wanted) & Counter(found)).values()) / max(1, len(wanted))
