"""Data sets, their partitions among clients, and the batches that clients draw.

Importing this package registers every data set that comes with fedsim.
"""

from fedsim.data.batches import draw_batch, draw_epochs
from fedsim.data.folder import Folder
from fedsim.data.images import load_image
from fedsim.data.lfw import Lfw
from fedsim.data.mini import FashionMnistMini
from fedsim.data.mnist import FashionMnist, Mnist
from fedsim.data.own import register_data
from fedsim.data.picture import OwnPicture
from fedsim.data.source import DatasetSource, FilePath, load_dataset
from fedsim.data.texts import (
    HuggingFaceTexts,
    Messages,
    OwnTexts,
    TextFile,
)
from fedsim.data.tokens import LENGTHS_KEY, TextDataset, TokenDataset, TokenSplit
from fedsim.data.torchvision_sets import Cifar10, Cifar100, Svhn
from fedsim.data.types import Dataset, Examples, IndexArray, Prepared, Split

__all__ = [
    "LENGTHS_KEY",
    "Cifar10",
    "Cifar100",
    "Dataset",
    "DatasetSource",
    "Examples",
    "FashionMnist",
    "FashionMnistMini",
    "FilePath",
    "Folder",
    "HuggingFaceTexts",
    "IndexArray",
    "Lfw",
    "Messages",
    "Mnist",
    "OwnPicture",
    "OwnTexts",
    "Prepared",
    "Split",
    "Svhn",
    "TextDataset",
    "TextFile",
    "TokenDataset",
    "TokenSplit",
    "draw_batch",
    "draw_epochs",
    "load_dataset",
    "load_image",
    "register_data",
]
