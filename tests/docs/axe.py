"""axe-core, which finds what people with a screen reader or weak eyes cannot use: a package on npm.

npm fetches it once into xpnet's cache folder.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from xpnet.compiler.c.build import cache_folder

VERSION = "4.14.1"
INTEGRITY = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""As npm publishes it: `npm view axe-core@4.14.1 dist.integrity`."""


class MissingAxeError(Exception):
    """axe-core is not there, and cannot be fetched; the message says why."""


def find_axe() -> str:
    """The script axe.min.js, from the cache folder, or from npm."""
    folder = Path(os.environ.get("XPNET_CACHE") or cache_folder().parent)
    archive = folder / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        fetch(folder)
    require_integrity(archive)
    with tarfile.open(archive) as package:
        return package.extractfile("package/axe.min.js").read().decode("utf-8")


def fetch(folder: Path) -> None:
    """Have npm write the package's archive into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingAxeError("npm, which fetches axe-core, was not found: install Node.js.")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise MissingAxeError(f"npm could not fetch axe-core {VERSION}: {reason}") from error


def require_integrity(archive: Path) -> None:
    """Raise if the archive is not the one that was published; it is removed then."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode("ascii")
    if f"sha512-{digest}" != INTEGRITY:
        archive.unlink()
        raise MissingAxeError(
            f"Expected axe-core {VERSION} with the integrity {INTEGRITY}, got sha512-{digest}. "
            "Which registry does npm use (npm config get registry)?"
        )
