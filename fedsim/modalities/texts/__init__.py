"""Modality of texts: the tokens of a language model."""

from fedsim.core.modality import MODALITIES, TEXTS, Modality
from fedsim.modalities.texts.measure import TOKENS

MODALITIES.add(
    Modality(
        name=TEXTS,
        measure=TOKENS,
        space="fedsim.attacks.text.space:EmbeddingSpace",
        judge="fedsim.modalities.texts.judge:TextJudge",
        artefacts="fedsim.modalities.texts.artefacts:TextArtefacts",
        view="fedsim.modalities.texts.view:TextView",
    )
)
