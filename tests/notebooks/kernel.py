"""Notebooks that a test runs in a kernel of their own, by nbclient, as Jupyter does."""

import asyncio
import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
TIMEOUT = 300  # seconds, for a cell
BEGUN = "begun"
"""The file that a cell creates in its folder when it may be interrupted."""


def readme():
    """The README's blocks of Python, in their order, as they stand."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [block.rstrip() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def cells_of(program):
    """The cells of a program, each of which begins with a line "# %%"; what is before the first is the first."""
    parts = re.split(r"^# %%\n", dedent(program), flags=re.MULTILINE)
    return [part.strip() for part in parts]


def notebook(cells):
    """A notebook of these cells of code."""
    import nbformat  # not above: pytest imports this file too where Jupyter is not installed

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return made


def executed(cells, folder, interrupt=None, errors=False):
    """Run a notebook in a folder, and return its cells with their outputs.

    Parameters
    ----------
    cells : list of str, or str as `cells_of` takes it, or notebook
    folder : Path
    interrupt : int, optional
        The cell that is interrupted, once it has created the file `BEGUN`.
    errors : bool
        Whether a cell may raise an error; otherwise the test fails with its traceback.
    """
    from nbclient import NotebookClient

    if isinstance(cells, str):
        cells = cells_of(cells)
    made = notebook(cells) if isinstance(cells, list) else cells
    client = NotebookClient(
        made,
        timeout=TIMEOUT,
        allow_errors=errors,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    asyncio.run(_execute(client, folder / BEGUN, interrupt))
    return made.cells


async def _execute(client, begun, interrupt):
    async with client.async_setup_kernel():
        for i, cell in enumerate(client.nb.cells):
            running = client.async_execute_cell(cell, i)
            if i == interrupt:
                await asyncio.gather(running, _interrupt(client, begun))
            else:
                await running


async def _interrupt(client, begun):
    while not begun.exists():  # noqa: ASYNC110 - it is another process that creates the file
        await asyncio.sleep(0.02)
    await client.km.interrupt_kernel()


def printed(cell, stream="stdout"):
    """What a cell printed."""
    return "".join(x.text for x in cell.outputs if x.get("name") == stream)


def displayed(cell, kind="text/plain"):
    """What a cell displayed, in a form such as "image/png"; results of its last expression, too."""
    return [x.data[kind] for x in cell.outputs if kind in x.get("data", {})]


def errors_of(cells):
    """The names of the errors that cells raised."""
    return [x.ename for cell in cells for x in cell.outputs if x.output_type == "error"]
