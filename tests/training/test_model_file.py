"""A model of the user's own: read, identified by its content, and executed as it was read."""

import pytest

import xpnet
from xpnet.training import model_file as source

NET = "import xpnet\ndef net(shape, outputs):\n    return xpnet.Affine(shape[0], outputs)\n"


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return source.read(tmp_path / "net.py", "net")


def test_a_model_is_built_with_its_arguments(net):
    model = net.build((3,), 2)
    assert model.weight.shape == (3, 2)


def test_nothing_is_cached_beside_it(net, tmp_path):
    net.build((3,), 2)
    assert [p.name for p in tmp_path.iterdir()] == ["net.py"]


def test_the_digest_depends_on_the_function_and_the_code(net):
    others = [net._replace(function="tne"), net._replace(code=net.code + b"\n")]
    assert len({net.digest, *(other.digest for other in others)}) == 3
    assert net._replace(path=net.path.with_name("other.py")).digest == net.digest


def test_trust_is_remembered(net, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    assert not net.is_trusted()
    with pytest.raises(xpnet.StateError, match="trust=True"):
        net.require_trust(trust=False)
    net.require_trust(trust=True)
    assert not net.is_trusted()
    net.trust()
    assert net.is_trusted()
    net.require_trust(trust=False)
    assert not net._replace(function="other").is_trusted()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\n" * 10, b"0" * 64])
def test_a_damaged_list_of_trusted_code_trusts_nothing(net, monkeypatch, tmp_path, content):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    (tmp_path / "state" / "xpnet").mkdir(parents=True)
    (tmp_path / "state" / "xpnet" / "trusted").write_bytes(content)
    assert not net.is_trusted()


def test_without_a_home_folder_nothing_is_remembered(net, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr("pathlib.Path.home", no_home)
    net.trust()
    assert not net.is_trusted()


@pytest.mark.parametrize("name", ["net.txt", "net"])
def test_a_file_that_is_no_python_code_is_named(tmp_path, name):
    (tmp_path / name).write_text(NET)
    with pytest.raises(xpnet.StateError, match=r"one that ends in \.py"):
        source.read(tmp_path / name, "net")


@pytest.mark.parametrize("model", ["lenet", None, 3, ["model.py:net"], {}])
def test_a_model_of_xpnet_has_no_source(tmp_path, model):
    assert source.of_run(tmp_path / "model.safetensors", model) is None
