"""Pictures of unknown origin: their formats, their sizes, and the memory that they take."""

import io
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

from tests.processes import environment
from xpnet.data import load_digit, load_picture
from xpnet.data._pictures import FORMATS, LIMIT, is_grey, open_picture
from xpnet.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
ImageCms = pytest.importorskip("PIL.ImageCms")
features = pytest.importorskip("PIL.features")

SIDE = 9400  # the side of a bomb: more pixels than LIMIT, but few enough for Pillow itself


def png(width, height, depth=8, colour=0, data=None, chunks=b""):
    """Write a PNG file of one colour without having its pixels in memory."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" + bytes(-(-width * channels * depth // 8))
    packer = zlib.compressobj(9)
    packed = [packer.compress(row) for _ in range(height if data is None else 0)]
    body = b"".join([*packed, packer.flush()]) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signed = [chunk(b"IHDR", head), chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(signed)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bombs():
    """Small files that claim more pixels than are read."""
    flat = Image.new("1", (SIDE, SIDE))
    yield "grey.png", png(SIDE, SIDE)
    yield "colour.png", png(SIDE, SIDE, colour=2, data=b"")
    yield "deep.png", png(SIDE, SIDE, depth=16, data=b"")
    yield "bits.png", png(SIDE, SIDE, depth=1)
    yield "largest.png", png(2**31 - 1, 2**31 - 1, data=b"")
    yield "wide.png", png(LIMIT + 1, 1, data=b"")
    yield "high.png", png(1, LIMIT + 1, data=b"")
    yield "flat.ppm", b"P6 9400 9400 255\n"
    yield "flat.pfm", b"Pf 9400 9400 1.0\n"
    yield (
        "flat.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, SIDE, SIDE, 1, 24, *[0] * 6),
    )
    for name, options in (("flat.gif", {}), ("flat.tiff", {"compression": "group4"})):
        yield name, saved(flat, name, **options)
    yield "flat.jpg", saved(Image.new("L", (SIDE, SIDE)), "flat.jpg")


def saved(picture, name, **options):
    file = io.BytesIO()
    picture.save(file, {"jpg": "jpeg"}.get(kind := name.split(".")[1], kind), **options)
    return file.getvalue()


MEASURED = """
import resource, sys
from PIL import Image
from xpnet.data import load_digit, load_picture
from xpnet.errors import DataError
Image.init()
shape = tuple(map(int, sys.argv[1].split(",")))
load_picture(sys.argv[2], shape)  # once before, to import all modules
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[3:]:
    for load in (load_digit, lambda path: load_picture(path, shape)):
        try:
            load(path)
        except DataError as error:
            print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def measured(folder, *paths, shape=(3, 32, 32)):
    """The output of a process that loads pictures, and by how many MB its memory grew."""
    small = folder / "small.png"
    Image.new("RGB", (40, 40), "white").save(small)
    answer = subprocess.run(
        [sys.executable, "-c", MEASURED, ",".join(map(str, shape)), small, *paths],
        check=True, capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    *lines, grown = answer.stdout.splitlines()
    return lines, int(grown)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ru_maxrss has another unit, or none")
class TestMemory:
    def test_a_bomb_is_refused_before_it_is_decoded(self, tmp_path):
        """Each would take 90 MB to 900 MB. The message has the size that the file claims."""
        paths = []
        for name, content in bombs():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(content)
            assert len(content) < 1.5e6
        lines, grown = measured(tmp_path, *paths)
        assert len(lines) == 2 * len(paths)
        for path, line in zip(np.repeat(paths, 2), lines, strict=True):
            assert line.startswith(f"{path}: ")
            assert "decompression bomb" in line
        assert sum(f"{SIDE} x {SIDE} pixels" in line for line in lines) == 2 * (len(paths) - 3)
        assert grown < 30

    def test_a_large_picture_is_not_converted_as_a_whole(self, tmp_path):
        """36 million grey pixels take 36 MB, not four to sixteen times as much."""
        path = tmp_path / "large.png"
        path.write_bytes(png(6000, 6000))
        lines, grown = measured(tmp_path, path)
        assert lines == [line for line in lines if "blank" in line]
        assert grown < 36 + 230

    @pytest.mark.parametrize("size", [(3, 60_000), (60_000, 3)])
    def test_paper_is_added_to_a_strip_in_its_final_size(self, tmp_path, size):
        """A square of 60,000 x 60,000 would take 14 GB."""
        path = tmp_path / "strip.png"
        Image.new("L", size, 255).save(path)
        lines, grown = measured(tmp_path, path, shape=(1, 28, 28))
        assert lines == [line for line in lines if "blank" in line]
        assert grown < 150

    def test_a_large_picture_of_16_bits_is_not_converted_as_a_whole(self, tmp_path):
        path = tmp_path / "deep.png"
        path.write_bytes(png(6000, 6000, depth=16))
        assert measured(tmp_path, path)[1] < 72 + 230


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n{ } loop\nshowpage\n%%EOF\n"
OTHERS = {
    "postscript": POSTSCRIPT,
    "postscript of DOS": b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, len(POSTSCRIPT), *[0] * 4) + b"\0\0" + POSTSCRIPT,
    "pdf": b"%PDF-1.4\n1 0 obj\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "xbm": b"#define im_width 40\n#define im_height 40\nstatic char im_bits[] = {\n" + b"0x00," * 200 + b"};",
    "metafile": b"\xd7\xcd\xc6\x9a" + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("name", ["digit.png", "digit.eps"])
def test_postscript_does_not_start_an_interpreter(tmp_path, monkeypatch, content, name):
    """PostScript is a program, which Pillow would run in Ghostscript. This one would not end."""
    folder, mark = tmp_path / "bin", tmp_path / "started"
    folder.mkdir()
    ghostscript = folder / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {mark}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / name
    path.write_bytes(content)
    for load in (load_digit, lambda path: load_picture(path, (1, 28, 28))):
        with pytest.raises(DataError, match=r"cannot identify its content as one of .*PNG"):
            load(path)
    assert shutil.which("gs") == str(ghostscript)  # the stand-in would be found
    assert not mark.exists()


def ramp(height=120, width=90):
    """A picture whose pixels encode their positions."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 2, (x + y)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("most", [120 * 90, 120 * 90 // 4, 120 * 90 // 9])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "P", "1", "I;16", "F"])
def test_each_mode_is_averaged_down(tmp_path, mode, most):
    """Each pixel is the mean of factor x factor pixels."""
    pixels = ramp()
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(pixels[..., 0].astype(np.float32))
    else:
        picture = picture.convert(mode)
    picture.save(path := tmp_path / "picture.tiff")
    whole, small = open_picture(path), open_picture(path, most)
    factor = round((120 * 90 / most) ** 0.5)
    assert whole.size == (90, 120)
    assert small.size == (90 // factor, 120 // factor)
    assert small.mode == whole.mode == ("F" if mode in ("I;16", "F") else "RGBa")
    expected = np.asarray(whole, np.float64).reshape(
        120 // factor, factor, 90 // factor, factor, -1
    )
    found = np.asarray(small, np.float64).reshape(120 // factor, 90 // factor, -1)
    if mode == "F":  # scaled from its minimum to its maximum
        expected = expected * np.ptp(found) / np.ptp(expected.mean(axis=(1, 3)))
        expected = expected - expected.mean(axis=(1, 3)).min()
    np.testing.assert_allclose(found, expected.mean(axis=(1, 3)), atol=0.51)


@pytest.mark.parametrize("bands", [1, 7])
def test_averaging_in_bands_equals_averaging_as_a_whole(tmp_path, monkeypatch, bands):
    Image.fromarray(ramp(121, 91)).save(path := tmp_path / "picture.png")
    whole = open_picture(path, most=800)
    monkeypatch.setattr("xpnet.data._pictures._BAND", 91 * 121 // bands // 3)
    assert np.array_equal(np.asarray(open_picture(path, most=800)), np.asarray(whole))


def stored(picture, orientation):
    """The picture as a camera in this orientation stores it."""
    t = Image.Transpose
    turns = {2: t.FLIP_LEFT_RIGHT, 3: t.ROTATE_180, 4: t.FLIP_TOP_BOTTOM, 5: t.TRANSPOSE,
             6: t.ROTATE_270, 7: t.TRANSVERSE, 8: t.ROTATE_90}  # fmt: skip
    return picture.transpose(turns[orientation]) if orientation > 1 else picture


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("most", [2**24, 2000])
def test_exif_turns_a_picture_upright(tmp_path, orientation, kind, most):
    """This also holds after averaging: the upper left corner is red, the upper right one blue."""
    if kind == "webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    pixels = np.zeros((64, 48, 3), np.uint8)
    pixels[:16, :16], pixels[:16, -16:] = (255, 0, 0), (0, 0, 255)
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored(Image.fromarray(pixels), inverse).save(path := tmp_path / f"p.{kind}", exif=exif)
    found = np.asarray(open_picture(path, most))[..., :3]
    height, width = found.shape[:2]
    assert height > width
    assert found[height // 8, width // 6].argmax() == 0
    assert found[height // 8, width // 6].max() > 200
    assert found[height // 8, -width // 6].argmax() == 2


@pytest.mark.parametrize("kind", ["gif", "png", "tiff", "webp"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, kind):
    if kind == "webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / f"moving.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    red = np.asarray(open_picture(path))[15, 20]
    assert (red > [200, -1, -1, -1]).all()
    assert (red[1:3] < 60).all()


def test_a_colour_profile_is_not_applied(tmp_path):
    """A damaged profile, or one that unpacks to a gigabyte, has no effect."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(ramp()).save(path := tmp_path / "p.png", icc_profile=profile)
    plain = np.asarray(open_picture(path))
    assert np.array_equal(plain[..., :3], ramp())
    Image.fromarray(ramp()).save(path, icc_profile=b"no profile" * 100)
    assert np.array_equal(np.asarray(open_picture(path)), plain)
    bomb = chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(2**28)))
    path.write_bytes(png(40, 40, chunks=bomb))
    with pytest.raises(
        DataError, match=r"p\.png: expected a picture that Pillow can read: .*[Ll]arge"
    ):
        open_picture(path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp", "gif", "ppm", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, kind, share):
    """Missing parts are not filled in: grey areas would be taken for paper."""
    if kind == "webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    pixels = np.random.default_rng(0).integers(0, 256, (100, 80, 3), np.uint8)
    Image.fromarray(pixels).save(path := tmp_path / f"p.{kind}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"p.{kind}: expected a picture that Pillow can read"):
        open_picture(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_documented_formats_can_be_read(tmp_path, kind):
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    path = tmp_path / "picture"
    with path.open("wb") as file:
        Image.fromarray(ramp()).save(file, kind)
    found = np.asarray(open_picture(path), np.float64)[..., :3]
    assert np.abs(found - ramp()).mean() < 10


@pytest.mark.parametrize("scale", [3e38, 1e-40])
def test_grey_levels_of_a_huge_range_stay_finite(tmp_path, scale):
    """The difference of the extremes overflows float32, which would make the picture NaN."""
    levels = np.linspace(-1, 1, 28 * 28, dtype=np.float32).reshape(28, 28) * np.float32(scale)
    Image.fromarray(levels).save(path := tmp_path / "levels.tiff")
    found = load_picture(path, (1, 28, 28))[0]
    np.testing.assert_allclose(found.ravel(), np.linspace(0, 1, 784), atol=1e-5)


@pytest.mark.parametrize("most", [2**24, 28 * 14])
@pytest.mark.parametrize("low", [-(2**31), 2**30, 2**31 - 300])
def test_large_whole_grey_levels_are_distinguished(tmp_path, low, most):
    """float32 represents whole numbers up to 2^24; larger levels would be equal."""
    levels = low + np.arange(256).repeat(4).reshape(32, 32)
    Image.fromarray(levels.astype(np.int32)).save(path := tmp_path / "levels.tiff")
    found = np.asarray(open_picture(path, most))
    assert (found.min(), found.max()) == (0, 1)
    steps = np.unique(found)
    assert len(steps) == (256 if most > 32 * 32 else 128)  # the mean of 2 x 2 has 4 equal columns


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_levels_that_are_not_finite_are_refused(tmp_path, value):
    levels = np.zeros((28, 28), np.float32)
    levels[3, 4] = value
    Image.fromarray(levels).save(path := tmp_path / "levels.tiff")
    with pytest.raises(DataError, match=r"levels\.tiff: .* some of its values are NaN or infinite"):
        load_picture(path, (1, 28, 28))


@pytest.mark.parametrize("level", [0, 7, 65535, -1.5, 3e38, -3e38])
def test_a_picture_of_one_level_is_finite(tmp_path, level):
    """There is no division by 0. A picture of 16 bits keeps its level."""
    dtype = np.uint16 if isinstance(level, int) else np.float32
    Image.fromarray(np.full((28, 28), level, dtype)).save(path := tmp_path / "levels.tiff")
    found = load_picture(path, (1, 28, 28))
    assert np.unique(found).tolist() == [np.float32(level / 65535) if dtype is np.uint16 else 0]


@pytest.mark.parametrize("size", [(1, 2**22), (12, 262_400), (2**22, 1), (3, 10**6)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 14), (3, 28, 28)])
def test_a_strip_takes_no_more_memory_than_a_square(tmp_path, size, shape):
    """With paper on both sides it would be a square of 17 million million pixels."""
    Image.new("L", size, 200).save(path := tmp_path / "strip.png")
    tracemalloc.start()
    try:
        found = load_picture(path, shape)
        assert tracemalloc.get_traced_memory()[1] < 3e8
    finally:
        tracemalloc.stop()
    assert found.shape == shape
    assert np.isfinite(found).all()


GREY = {"1": True, "L": True, "LA": True, "I;16": True, "RGB": False, "RGBA": False,
        "P": False}  # fmt: skip


@pytest.mark.parametrize("mode", GREY)
def test_a_picture_is_grey_by_its_mode(tmp_path, mode):
    """A palette may have colours."""
    Image = pytest.importorskip("PIL.Image", reason="pictures are read by Pillow")
    Image.new(mode, (2, 3)).save(tmp_path / "a.png")
    assert is_grey(tmp_path / "a.png") is GREY[mode]
