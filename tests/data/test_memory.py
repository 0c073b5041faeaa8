"""Memory: a training over files that are larger than memory keeps a bounded part of them in memory.

Each is measured in a process of its own, whose largest memory Linux keeps as VmHWM: its own memory and
pages of mapped files together.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.processes import environment
from xpnet.data import DataLoader
from xpnet.data.stored import BUFFER

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux has the numbers in /proc"
)

FEATURES = 16_384  # 64 KiB in each row
ROW = 4 * FEATURES
PROGRAM = f"""
import sys
from pathlib import Path

import numpy as np

import xpnet
from xpnet import functions as F
from xpnet.data import DataLoader, StoredSamples, open_samples
from xpnet.training import Trainer

kind, path, buffer = sys.argv[1:]
buffer = int(buffer)
if kind in ("rows", "blocks"):
    x = np.memmap(path, np.float32, "r").reshape(-1, {FEATURES})
    t = np.zeros((len(x), 1), np.float32)
    data = (x, t) if kind == "rows" else (StoredSamples(x, t, buffer=buffer),)
else:
    data = (open_samples(path, "x", "t", buffer=buffer),)
loader = DataLoader(*data, batch_size=64, shuffle=True, seed=0, prefetch=2)
model = xpnet.Affine({FEATURES}, 1)
trainer = Trainer(model, F.mean_squared_error, xpnet.SGD(model.parameters(), lr=1e-6))
history = trainer.fit(loader, epochs=1)

assert history["train_loss"][0] >= 0
lines = Path("/proc/self/status").read_text().splitlines()
print(*(line.split()[1] for line in lines if line.startswith("VmHWM")), loader.samples)
"""


def megabytes_of_a_training(kind, path, buffer=BUFFER):
    """The largest memory of a training over all samples, and their number."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(path), str(buffer)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    kilobytes, samples = map(int, run.stdout.split())
    return kilobytes / 1000, samples


def sparse(path, rows, header=b""):
    """A file of zeros, which takes no space on disk."""
    with path.open("wb") as file:
        file.write(header)
        try:
            file.truncate(len(header) + rows * ROW)
        except OSError as error:
            pytest.skip(f"no file system for large files: {error}")
    return path


def sparse_npy(folder, rows):
    """The same as x.npy, with its targets."""
    np.save(folder / "x.npy", np.zeros((0, FEATURES), np.float32))
    header = (folder / "x.npy").read_bytes()
    count = f"({rows}, {FEATURES})".encode()
    start = header.index(b"(0, ")
    end = start + len(f"(0, {FEATURES})")
    padding = len(count) - (end - start)
    header = header[:start] + count + header[end:].replace(b" " * padding, b"", 1)
    sparse(folder / "x.npy", rows, header)
    np.save(folder / "t.npy", np.zeros((rows, 1), np.float32))
    return folder


def zarr_store(folder, rows, x=None):
    """A store whose chunks are missing, and consist of zeros; or that has the rows of x."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    group = zarr.open_group(folder / "data.zarr", mode="w")
    for name, width in ("x", FEATURES), ("t", 1):
        shape = (rows, width)
        array = group.create_array(
            name, shape=shape, chunks=(16, width), dtype="f4", compressors=None
        )
        if x is not None:
            array[:] = x[:, :width]
    return folder / "data.zarr"


@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_pages_of_a_mapped_file_are_released(tmp_path, kind):
    """An epoch over 400 MB takes less than 300, of which Python itself has 100 and the buffers 130."""
    path = sparse(tmp_path / "x", rows=6400)
    memory, samples = megabytes_of_a_training(kind, path, buffer=1 << 25)
    assert samples == 6400
    assert memory < 300


def test_npy_files_are_not_mapped(tmp_path):
    memory, _ = megabytes_of_a_training("npy", sparse_npy(tmp_path, rows=6400), buffer=1 << 24)
    assert memory < 200


def test_zarr_takes_the_memory_of_its_buffers(tmp_path):
    """A store with chunks on the disk, of 130 MB."""
    x = np.random.default_rng(0).random((2000, FEATURES), np.float32)
    memory, _ = megabytes_of_a_training("zarr", zarr_store(tmp_path, 2000, x), buffer=1 << 24)
    assert memory < 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_an_epoch_over_20_gb_of_a_mapped_file_takes_less_than_500_mb(tmp_path, kind):
    rows = 20 * 10**9 // ROW + 1
    memory, samples = megabytes_of_a_training(kind, sparse(tmp_path / "x", rows))
    assert samples * ROW > 20e9
    assert memory < 500


@pytest.mark.slow
def test_an_epoch_over_5_gb_of_zarr_takes_less_than_500_mb(tmp_path):
    rows = 5 * 10**9 // ROW + 1
    memory, samples = megabytes_of_a_training("zarr", zarr_store(tmp_path, rows))
    assert samples * ROW > 5e9
    assert memory < 500


def test_pages_with_changes_are_kept(tmp_path):
    """Of a map in mode "c", a page may have changes that are nowhere else."""
    rows = 2000  # twice what is mapped at a time
    sparse(tmp_path / "x", rows)
    x = np.memmap(tmp_path / "x", np.float32, "c").reshape(rows, FEATURES)
    x[:, 0] = np.arange(rows)
    for options in {}, {"shuffle": True, "seed": 0}:
        found = np.concatenate([x[:, 0] for x in DataLoader(x, batch_size=64, **options)])
        assert sorted(found) == list(range(rows))
    np.testing.assert_array_equal(x[:, 0], np.arange(rows))
