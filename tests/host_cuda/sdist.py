"""Fetch a source distribution from the package index that pip uses, without building it.

    python sdist.py NAME VERSION FILE

``pip download`` would prepare the package's metadata with its build system, which fails if one of the
build requirements cannot be installed.
"""

import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path


def index() -> str:
    """The address of the index that pip is configured to use."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,  # the setting may be missing
    )
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    address = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    if not address:
        address = subprocess.run(
            [sys.executable, "-c", default], capture_output=True, text=True, check=True
        ).stdout.strip()
    return address.rstrip("/")


def fetch(name: str, version: str, file: str) -> None:
    """Write the distribution's archive to the file."""
    page = f"{index()}/{name}/"
    with urllib.request.urlopen(page) as answer:
        links = answer.read().decode()
    archive = re.escape(f"{name}-{version}.tar.gz")
    link = re.search(rf'href="([^"]*/{archive}[^"]*)"', links)
    if link is None:
        raise SystemExit(f"expected {name}-{version}.tar.gz on the package index, but found none")
    with urllib.request.urlopen(urllib.parse.urljoin(page, link[1])) as answer:
        data = answer.read()
    Path(file).write_bytes(data)


if __name__ == "__main__":
    fetch(*sys.argv[1:])
