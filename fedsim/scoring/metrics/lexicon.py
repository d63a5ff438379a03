"""Common words, numbers and synonyms, and the form in which words are compared.

Two words are the same if they have the same normal form: inflections ("stopped", "stops"), British
and American spellings ("tumour", "tumor"), numbers as words or digits ("three", "3"), and words of
one line of the list of synonyms ("physician", "doctor"). Embeddings would find more synonyms, but
they place opposites ("benign", "malignant"), numbers and names beside each other as well, so that a
wrong diagnosis would pass for a right one. Words that the list lacks are different words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from fedsim.scoring.metrics.words import FUNCTION_WORDS, NEGATIONS

_COMMON = """
    again always another anything around ask away back bad become began begin best better big bring
    call came come day dear do does done early easy end enough even ever every everybody everyone
    everything far feel feels felt few find first found full gave get gets give given go goes going
    gone good got great happen happened hard heard help here high hello himself home hour idea just
    keep keeps kept knew know known knows last late later least left less let life like little live
    long look looks lot made make makes man many matter may maybe mean men might mine minute moment
    month morning move much must myself name near need needs new next nice night nothing often ok
    old once one ones part people place please possible put ready real really right room said same
    saw say says second see seem seemed seems seen several shall short show shows side since sit
    small some somebody someone something soon start starts still stop such sure take taken takes
    talk tell tells thank thanks thing things think thinks thought time times today together told
    tomorrow tonight took toward true try twice two-thirds until upon use used usual usually wait
    want wanted wants way week well went whole woman women word work world year years yes yesterday
    yet
"""

COMMON = frozenset(_COMMON.split())
"""Frequent English content words, which say little by themselves."""

_CARDINALS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = """
    third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
"""

NUMBERS = (
    {word: str(n) for n, word in enumerate(_CARDINALS.split()) if word != "one"}
    | {word: str(10 * n) for n, word in enumerate(_TENS.split(), start=3)}
    | {word: str(n) for n, word in enumerate(_ORDINALS.split(), start=3)}
    | {"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"}
)
"""Words for numbers, and their digits; without "one", "first", "second", often something else."""

_SYNONYMS = """
    doctor physician medic
    lawyer attorney solicitor
    tumor tumour
    cancer carcinoma
    ill sick unwell
    illness sickness disease
    drug medicine medication
    pill tablet
    operation surgery
    hospital clinic infirmary
    baby infant newborn
    child kid
    mother mom mum mummy mama
    father dad daddy papa
    grandmother grandma granny
    grandfather grandpa
    boss manager supervisor
    company firm enterprise
    staff personnel employees
    salary pay wage wages
    fired sacked dismissed
    layoff redundancy
    resign quit
    money cash funds
    bill invoice
    buy bought purchase
    debt liability
    bankrupt insolvent
    flat apartment
    car automobile
    plane airplane aeroplane
    phone telephone cellphone
    police cops
    prison jail gaol
    theft stealing robbery
    steal stole rob
    secret confidential
    letter message note
    photo picture photograph
    movie film
    holiday vacation
    wedding marriage
    party celebration
    priest clergyman vicar
    school college
    teacher instructor
    exam examination
    mistake error
    large huge enormous
    happy glad
    sad unhappy
    angry furious
    afraid scared frightened
    gun pistol
    transfer wire remit
    euro eur
    dollar usd
    ship boat
    shop store
    rubbish trash garbage
    elevator lift
    harbour port
"""

_SPELLING = [
    (r"our\b", "or"),  # colour
    (r"tre\b", "ter"),  # centre
    (r"is(e|ed|es|ing)\b", r"iz\1"),  # organise
    (r"aem", "em"),  # anaemic
    (r"oe([dst])", r"e\1"),  # oedema
]
_ENDINGS = (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))
_SHORTEST = 3
"""Fewest letters of a stem."""


def normal_forms(words: Sequence[str]) -> list[str]:
    """Return words in the form in which they are compared, parts of a number joined ("4,200")."""
    forms: list[str] = []
    for n, word in enumerate(words):
        inside = word in {",", "."} and 0 < n < len(words) - 1
        if inside and words[n - 1].isdigit() and words[n + 1].isdigit():
            continue
        if n > 1 and word.isdigit() and words[n - 1] in {",", "."} and words[n - 2].isdigit():
            forms[-1] += word
        else:
            forms.append(_normal_form(word))
    return forms


def is_number(form: str) -> bool:
    """Return whether a normal form is that of a number, or has digits."""
    return any(character.isdigit() for character in form)


def is_common(form: str) -> bool:
    """Return whether a normal form is that of a common word."""
    return form in _common_forms()


@cache
def _normal_form(word: str) -> str:
    if word in NUMBERS:
        return NUMBERS[word]
    if word in FUNCTION_WORDS or word in NEGATIONS:
        return word
    stem = _stem(_respelt(word))
    return _representatives().get(stem, stem)


@cache
def _representatives() -> dict[str, str]:
    groups = (line.split() for line in _SYNONYMS.splitlines())
    stems = [[_stem(_respelt(word)) for word in group] for group in groups if group]
    found: dict[str, str] = {}
    for group in stems:
        first = next((found[s] for s in group if s in found), group[0])
        found |= dict.fromkeys(group, first)
    return found


@cache
def _common_forms() -> frozenset[str]:
    return frozenset(_normal_form(word) for word in COMMON)


def _respelt(word: str) -> str:
    """Return a word in American spelling."""
    for british, american in _SPELLING:
        word = re.sub(british, american, word)
    return word


def _stem(word: str) -> str:
    """Return a word without the ending of a plural or a verb form, and without a last e."""
    stem = word
    for ending, instead in _ENDINGS:
        rest = word.removesuffix(ending)
        verbal = ending in {"ing", "ed"}
        if rest == word or len(rest) < _SHORTEST or (verbal and not re.search("[aeiouy]", rest)):
            continue
        if ending == "s" and rest[-1] in "su":
            continue
        stem = rest + instead
        break
    if len(stem) > _SHORTEST:
        stem = stem.removesuffix("e")
    return re.sub(r"([^aeiou\d])\1$", r"\1", stem)  # stopped, cancelled
