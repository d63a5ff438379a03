"""The losses that clients train with, by the names that scenarios give them."""

from fedsim.models.losses.base import Loss
from fedsim.models.losses.bce import BinaryCrossEntropy
from fedsim.models.losses.client import ClientLoss
from fedsim.models.losses.cross_entropy import CrossEntropy
from fedsim.models.losses.dice import Dice
from fedsim.models.losses.mse import MeanSquaredError
from fedsim.models.losses.own import register_loss

__all__ = [
    "BinaryCrossEntropy",
    "ClientLoss",
    "CrossEntropy",
    "Dice",
    "Loss",
    "MeanSquaredError",
    "register_loss",
]
