"""Fetching data sets from servers on this machine: complete, truncated, wrong, dead and missing."""

import gzip
import hashlib
import io
import logging
import lzma
import re
import shutil
import sys
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import xpnet.data.datasets
from xpnet import DataError
from xpnet.data import DATASETS, class_names, load_dataset, load_mnist, read_idx
from xpnet.data._cifar import TEST, TRAIN
from xpnet.data.remote import CIFAR10, FASHION_MNIST, KMNIST, REMOTES, Remote, fetch

pooch = pytest.importorskip("pooch")

FILES = {"a.bin": b"all of a" * 1000, "b.bin": b"b"}
SMALL = Remote(
    "small", {n: hashlib.sha256(c).hexdigest() for n, c in FILES.items()}, [], ["x", "y"]
)


@pytest.fixture(autouse=True)
def quiet():
    """Silence pooch, which logs each download."""
    pooch.get_logger().setLevel(logging.CRITICAL)
    yield
    pooch.get_logger().setLevel(logging.INFO)


@pytest.fixture
def serve():
    """A function that starts a server of some files, and returns its URL and a list of requests."""
    servers = []

    def start(files, promised=0):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path[1:]
                asked.append(name)
                if name not in files:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(files[name]) + promised))
                self.end_headers()
                self.wfile.write(files[name])

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/", asked

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def refusal(mirrors, cache):
    with pytest.raises(DataError) as caught:
        fetch(SMALL, mirrors, cache)
    return str(caught.value)


def test_files_are_fetched_once(serve, tmp_path):
    """They are stored in a folder with the data set's name; the second time there is no request."""
    mirror, asked = serve(FILES)
    for address in mirror.rstrip("/"), mirror:
        folder = fetch(SMALL, [address], tmp_path)
        assert folder == tmp_path / "small"
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == FILES
    assert asked == ["a.bin", "b.bin"]


def test_a_damaged_file_in_the_cache_is_fetched_again(serve, tmp_path):
    mirror, asked = serve(FILES)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "a.bin").write_bytes(b"half of it")
    assert (fetch(SMALL, [mirror], tmp_path) / "a.bin").read_bytes() == FILES["a.bin"]
    assert asked == ["a.bin", "b.bin"]


def test_a_mirror_that_fails_is_skipped(serve, tmp_path):
    """Mirrors may be unreachable, lack the files, or have other ones."""
    missing, _ = serve({})
    wrong, _ = serve({"a.bin": b"an advertisement", "b.bin": b"b"})
    good, asked = serve(FILES)
    folder = fetch(SMALL, ["http://127.0.0.1:9/", missing, wrong, good], tmp_path)
    assert (folder / "a.bin").read_bytes() == FILES["a.bin"]
    assert asked == ["a.bin"]  # b.bin came from the first mirror


def test_a_truncated_download_leaves_no_file(serve, tmp_path):
    """The connection may break, or the file of the mirror may be short."""
    broken, _ = serve({name: content[:1] for name, content in FILES.items()}, promised=100)
    short, _ = serve({name: content[:-1] for name, content in FILES.items()})
    message = refusal([broken, short], tmp_path)
    assert re.search(rf"{broken}a\.bin: .*(IncompleteRead|ended prematurely)", message)
    assert re.search(rf"{short}a\.bin: .*hash", message)
    assert not list((tmp_path / "small").glob("*.bin"))


def test_a_wrong_checksum_leaves_no_file(serve, tmp_path):
    mirror, _ = serve({"a.bin": b"something else", "b.bin": b"b"})
    message = refusal([mirror], tmp_path)
    assert SMALL.files["a.bin"] in message
    assert not (tmp_path / "small" / "a.bin").exists()


def test_without_a_network_the_error_lists_each_failure(tmp_path):
    """The message also says what to do without a network."""
    message = refusal(["http://127.0.0.1:9/", "http://nowhere.invalid/"], tmp_path)
    assert message.startswith(f"small: a.bin could not be fetched to {tmp_path / 'small'}:\n")
    assert "\n    http://127.0.0.1:9/a.bin: " in message
    assert "\n    http://nowhere.invalid/a.bin: " in message
    assert "copy a.bin, b.bin from http://127.0.0.1:9/ to a folder" in message
    assert "--data-dir FOLDER" in message


