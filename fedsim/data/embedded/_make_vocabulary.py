"""Make the vocabulary that comes with fedsim from its messages.

Run as ``python -m fedsim.data.embedded._make_vocabulary``.
"""

import json
import string
from pathlib import Path

from tokenizers import BertWordPieceTokenizer

SIZE = 1600
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FILE = Path(__file__).with_name("messages-vocabulary.json")


def vocabulary() -> list[str]:
    """Return the entries of a lower-case WordPiece vocabulary, special tokens first.

    Trained on the training messages; every printable ASCII character is an entry, at the start
    of a word and inside, so that any ASCII text can be encoded.
    """
    messages = json.loads(FILE.with_name("messages.json").read_text("utf-8"))
    characters = [c for c in string.printable.lower() if c.isprintable() and c != " "]
    single = sorted({*characters, *(f"##{c}" for c in characters)})
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        [row["text"] for row in messages["train"]],
        vocab_size=SIZE - len(single),
        min_frequency=1,
        special_tokens=SPECIAL,
    )
    learned = tokenizer.get_vocab()
    ordered = sorted(learned, key=learned.__getitem__)
    return [*ordered, *(c for c in single if c not in learned)]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vocabulary(), ensure_ascii=False, indent=0) + "\n", "utf-8")
