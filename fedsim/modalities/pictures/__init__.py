"""Modality of pictures, ``(C, H, W)`` in [0, 1]."""

from fedsim.core.modality import MODALITIES, PICTURES, Modality
from fedsim.modalities.pictures.measure import PSNR

MODALITIES.add(
    Modality(
        name=PICTURES,
        measure=PSNR,
        space="fedsim.attacks.matching.space:PixelSpace",
        judge="fedsim.modalities.pictures.judge:PictureJudge",
        artefacts="fedsim.modalities.pictures.artefacts:PictureArtefacts",
        view="fedsim.modalities.pictures.view:PictureView",
    )
)
