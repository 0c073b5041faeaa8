"""Pictures in a folder for each class, as torchvision's `ImageFolder` and Keras read them.

flowers/rose/1.jpg               or, with test pictures of their own,
flowers/rose/2.jpg                   flowers/train/rose/1.jpg
flowers/tulip/a.png                  flowers/test/rose/2.jpg
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet.data._pictures import LIMIT as MOST_PIXELS, is_grey, open_picture
from xpnet.data.images import fitted_picture, load_picture
from xpnet.data.splitting import split
from xpnet.data.tables import require_another
from xpnet.errors import ArgumentError, DataError

Pair = tuple[NDArray[Any], NDArray[Any]]
PathLike = str | os.PathLike[str]
Shape = tuple[int, int, int]  # channels, height, width

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that is there
SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
            ".webp")  # fmt: skip
LIMIT = 1 << 34  # bytes that the images may take: 16 GiB


def load_image_folder(
    folder: PathLike,
    image_size: int | tuple[int, int] | None = None,
    test: float | PathLike | None = None,
    seed: int = 0,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair, list[str]]:
    """Load pictures that lie in a folder for each class, for training and test.

    Parameters
    ----------
    folder : str or path-like
        A folder that has a folder for each class; or one folder for training (train, training) and
        one for the test (test, testing, val, valid or validation), which have these. Names that begin
        with a dot, and files that are not called like pictures, are passed over. Folders within that
        of a class belong to it. Links to files, and of classes to folders, are followed.
    image_size : int or (int, int), optional
        The height and width of the images. Pictures of other sizes are brought to it as
        `load_picture` does. By default that of the pictures, which must all have the same.
    test : float or path-like, optional
        The share of the pictures that is put aside for the test (see `split`), by default 0.2; or
        another folder with a folder for each class. Where the folder has pictures for the test, none
        is to be given.
    seed : int
        Of the split.
    dtype : dtype-like

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        x : `dtype`, shape (n, channels, height, width), from 0 to 1. There is one channel if no
        training picture has colour, else three.
        t : int64, shape (n,).
    classes : list of str
        The names of the classes' folders, in alphabetical order.

    Raises
    ------
    DataError
        The folder is missing, there are fewer than two classes, one without pictures or, for the test,
        one that is not among the training's; a picture is damaged or of another size; too few or too
        many pictures.
    """
    root = Path(folder)
    own_train, own_test = _part(root, TRAIN), _part(root, TEST)
    if test is not None and own_train and own_test:
        raise ArgumentError(
            f"{root}: it has a test of its own, {own_test.name}: leave out test={test!r}."
        )
    other = own_test if own_train else None
    if test is not None and not isinstance(test, (int, float)):
        other = Path(test)
        require_another(root, other)
    files = files_by_class(own_train or root)
    if len(files) < 2:
        raise DataError(
            f"{root}: the only class is {next(iter(files))!r}; to learn, two are needed"
        )
    classes = list(files)
    shape = _shape([path for paths in files.values() for path in paths], image_size)
    pair = _images(files, classes, shape, dtype, exact=image_size is None)
    if other is not None:
        tested = load_classes(other, classes, shape, dtype, exact=image_size is None)
        return pair, tested, classes
    try:
        train, rest = split(pair[1], test if isinstance(test, (int, float)) else 0.2, seed)
    except DataError as error:
        raise DataError(f"{root}: {error}") from None
    return (pair[0][train], pair[1][train]), (pair[0][rest], pair[1][rest]), classes


def load_classes(
    folder: PathLike,
    classes: Sequence[str],
    shape: Shape,
    dtype: DTypeLike = "float32",
    exact: bool = False,
) -> Pair:
    """Load all pictures of a folder as images of a shape, whose classes are known.

    Parameters
    ----------
    folder : str or path-like
        As for `load_image_folder`. Where it has folders for training and test, those of the test are
        loaded alone.
    classes : sequence of str
        By number. Not each needs a folder.
    shape : (channels, height, width)
    dtype : dtype-like
    exact : bool
        Whether a picture of another size is an error.

    Returns
    -------
    x, t : ndarray
        As of `load_image_folder`.

    Raises
    ------
    DataError
        As `load_image_folder`; or there is another class.
    """
    root = Path(folder)
    own_test = _part(root, TEST)
    files = files_by_class(own_test if own_test and _part(root, TRAIN) else root)
    if unknown := [name for name in files if name not in classes]:
        shown = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
        raise DataError(
            f"{root}: the class {unknown[0]!r} was not seen in training, which had {shown}"
        )
    return _images(files, classes, shape, dtype, exact)


def has_test(folder: PathLike) -> bool:
    """Whether a folder has pictures for training and others for the test."""
    return bool(_part(Path(folder), TRAIN) and _part(Path(folder), TEST))


def files_by_class(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, both in alphabetical order.

    Raises
    ------
    DataError
        The folder cannot be read, has no folders in it, or one that has no pictures.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder that has a folder of pictures for each class: "
            f"{error.strerror}"
        ) from error
    names = [entry.name for entry in found if entry.is_dir() and not _is_hidden(entry.name)]
    if not names:
        loose = sum(Path(entry.name).suffix.lower() in SUFFIXES for entry in found)
        raise DataError(
            f"{folder}: expected a folder of pictures for each class in it, such as {folder.name}/rose and "
            f"{folder.name}/tulip; found no folder, and {loose} pictures. Files like MNIST's are read with "
            "data_dir (mnist --data-dir FOLDER)"
        )
    files = {name: _pictures(folder / name) for name in names}
    if empty := [name for name, paths in files.items() if not paths]:
        raise DataError(
            f"{folder / empty[0]}: no pictures; expected files that end in {', '.join(SUFFIXES)}. If it "
            "is not a class, take it out of the folder"
        )
    return files


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # which macOS puts into archives


def _pictures(folder: Path) -> list[Path]:
    """All pictures below a folder; links to folders are not followed, so there are no circles."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [
            Path(place, name)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES and not _is_hidden(name)
        ]
    for path in found:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise DataError(f"{path}: expected a picture, but it is not a regular file")
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _part(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder of a part, training or test, if there is one: it has folders itself."""
    present = {name.lower(): name for name in _folders(folder)}
    parts = [folder / present[name] for name in names if name in present]
    return next((part for part in parts if _folders(part)), None)


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder; none if it cannot be read, which its reader reports."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.is_dir() and not _is_hidden(e.name)]
    except OSError:
        return []


def _shape(paths: list[Path], image_size: int | tuple[int, int] | None) -> Shape:
    """The shape of the images: as large as is asked for, or as the first picture is."""
    channels = 1 if all(map(is_grey, paths)) else 3
    if image_size is None:
        width, height = open_picture(paths[0], MOST_PIXELS).size
        return channels, height, width
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height < 1 or width < 1:
        raise ArgumentError(f"Expected a height and width of 1 or more, got {image_size}.")
    return channels, height, width


def _images(
    files: dict[str, list[Path]],
    classes: Sequence[str],
    shape: Shape,
    dtype: DTypeLike,
    exact: bool,
) -> Pair:
    paths = [(path, classes.index(name)) for name, several in files.items() for path in several]
    size = len(paths) * math.prod(shape) * np.dtype(dtype).itemsize
    if size > LIMIT:
        raise DataError(
            f"{paths[0][0].parent.parent}: {len(paths)} images of shape {shape} take {size / 2**30:.0f} GiB, "
            f"above the limit of {LIMIT >> 30}. Give a smaller image size (--image-size)"
        )
    x = np.empty((len(paths), *shape), dtype)
    for i, (path, _) in enumerate(paths):
        x[i] = _image(path, shape, exact)
    return x, np.asarray([number for _, number in paths], np.int64)


def _image(path: Path, shape: Shape, exact: bool) -> NDArray[np.float32]:
    if not exact:
        return load_picture(path, shape)
    picture = open_picture(path, MOST_PIXELS)
    width, height = picture.size
    if (height, width) != shape[1:]:
        raise DataError(
            f"{path}: {height} x {width} pixels (height x width), but the first picture has {shape[1]} x "
            f"{shape[2]}. Give the size that all are to be brought to: --image-size {shape[1]}x{shape[2]}, "
            f"say (in Python, image_size=({shape[1]}, {shape[2]}))"
        )
    return fitted_picture(picture, shape)
