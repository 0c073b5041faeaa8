"""Pictures in one folder per class, the layout of torchvision's `ImageFolder` and of Keras.

flowers/rose/1.jpg               or, with test pictures of their own,
flowers/rose/2.jpg                   flowers/train/rose/1.jpg
flowers/tulip/a.png                  flowers/test/rose/2.jpg
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet._typing import PathLike
from xpnet.data._messages import listed
from xpnet.data._pictures import LIMIT as MOST_PIXELS, NoPillowError, is_grey, open_picture
from xpnet.data._typing import Pair
from xpnet.data.images import fitted_picture, load_picture
from xpnet.data.splitting import split
from xpnet.data.tables import require_another
from xpnet.errors import ArgumentError, DataError

Shape = tuple[int, int, int]  # channels, height, width

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that exists is used
SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
            ".webp")  # fmt: skip
LIMIT = 1 << 34  # bytes that all images together may take: 16 GiB


def load_image_folder(
    folder: PathLike,
    image_size: int | tuple[int, int] | None = None,
    test: float | PathLike | None = None,
    seed: int = 0,
    dtype: DTypeLike = "float32",
) -> tuple[Pair, Pair, list[str]]:
    """Load pictures from one folder per class, for training and test.

    Parameters
    ----------
    folder : str or path-like
        A folder that has a folder for each class; or a folder that has one for training (train,
        training) and one for the test (test, testing, val, valid or validation), each with a folder
        for each class. Names that begin with a dot and files without a picture's suffix are ignored.
        Subfolders of a class belong to it. Links to files, and links that are classes, are followed.
    image_size : int or (int, int), optional
        The height and width of the images. `load_picture` describes how a picture of another size
        is fitted. By default the size of the pictures, which must be the same for all.
    test : float or path-like, optional
        The fraction of the pictures that is held out for the test (see `split`), by default 0.2; or
        another folder with a folder for each class. It must not be given if the folder has test
        pictures of its own.
    seed : int
        The seed of the split.
    dtype : dtype-like
        The dtype of x.

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
        The folder is missing; there are fewer than two classes, a class has no pictures, or a class
        of the test does not occur in the training; a picture is damaged or of another size; there
        are too few or too many pictures.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from xpnet.data import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for color in ("blue", "red"):
    ...         pathlib.Path(folder, color).mkdir()
    ...         for i in range(5):
    ...             Image.new("RGB", (8, 8), color).save(pathlib.Path(folder, color, f"{i}.png"))
    ...     (x_train, t_train), (x_test, t_test), classes = load_image_folder(folder, test=0.2)
    >>> x_train.shape, t_test.tolist(), classes
    ((8, 3, 8, 8), [0, 1], ['blue', 'red'])
    """
    root = Path(folder)
    own_train = _part(root, TRAIN)
    test_folder = _part(root, TEST) if own_train else None
    fraction = 0.2
    if test is not None:
        if test_folder is not None:
            raise ArgumentError(
                f"{root}: it has a test of its own, {test_folder.name}: leave out test={test!r}."
            )
        if isinstance(test, (int, float)):
            fraction = test
        else:
            test_folder = Path(test)
            require_another(root, test_folder)
    files = files_by_class(own_train or root)
    if len(files) < 2:
        raise DataError(
            f"{root}: the only class is {next(iter(files))!r}, but a classification needs two or more"
        )
    classes = list(files)
    shape = _shape([path for paths in files.values() for path in paths], image_size)
    pair = _images(files, classes, shape, dtype, exact=image_size is None)
    if test_folder is not None:
        tested = load_classes(test_folder, classes, shape, dtype, exact=image_size is None)
        return pair, tested, classes
    try:
        train, rest = split(pair[1], fraction, seed)
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
    """Load all pictures of a folder as images of a given shape, with classes that are known.

    Parameters
    ----------
    folder : str or path-like
        As for `load_image_folder`. If it has folders for training and test, only that for the test
        is loaded.
    classes : sequence of str
        Their names, by number. A class may lack a folder.
    shape : (channels, height, width)
    dtype : dtype-like
    exact : bool
        Whether a picture of another size is an error.

    Returns
    -------
    x, t : ndarray
        As `load_image_folder` returns them.

    Raises
    ------
    DataError
        As `load_image_folder`; or there is a class that is not in `classes`.
    """
    root = Path(folder)
    own_test = _part(root, TEST) if _part(root, TRAIN) else None
    files = files_by_class(own_test or root)
    for name in files:
        if name not in classes:
            raise DataError(
                f"{root}: the class {name!r} was not seen in training, which had {listed(classes)}"
            )
    return _images(files, classes, shape, dtype, exact)


def has_test(folder: PathLike) -> bool:
    """Whether a folder has one folder for training and one for the test."""
    return bool(_part(Path(folder), TRAIN) and _part(Path(folder), TEST))


def files_by_class(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, both in alphabetical order.

    Raises
    ------
    DataError
        The folder cannot be read, has no folders in it, or has a folder without pictures.
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
            f"{folder}: expected a folder of pictures for each class in it, such as {folder.name}/rose "
            f"and {folder.name}/tulip; found no folder, and {loose} pictures. Files like MNIST's are read "
            "with data_dir (mnist --data-dir FOLDER)"
        )
    hint = ". If it is not a class, move it out of the folder"
    return {name: pictures_below(folder / name, hint) for name in names}


def _is_hidden(name: str) -> bool:
    """Whether the user did not put it there: macOS and Windows add these files and folders."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def pictures_below(folder: Path, hint: str = "") -> list[Path]:
    """All pictures below a folder. Links to folders are not followed, so there are no cycles.

    Raises
    ------
    DataError
        There are none, or one is not a regular file. In the first case the message ends with `hint`.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [
            Path(place, name)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES and not _is_hidden(name)
        ]
    if not found:
        raise DataError(
            f"{folder}: no pictures; expected files that end in {', '.join(SUFFIXES)}{hint}"
        )
    for path in found:
        if path.exists() and not path.is_file():  # reading a pipe may never end
            raise DataError(f"{path}: expected a picture, but it is not a regular file")
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder itself, in alphabetical order; those of its subfolders are not taken.

    Raises
    ------
    DataError
        There are none, or the folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror}") from error
    found = [
        path for path in paths if path.suffix.lower() in SUFFIXES and not _is_hidden(path.name)
    ]
    if not found:
        raise DataError(
            f"{folder}: no pictures in it; expected files that end in {', '.join(SUFFIXES)}. Name its "
            "subfolders if they have the pictures"
        )
    return found


def other_files(folder: Path) -> list[Path]:
    """The files in the folders of a folder that have no suffix of a picture and are not hidden."""
    found = []
    for name in _folders(folder):
        for place, folders, names in os.walk(folder / name):
            folders[:] = [below for below in folders if not _is_hidden(below)]
            found += [
                Path(place, file)
                for file in names
                if Path(file).suffix.lower() not in SUFFIXES and not _is_hidden(file)
            ]
    return sorted(found)


def loose_pictures(folder: Path) -> list[Path]:
    """The pictures beside the folders of the classes, which belong to no class."""
    parts = [_part(folder, TRAIN), _part(folder, TEST)]
    places = [folder, *(part for part in parts if part is not None)]
    return sorted(
        path
        for place in places
        for path in place.iterdir()
        if path.suffix.lower() in SUFFIXES and not _is_hidden(path.name) and path.is_file()
    )


def _part(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder of a part, training or test: the first of these names that has folders in it."""
    present = {name.lower(): name for name in _folders(folder)}
    parts = [folder / present[name] for name in names if name in present]
    return next((part for part in parts if _folders(part)), None)


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder; empty if it cannot be read, which is reported later."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.is_dir() and not _is_hidden(e.name)]
    except OSError:
        return []


