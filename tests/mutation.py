"""Does a test fail if the code is wrong? One change at a time, at random, and the tests of its file.

    python tests/mutation.py --since v0.1.0 --count 200 --seed 1     lines changed since a revision
    python tests/mutation.py --count 50 xpnet/functions/einsum.py    whole files, or folders

A mutant is a copy of the code with one small change: another operator, constant or default, a
condition that is always true or false, two arguments exchanged, a statement left out. The tests
run on it until one fails: the mutant is killed. One that survives is a change that no test
notices, or one that changes nothing; of the latter, `EQUIVALENT` lists those that are known.

A line that only runs on another library than NumPy needs that library's name in the environment:
XPNET_TEST_BACKENDS=numpy,torch.

Everything happens in copies of the tree, one for each job: the tree itself is only read. The tests
of a file are found by name and by content, see `tests_of`. The nearest test file runs first, for
all mutants; the others run for its survivors alone, the quickest first. Exit code 1: fewer than
`--at-least` per cent were killed.

A harness of its own, because mutmut and cosmic-ray mutate whole packages and run one command for
all: what is wanted here is a sample of the lines that a change has touched, each with its tests.
"""

import argparse
import ast
import contextlib
import copy
import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".git", ".nox", ".venv", "*_cache", "__pycache__", "build", "dist", "runs")

PASSED_OVER = (
    "test_against_jax.py",  # takes minutes to compile
    "test_capabilities.py",  # compares a page
    "test_mutation.py",  # this file's own
)

OVER_ALL = ("tests/test_defaults.py",)  # goes through whatever is public, and names no module

NO_TESTS = 5  # pytest's exit code where all tests of a file are deselected, as the slow ones are

EQUIVALENT = {  # (file, was, became): why the change changes nothing that a test could see
    (
        "xpnet/_numpy/ufuncs.py",
        'has_dtype(x, "bool")',
        "False",
    ): "a boolean is not 0 where it is true",
    (
        "xpnet/functions/activation.py",
        'kernel("silu", data_of(x))',
        "False",
    ): "there are kernels for CuPy alone: tests/kernels/test_launches.py counts its launches",
    ("xpnet/functions/einsum.py", "1024", "1025"): "how many plans are kept",
    (
        "xpnet/functions/einsum.py",
        "factor.term[-1] in rows",
        "(factor.term[-1] not in rows)",
    ): "the same matrices, by a copy in place of a view",
    (
        "xpnet/functions/normal.py",
        "xp.finfo(a.dtype).eps < 1e-10",
        "(xp.finfo(a.dtype).eps <= 1e-10)",
    ): "no dtype has this precision",
    (
        "xpnet/functions/indexing.py",
        "... in keys",
        "True",
    ): "axes that a key does not name are taken whole",
    (
        "xpnet/functions/pooling.py",
        "return max(count, 1.0)",
        "return None",
    ): "what has no common count is counted place by place",
    ("xpnet/functions/special.py", "fast(a, b)", "fast(b, a)"): "beta(a, b) is beta(b, a)",
    (
        "xpnet/saving/safetensors.py",
        'os.name == "posix"',
        "True",
    ): "so it is, where the tests of files run",
    ("xpnet/functions/special.py", "fast", "True"): "SciPy has both; seen on PyTorch and JAX alone",
    ("xpnet/kernels/special.py", "x > 0.0", "(x >= 0.0)"): "both are infinite at 0",
    (
        "xpnet/layers/_input_checks.py",
        "type(data_of(x)) is not type(data_of(parameter))",
        "(type(data_of(x)) is type(data_of(parameter)))",
    ): "where libraries share dtypes, the layer's function refuses the mix in the same words",
}

# --- mutants --------------------------------------------------------------------------------------


