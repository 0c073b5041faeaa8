"""Samples per second of a loader over files, against the same arrays in memory and PyTorch's loader.

    python benchmarks/stored.py                                  a table in Markdown
    python benchmarks/stored.py --megabytes 100 --batch 256 --repeats 5

One epoch in a new order over the same samples (784 numbers in float32, as a picture of MNIST, and a
label), written once to each format, uncompressed for .npy and with the default compression for zarr and
Parquet. Batches are on the host; nothing is trained. The files are in the system's page cache, as they
have just been written, so the figures are the work of the processor, not that of a disk. PyTorch has
a Dataset with one sample per index for .npy and for zarr, where each sample decompresses its chunk (at
most --scattered of them are read), and for zarr and Parquet one that reads chunk by chunk, in a new
order, and shuffles within a chunk: it yields samples, which the loader stacks.

On a machine that is busy, --cpu counts the processor's time of this process in place of the time that
passes; PyTorch's workers, which are other processes, are left out then.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from torch.utils.data import DataLoader as TorchLoader, Dataset, IterableDataset

from xpnet.data import DataLoader, StoredSamples, open_samples

FEATURES = 784
CHUNK = 1000  # rows


def write(folder: Path, megabytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Write the samples in each format."""
    rows = megabytes * 10**6 // (4 * FEATURES)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, FEATURES)).astype(np.float32)
    t = rng.integers(0, 10, rows)
    (folder / "npy").mkdir()
    np.save(folder / "npy" / "x.npy", x)
    np.save(folder / "npy" / "t.npy", t)
    group = zarr.open_group(folder / "data.zarr", mode="w")
    for name, array in ("x", x), ("t", t):
        chunks = (CHUNK, *array.shape[1:])
        group.create_array(name, shape=array.shape, chunks=chunks, dtype=array.dtype)[:] = array
    pictures = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), FEATURES)
    table = pa.table({"x": pictures, "t": t})
    pq.write_table(table, folder / "data.parquet", row_group_size=CHUNK)
    return x, t


# --- PyTorch's data sets --------------------------------------------------------------------------


class ByIndex(Dataset):
    """One sample per index, from arrays that are opened in the process that reads."""

    def __init__(self, opened: Callable[[], tuple], rows: int) -> None:
        self.opened = opened
        self.rows = rows
        self.arrays = None

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        if self.arrays is None:
            self.arrays = self.opened()
        x, t = self.arrays
        return torch.from_numpy(np.array(x[i])), int(t[i])


class ByChunk(IterableDataset):
    """Chunk after chunk in a new order; the chunks are divided between the workers."""

    def __init__(self, chunks: int, read: Callable[[int], tuple]) -> None:
        self.chunks = chunks
        self.read = read

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        worker = torch.utils.data.get_worker_info()
        order = torch.randperm(self.chunks, generator=torch.Generator().manual_seed(0)).tolist()
        if worker is not None:
            order = order[worker.id :: worker.num_workers]
        for chunk in order:
            x, t = self.read(chunk)
            for i in torch.randperm(len(t)).tolist():
                yield torch.from_numpy(x[i]), int(t[i])


def npy_arrays(folder: Path) -> tuple:
    """The arrays of the .npy files, mapped into memory."""
    x, t = (np.load(folder / "npy" / f"{name}.npy", mmap_mode="r") for name in "xt")
    return x, t


def zarr_arrays(folder: Path) -> tuple:
    """The arrays of the zarr store."""
    group = zarr.open_group(folder / "data.zarr", mode="r")
    return group["x"], group["t"]


def zarr_chunk(folder: Path, chunk: int) -> tuple:
    """The samples of a chunk."""
    x, t = zarr_arrays(folder)
    rows = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
    return x[rows], t[rows]


