"""Language models. Importing this package registers the models that come with fedsim."""

from fedsim.models.text.base import LanguageModel
from fedsim.models.text.bert import Bert
from fedsim.models.text.gpt2 import Gpt2
from fedsim.models.text.module import TextModel
from fedsim.models.text.vocabulary import Vocabulary, embedded_vocabulary, read_vocabulary

__all__ = [
    "Bert",
    "Gpt2",
    "LanguageModel",
    "TextModel",
    "Vocabulary",
    "embedded_vocabulary",
    "read_vocabulary",
]
