"""Broken files by the thousand: the readers raise xpnet's own errors, and stay small.

    python -m pytest tests/data/test_fuzz.py

feeds 15,000 broken inputs, 2,500 to each reader: valid files, damaged in ways that bytes get damaged
and headers forged, the same ones in every run; of pictures there are 500. Hypothesis then tries what
it can think of itself. See tests/fuzzing.py.
"""

import gzip
import io
import lzma
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings, strategies as st

from tests.fuzzing import damaged, inputs
from xpnet.data import (
    load_archive,
    load_digit,
    load_image_folder,
    load_picture,
    load_table,
    read_idx,
)
from xpnet.errors import DataError, StateError
from xpnet.saving.safetensors import load_file

INPUTS = inputs(2500)  # for each of the six readers
LITTLE = (
    4e6  # bytes of memory for files of a few hundred bytes: more would be for a promise of a header
)
XZ = 3.5e8  # a forged xz header may ask for a dictionary of 256 MiB; that of `xz -9` has 64 MiB


def packed_idx():
    head = struct.pack(">BBBB3I", 0, 0, 0x0C, 3, 2, 3, 4)
    plain = head + np.arange(24, dtype=">i4").tobytes()
    return [plain, gzip.compress(plain), lzma.compress(plain)]


def archive(pack, **arrays):
    file = io.BytesIO()
    pack(file, **arrays)
    return file.getvalue()


def archives():
    x = np.arange(24.0).reshape(12, 2)
    t = np.arange(12) % 2
    return [
        archive(np.savez, x=x, t=t),
        archive(np.savez_compressed, x=np.asfortranarray(x), y=t.astype("u1")),
        archive(np.savez, x_train=x, t_train=t, x_test=x[:2], t_test=t[:2]),
        archive(np.savez, x=np.asarray([None, "pickle"]), t=t[:2]),
    ]


def tables():
    rows = [f"{i}.5,{i * i},{'ab'[i % 2]}" for i in range(12)]
    text = "\n".join(["length,width,kind", *rows]) + "\n"
    quoted = text.replace("kind", '"the, ""kind"""').replace(",a", ',"a\nb"')
    return [text.encode(), quoted.encode("utf-8-sig"), text.replace(",", ";\t").encode(),
            text.replace(",", "\t").replace("\n", "\r\n").encode()]  # fmt: skip


def others():
    """Tables as pandas, R, numpy.savetxt and the UCI repository write them."""
    rows = [f"{i},{i}.5,{i * i % 7}.25,{'ab'[i % 2]}" for i in range(12)]
    named = "\n".join([",length,width,kind", *rows]) + "\n"
    numbered = "\n".join([",0,1,2", *rows]) + "\n"
    return [named.encode(), numbered.encode(), named[1:].replace(",", "\t").encode(),
            "\n".join(rows).replace(",", "   ").encode(), "\n".join(rows).encode()]  # fmt: skip


def labelled():
    """Archives with other names of arrays, classes in other forms, texts and a pickle."""
    x, t = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
    texts, pickle = np.asarray(["a", "b"]), np.asarray([None])
    return [
        archive(np.savez, data=x, target=np.eye(2)[t], feature_names=texts),
        archive(np.savez, X=x, y=t[:, None], notes=pickle),
        archive(np.savez_compressed, train_images=x, train_labels=t == 1, test_images=x, test_labels=t == 1),
        archive(np.savez, features=x, label=t.astype("f2")),
    ]  # fmt: skip


def drawn():
    """Pictures in several formats, grey and in colour."""
    image = pytest.importorskip("PIL.Image")
    found = []
    for kind, mode in (("PNG", "RGB"), ("GIF", "P"), ("BMP", "L"), ("TIFF", "F"), ("JPEG", "RGB")):
        file = io.BytesIO()
        image.radial_gradient("L").resize((12, 10)).convert(mode).save(file, kind)
        found.append(file.getvalue())
    return found


def load_pictures(path):
    """Load a folder of two classes that has this file as one of its pictures."""
    for kind in "a", "b":
        (path.parent / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        (path.parent / "pictures" / kind / "0.pgm").write_bytes(b"P5 2 2 255\n" + bytes(4))
    (path.parent / "pictures" / "a" / "1.png").write_bytes(path.read_bytes())
    try:
        (x, _), _, _ = load_image_folder(path.parent / "pictures", image_size=8, test=0.5)
    except DataError as error:
        if "1.png" in str(error):
            raise DataError(f"{path}: {error}") from error
        raise
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert x.max() <= 1


def weights():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"0.W": x, "0.b": x[0].copy(), "n": np.asarray(3), "none": x[:0].copy()}
    return [safetensors.numpy.save(arrays, {"epoch": "3"}), safetensors.numpy.save({"x": x})]


READERS = {
    "idx": (packed_idx, read_idx, DataError),
    "csv": (tables, load_table, DataError),
    "npz": (archives, load_archive, DataError),
    "data": (others, load_table, DataError),
    "labels.npz": (labelled, load_archive, DataError),
    "safetensors": (weights, load_file, StateError),
}


def require_own_error(read, error, path, content):
    """Whether the content was refused, with xpnet's own error, which names the file."""
    path.write_bytes(content)
    try:
        read(path)
    except error as caught:
        assert str(path) in str(caught)
        return True
    return False


