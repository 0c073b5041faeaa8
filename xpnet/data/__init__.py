"""Data on the host: files and data sets in, batches on the device out.

load_dataset, load_mnist       images by name: MNIST, Fashion-MNIST, KMNIST, CIFAR-10
load_table                     a CSV file or a data frame, prepared and split into training and test
Schema, Column                 how it was prepared: the data dictionary, which reads other tables
load_archive                   NPZ files, checked and split likewise
load_image_folder              pictures in one folder per class
load_picture, load_digit       one picture, as an image for a network
open_samples                   files larger than memory: zarr, Parquet, Arrow, NumPy
StoredSamples                  such samples, from arrays of your own
DataLoader                     batches on the device, in an order that a seed determines
transforms                     random and other changes to a batch of images
split, Standardizer            training and test rows; features in units of their deviation
"""

from typing import TYPE_CHECKING, NoReturn

from xpnet._hints import for_modules, missing
from xpnet.data import transforms
from xpnet.data.archives import load_archive, load_samples, read_npz
from xpnet.data.columns import Column
from xpnet.data.datasets import (
    DATASETS,
    class_names,
    count_classes,
    load_dataset,
    load_idx_folder,
    load_mnist,
)
from xpnet.data.idx import read_idx
from xpnet.data.image_folder import load_image_folder
from xpnet.data.images import load_digit, load_picture
from xpnet.data.loader import DataLoader
from xpnet.data.splitting import Standardizer, split
from xpnet.data.stored import StoredSamples
from xpnet.data.stored_files import open_samples
from xpnet.data.tables import Schema, load_table

__all__ = [
    "DATASETS",
    "Column",
    "DataLoader",
    "Schema",
    "Standardizer",
    "StoredSamples",
    "class_names",
    "count_classes",
    "load_archive",
    "load_dataset",
    "load_digit",
    "load_idx_folder",
    "load_image_folder",
    "load_mnist",
    "load_picture",
    "load_samples",
    "load_table",
    "open_samples",
    "read_idx",
    "read_npz",
    "split",
    "transforms",
]


def __dir__() -> list[str]:
    """The public names, without the modules that define them."""
    return [*__all__, "__all__", "__doc__", "__name__"]


if not TYPE_CHECKING:  # mypy would take every name for one of the module

    def __getattr__(name: str) -> NoReturn:
        """For a name of another library, the error suggests xpnet's."""
        raise missing(__name__, name, __all__, for_modules())
