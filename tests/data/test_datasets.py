"""The included MNIST, and folders in its format: valid, incomplete and inconsistent."""

import gzip
import hashlib
import lzma
import re
import struct
from pathlib import Path

import numpy as np
import pytest

import xpnet.data
from xpnet.data import load_idx_folder, load_mnist, read_idx
from xpnet.errors import DataError

PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
BUILT_IN = Path(xpnet.data.__file__).with_name("mnist")
SHA256 = {  # of the files that LeCun published, unpacked
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.fixture(scope="module")
def mnist():
    """The included MNIST as `load_mnist` returns it by default."""
    return load_mnist()


def write_idx(path, array, code=0x08):
    """Write `array`, which is big endian already, compressed as the suffix of the name says."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    pack = PACK.get(path.suffix, bytes)
    path.write_bytes(pack(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    """A function that writes a small data set, with any of its arrays replaced."""

    def write(end="", dot="-", **replaced):
        rng = np.random.default_rng(0)
        arrays = {
            "train_images": rng.integers(0, 256, (12, 5, 4), np.uint8),
            "train_labels": np.arange(12, dtype=np.uint8) % 10,
            "t10k_images": rng.integers(0, 256, (3, 5, 4), np.uint8),
            "t10k_labels": np.array([9, 0, 4], np.uint8),
        } | replaced
        for name, array in arrays.items():
            kind = "idx3" if "images" in name else "idx1"
            write_idx(tmp_path / f"{name.replace('_', '-')}{dot}{kind}-ubyte{end}", array)
        return tmp_path

    return write


def refusal(folder, **options):
    """The message with which a folder is refused."""
    with pytest.raises(DataError) as caught:
        load_mnist(data_dir=folder, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", SHA256)
def test_the_built_in_files_are_the_published_ones(name):
    """Each file unpacks to the published bytes, and the README beside it has the same checksum."""
    content = lzma.decompress((BUILT_IN / f"{name}.xz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == SHA256[name]
    assert re.search(rf"`{name}`.*`{SHA256[name]}`", (BUILT_IN / "README.md").read_text("utf-8"))


def test_default_shapes_and_dtypes(mnist):
    """By default an image is a row of float32 and a label an int64."""
    (x_train, t_train), (x_test, t_test) = mnist
    assert (x_train.shape, x_train.dtype) == ((60000, 784), np.float32)
    assert (x_test.shape, x_test.dtype) == ((10000, 784), np.float32)
    assert (t_train.shape, t_train.dtype) == ((60000,), np.int64)
    assert (t_test.shape, t_test.dtype) == ((10000,), np.int64)


def test_known_class_counts(mnist):
    """The frequencies of the digits are those of the literature."""
    (_, t_train), (_, t_test) = mnist
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(t_train).tolist() == train
    assert np.bincount(t_test).tolist() == test


def test_known_first_labels(mnist):
    """The order of the samples is the published one."""
    (_, t_train), (_, t_test) = mnist
    assert t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_known_mean_and_deviation(mnist):
    """The training pixels have the well-known mean 0.1307 and deviation 0.3081."""
    (x_train, _), _ = mnist
    assert x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert x_train.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)


def test_a_normalized_value_is_the_grey_level_over_255(mnist):
    """Every value is the nearest float32 to its grey level over 255, and 0 and 1 both occur."""
    images = read_idx(BUILT_IN / "t10k-images-idx3-ubyte.xz").reshape(10000, 784)
    exact = (images.astype(np.float64) / 255).astype(np.float32)
    assert np.array_equal(mnist[1][0], exact)
    assert (exact.min(), exact.max()) == (0, 1)


def test_without_normalization_images_are_bytes(folder):
    """The grey levels are those of the file."""
    images = np.arange(240, dtype=np.uint8).reshape(12, 5, 4)
    (x, _), _ = load_mnist(normalize=False, data_dir=folder(train_images=images))
    assert x.dtype == np.uint8
    assert x.tolist() == np.arange(240).reshape(12, 20).tolist()


def test_an_image_that_is_not_flattened_has_one_channel(folder):
    """It keeps its rows and columns, after a channel axis."""
    images = np.arange(240, dtype=np.uint8).reshape(12, 5, 4)
    (x, _), (x_test, _) = load_mnist(
        normalize=False, flatten=False, data_dir=folder(train_images=images)
    )
    assert x.shape == (12, 1, 5, 4)
    assert x_test.shape == (3, 1, 5, 4)
    assert x[2, 0, 1].tolist() == [44, 45, 46, 47]


def test_one_hot_rows_have_a_single_one(folder):
    """It is in the column of the class."""
    (_, t), (_, t_test) = load_mnist(one_hot=True, data_dir=folder())
    assert (t.shape, t.dtype) == ((12, 10), np.float32)
    assert t_test.tolist() == [[0.0] * 9 + [1.0], [1.0] + [0.0] * 9, [0.0] * 4 + [1.0] + [0.0] * 5]


def test_one_hot_has_ten_columns_even_without_the_nine(folder):
    """A few digits, among which some classes are missing, have the columns of all."""
    few = folder(train_labels=np.ones(12, np.uint8), t10k_labels=np.full(3, 7, np.uint8))
    (_, t), (_, t_test) = load_mnist(one_hot=True, data_dir=few)
    assert t.shape == (12, 10)
    assert t_test.argmax(axis=1).tolist() == [7, 7, 7]


def test_one_hot_grows_with_the_training_labels(folder):
    """A data set with more than ten classes has a column for each."""
    (_, t), (_, t_test) = load_mnist(
        one_hot=True, data_dir=folder(train_labels=np.arange(15, 27, dtype=np.uint8))
    )
    assert t.shape == (12, 27)
    assert t_test.shape == (3, 27)


@pytest.mark.parametrize("dtype", ["float16", "float32", np.float64])
def test_dtype_is_that_of_images_and_one_hot_rows(folder, dtype):
    """Values are rounded once, to the dtype that was asked for."""
    images = np.full((12, 5, 4), 200, np.uint8)
    (x, t), _ = load_mnist(data_dir=folder(train_images=images), one_hot=True, dtype=dtype)
    assert x.dtype == t.dtype == np.dtype(dtype)
    assert x[0, 0] == np.dtype(dtype).type(200 / 255)


def test_dtype_must_be_floating():
    """Integers cannot represent images from 0 to 1."""
    with pytest.raises(TypeError, match="floating-point dtype such as 'float32', got int32"):
        load_mnist(dtype="int32")


def test_arrays_are_fresh_and_writable(folder):
    """A change of the arrays does not affect a second call."""
    place = folder()
    (x, t), _ = load_mnist(normalize=False, data_dir=place)
    before = x.copy(), t.copy()
    x += 1
    t += 1
    (x_again, t_again), _ = load_mnist(normalize=False, data_dir=place)
    assert np.array_equal(x_again, before[0])
    assert np.array_equal(t_again, before[1])


@pytest.mark.parametrize("end", PACK)
@pytest.mark.parametrize("dot", ["-", "."])
def test_both_spellings_and_all_compressions_are_found(folder, end, dot):
    """Files may be plain, or compressed with gzip or xz."""
    (x, t), _ = load_mnist(data_dir=folder(end, dot))
    assert x.shape == (12, 20)
    assert t.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_a_plain_file_has_priority_over_a_compressed_one(folder):
    """Only the plain file is read."""
    folder(".gz", train_labels=np.full(12, 3, np.uint8))
    (_, t), _ = load_mnist(data_dir=str(folder()))
    assert t.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_a_folder_with_the_name_of_a_file_is_ignored(folder):
    """It does not hide the compressed file."""
    place = folder(".gz")
    (place / "train-images-idx3-ubyte").mkdir()
    (x, _), _ = load_mnist(data_dir=place)
    assert x.shape == (12, 20)


def test_load_idx_folder_returns_the_stored_arrays(folder):
    """Images and labels are not converted."""
    images = np.arange(240, dtype=np.uint8).reshape(12, 5, 4)
    (x, t), (x_test, t_test) = load_idx_folder(folder(train_images=images))
    assert x.tolist() == images.tolist()
    assert x.dtype == t.dtype == x_test.dtype == t_test.dtype == np.uint8
    assert x_test.shape == (3, 5, 4)
    assert t_test.tolist() == [9, 0, 4]


def test_a_missing_folder_is_named(tmp_path):
    """The message has its path."""
    message = refusal(tmp_path / "nowhere")
    assert message.startswith(f"{tmp_path / 'nowhere'}: expected a folder with four IDX files")


def test_a_file_in_place_of_a_folder_is_named(folder):
    """The message has its path."""
    path = folder() / "t10k-labels-idx1-ubyte"
    assert refusal(path).startswith(f"{path}: expected a folder")


def test_a_missing_file_is_named(folder):
    """The message lists the accepted names, and the files that are there."""
    place = folder(".gz")
    (place / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refusal(place)
    assert message.startswith(f"{place}: no t10k-labels file")
    for name in "t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.xz", "t10k-labels.idx1-ubyte.gz":
        assert name in message
    assert message.endswith(
        "the folder's 3 file(s): t10k-images-idx3-ubyte.gz, train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz"
    )


def test_a_missing_file_among_many_is_named(tmp_path):
    """The message lists some of the files only."""
    for i in range(100):
        (tmp_path / f"{i:03}.txt").touch()
    message = refusal(tmp_path)
    assert "the folder's 100 file(s): 000.txt, 001.txt" in message
    assert message.endswith("011.txt, ...")


def test_an_empty_folder_is_reported(tmp_path):
    """The message says that there are no files."""
    assert refusal(tmp_path).endswith("the folder's 0 file(s): none")


def test_a_corrupt_file_is_named(folder):
    """The error of the reader names the one file of four that is damaged."""
    path = folder() / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(path.parent).startswith(f"{path}: truncated")


def test_different_numbers_of_images_and_labels_are_refused(folder):
    """The message names both files and numbers."""
    place = folder(t10k_labels=np.zeros(4, np.uint8))
    assert refusal(place) == (
        f"3 images in {place / 't10k-images-idx3-ubyte'}, "
        f"but 4 labels in {place / 't10k-labels-idx1-ubyte'}"
    )


@pytest.mark.parametrize("shape", [(12,), (12, 20), (12, 1, 5, 4), (0, 5, 4), (12, 0, 4)])
def test_images_of_another_shape_are_refused(folder, shape):
    """Images must have shape (N, height, width), N > 0."""
    place = folder(train_images=np.zeros(shape, np.uint8))
    message = refusal(place)
    assert message.startswith(f"{place / 'train-images-idx3-ubyte'}: expected uint8 images")
    swapped = "; these look like labels" if len(shape) == 1 else ""
    assert message.endswith(f"not empty; found uint8 of shape {shape}{swapped}")


@pytest.mark.parametrize("shape", [(), (12, 1), (0,)])
def test_labels_of_another_shape_are_refused(folder, shape):
    """Labels must have shape (N,), N > 0."""
    place = folder(train_labels=np.zeros(shape, np.uint8))
    message = refusal(place)
    assert message.startswith(f"{place / 'train-labels-idx1-ubyte'}: expected uint8 labels")
    assert message.endswith(f"found uint8 of shape {shape}")


def test_exchanged_files_are_recognised(folder):
    """The message says that labels look like images, and images like labels."""
    message = refusal(folder(t10k_labels=np.zeros((3, 5, 4), np.uint8)))
    assert message.endswith("found uint8 of shape (3, 5, 4); these look like images")


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_other_dtypes_are_refused(folder, name):
    """Images and labels must be unsigned bytes."""
    place = folder()
    write_idx(place / name, np.zeros(3, ">i4"), code=0x0C)
    assert refusal(place).startswith(f"{place / name}: expected uint8")
    assert "found int32 of shape (3,)" in refusal(place)


def test_images_of_different_sizes_are_refused(folder):
    """The message names both files and sizes."""
    place = folder(t10k_images=np.zeros((3, 4, 4), np.uint8))
    assert refusal(place) == (
        f"images of different sizes: (5, 4) in {place / 'train-images-idx3-ubyte'}, "
        f"(4, 4) in {place / 't10k-images-idx3-ubyte'}"
    )


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_test_label_outside_the_classes_is_refused(folder, one_hot):
    """This holds for class numbers and for one-hot rows."""
    place = folder(t10k_labels=np.array([0, 10, 1], np.uint8))
    assert refusal(place, one_hot=one_hot) == (
        f"{place / 't10k-labels-idx1-ubyte'}: a test label is 10, but the training labels have "
        "10 classes, 0 to 9"
    )