def test_a_cache_that_cannot_be_written_is_an_error(serve, tmp_path):
    mirror, _ = serve(FILES)
    (tmp_path / "small").write_text("a file where the folder should be")
    assert "small: a.bin could not be fetched" in refusal([mirror], tmp_path)


def test_an_environment_variable_names_the_cache(serve, tmp_path, monkeypatch):
    mirror, _ = serve(FILES)
    monkeypatch.setenv("XPNET_CACHE", str(tmp_path / "elsewhere"))
    assert fetch(SMALL, [mirror]) == tmp_path / "elsewhere" / "small"


def test_without_pooch_the_error_says_what_to_install(monkeypatch):
    """The message also says what to do without it."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r'pip install "xpnet\[data\]".*--data-dir FOLDER'):
        fetch(KMNIST)


@pytest.mark.parametrize("remote", REMOTES.values(), ids=lambda remote: remote.name)
def test_the_table_of_data_sets_is_well_formed(remote):
    """Checksums are SHA-256, URLs end in a slash, and there are ten classes."""
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in remote.files.values())
    assert len(remote.mirrors) >= 2
    assert all(re.fullmatch(r"https?://\S+/", mirror) for mirror in remote.mirrors)
    assert len(set(remote.classes)) == 10


DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read_from_data_dir():
    """It has 6,000 and 1,000 images per class, and the published mean."""
    (x, t), (x_test, t_test) = load_dataset("fashion-mnist", data_dir=DEBIAN)
    assert x.shape == (60000, 1, 28, 28)
    assert x_test.shape == (10000, 1, 28, 28)
    assert np.bincount(t).tolist() == [6000] * 10
    assert np.bincount(t_test).tolist() == [1000] * 10
    assert x.mean(dtype=np.float64) == pytest.approx(0.2860, abs=5e-5)
    assert x.std(dtype=np.float64) == pytest.approx(0.3530, abs=5e-5)
    assert [class_names("fashion-mnist")[i] for i in t[:3]] == [
        "Ankle boot",
        "T-shirt/top",
        "T-shirt/top",
    ]


def test_load_dataset_fetches_by_name(serve, tmp_path, monkeypatch):
    """The files come from the mirrors and are stored in the cache."""
    images = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2)

    def idx(a):
        return bytes([0, 0, 8, a.ndim]) + np.asarray(a.shape, ">u4").tobytes() + a.tobytes()

    labels = np.arange(12, dtype=np.uint8) % 10
    files = {
        name: gzip.compress(idx(images if "images" in name else labels), mtime=0)
        for name in KMNIST.files
    }
    mirror, _ = serve(files)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(xpnet.data.datasets.REMOTES, "kmnist",
                        replace(KMNIST, files=sums, mirrors=[mirror]))  # fmt: skip
    monkeypatch.setenv("XPNET_CACHE", str(tmp_path))
    (x, t), (x_test, _) = load_dataset("kmnist", normalize=False)
    assert x.tolist() == images[:, None].tolist()
    assert t.tolist() == labels.tolist()
    assert x_test.shape == (12, 1, 2, 2)
    assert read_idx(tmp_path / "kmnist" / "train-labels-idx1-ubyte.gz").tolist() == labels.tolist()


def idx(a):
    """The bytes of an IDX file."""
    return bytes([0, 0, 8, a.ndim]) + np.asarray(a.shape, ">u4").tobytes() + a.tobytes()


def digits(value):
    """The four files of a data set in the cache, by name; all pixels have one value."""
    arrays = {"images": np.full((12, 2, 2), value, "u1"), "labels": np.arange(12, dtype="u1") % 10}
    return {
        name: gzip.compress(idx(arrays["images" if "images" in name else "labels"]), mtime=0)
        for name in KMNIST.files
    }


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A function that puts files into the cache and makes their checksums the published ones."""

    def publish(remote, files):
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        monkeypatch.setitem(
            xpnet.data.datasets.REMOTES,
            remote.name,
            replace(remote, files=sums, mirrors=["http://127.0.0.1:9/"]),
        )
        monkeypatch.setenv("XPNET_CACHE", str(tmp_path))
        folder = tmp_path / remote.name
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder

    return publish


