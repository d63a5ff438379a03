"""Transformations of pictures, of which the transformation search makes its policies.

They are public: clients apply them, and attackers undo them.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

Transformation = Callable[[Tensor], Tensor]
Pair = tuple[float, float]

POLICY_LENGTH = 3
"""Number of transformations in a policy, as in the paper."""


def library() -> Mapping[str, Transformation]:
    """Return the transformations of images ``(N, C, H, W)`` in [0, 1] by name.

    A subset of the list of Gao et al., CVPR 2021 (arXiv 2011.12505): those defined for any number
    of channels, each at a strength that keeps the picture recognisable. A policy clamps the result
    of each to [0, 1].
    """
    # Imported late: the import takes seconds, and others do not need it.
    from torchvision.transforms.v2 import functional as V  # noqa: N812, PLC0415

    def affine(
        x: Tensor, angle: float = 0, across: float = 0, down: float = 0, shear: Pair = (0, 0)
    ) -> Tensor:
        shift = [round(across * x.shape[-1]), round(down * x.shape[-2])]
        moved: Tensor = V.affine(x, angle=angle, translate=shift, scale=1.0, shear=list(shear))
        return moved

    return {
        "translate right": lambda x: affine(x, across=0.2),
        "translate left": lambda x: affine(x, across=-0.2),
        "translate down": lambda x: affine(x, down=0.2),
        "translate up": lambda x: affine(x, down=-0.2),
        "rotate left": lambda x: affine(x, angle=-20),
        "rotate right": lambda x: affine(x, angle=20),
        "shear across": lambda x: affine(x, shear=(15, 0)),
        "shear down": lambda x: affine(x, shear=(0, 15)),
        "less contrast": lambda x: V.adjust_contrast(x, 0.5),
        "more contrast": lambda x: V.adjust_contrast(x, 1.6),
        "darker": lambda x: V.adjust_brightness(x, 0.6),
        "brighter": lambda x: V.adjust_brightness(x, 1.5),
        "sharper": _sharper,
        "solarise": lambda x: V.solarize(x, 0.7),
        "posterise": lambda x: torch.floor(x * 7 + 0.5) / 7,
        "invert": lambda x: 1 - x,
    }


def _sharper(x: Tensor) -> Tensor:
    """Double the difference from a blurred picture, except at the border.

    As torchvision's ``adjust_sharpness`` by 2, which works in place and cannot be differentiated.
    """
    kernel = torch.ones(x.shape[1], 1, 3, 3).to(x)
    kernel[:, :, 1, 1] = 5
    blurred = F.conv2d(x, kernel / 13, groups=x.shape[1])
    return x + F.pad(x[:, :, 1:-1, 1:-1] - blurred, (1, 1, 1, 1))