class Mutant(NamedTuple):
    """A change of a file: what stands from `start` to `end`, in bytes, becomes something else."""

    path: str
    line: int
    start: int
    end: int
    kind: str
    was: str
    became: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.was}  ->  {self.became}"

    def applied(self, source: str) -> str:
        """The source with the change."""
        data = source.encode()
        return (data[: self.start] + self.became.encode() + data[self.end :]).decode()


COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
COMMUTE = {  # functions whose two arguments may be exchanged
    "add", "array_namespace", "equal", "logical_and", "logical_or", "max", "maximum", "min",
    "minimum", "multiply", "not_equal", "result_type",
}  # fmt: skip


def changed(node: ast.AST, **fields: object) -> str:
    """The code of a node with other fields, in brackets."""
    new = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return f"({ast.unparse(new)})"


def expressions(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """(kind, what is replaced, by what) for the changes of an expression."""
    match node:
        case ast.Compare(ops=[op]):
            yield "comparison", node, changed(node, ops=[COMPARISONS[type(op)]()])
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            yield "arithmetic", node, changed(node, op=ARITHMETIC[type(op)]())
        case ast.BoolOp(op=op):
            other = ast.And if isinstance(op, ast.Or) else ast.Or
            yield "and, or", node, changed(node, op=other())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=x):
            yield "sign", node, changed(x)
        case ast.Constant(value=bool(x)):
            yield "constant", node, str(not x)
        case ast.Constant(value=int(x)):
            yield "constant", node, str(x + 1)
        case ast.Constant(value=float(x)):
            yield "constant", node, repr(10.0 * x or 1.0)
        case ast.IfExp(test=test):
            yield "always", test, "True"
            yield "never", test, "False"
        case ast.Call(f, args=[a, b]) if ast.unparse(f).rpartition(".")[2] not in COMMUTE:
            starred = isinstance(a, ast.Starred) or isinstance(b, ast.Starred)
            if not starred and ast.dump(a) != ast.dump(b):
                yield "exchange", node, changed(node, args=[b, a])[1:-1]