def _shape(paths: list[Path], image_size: int | tuple[int, int] | None) -> Shape:
    """The shape of the images: the size is the one that was asked for, or the first picture's."""
    channels = 1 if all(map(_may_be_grey, paths)) else 3
    if image_size is None:
        width, height = open_picture(paths[0], MOST_PIXELS).size
        return channels, height, width
    if isinstance(image_size, int):
        height = width = image_size
    else:
        height, width = image_size
    if height < 1 or width < 1:
        raise ArgumentError(f"Expected a height and width of 1 or more, got {image_size}.")
    return channels, height, width


def _may_be_grey(path: Path) -> bool:
    """Whether a picture is grey, or cannot be opened, which is reported when it is read."""
    try:
        return is_grey(path)
    except DataError:
        return True


def _images(
    files: dict[str, list[Path]],
    classes: Sequence[str],
    shape: Shape,
    dtype: DTypeLike,
    exact: bool,
) -> Pair:
    """The pictures of all classes as images, and the number of the class of each."""
    paths = [(path, classes.index(name)) for name, several in files.items() for path in several]
    size = len(paths) * math.prod(shape) * np.dtype(dtype).itemsize
    if size > LIMIT:
        raise DataError(
            f"{paths[0][0].parent.parent}: {len(paths)} images of shape {shape} take {size / 2**30:.0f} GiB, "
            f"above the limit of {LIMIT >> 30}. Give a smaller image size (--size)"
        )
    x = np.empty((len(paths), *shape), dtype)
    failed: list[tuple[Path, DataError]] = []
    for i, (path, _) in enumerate(paths):
        try:
            x[i] = _image(path, shape, exact)
        except (_SizeError, NoPillowError):  # there is no point in reading the others
            raise
        except DataError as error:
            failed.append((path, error))
    if failed:
        raise _together(failed)
    return x, np.asarray([number for _, number in paths], np.int64)


class _SizeError(DataError):
    """A picture of another size than the first."""


def _together(failed: list[tuple[Path, DataError]]) -> DataError:
    """One error for several, so that all broken pictures can be mended or removed at once."""
    (_, error), *others = failed
    if not others:
        return error
    paths = listed([str(path) for path, _ in others])
    return DataError(f"{str(error).rstrip('.')}. Others that cannot be read: {paths}")


def _image(path: Path, shape: Shape, exact: bool) -> NDArray[np.float32]:
    """A picture as an image of this shape; if `exact`, it must have the size already."""
    if not exact:
        return load_picture(path, shape)
    picture = open_picture(path, MOST_PIXELS)
    width, height = picture.size
    if (height, width) != shape[1:]:
        raise _SizeError(
            f"{path}: {height} x {width} pixels (height x width), but the first picture has {shape[1]} x "
            f"{shape[2]}. Give one size for all, such as --size {shape[1]}x{shape[2]} "
            f"(in Python, image_size=({shape[1]}, {shape[2]}))"
        )
    return fitted_picture(picture, shape)