@pytest.mark.parametrize("end", ["", ".xz"])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("remote", [KMNIST, FASHION_MNIST])
def test_a_file_beside_the_checked_one_is_not_read(published, remote, end, dot):
    """The published file is read, also if `load_idx_folder` would prefer another name."""
    folder = published(remote, digits(7))
    pack = lzma.compress if end else bytes
    for name, content in digits(99).items():
        other = name.removesuffix(".gz").replace("-idx", f"{dot}idx") + end
        (folder / other).write_bytes(pack(gzip.decompress(content)))
    (x, _), (x_test, _) = load_dataset(remote.name, normalize=False)
    assert np.unique(x).tolist() == np.unique(x_test).tolist() == [7]
    if (dot, end) == ("-", ""):  # in a folder that the caller names, it is read
        (x, _), _ = load_dataset(remote.name, normalize=False, data_dir=folder)
        assert np.unique(x).tolist() == [99]


def cifar(value):
    """The archive of CIFAR-10, with one record per file, and its files."""
    files = {name: bytes([3]) + bytes([value]) * 3072 for name in (*TRAIN, TEST)}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return {"cifar-10-binary.tar.gz": content.getvalue()}, files


@pytest.mark.parametrize("within", ["", "cifar-10-batches-bin"])
def test_unpacked_files_beside_the_checked_archive_are_not_read(published, within):
    folder = published(CIFAR10, cifar(7)[0])
    (folder / within).mkdir(exist_ok=True)
    for name, content in cifar(99)[1].items():
        (folder / within / name).write_bytes(content)
    (x, _), _ = load_dataset("cifar10", normalize=False)
    assert np.unique(x).tolist() == [7]
    (x, _), _ = load_dataset("cifar10", normalize=False, data_dir=folder)
    assert np.unique(x).tolist() == [99]


@pytest.mark.parametrize("remote", [KMNIST, CIFAR10])
def test_a_file_that_is_replaced_after_it_was_checked_is_refused(published, monkeypatch, remote):
    """The bytes that are read are hashed: another process may write in between."""
    old, new = (digits(7), digits(99)) if remote is KMNIST else (cifar(7)[0], cifar(99)[0])
    folder, name = published(remote, old), next(iter(old))

    def replaced(*args):
        found = fetch(*args)
        (folder / name).write_bytes(new[name])
        return found

    monkeypatch.setattr(xpnet.data.datasets, "fetch", replaced)
    with pytest.raises(
        DataError, match="expected the SHA-256 checksum .* Delete it to fetch it again"
    ) as caught:
        load_dataset(remote.name)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("load", [lambda: load_dataset("mnist"), load_mnist])
def test_the_included_files_are_checked(monkeypatch, tmp_path, load):
    """An uncompressed file beside them is not read."""
    built_in = xpnet.data.datasets._BUILT_IN
    folder = shutil.copytree(built_in, tmp_path / "mnist")
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(60000, "u1")))
    monkeypatch.setattr(xpnet.data.datasets, "_BUILT_IN", folder)
    (_, t), _ = load()
    assert t[:5].tolist() == [5, 0, 4, 1, 9]
    path = folder / "train-labels-idx1-ubyte.xz"
    path.write_bytes(lzma.compress(idx(np.zeros(60000, "u1"))))
    with pytest.raises(DataError, match="expected the SHA-256 checksum"):
        load()


def test_an_unknown_data_set_is_refused():
    assert DATASETS == ("mnist", "fashion-mnist", "kmnist", "cifar10")
    assert class_names("mnist") == list("0123456789")
    with pytest.raises(DataError, match="Unknown data set 'iris'. Expected one of mnist, "):
        class_names("iris")
    assert class_names("cifar10") == list(CIFAR10.classes)
    assert FASHION_MNIST.classes[9] == "Ankle boot"
    with pytest.raises(DataError, match="Unknown data set 'imagenet'. Expected one of mnist, fash"):
        load_dataset("imagenet")
