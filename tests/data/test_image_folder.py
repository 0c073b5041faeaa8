"""Pictures in one folder per class, and other things that such folders contain."""

import os
import sys

import numpy as np
import pytest

from xpnet.data import load_image_folder, load_picture
from xpnet.data.image_folder import load_classes
from xpnet.errors import ArgumentError, DataError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

COLOURS = {"rose": (250, 20, 20), "iris": (20, 20, 250), "fern": (20, 250, 20)}


def draw(path, colour, size=(8, 6), mode="RGB"):
    """Write a picture of one colour, of size (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


@pytest.fixture
def garden(tmp_path):
    """A function that makes a folder with five pictures in each of three classes."""

    def make(name="garden", **options):
        for kind, colour in COLOURS.items():
            for i in range(5):
                draw(tmp_path / name / kind / f"{i}.png", colour, **options)
        return tmp_path / name

    return make


def whole(*arguments, **options):
    """The images of training and test; their classes; and the names of these."""
    (x, t), (x_test, t_test), classes = load_image_folder(*arguments, **options)
    return np.concatenate([x, x_test]), np.concatenate([t, t_test]), classes


def refusal(*arguments, **options):
    with pytest.raises(DataError) as caught:
        load_image_folder(*arguments, **options)
    return str(caught.value)


def require_colours(x, t, classes):
    """Check that each image has the colour of its class."""
    for image, number in zip(x, t, strict=True):
        expected = np.asarray(COLOURS[classes[number]], np.float32) / 255
        np.testing.assert_allclose(
            image, np.broadcast_to(expected[:, None, None], image.shape), atol=0.01
        )


def test_one_folder_per_class_is_read(garden):
    """Classes are in alphabetical order; the seed draws a share of each for the test."""
    (x, t), (x_test, t_test), classes = load_image_folder(garden(), test=0.2, seed=1)
    assert classes == ["fern", "iris", "rose"]
    assert (x.shape, x.dtype, t.dtype) == ((12, 3, 6, 8), np.float32, np.int64)
    assert np.bincount(t).tolist() == [4, 4, 4]
    assert t_test.tolist() == [0, 1, 2]
    require_colours(x, t, classes)
    require_colours(x_test, t_test, classes)
    (again, _), _, _ = load_image_folder(garden(), seed=1, dtype="float64")
    assert again.dtype == np.float64
    np.testing.assert_array_equal(again.astype("f4"), x)


def test_subfolders_of_a_class_belong_to_it(garden):
    """Files without the suffix of a picture are ignored, as in torchvision."""
    folder = garden()
    draw(folder / "iris" / "wild" / "z.jpg", COLOURS["iris"])
    draw(folder / "iris" / "a" / "z.bmp", COLOURS["iris"])
    (folder / "iris" / "notes.txt").write_text("no picture")
    draw(folder / "rose" / "bright.png", (255, 255, 255))
    classes = whole(folder)[2]
    x, t = load_classes(folder, classes, (3, 6, 8))
    assert np.bincount(t).tolist() == [5, 7, 6]
    assert x[-1].min() == 1  # "bright" comes after "4"


@pytest.mark.parametrize("names", [("train", "test"), ("training", "val"), ("Train", "Validation")])
def test_a_folder_may_have_test_pictures_of_its_own(tmp_path, names):
    for part, kinds in zip(names, (COLOURS, ["rose", "iris"]), strict=True):
        for kind in kinds:
            draw(tmp_path / part / kind / "1.png", COLOURS[kind])
    (x, t), (x_test, t_test), classes = load_image_folder(tmp_path)
    assert (t.tolist(), t_test.tolist()) == ([0, 1, 2], [1, 2])
    require_colours(x, t, classes)
    require_colours(x_test, t_test, classes)
    with pytest.raises(ArgumentError, match="has a test of its own"):
        load_image_folder(tmp_path, test=0.5)
    again = load_classes(tmp_path, classes, (3, 6, 8))
    assert np.array_equal(again[0], x_test)


def test_a_test_folder_may_be_given(garden, tmp_path):
    folder = garden()
    draw(tmp_path / "other" / "iris" / "1.png", COLOURS["iris"])
    (x, _), (x_test, t_test), classes = load_image_folder(folder, test=tmp_path / "other")
    assert (len(x), t_test.tolist()) == (15, [1])
    require_colours(x_test, t_test, classes)
    assert "the test data are the training data themselves" in refusal(
        folder, test=str(folder) + "/."
    )
    draw(tmp_path / "other" / "weed" / "1.png", (1, 2, 3))
    message = refusal(folder, test=tmp_path / "other")
    assert "the class 'weed' was not seen in training, which had fern, iris, rose" in message


def test_a_class_called_train_is_a_class(tmp_path):
    """A folder called train that has no folders in it is a class."""
    for kind in "train", "test":
        for i in range(3):
            draw(tmp_path / kind / f"{i}.png", (i, i, i))
    _, t, classes = whole(tmp_path)
    assert classes == ["test", "train"]
    assert np.bincount(t).tolist() == [3, 3]


@pytest.mark.parametrize(
    "modes", [("L", 1), ("1", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)]
)
def test_the_number_of_channels_depends_on_the_pictures(garden, modes):
    mode, channels = modes
    (x, _), _, _ = load_image_folder(garden(mode=mode))
    assert x.shape[1:] == (channels, 6, 8)


def test_one_picture_in_colour_makes_three_channels(garden):
    folder = garden(mode="L")
    draw(folder / "iris" / "9.png", COLOURS["iris"])
    (x, _), _, _ = load_image_folder(folder)
    assert x.shape[1:] == (3, 6, 8)


def test_grey_pictures_of_16_bits_have_one_channel(tmp_path):
    for kind, level in ("dark", 0), ("light", 65535):
        (tmp_path / kind).mkdir()
        for i in range(3):
            Image.fromarray(np.full((6, 8), level, np.uint16)).save(tmp_path / kind / f"{i}.png")
    (x, t), _, _ = load_image_folder(tmp_path)
    assert x.shape[1:] == (1, 6, 8)
    assert x.mean(axis=(1, 2, 3)).tolist() == t.tolist()


def test_pictures_of_several_sizes_need_an_image_size(garden):
    """The message names the flag; with it they are what `load_picture` returns."""
    folder = garden()
    draw(folder / "iris" / "9.png", COLOURS["iris"], size=(20, 10))
    message = refusal(folder)
    assert message.startswith(f"{folder / 'iris' / '9.png'}: 10 x 20 pixels (height x width)")
    assert "the first picture has 6 x 8" in message
    assert "--size 6x8" in message
    for size, shape in ((5, (3, 5, 5)), ((4, 7), (3, 4, 7))):
        x, t, classes = whole(folder, size)
        assert x.shape[1:] == shape
        require_colours(x, t, classes)
        assert load_picture(folder / "iris" / "9.png", shape).tolist() in x.tolist()
    with pytest.raises(ArgumentError, match="height and width of 1 or more, got 0"):
        load_image_folder(folder, 0)


def test_pictures_are_turned_as_exif_says(garden):
    """The size is that of the turned picture."""
    folder = garden()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 8), COLOURS["iris"]).save(folder / "iris" / "9.png", exif=exif)
    assert whole(folder)[0].shape == (16, 3, 6, 8)


def test_other_files_and_folders_are_ignored(garden):
    """File managers and notebooks leave such files."""
    folder = garden()
    for name in ".DS_Store", "iris/.DS_Store", "iris/._1.png", "iris/Thumbs.db", "labels.csv":
        (folder / name).write_bytes(b"\0\1\2")
    for name in ".ipynb_checkpoints", "__MACOSX":
        draw(folder / name / "iris" / "1.png", (0, 0, 0))
        draw(folder / "iris" / name / "1.png", (0, 0, 0))
    x, t, classes = whole(folder)
    assert classes == ["fern", "iris", "rose"]
    assert len(x) == 15
    require_colours(x, t, classes)


@pytest.mark.parametrize("content", [b"", b"no picture", b"%!PS-Adobe-3.0\n{ } loop\n"])
def test_a_broken_picture_is_named(garden, content):
    folder = garden()
    path = folder / "iris" / "3.png"
    path.write_bytes(content)
    for options in {}, {"image_size": 4}:
        assert refusal(folder, **options).startswith(
            f"{path}: expected a picture that Pillow can read"
        )


def test_a_truncated_picture_is_named(garden):
    folder = garden()
    path = folder / "iris" / "3.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(folder).startswith(f"{path}: expected a picture that Pillow can read")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_are_followed_without_cycles(garden, tmp_path):
    """Links to pictures, and links that are classes, are followed."""
    folder = garden()
    elsewhere = tmp_path / "elsewhere"
    draw(elsewhere / "1.png", (9, 9, 9))
    (folder / "moss").symlink_to(elsewhere)
    (folder / "iris" / "linked.png").symlink_to(elsewhere / "1.png")
    (folder / "iris" / "circle").symlink_to(folder / "iris")
    _, t, classes = whole(folder)
    assert classes == ["fern", "iris", "moss", "rose"]
    assert np.bincount(t).tolist() == [5, 6, 1, 5]
    (folder / "iris" / "linked.png").unlink()
    (folder / "iris" / "gone.png").symlink_to(tmp_path / "nowhere")
    assert refusal(folder).startswith(f"{folder / 'iris' / 'gone.png'}: no such file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_refused(garden):
    folder = garden()
    os.mkfifo(folder / "iris" / "pipe.png")
    assert "it is not a regular file" in refusal(folder)


@pytest.mark.parametrize("options", [{"image_size": 4}, {}])
def test_all_broken_pictures_are_named(garden, options):
    """One by one, each would cost another reading of the whole folder."""
    folder = garden()
    broken = [
        folder / kind / name
        for kind, name in (("fern", "3.png"), ("iris", "1.png"), ("rose", "x.jpg"))
    ]
    for path in broken:
        path.write_bytes(b"no picture")
    message = refusal(folder, **options)
    assert message.startswith(f"{broken[0]}: expected a picture that Pillow can read")
    assert message.endswith(f"save it as PNG. Others that cannot be read: {broken[1]}, {broken[2]}")


def test_a_folder_without_classes_is_refused(garden, tmp_path):
    folder = garden()
    assert refusal(tmp_path / "none").startswith(f"{tmp_path / 'none'}: expected a folder")
    assert refusal(folder / "iris" / "1.png").startswith(
        f"{folder / 'iris' / '1.png'}: expected a folder"
    )
    assert "found no folder, and 5 pictures" in refusal(folder / "iris")
    (folder / "moss").mkdir()
    assert refusal(folder).startswith(
        f"{folder / 'moss'}: no pictures; expected files that end in .avif"
    )
    draw(tmp_path / "one" / "iris" / "1.png", (0, 0, 0))
    assert "the only class is 'iris', but a classification needs two or more" in refusal(
        tmp_path / "one"
    )
    draw(tmp_path / "one" / "rose" / "1.png", (0, 0, 0))
    assert "too few" in refusal(tmp_path / "one")


def test_too_many_images_are_refused(garden):
    """This is checked before an array is allocated."""
    message = refusal(garden(), 100_000)
    assert "15 images of shape (3, 100000, 100000) take 1676 GiB" in message
    assert "--size" in message


def test_without_pillow_the_error_says_what_to_install(garden, monkeypatch):
    folder = garden()
    monkeypatch.setitem(sys.modules, "PIL", None)
    for options in {}, {"image_size": 4}:
        message = refusal(folder, **options)
        assert message.endswith("needs Pillow, which is missing: pip install pillow")
