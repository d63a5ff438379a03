"""Verdicts on constructed texts agree with judgements that were written before."""

from fedsim.core.names import NEAREST
from fedsim.data.texts.messages import messages
from fedsim.models.text import embedded_vocabulary
from fedsim.scoring.metrics.text_baselines import TextBaselines
from fedsim.scoring.metrics.text_verdict import text_verdict
from fedsim.scoring.metrics.texts import score_text
from tests.fedsim.scoring.cases.texts import CASES, NOTHING, READ, Case

KNOWN_ERRORS = {"a clause moved"}


def tokens(text: str) -> list[str]:
    vocabulary = embedded_vocabulary()
    return vocabulary.words(vocabulary.encode(text, first=False)[:-1])


def test_at_least_95_percent_agree() -> None:
    public = [tokens(text) for text in messages().test.texts]
    baselines = TextBaselines(public, sorted({t for text in public for t in text}))

    def agrees(case: Case) -> bool:
        private = tokens(case.private)
        guesses = baselines.guesses(private)
        if case.public:
            guesses[NEAREST] = tokens(case.public)
        return text_verdict(tokens(case.found), private, guesses) is case.verdict

    wrong = {case.about for case in CASES if not agrees(case)}
    assert wrong == KNOWN_ERRORS
    assert len(wrong) <= 0.05 * len(CASES)


def test_tokens_in_place_would_not_do() -> None:
    """Some text that is read has fewer tokens in place than one that tells nothing."""

    def accuracy(case: Case) -> float:
        return score_text(tokens(case.found), tokens(case.private)).token_accuracy

    read = [accuracy(case) for case in CASES if case.verdict is READ]
    nothing = [accuracy(case) for case in CASES if case.verdict is NOTHING]
    assert min(read) < max(nothing)