def statements(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """The same for the changes of a statement."""
    match node:
        case ast.If(test=test):
            yield "always", test, "True"
            yield "never", test, "False"
        case ast.Return(value=ast.expr() as x) if not is_none(x):
            yield "return", node, "return None"
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield "left out", node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "left out", node, "pass"


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it that can be changed: no annotations, messages or lists of names."""
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in ("annotation", "returns") or not isinstance(child, ast.AST):
                continue
            if not isinstance(child, ast.JoinedStr) and not is_silent(child):
                yield from nodes(child)


def is_silent(node: ast.AST) -> bool:
    """Whether code does nothing in a program that is right.

    It is for type checkers, says what a module exports, or is the `strict=True` of a zip: an
    assertion, whose lengths are equal.
    """
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    code = ast.unparse(node) if isinstance(node, ast.If | ast.Assign) else ""
    return code.startswith(("if TYPE_CHECKING", "__all__"))


def mutants(path: str, source: str, lines: set[int] | None = None) -> list[Mutant]:
    """All changes of a file, or of some of its lines."""
    begin = [0]
    for text in source.encode().splitlines(keepends=True):
        begin.append(begin[-1] + len(text))
    found = []
    for node in nodes(ast.parse(source)):
        for kind, target, became in (*expressions(node), *statements(node)):
            start = begin[target.lineno - 1] + target.col_offset
            end = begin[target.end_lineno - 1] + target.end_col_offset
            was = source.encode()[start:end].decode()
            if lines is None or target.lineno in lines:
                found.append(Mutant(path, target.lineno, start, end, kind, was, became))
    return [m for m in found if compiles(m.applied(source))]


def compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


# --- which files, which tests ---------------------------------------------------------------------


def touched(root: Path, since: str) -> dict[str, set[int]]:
    """The lines of each file in xpnet/ that were added or changed since a revision."""
    command = ("git", "diff", "--unified=0", "--find-renames", "--no-color", since, "--", "xpnet")
    diff = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    lines: dict[str, set[int]] = {}
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines.setdefault(path, set()).update(range(first, first + count))
    return {p: found for p, found in lines.items() if p.endswith(".py")}


def files_in(root: Path, paths: list[str]) -> list[str]:
    """The Python files among some paths, and in the folders among them."""
    found = []
    for path in paths:
        place = (root / path).resolve()
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        found += [file.relative_to(root.resolve()).as_posix() for file in files]
    return found


def tests_of(root: Path, path: str, most: int) -> list[str]:
    """The test files of a file of xpnet/, the nearest first.

    That of its name; then those that run the tables of its folder, or name its module; then those
    that mention the most of its public names, in the folder that mirrors its own before others;
    then those of the modules that import it. At most `most`, without those that are `PASSED_OVER`;
    and those that are `OVER_ALL`, for the defaults of public names.
    """
    file = Path(path)
    module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    stem = module.rpartition(".")[2].lstrip("_")
    tree = ast.parse((root / path).read_text("utf-8"))
    public = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    words = re.compile(rf"\b({'|'.join(n for n in public if n[0] != '_') or stem})\b")
    package, _, last = module.rpartition(".")
    named = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{last}\b")
    mirror = root.joinpath("tests", *file.parts[1:-1])
    tables = f"from tests.{'.'.join(file.parts[1:-1])}."
    users = {f"test_{user.stem.lstrip('_')}.py" for user in files_with(root / "xpnet", named)}
    ranks = {}
    for test in sorted((root / "tests").rglob("test_*.py")):
        if test.name in PASSED_OVER:
            continue
        text = test.read_text("utf-8")
        mentions = len(set(words.findall(text)))
        near = test.parent == mirror
        if test.name == f"test_{stem}.py" and (near or mentions):
            rank = (0, not near, 0)
        elif named.search(text) or (near and tables in text):
            rank = (1, not near, -mentions)
        elif mentions:
            rank = (2, not near, -mentions)
        elif test.name in users:
            rank = (3, not near, 0)
        else:
            continue
        ranks[test.relative_to(root).as_posix()] = rank
    found = sorted(ranks, key=lambda test: (ranks[test], test))[:most]
    there = [test for test in OVER_ALL if public and (root / test).exists()]
    return [*found, *(test for test in there if test not in found)]


def files_with(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [file for file in folder.rglob("*.py") if pattern.search(file.read_text("utf-8"))]


# --- runs -----------------------------------------------------------------------------------------


class Copy:
    """A copy of the tree, in which one mutant after another is tested."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)

    def put(self, path: str, source: str) -> None:
        """Write a file, and remove its bytecode: Python compares seconds and sizes alone."""
        file = self.folder / path
        file.write_text(source, encoding="utf-8")
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)

    def passes(self, tests: list[str], seconds: float) -> bool:
        """Whether the tests pass, in time; the processes that they start end with them.

        On NumPy, unless XPNET_TEST_BACKENDS is in the environment.
        """
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        env = {"XPNET_TEST_BACKENDS": "numpy"} | threads | os.environ
        options = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self.folder,
            env=env | {"PYTHONPATH": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(seconds) in (0, NO_TESTS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Run:
    """Mutants of a tree and the tests of each file, tested by some jobs at a time."""

    def __init__(self, root: Path, jobs: int, most: int) -> None:
        self.root, self.jobs, self.most = root, jobs, most
        self.tests: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}  # that each test file takes

    def survivors(self, chosen: list[Mutant]) -> list[Mutant]:
        """Those that no test kills: neither the nearest test file, nor one of the others."""
        self.tests = {
            path: tests_of(self.root, path, self.most) for path in {m.path for m in chosen}
        }
        print(f"{len(chosen)} mutants of {len(self.tests)} files", flush=True)
        with tempfile.TemporaryDirectory(prefix="mutants-") as place:
            copies: Queue[Copy] = Queue()
            for number in range(self.jobs):
                copies.put(Copy(self.root, Path(place, str(number))))

            alive = chosen
            for part in (slice(None, 1), slice(1, None)):
                alive = self.passing(copies, alive, part)
        for mutant in alive:
            print(f"survived: {mutant}", flush=True)
        return alive

    def passing(self, copies: "Queue[Copy]", chosen: list[Mutant], part: slice) -> list[Mutant]:
        """Those on which a part of the tests of their files pass, which pass before any change."""

        def borrowed(work, *args):
            mine = copies.get()
            try:
                return work(mine, *args)
            finally:
                copies.put(mine)

        needed = sorted({test for m in chosen for test in self.tests[m.path][part]})
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(lambda test: borrowed(self.prepare, test), needed))
            lives = list(pool.map(lambda m: borrowed(self.survives, m, part), chosen))
        return [m for m, alive in zip(chosen, lives, strict=True) if alive]

    def prepare(self, mine: Copy, test: str) -> None:
        """Find out how long a test file takes while nothing is changed."""
        if test in self.seconds:
            return
        begin = time.monotonic()
        if not mine.passes([test], seconds=1800.0):
            sys.exit(f"{test} fails before anything is changed.")
        self.seconds[test] = time.monotonic() - begin
        print(f"{test}: {self.seconds[test]:.0f} s", flush=True)

    def survives(self, mine: Copy, mutant: Mutant, part: slice) -> bool:
        """Whether a part of the tests passes in spite of the change: the quickest run first."""
        source = (self.root / mutant.path).read_text("utf-8")
        tests = sorted(self.tests[mutant.path][part], key=self.seconds.__getitem__)
        mine.put(mutant.path, mutant.applied(source))
        seconds = 10.0 + 4.0 * sum(self.seconds[test] for test in tests)
        alive = not tests or mine.passes(tests, seconds)
        mine.put(mutant.path, source)
        if alive:
            print(f"passes {len(tests)} test file{'s'[: len(tests) > 1]}: {mutant}", flush=True)
        return alive


