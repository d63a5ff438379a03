"""Constructed reconstructions of texts, each with a verdict written by eye before any score.

In the first half tokens in place miss what a reader sees; in the second half they praise what a
reader does not learn, or learns wrongly. None of the private texts is in the embedded messages.
"""

from dataclasses import dataclass

from fedsim.log.schema import Verdict

READ, PARTLY, NOTHING = Verdict.RECOGNISABLE, Verdict.PARTLY, Verdict.GUESSING


@dataclass(frozen=True)
class Case:
    """A private text, a reconstruction, and what a reader of both says.

    Attributes:
        about: what the case is about.
        private: the private text.
        found: the reconstruction.
        verdict: the verdict by eye.
        public: the nearest public text, if it is close.
    """

    about: str
    private: str
    found: str
    verdict: Verdict
    public: str = ""


CASES = [
    # Leaks that tokens in place miss.
    Case(
        "shifted by a token",
        "the lawyer says my sister set the fire .",
        "the the lawyer says my sister set the fire",
        READ,
    ),
    Case(
        "synonyms",
        "the physician found a tumor in her lung",
        "the doctor found a tumour in her lung",
        READ,
    ),
    Case(
        "another spelling",
        "they canceled the operation at the center",
        "they cancelled the operation at the centre",
        READ,
    ),
    Case("inflections", "she stopped taking her pills", "she stops taking her pill", READ),
    Case(
        "a clause moved",
        "on monday the surgeon will remove my kidney",
        "the surgeon will remove my kidney on monday",
        READ,
    ),
    Case("a word's gap", "my hiv test came back positive", "my hiv test of the positive", READ),
    Case("one word is the secret", "it is cancer", "it my cancer", READ),
    Case(
        "a public text is nearly the same",
        "please transfer the money to my new account",
        "please transfer the money my my new account",
        READ,
        "please transfer the money to my new account .",
    ),
    Case(
        "the secret word of a short text",
        "my daughter is pregnant and has told nobody",
        "she is pregnant",
        PARTLY,
    ),
    Case(
        "name and place",
        "meet ibrahim at the harbour at ten",
        "the ibrahim of the harbour it was",
        PARTLY,
    ),
    Case("the number alone", "my pin is 5903", "the it my 5903", PARTLY),
    Case(
        "shuffled",
        "i took nine hundred from the till",
        "nine hundred till i took the from",
        PARTLY,
    ),
    Case("the topic", "my password is swordfish", "my password is the", PARTLY),
    Case(
        "a neighbour's words",
        "the doctor told my wife the results on friday",
        "the doctor told me the results on monday",
        PARTLY,
        "the doctor told me the results on monday .",
    ),
    # Reconstructions that tokens in place praise.
    Case("diagnosis", "the tumor is malignant", "the tumor is benign", PARTLY),
    Case("last digit", "send it to account 448120", "send it to account 448121", PARTLY),
    Case("amount", "i owe him 300 euros", "i owe him 900 euros", PARTLY),
    Case(
        "date",
        "the operation is on the third of may",
        "the operation is on the first of june",
        PARTLY,
    ),
    Case("opposite", "i am hiv negative", "i am hiv positive", PARTLY),
    Case("opposite of a common word", "the test was good", "the test was bad", PARTLY),
    Case("sex", "the baby is a boy", "the baby is a girl", PARTLY),
    Case("negation lost", "i did not sign the contract", "i did now sign the contract", PARTLY),
    Case("never", "never call this number again", "ever call this number again", PARTLY),
    Case(
        "roles exchanged",
        "anna told me that peter stole the ring",
        "peter told me that anna stole the ring",
        PARTLY,
    ),
    Case("numbers exchanged", "room 214 at 8", "room 8 at 214", PARTLY),
    Case(
        "a day of a plan",
        "i have to go to work on monday morning",
        "i have to go to my my on monday",
        PARTLY,
    ),
    Case("function words", "it was in the house of my aunt", "it was in the the of my it", NOTHING),
    Case(
        "a frame of function words",
        "i am going to the bank to close it",
        "i am going to the the to the it",
        NOTHING,
    ),
    Case("another deed", "she bought a gun last week", "he sold a house last night", NOTHING),
    Case("rhymes", "he was fired for stealing", "he was hired for singing", NOTHING),
    Case("a common word", "call me tomorrow", "call it today", NOTHING),
    Case(
        "a listing",
        "the scan shows a clot in my brain",
        "debt baby fire lung wine court ring priest",
        NOTHING,
    ),
]
