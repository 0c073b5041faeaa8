"""docs/capabilities.md lists what is declared and tested, and nothing else."""

from pathlib import Path

from tests.functions.capabilities import page, rows
from tests.functions.cases import AGAINST_JAX, CASES, LACKS
from tests.functions.networks import BESIDES, owned
from xpnet import Layer, layers
from xpnet.autodiff.namespace import functions


def test_the_page_is_up_to_date():
    written = Path(__file__).parents[2] / "docs" / "capabilities.md"
    assert written.read_text(encoding="utf-8") == page(), (
        "make it anew: python tests/functions/capabilities.py > docs/capabilities.md"
    )


def test_every_function_has_a_row():
    table, _ = rows()
    assert sum(len(found) for found in table.values()) == len(functions)


def test_every_function_and_layer_of_networks_has_a_row():
    """Every exported one, whether or not the tables of the tests have it."""
    kinds = {v for v in vars(layers).values() if isinstance(v, type) and issubclass(v, Layer)}
    names = {kind.__name__ for kind in kinds - {Layer}} | (owned().keys() - BESIDES)
    written = page()
    assert not [name for name in names if f"| `{name}` |" not in written]


def test_every_excuse_names_an_existing_function():
    """An excuse for a function that was deleted or renamed could hide the next one."""
    assert set(AGAINST_JAX) <= set(CASES)
    assert {name for name, _ in LACKS} <= set(functions)
