"""`xpnet doctor`: every backend, what is there, and the command that installs what is not."""

import re
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

import xpnet
from xpnet import backend as switch

LIBRARIES = ["numpy", "cupy", "torch", "jax", "array_api_strict"]


def rows_of(out):
    """The table of backends: name to (usable, version, device)."""
    found = re.findall(r"^(\w+) +(yes|no) +(\S+) +(.+)$", out, re.MULTILINE)
    return {name: rest for name, *rest in found}


def test_it_tells_what_is_true_of_each_backend(xpnet_):
    answer = xpnet_("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"xpnet {xpnet.__version__}, Python {sys.version.split()[0]}\n")
    rows = rows_of(answer.out)
    assert list(rows)[:5] == LIBRARIES
    assert rows["numpy"] == ["yes", np.__version__, "cpu"]
    for library in LIBRARIES:
        try:
            switch.resolve(library)
        except xpnet.BackendError as error:
            assert rows[library][0] == "no"
            assert str(error) in answer.out
        else:
            assert rows[library][0] == "yes"
            assert rows[library][1] == sys.modules[library].__version__


def test_what_is_missing_comes_with_its_command(xpnet_, monkeypatch):
    """As in an environment with nothing but NumPy."""

    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(switch, "_opened", switch._opened.__wrapped__)
    monkeypatch.setattr("importlib.metadata.distributions", list)
    monkeypatch.setattr(sys.modules["xpnet.cli.doctor"], "version", missing)
    for library in LIBRARIES[1:]:
        monkeypatch.setitem(sys.modules, library, None)
    answer = xpnet_("doctor")
    assert answer.code == 0
    rows = rows_of(answer.out)
    assert [rows[library][:2] for library in LIBRARIES[1:]] == [["no", "-"]] * 4
    assert rows["matplotlib"][:2] == rows["pillow"][:2] == ["no", "-"]
    for package in (
        "torch",
        "jax",
        "array-api-strict",
        "matplotlib",
        "pillow",
        "pooch",
        "tensorboard",
    ):
        assert re.search(rf"pip install {package}\.?$", answer.out, re.MULTILINE), package
    assert re.search(r'pip install "cupy-cuda1[23]x\[ctk\]"', answer.out)
    assert "--backend auto takes numpy." in answer.out


@pytest.mark.parametrize("there", [True, False])
def test_the_tools_for_pictures_are_listed_with_their_purpose(xpnet_, monkeypatch, there):
    versions = {"matplotlib": "3.9.9", "pillow": "11.1.1"} if there else {}

    def version(package):
        try:
            return versions[package]
        except KeyError:
            raise PackageNotFoundError(package) from None

    monkeypatch.setattr(sys.modules["xpnet.cli.doctor"], "version", version)
    rows = rows_of(xpnet_("doctor").out)
    answer = "yes" if there else "no"
    purpose = "curves.png of xpnet train, the page of xpnet evaluate, and xpnet.plots"
    assert rows["matplotlib"] == [answer, versions.get("matplotlib", "-"), purpose]
    assert rows["pillow"] == [answer, versions.get("pillow", "-"), "xpnet predict"]