@pytest.mark.parametrize("name", READERS)
def test_fuzz_of_data_files(name, tmp_path):
    """2,500 files for each reader raise its own error only, and no header is believed."""
    make, read, error = READERS[name]
    valid, path = make(), tmp_path / f"broken.{name}"
    rng = np.random.default_rng(0)
    for content in valid:  # reading them once imports the modules that the reader needs
        require_own_error(read, error, path, content)
    refused = largest = largest_xz = 0
    tracemalloc.start()
    try:
        for i in range(INPUTS):
            content = damaged(valid[i % len(valid)], rng)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            refused += require_own_error(read, error, path, content)
            peak = tracemalloc.get_traced_memory()[1] - before
            if content.startswith(b"\xfd7zXZ"):
                largest_xz = max(largest_xz, peak)
            else:
                largest = max(largest, peak)
    finally:
        tracemalloc.stop()
    assert largest < LITTLE
    assert largest_xz < XZ
    assert refused > INPUTS / 3  # most damage is noticed


PICTURES = {  # the options with which each format is saved: none, and many
    "png": [{}, {"optimize": True, "icc_profile": b"x" * 200, "dpi": (72, 72)}],
    "jpeg": [{}, {"progressive": True, "quality": 5}],
    "gif": [{}, {"save_all": True, "append": 2}],
    "tiff": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}],
    "bmp": [{}],
    "ppm": [{}],
    "webp": [{}, {"lossless": True}],
}


def pictures():
    """Valid pictures of a digit, in each format and in several modes; (name, content)."""
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    grey = np.zeros((40, 30), np.uint8)
    grey[8:32, 12:16] = 255
    for kind, ways in PICTURES.items():
        for way in ways:
            for mode in ("RGB", "L", "P", "RGBA", "I;16"):
                picture = image.fromarray(grey)
                picture = (
                    image.fromarray(grey.astype("u2") * 257)
                    if mode == "I;16"
                    else picture.convert(mode)
                )
                options, file = dict(way), io.BytesIO()
                if options.pop("append", 0):
                    options["append_images"] = [picture.rotate(90), picture]
                try:
                    picture.save(file, kind, **options)
                except (OSError, KeyError, ValueError):  # the format has no such mode
                    continue
                yield kind, file.getvalue()


def test_fuzz_of_pictures(tmp_path):
    """Each of 500 pictures becomes finite numbers from 0 to 1, or a DataError."""
    valid = list(pictures())
    assert len(valid) > 20
    rng = np.random.default_rng(0)
    refused = largest = 0
    load = [
        load_digit,
        lambda path: load_picture(path, (3, 8, 8)),
        lambda path: load_picture(path, (1, 8, 8)),
    ]
    tracemalloc.start()
    try:
        for i in range(inputs(500)):
            kind, content = valid[i % len(valid)]
            path = tmp_path / f"broken.{kind}"
            path.write_bytes(damaged(content, rng))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                found = load[i % 3](path)
            except DataError as caught:
                assert str(path) in str(caught)
                refused += 1
            else:
                assert np.isfinite(found).all()
                assert found.min() >= 0.0
                assert found.max() <= 1.0
            largest = max(largest, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert inputs(500) / 10 < refused < inputs(500)
    assert largest < 3e8  # a header may ask for a large picture, but not for the memory of several


def test_fuzz_of_pictures_in_a_folder(tmp_path):
    """The error names the picture; a damaged picture that can be read is finite, from 0 to 1."""
    valid, path, rng = drawn(), tmp_path / "broken", np.random.default_rng(0)
    refused = 0
    for i in range(1000):
        content = damaged(valid[i % len(valid)], rng)
        refused += require_own_error(load_pictures, DataError, path, content)
    assert 300 < refused < 1000


@pytest.mark.parametrize("name", READERS)
def test_the_valid_files_are_valid(name, tmp_path):
    """The files that are damaged above can be read, except a pickle and one with two delimiters."""
    make, read, error = READERS[name]
    path = tmp_path / "valid"
    refused = [require_own_error(read, error, path, content) for content in make()]
    expected = {"csv": [False, False, True, False], "npz": [False, False, False, True]}
    assert refused == expected.get(name, [False] * len(refused))


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(READERS)), data=st.data())
def test_inputs_of_hypothesis_raise_the_readers_own_errors(tmp_path_factory, name, data):
    """The inputs are bytes, text, or a valid file with a part replaced."""
    make, read, error = READERS[name]
    content = data.draw(
        st.one_of(
            st.binary(max_size=300),
            st.text(max_size=200).map(str.encode),
            st.lists(st.lists(st.sampled_from(["1", "2.5", "a", "", "nan", '"', "é"]), max_size=4))
            .map(lambda rows: "\n".join(map(",".join, rows)).encode()),
            st.tuples(st.sampled_from(make()), st.integers(0, 400), st.binary(max_size=12))
            .map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + len(t[2]) :]),
        )
    )  # fmt: skip
    require_own_error(read, error, tmp_path_factory.getbasetemp() / f"drawn.{name}", content)


def test_the_reader_of_safetensors_takes_little_memory(tmp_path):
    """It is written in Rust, which tracemalloc does not see, so the system is asked."""
    resource = pytest.importorskip("resource")  # not on Windows
    path, rng, valid = tmp_path / "broken", np.random.default_rng(1), weights()
    require_own_error(load_file, StateError, path, valid[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(500):
        content = damaged(valid[i % 2], rng)
        if i % 5 == 0:  # a valid header that promises a large array
            head = b'{"x":{"dtype":"F64","shape":[%d],"data_offsets":[0,%d]}}' % (1 << 34, 1 << 37)
            content = struct.pack("<Q", len(head)) + head + bytes(64)
        require_own_error(load_file, StateError, path, content)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # kB on Linux; bytes on macOS, where it cannot fail
