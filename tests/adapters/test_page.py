"""docs/hand-over.md: the code of each section runs, and prints the tables that it shows."""

import re
from pathlib import Path

import pytest

import xpnet
from xpnet.testing import assert_close

PAGE = Path(__file__).parents[2] / "docs" / "hand-over.md"
TEXT = PAGE.read_text(encoding="utf-8")


def run(title):
    """The names that a section defines. What it prints is what follows in a block without a language."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    line = TEXT.count("\n", 0, section.start(1))
    printed = []
    shown = []
    scope = {"print": lambda x: printed.append(str(x))}
    blocks = re.finditer(r"^```(\w*)\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    for block in blocks:
        if block[1] == "python":
            before = "\n" * (line + section[1].count("\n", 0, block.start(2)))
            with xpnet.using("numpy"):
                exec(compile(before + block[2], PAGE.name, "exec"), scope)
        else:
            shown.append(block[2].rstrip("\n"))
    assert shown == printed
    return scope


def test_weights_of_pytorch():
    torch = pytest.importorskip("torch", reason="the section is about PyTorch")
    page = run("PyTorch: weights")
    x = torch.randn(5, 4)
    for ours, theirs in (("ours", "theirs"), ("mlp", "net_of_torch")):
        assert_close(page[ours](x.numpy()), page[theirs](x).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_modules_of_pytorch():
    torch = pytest.importorskip("torch", reason="the section is about PyTorch")
    torch.manual_seed(0)
    page = run("PyTorch: layers in modules, and modules in layers")
    assert float(page["loss"]) < 1.0
    assert float(page["torch_loss"].detach()) < 1.0
    assert page["body"][0].weight.grad is not None
    assert page["head"].layer[1].weight.grad is not None


def test_transformations_of_jax():
    pytest.importorskip("jax", reason="the section is about JAX")
    page = run("JAX: jit, grad and vmap of functions and layers")
    points = page["points"]
    assert_close(page["energies"][3], page["energy"](points[3]), rtol=1e-5)
    assert_close(page["slopes"], page["same"], rtol=1e-4, atol=1e-6)
    assert_close(
        page["curvatures"][3], xpnet.hessian(page["energy"])(points[3]), rtol=1e-4, atol=1e-5
    )
    mean = xpnet.grad(page["mean_loss"])(page["parameters"], page["x"], page["t"])
    for name, g in page["of_each"].items():
        assert g.shape == (16, *mean[name].shape)
        assert_close(g.mean(axis=0), mean[name], rtol=1e-4, atol=1e-6)
    assert page["losses"][-1] < 0.9 * page["losses"][0]
    assert page["both"].shape == (2, 16, 3)
    assert_close(page["both"][0], page["net"](page["x"]), rtol=1e-4, atol=1e-5)


def test_weights_of_keras():
    page = run("Keras 3")
    assert [w.shape for w in page["weights"]][-2:] == [(144, 10), (10,)]


def test_each_section_with_code_is_run():
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    with_code = {x.partition("\n")[0] for x in sections if "```" in x}
    assert with_code == set(re.findall(r'run\("(.*)"\)', Path(__file__).read_text("utf-8")))


def test_the_links_of_the_page_lead_to_files():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    assert [x for x in links if "://" not in x and not (PAGE.parent / x).exists()] == []