def parquet_chunk(folder: Path, chunk: int) -> tuple:
    """The samples of a row group."""
    table = pq.ParquetFile(folder / "data.parquet").read_row_group(chunk)
    x = table.column("x").combine_chunks().flatten().to_numpy()
    return np.array(x.reshape(-1, FEATURES)), table.column("t").to_numpy()


# --- measuring ------------------------------------------------------------------------------------


def speed(
    clock: Callable[[], float], batches: Callable[[], Iterator], limit: int | None = None
) -> float:
    """Samples per second of an epoch, or of its first `limit` samples."""
    seen = 0
    began = clock()
    for _, t in batches():
        seen += len(t)
        if limit is not None and seen >= limit:
            break
    return seen / (clock() - began)


def contenders(
    folder: Path, data: tuple[np.ndarray, np.ndarray], given: argparse.Namespace
) -> dict[str, dict[str, Callable[[], float]]]:
    """By format: the name of each contender, and what measures it once."""
    x, t = data
    measured = partial(speed, time.process_time if given.cpu else time.perf_counter)
    options = {"batch_size": given.batch, "shuffle": True, "seed": 0}
    ours: dict[str, object] = {
        ".npy, mapped": StoredSamples(*npy_arrays(folder)),
        ".npy": open_samples(folder / "npy", "x", "t"),
        "zarr": open_samples(folder / "data.zarr", "x", "t"),
        "Parquet": open_samples(folder / "data.parquet", "x", "t"),
    }
    table: dict[str, dict[str, Callable[[], float]]] = {}
    table["memory"] = {"xpnet": partial(measured, DataLoader(x, t, **options).__iter__)}
    table[".npy, mapped, row by row"] = {
        "xpnet": partial(measured, DataLoader(*npy_arrays(folder), **options).__iter__)
    }
    for name, source in ours.items():
        table[name] = {
            "xpnet": partial(measured, DataLoader(source, **options).__iter__),
            "xpnet, prefetch=2": partial(
                measured, DataLoader(source, prefetch=2, **options).__iter__
            ),
        }
    in_memory = ByIndex(lambda: (x, t), len(t))
    npy = ByIndex(partial(npy_arrays, folder), len(t))
    rows = ByIndex(partial(zarr_arrays, folder), len(t))
    chunks = -(-len(t) // CHUNK)
    for workers in (0,) if given.cpu else (0, 2):
        loader = partial(TorchLoader, batch_size=given.batch, num_workers=workers)
        name = f"PyTorch, {workers} workers"
        table["memory"][name] = partial(measured, loader(in_memory, shuffle=True).__iter__)
        table[".npy, mapped"][name] = partial(measured, loader(npy, shuffle=True).__iter__)
        table["zarr"][name] = partial(
            measured, loader(ByChunk(chunks, partial(zarr_chunk, folder))).__iter__
        )
        table["zarr"][f"{name}, by index"] = partial(
            measured, loader(rows, shuffle=True).__iter__, given.scattered
        )
        table["Parquet"][name] = partial(
            measured, loader(ByChunk(chunks, partial(parquet_chunk, folder))).__iter__
        )
    return table


def main() -> None:
    """Print the median of each contender, in rounds that alternate between them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scattered", type=int, default=1000)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write(folder, given.megabytes)
        table = contenders(folder, data, given)
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(given.repeats):
            for kind, measures in table.items():
                for contender, measure in measures.items():
                    measure()  # an epoch that is not counted, since memory that is new is slower
                    found.setdefault((kind, contender), []).append(measure())
    memory = statistics.median(found["memory", "xpnet"])
    unit = "second of the processor" if given.cpu else "second"
    print(f"{len(data[1])} samples, batches of {given.batch}\n")
    print(f"| data | loader | samples per {unit} | of xpnet in memory |\n|---|---|---:|---:|")
    for (kind, contender), speeds in found.items():
        median = statistics.median(speeds)
        print(f"| {kind} | {contender} | {median:,.0f} | {median / memory:.2f} |")


if __name__ == "__main__":
    main()
