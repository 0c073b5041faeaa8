"""Data sets of images and class numbers, by name or from a folder.

load_dataset("cifar10")    one of `DATASETS`: MNIST is included, the others are fetched once
load_mnist()               MNIST, or a folder in its format
load_idx_folder(folder)    the same, unconverted
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet._typing import PathLike
from xpnet.data._cifar import ARCHIVE, load_cifar_archive, load_cifar_folder
from xpnet.data._messages import listed
from xpnet.data._typing import Pair
from xpnet.data.idx import read_idx
from xpnet.data.remote import REMOTES, fetch
from xpnet.errors import ArgumentTypeError, DataError

_BUILT_IN = Path(__file__).with_name("mnist")
_FILES = {  # SHA-256 checksums, by file
    "train-images-idx3-ubyte.xz": "8f41e9b4abc124dc3d209e86f7ea714a81f80edea40b565a4781dec7bd67c6e2",
    "train-labels-idx1-ubyte.xz": "dcd3d8184fe1a8be6231f172fb3390116f91c127282fd736ab55752c179963d8",
    "t10k-images-idx3-ubyte.xz": "d815adbb3188b5bafed15d649960a5dbcb0f9138b9a4205b88b175001cb394c9",
    "t10k-labels-idx1-ubyte.xz": "f2edae9ce0307abae4671a37b70e6e3858696b48b16c3cfdfef97388dc9925d5",
}
_DIGITS = 10

DATASETS = ("mnist", *REMOTES)


def load_dataset(
    name: str,
    data_dir: PathLike | None = None,
    normalize: bool = True,
    flatten: bool = False,
    one_hot: bool = False,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair]:
    """Load a data set of images by its name, as NumPy arrays on the host.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "kmnist", "cifar10"}
        MNIST is included in xpnet. The others are fetched on first use and cached: see
        `xpnet.data.remote`. The files are compared with their checksums whenever they are read.
    data_dir : str or path-like, optional
        A folder that has the files already, so that nothing is fetched. For CIFAR-10 it has
        ``cifar-10-binary.tar.gz`` or the files in it; for the others see `load_idx_folder`.
    normalize, flatten, one_hot, dtype
        As for `load_mnist`, but images are not flattened by default.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        x : `dtype` or uint8, shape (N, channels, height, width), or (N, pixels) if flattened. MNIST,
        Fashion-MNIST and KMNIST have 60000 and 10000 images of shape (1, 28, 28), CIFAR-10 has
        50000 and 10000 of shape (3, 32, 32).
        t : int64, shape (N,); or `dtype`, shape (N, 10).

    Raises
    ------
    DataError
        There is no data set of that name; it can neither be found nor fetched; or a file is
        truncated or corrupt.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_dataset("mnist")
    >>> x_test.shape
    (10000, 1, 28, 28)
    """
    _require_known(name)
    if data_dir is None:
        data = _published(name)
    elif name == "cifar10":
        data = load_cifar_folder(Path(data_dir))
    else:
        data = load_idx_folder(data_dir)
    return _prepared(*data, normalize, flatten, one_hot, dtype)


def _require_known(name: str) -> None:
    if name not in DATASETS:
        raise DataError(f"Unknown data set {name!r}. Expected one of {', '.join(DATASETS)}.")


def _published(name: str) -> tuple[Pair, Pair]:
    """A data set from the files that were published, each compared with its checksum."""
    if name not in REMOTES:
        return _load_idx(_BUILT_IN, _FILES)
    remote = REMOTES[name]
    folder = fetch(remote)
    if name == "cifar10":
        return load_cifar_archive(folder / ARCHIVE, remote.files[ARCHIVE])
    return _load_idx(folder, remote.files)


def class_names(name: str) -> list[str]:
    """The names of a data set's classes, by number. For MNIST they are the digits.

    Parameters
    ----------
    name : str
        See `DATASETS`.

    Returns
    -------
    list of str

    Raises
    ------
    DataError
        There is no data set of that name.

    Examples
    --------
    >>> class_names("cifar10")[:3]
    ['airplane', 'automobile', 'bird']
    """
    _require_known(name)
    if name in REMOTES:
        return list(REMOTES[name].classes)
    return [str(i) for i in range(_DIGITS)]


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot: bool = False,
    data_dir: PathLike | None = None,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair]:
    """Load MNIST, or a data set in its format, as NumPy arrays on the host.

    Parameters
    ----------
    normalize : bool
        Whether to scale the grey levels from 0..255 to [0, 1]. Otherwise they stay uint8.
    flatten : bool
        Whether an image becomes one row of pixels. Otherwise it has the shape
        (channels, height, width), with one channel.
    one_hot : bool
        Whether a label becomes a row with a single 1. Otherwise it is its class number.
    data_dir : str or path-like, optional
        A folder for `load_idx_folder`, such as one with Fashion-MNIST or KMNIST. By default the
        MNIST that is included in xpnet.
    dtype : dtype-like
        The floating-point dtype of normalized images and of one-hot rows.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        MNIST has N = 60000 and 10000, height = width = 28 and C = 10.

        x : `dtype` or uint8, shape (N, height * width) or (N, 1, height, width).
        t : int64, shape (N,); or `dtype`, shape (N, C). C is `count_classes` of the training
        labels.

    Raises
    ------
    DataError
        As `load_idx_folder`.
    TypeError
        `dtype` is not a floating-point dtype.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_mnist()
    >>> x_train.shape, x_train.dtype, t_train[:5]
    ((60000, 784), dtype('float32'), array([5, 0, 4, 1, 9]))
    """
    data = _published("mnist") if data_dir is None else load_idx_folder(data_dir)
    return _prepared(*data, normalize, flatten, one_hot, dtype)


def _prepared(
    train: Pair, test: Pair, normalize: bool, flatten: bool, one_hot: bool, dtype: DTypeLike
) -> tuple[Pair, Pair]:
    """Images and labels in the form that was asked for."""
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.floating):
        raise ArgumentTypeError(f"Expected a floating-point dtype such as 'float32', got {dtype}")
    classes = count_classes(train[1])

    def prepare(images: NDArray[Any], labels: NDArray[Any]) -> Pair:
        n, *channels, height, width = images.shape
        c = channels[0] if channels else 1
        x: NDArray[Any] = images.reshape(n, c, height, width)
        if flatten:
            x = x.reshape(n, c * height * width)
        if normalize:  # without a copy in between: the division converts the dtype as it goes
            x = np.divide(x, 255, dtype=dtype)
        if one_hot:
            return x, np.eye(classes, dtype=dtype)[labels]
        return x, labels.astype(np.int64)

    return prepare(*train), prepare(*test)


def count_classes(labels: NDArray[Any]) -> int:
    """One more than the largest class number, and at least 10.

    So a few digits, in which some classes are missing, have as many classes as all of MNIST.

    Parameters
    ----------
    labels : array of integers, any shape

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.data import count_classes
    >>> count_classes(np.asarray([3, 7])), count_classes(np.asarray([3, 41]))
    (10, 42)
    """
    return max(_DIGITS, int(np.max(labels, initial=0)) + 1)


def load_idx_folder(folder: PathLike) -> tuple[Pair, Pair]:
    """Read the four IDX files of a data set in MNIST's format, and check that they agree.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each plain, .gz or .xz, in this
    order of preference. The spelling ``train-images.idx3-ubyte`` is accepted too.

    Parameters
    ----------
    folder : str or path-like
        The folder that has the files.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels) : tuple of pairs of ndarray
        As they are stored: images uint8 of shape (N, height, width), with N >= 1 and the same size
        in both sets; labels uint8 of shape (N,).

    Raises
    ------
    DataError
        The folder or a file is missing; a file cannot be read (see `read_idx`); the shapes, dtypes
        or numbers of samples do not fit together; or a test label is not a class of the training
        labels (see `count_classes`). The message names the files and the numbers.

    Examples
    --------
    >>> from importlib.resources import files
    >>> (images, labels), test = load_idx_folder(files("xpnet.data") / "mnist")
    >>> images.shape, labels.shape
    ((60000, 28, 28), (60000,))
    """
    folder = Path(folder)
    return _load_idx(folder, dict.fromkeys(_files_in(folder)))


def _load_idx(folder: Path, files: Mapping[str, str | None]) -> tuple[Pair, Pair]:
    """The data set from the files of these names, which are checked if a checksum is given."""
    train, train_file, _ = _read_pair(folder, files, "train")
    test, test_file, test_labels = _read_pair(folder, files, "t10k")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"images of different sizes: {train[0].shape[1:]} in {train_file}, "
            f"{test[0].shape[1:]} in {test_file}"
        )
    largest = int(test[1].max())
    classes = count_classes(train[1])
    if largest >= classes:
        raise DataError(
            f"{test_labels}: a test label is {largest}, but the training labels have "
            f"{classes} classes, 0 to {classes - 1}"
        )
    return train, test


def _read_pair(
    folder: Path, files: Mapping[str, str | None], split: str
) -> tuple[Pair, Path, Path]:
    """The images and labels of one split, and the file of each."""
    image_file = _find(folder, list(files), f"{split}-images", "idx3-ubyte")
    label_file = _find(folder, list(files), f"{split}-labels", "idx1-ubyte")
    images = _read_ubyte(image_file, "images", files[image_file.name])
    labels = _read_ubyte(label_file, "labels", files[label_file.name])
    if len(images) != len(labels):
        raise DataError(
            f"{len(images)} images in {image_file}, but {len(labels)} labels in {label_file}"
        )
    return (images, labels), image_file, label_file


def _read_ubyte(path: Path, kind: str, checksum: str | None) -> NDArray[Any]:
    """The array in a file, which must be of the given kind, "images" or "labels"."""
    array = read_idx(path, checksum)
    found = {3: "images", 1: "labels"}.get(array.ndim)
    if found != kind or array.dtype != np.uint8 or not array.size:
        shape = {"images": "(N, height, width)", "labels": "(N,)"}[kind]
        hint = f"; these look like {found}" if found not in (kind, None) else ""
        raise DataError(
            f"{path}: expected uint8 {kind} of shape {shape}, not empty; found {array.dtype} of shape "
            f"{array.shape}{hint}"
        )
    return array


def _find(folder: Path, present: list[str], stem: str, kind: str) -> Path:
    """The first file with one of the accepted spellings."""
    accepted = [f"{stem}{sep}{kind}{end}" for sep in "-." for end in ("", ".gz", ".xz")]
    for name in accepted:
        if name in present:
            return folder / name
    raise DataError(
        f"{folder}: no {stem} file; expected one of {', '.join(accepted)}; "
        f"the folder's {len(present)} file(s): {listed(present)}"
    )


def _files_in(folder: Path) -> list[str]:
    """The sorted names of the files in a folder.

    Folders do not count: one archive of MNIST unpacks to folders with the names of the files.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder with four IDX files: {error.strerror}"
        ) from error
