"""Write docs/performance.md's tables, pictures and examples: from benchmarks/results, and by running them.

    python benchmarks/report.py                the tables and pictures, from what was measured
    python benchmarks/report.py --examples     also what the examples print; with XPNET_EXECUTOR=c
    python benchmarks/report.py --check        write nothing; exit code 1 if a table is another one

A table stands between `<!-- table: begin -->` and `<!-- table: end -->`; its name is that of the file of
benchmarks/results that `nox -s bench` has measured. A block of ```text after one
of ```python is what the code prints, or the error that it raises.
"""

import argparse
import io
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import end_to_end, scaling, sequences, table
from benchmarks.peers.contender import use_of_threads
from benchmarks.peers.results import footnote, load

PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n\n```text\n(?P<printed>.*?)^```$", re.DOTALL | re.MULTILINE
)


def of_table(results: table.Results) -> str:
    """The table of workloads, and each limit."""
    lines = [f"- {verdict.text}" for verdict in table.verdicts(results)]
    return "\n".join([table.markdown(results), "", *lines])


def of_threads(results: table.Results) -> str:
    """The table of workloads on several threads, for which there are no limits."""
    contenders = list(next(iter(results.values())))
    lines = [f"- {name}: {use_of_threads(name)}." for name in contenders]
    return "\n".join([table.markdown(results), "", *lines])


def of_scaling(results: scaling.Results) -> str:
    """Tables and pictures of depth, width and batch."""
    pictures = [
        f"![Time of a step and memory, by {axis}](performance-{axis}.svg)" for axis in results
    ]
    return "\n\n".join([*pictures, scaling.summary(results), scaling.markdown(results)])


def of_end_to_end(results: end_to_end.Results) -> str:
    """A table for each model, and the limits that are exceeded."""
    lines = [f"- {text}" for text in end_to_end.slow(results)]
    return "\n".join([end_to_end.markdown(results), "", *lines]).rstrip()


PARTS: dict[str, Callable[[Any], str]] = {
    "table": of_table,
    "threads": of_threads,
    "scaling": of_scaling,
    "sequences": sequences.markdown,
    "end_to_end": of_end_to_end,
}


def with_tables(page: str, folder: Path) -> str:
    """The page, with the tables of the results that the folder has.

    Raises
    ------
    ValueError
        The page has no place for a table, or two.
    """
    for name, part in PARTS.items():
        path = folder / f"{name}.json"
        if path.exists():
            record = load(path)
            body = f"{part(record['results'])}\n\n{footnote(record)}"
            page = replaced(page, name, body)
    return page


def replaced(page: str, name: str, body: str) -> str:
    """The page, with another part between the marks of this name."""
    begin = f"<!-- {name}: begin -->\n"
    end = f"\n<!-- {name}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"Expected one {begin.strip()} and one {end.strip()} in the page.")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + body + end + after


def with_examples(page: str) -> str:
    """The page, with what each example prints or raises."""

    def run(match: re.Match[str]) -> str:
        return f"```python\n{match['code']}```\n\n```text\n{printed(match['code'])}```"

    return EXAMPLE.sub(run, page)


def printed(code: str) -> str:
    """What code prints, and the error that ends it, if one does.

    The code is that of a file step.py, so that line numbers are those of the example.
    """
    output = io.StringIO()
    with redirect_stdout(output):
        try:
            exec(compile(code, "step.py", "exec", dont_inherit=True), {"__name__": "step"})
        except Exception as error:  # noqa: BLE001 - the example shows it
            print(f"{type(error).__name__}: {error}")
    return output.getvalue()


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", action="store_true", help="run the examples, too")
    parser.add_argument(
        "--check", action="store_true", help="exit code 1 if a table is another one"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    written = with_tables(page, options.results)
    if options.check:
        if written != page:
            print(
                f"{options.page} has other tables than {options.results}. Run this without --check."
            )
        return int(written != page)
    if options.examples:
        written = with_examples(written)
    options.page.write_text(written, encoding="utf-8")
    measured = options.results / "scaling.json"
    if measured.exists():
        scaling.draw(load(measured)["results"], options.page.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