# --- the program ----------------------------------------------------------------------------------


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="files or folders to change; by default xpnet")
    parser.add_argument("--since", metavar="REV", help="only lines that changed since a revision")
    parser.add_argument("--count", type=int, default=100, help="how many mutants (100)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--tests", type=int, default=8, help="at most so many test files each (8)")
    parser.add_argument("--at-least", type=float, default=97.0, help="per cent to be killed (97)")
    parser.add_argument("--list", action="store_true", help="print the mutants, and test none")
    return parser.parse_args(arguments)


def choice(root: Path, given: argparse.Namespace) -> list[Mutant]:
    """The mutants that are to be tested: a random choice, without the known equivalents."""
    lines = touched(root, given.since) if given.since else None
    paths = files_in(root, given.paths or ["xpnet"])
    found = []
    for path in paths:
        if lines is None or path in lines:
            source = (root / path).read_text("utf-8")
            found += mutants(path, source, None if lines is None else lines[path])
    known = {key for key in EQUIVALENT if key[0] in paths}
    new = [m for m in found if (m.path, m.was, m.became) not in known and not is_idle(m)]
    return random.Random(given.seed).sample(new, min(given.count, len(new)))


def is_idle(mutant: Mutant) -> bool:
    """Whether a rule would compute a gradient that nobody asks for: it is thrown away."""
    return mutant.kind == "always" and mutant.was.startswith("self.needs[")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Test a choice of mutants; print those that survive, and how many were killed."""
    given = options(arguments)
    chosen = choice(root, given)
    if given.list or not chosen:
        print(*chosen, f"{len(chosen)} mutants.", sep="\n")
        return 0
    alive = Run(root, given.jobs, given.tests).survivors(chosen)
    killed = 100.0 * (len(chosen) - len(alive)) / len(chosen)
    print(f"\n{len(chosen)} mutants, {len(alive)} survivors: {killed:.1f} % killed.")
    print(*sorted(map(str, alive)), sep="\n")
    return int(killed < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
