"""benchmarks/: without a compiler or a library, a program says so, and that is no failure."""

import importlib.util
import sys

import pytest

from benchmarks import products, sequences, windows
from benchmarks.peers import processor
from xpnet.compiler.c import build, load


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """A machine without a C compiler, on which nothing was compiled before."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(load, "BINARIES", tmp_path)
    monkeypatch.setattr(load, "_search", load._Search())
    sequences.no_library.cache_clear()
    yield
    sequences.no_library.cache_clear()


@pytest.mark.parametrize("program", [products, windows])
def test_without_a_compiler_nothing_is_measured(program, no_compiler, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program"])
    assert program.main() == 0
    assert "Nothing is measured. No C compiler was found." in capsys.readouterr().out


def test_without_a_library_the_table_says_why(no_compiler, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["program", "rosenbrock", "--libraries", "xpnet-compiled", "--rounds", "1"]
    )
    assert sequences.main() == 0
    assert "| rosenbrock | (There is no C library: No C compiler was found" in (
        capsys.readouterr().out
    )


@pytest.mark.skipif(not build.find_compilers(), reason="no C compiler is on the PATH")
def test_the_functions_of_windows_and_of_products_compile(tmp_path):
    for name in ("windows", "products"):
        (tmp_path / name).mkdir()
    assert products.library_in(tmp_path / "products").product_f32
    functions = windows.library_in(tmp_path / "windows", "native")
    size = windows.Size("small", 4, 2, 3, 6, 3, 1)
    for call in windows.in_c(functions, size).values():
        call()


def test_aligned_memory_begins_at_a_line_of_the_cache():
    for dtype in (processor.np.float32, processor.np.int8):
        x = processor.aligned(3, 5, dtype=dtype)
        assert x.shape == (3, 5)
        assert x.dtype == dtype
        assert x.ctypes.data % 64 == 0


def test_the_compiled_step_of_the_physics_informed_network_is_the_eager_one():
    eager = sequences.maker("xpnet", "physics")
    compiled = sequences.maker("xpnet-compiled", "physics")
    for _ in range(6):
        expected = float(eager().data)
        assert float(compiled().data) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_peer_learns_the_physics_informed_network(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    # In a process of its own: JAX computes in float64 only if all of the process does.
    assert isinstance(sequences.measured(library, "physics"), float)
