"""Data sets that are fetched once, checked, and kept: Fashion-MNIST, KMNIST, CIFAR-10.

The package pooch fetches them; the extra "data" installs it. Each file has the SHA-256 checksum of
the file as it was published, so a mirror need not be trusted. On a machine without a network, put
the files into a folder and name it: `data_dir`, or `--data-dir` on the command line.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xpnet._typing import PathLike
from xpnet.errors import DataError


@dataclass(frozen=True)
class Remote:
    """Where a data set is published.

    Attributes
    ----------
    name : str
    files : mapping of str to str
        The SHA-256 checksum of each file.
    mirrors : sequence of str
        URLs of folders that have the files, in the order in which they are tried.
    classes : sequence of str
        The names of the classes, by number.
    """

    name: str
    files: Mapping[str, str] = field(repr=False)
    mirrors: Sequence[str] = field(repr=False)
    classes: Sequence[str]


FASHION_MNIST = Remote(  # Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747; MIT licence
    "fashion-mnist",
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip

KMNIST = Remote(  # Clanuwat et al. 2018, arXiv:1812.01718; CC BY-SA 4.0
    "kmnist",
    {
        "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
    (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://storage.googleapis.com/kuzushiji-mnist/",
    ),
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)

CIFAR10 = Remote(  # Krizhevsky 2009; the binary version, which holds no pickle
    "cifar10",
    {
        "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    },
    (
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ),
    (
        "airplane", "automobile", "bird", "cat", "deer",
        "dog", "frog", "horse", "ship", "truck",
    ),
)  # fmt: skip

REMOTES = {remote.name: remote for remote in (FASHION_MNIST, KMNIST, CIFAR10)}


def fetch(
    remote: Remote, mirrors: Sequence[str] | None = None, cache: PathLike | None = None
) -> Path:
    """The folder with all files of a data set; missing and damaged files are fetched first.

    Parameters
    ----------
    remote : Remote
    mirrors : sequence of str, optional
        URLs to be used instead of the data set's own.
    cache : path-like, optional
        The folder in which the data set has its folder; by default `$XPNET_CACHE`, or the user's
        cache folder (`~/.cache/xpnet` on Linux).

    Raises
    ------
    DataError
        Pooch is not installed, or no mirror returned a file with the right checksum. The message
        lists the failure of each mirror, and what to try.
    """
    mirrors = mirrors or remote.mirrors
    alternative = (
        f"Without a network, copy {', '.join(remote.files)} from {mirrors[0]} to a folder, and name "
        "it with data_dir (--data-dir FOLDER)."
    )
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"{remote.name}: fetching it from the network needs pooch: "
            f'pip install "xpnet[data]". {alternative}'
        ) from None
    folder = Path(cache or os.environ.get("XPNET_CACHE") or pooch.os_cache("xpnet")) / remote.name
    for name, checksum in remote.files.items():
        failures = []
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}"
            try:
                # A file in the cache is fetched again only if its checksum is wrong. The new file
                # replaces it when it is complete.
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{checksum}",
                    fname=name,
                    path=folder,
                    downloader=pooch.HTTPDownloader(timeout=30),
                )
                break
            except (OSError, ValueError) as error:  # the errors of requests are OSErrors
                failures.append(f"    {url}: {error}")
        else:
            raise DataError(
                f"{remote.name}: {name} could not be fetched to {folder}:\n"
                + "\n".join(failures)
                + f"\nIs there a network? {alternative}"
            )
    return folder
