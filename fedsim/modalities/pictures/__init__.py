"""Pictures: ``(C, H, W)`` in [0, 1]."""

from fedsim.core.measures import PSNR
from fedsim.core.modality import MODALITIES, PICTURES, Modality

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
