"""Mutation testing: make one random change at a time to the code, and check that a test fails.

    python tests/mutation.py --since v0.1.0 --count 200 --seed 1     lines changed since a revision
    python tests/mutation.py --count 50 xpnet/functions/einsum.py    whole files or folders

A mutant is a copy of the code with one small change: another operator, constant or default, a
condition that is always true or false, two exchanged arguments, or a removed statement. The tests
run on it until one fails: then the mutant is killed. If it survives, either no test covers the
change, or the change has no effect; `EQUIVALENT` lists the known changes without an effect.

For a line that does not run on NumPy, name the library in the environment, as in
XPNET_TEST_BACKENDS=numpy,torch.

The changes are made in copies of the tree, one for each job; the tree itself is only read. The
tests of a file are found by name and by content, see `tests_of`. The nearest test file runs for
all mutants; the others run only for its survivors, the quickest first. The exit code is 1 if fewer
than `--at-least` per cent of the mutants were killed.

Mutmut and cosmic-ray mutate whole packages and run one command for all mutants. This program
takes a sample of the changed lines, and runs the tests of each file.
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
IGNORED = (".git", ".nox", ".venv", "*_cache", "__pycache__", "build", "dist", "runs")

SKIPPED = (
    "test_against_jax.py",  # takes minutes to compile
    "test_capabilities.py",  # only compares a page
    "test_mutation.py",  # tests this program
)

FOR_ALL_NAMES = ("tests/test_defaults.py",)  # checks all public names, without naming a module

NO_TESTS = 5  # pytest's exit code if all tests of a file are deselected because they are slow

EQUIVALENT = {  # (file, was, became): why no test can notice the change
    (
        "xpnet/_interoperability/numpy/ufuncs.py",
        'has_dtype(x, "bool")',
        "False",
    ): "a boolean is True where it is not 0",
    (
        "xpnet/functions/activation.py",
        'kernel("silu", data_of(x))',
        "False",
    ): "there are only kernels for CuPy: tests/kernels/test_launches.py counts its launches",
    ("xpnet/functions/einsum.py", "1024", "1025"): "the number of plans in a cache",
    (
        "xpnet/functions/einsum.py",
        "factor.term[-1] in rows",
        "(factor.term[-1] not in rows)",
    ): "the same matrices, by a copy instead of a view",
    (
        "xpnet/functions/normal.py",
        "xp.finfo(a.dtype).eps < 1e-10",
        "(xp.finfo(a.dtype).eps <= 1e-10)",
    ): "no dtype has this precision",
    (
        "xpnet/functions/pooling.py",
        "return max(count, 1.0)",
        "return None",
    ): "without a common count, the elements are counted one by one",
    ("xpnet/functions/special.py", "fast(a, b)", "fast(b, a)"): "beta(a, b) is beta(b, a)",
    (
        "xpnet/saving/safetensors.py",
        'os.name == "posix"',
        "True",
    ): "the tests of files run on POSIX",
    ("xpnet/functions/special.py", "fast", "True"): "SciPy has both; only PyTorch and JAX differ",
    ("xpnet/kernels/special.py", "x > 0.0", "(x >= 0.0)"): "both are infinite at 0",
    (
        "xpnet/layers/_input_checks.py",
        "type(data_of(x)) is not type(data_of(parameter))",
        "(type(data_of(x)) is type(data_of(parameter)))",
    ): "if libraries share dtypes, the layer's function raises the same error",
}

# --- mutants --------------------------------------------------------------------------------------


class Mutant(NamedTuple):
    """A change of a file: the bytes from `start` to `end` are replaced.

    `was` is the code there, and `became` its replacement.
    """

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
    """The code of a node with other fields, in parentheses."""
    new = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return f"({ast.unparse(new)})"


def expressions(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield (kind, node to replace, new code) for each change of an expression."""
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
    """Yield (kind, node to replace, new code) for each change of a statement."""
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
    """Yield a node and the nodes within it, except annotations, f-strings and lists of names."""
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in ("annotation", "returns") or not isinstance(child, ast.AST):
                continue
            if not isinstance(child, ast.JoinedStr) and not has_no_effect(child):
                yield from nodes(child)


def has_no_effect(node: ast.AST) -> bool:
    """Whether code has no effect in a correct program.

    It is for type checkers, lists what a module exports, or is the `strict=True` of a zip, which
    asserts that the lengths are equal.
    """
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(node, ast.If | ast.Assign):
        return ast.unparse(node).startswith(("if TYPE_CHECKING", "__all__"))
    return False


def mutants(path: str, source: str, lines: set[int] | None = None) -> list[Mutant]:
    """All changes of a file, or of some of its lines; only those that can be parsed."""
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
            first = int(hunk[1])
            count = int(hunk[2] or 1)
            lines.setdefault(path, set()).update(range(first, first + count))
    return {p: found for p, found in lines.items() if p.endswith(".py")}


def files_in(root: Path, paths: list[str]) -> list[str]:
    """The Python files among the paths, and in the folders among them."""
    found = []
    for path in paths:
        place = (root / path).resolve()
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        found += [file.relative_to(root.resolve()).as_posix() for file in files]
    return found


class Target:
    """A file of xpnet/, and how the test files that cover it are recognized."""

    def __init__(self, root: Path, path: str) -> None:
        file = Path(path)
        module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        package, _, last = module.rpartition(".")
        tree = ast.parse((root / path).read_text("utf-8"))
        definitions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        self.stem = last.lstrip("_")
        self.names = {name for name in definitions if not name.startswith("_")}
        self.mention = re.compile(rf"\b({'|'.join(self.names) or self.stem})\b")
        self.module = re.compile(
            rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{last}\b"
        )
        self.mirror = root.joinpath("tests", *file.parts[1:-1])
        self.tables = f"from tests.{'.'.join(file.parts[1:-1])}."
        users = files_with(root / "xpnet", self.module)
        self.tests_of_users = {f"test_{user.stem.lstrip('_')}.py" for user in users}

    def rank(self, test: Path) -> tuple[int, bool, int] | None:
        """How near a test file is: the smallest is the nearest; None if it tests something else."""
        code = test.read_text("utf-8")
        mentions = len(set(self.mention.findall(code)))
        is_near = test.parent == self.mirror
        has_its_name = test.name == f"test_{self.stem}.py"
        if has_its_name and (is_near or mentions):
            return (0, not is_near, 0)
        if self.module.search(code) or (is_near and self.tables in code):
            return (1, not is_near, -mentions)
        if mentions:
            return (2, not is_near, -mentions)
        if test.name in self.tests_of_users:
            return (3, not is_near, 0)
        return None


def tests_of(root: Path, path: str, most: int) -> list[str]:
    """The test files of a file of xpnet/, the nearest first.

    The test file with its name comes first; then those that run the tables of its folder or name
    its module; then those that mention the most of its public names, beginning with the folder that
    mirrors its own; then those of the modules that import it. There are at most `most`, without
    those in `SKIPPED`. Those in `FOR_ALL_NAMES` are added if the file has public names.
    """
    target = Target(root, path)
    ranks = {}
    for test in sorted((root / "tests").rglob("test_*.py")):
        if test.name in SKIPPED:
            continue
        rank = target.rank(test)
        if rank is not None:
            ranks[test.relative_to(root).as_posix()] = rank
    nearest = sorted(ranks, key=lambda test: (ranks[test], test))[:most]
    if target.names:
        added = [test for test in FOR_ALL_NAMES if (root / test).exists() and test not in nearest]
        return nearest + added
    return nearest


def files_with(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [file for file in folder.rglob("*.py") if pattern.search(file.read_text("utf-8"))]


# --- runs -----------------------------------------------------------------------------------------


class Copy:
    """A copy of the tree, in which one mutant after another is tested."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*IGNORED), symlinks=True)

    def put(self, path: str, source: str) -> None:
        """Write a file, and remove its bytecode, because Python compares only seconds and sizes."""
        file = self.folder / path
        file.write_text(source, encoding="utf-8")
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)

    def passes(self, tests: list[str], seconds: float) -> bool:
        """Whether the tests pass in time; afterwards all processes that they started are ended.

        By default they run on NumPy; XPNET_TEST_BACKENDS in the environment overrides this.
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


class Harness:
    """Runs the tests of each file on its mutants, in several jobs at the same time."""

    def __init__(self, root: Path, jobs: int, most: int) -> None:
        self.root = root
        self.jobs = jobs
        self.most = most
        self.tests: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}  # the time that each test file takes

    def survivors(self, chosen: list[Mutant]) -> list[Mutant]:
        """The mutants that no test kills: neither the nearest test file, nor one of the others."""
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
        """The mutants on which a part of the tests of their files passes.

        Before, these tests run once without a change.
        """

        def with_copy(work, *args):
            tree = copies.get()
            try:
                return work(tree, *args)
            finally:
                copies.put(tree)

        needed = sorted({test for m in chosen for test in self.tests[m.path][part]})
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(lambda test: with_copy(self.prepare, test), needed))
            lives = list(pool.map(lambda m: with_copy(self.survives, m, part), chosen))
        return [m for m, alive in zip(chosen, lives, strict=True) if alive]

    def prepare(self, tree: Copy, test: str) -> None:
        """Measure how long a test file takes without a change."""
        if test in self.seconds:
            return
        begin = time.monotonic()
        if not tree.passes([test], seconds=1800.0):
            sys.exit(f"{test} fails before anything is changed.")
        self.seconds[test] = time.monotonic() - begin
        print(f"{test}: {self.seconds[test]:.0f} s", flush=True)

    def survives(self, tree: Copy, mutant: Mutant, part: slice) -> bool:
        """Whether a part of the tests passes in spite of the change; the quickest run first."""
        source = (self.root / mutant.path).read_text("utf-8")
        tests = sorted(self.tests[mutant.path][part], key=self.seconds.__getitem__)
        tree.put(mutant.path, mutant.applied(source))
        seconds = 10.0 + 4.0 * sum(self.seconds[test] for test in tests)
        alive = not tests or tree.passes(tests, seconds)
        tree.put(mutant.path, source)
        if alive:
            plural = "" if len(tests) == 1 else "s"
            print(f"passes {len(tests)} test file{plural}: {mutant}", flush=True)
        return alive


# --- the program ----------------------------------------------------------------------------------


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="files or folders to change (xpnet)")
    parser.add_argument("--since", metavar="REV", help="only lines that changed since a revision")
    parser.add_argument("--count", type=int, default=100, help="the number of mutants (100)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the random choice (0)")
    parser.add_argument(
        "--jobs", type=int, default=2, help="the number of mutants at the same time (2)"
    )
    parser.add_argument(
        "--tests", type=int, default=8, help="the largest number of test files for each mutant (8)"
    )
    parser.add_argument(
        "--at-least", type=float, default=97.0, help="the percentage of mutants to kill (97)"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the mutants without testing them"
    )
    return parser.parse_args(arguments)


def choice(root: Path, given: argparse.Namespace) -> list[Mutant]:
    """The mutants to test: a random choice, without the known equivalent ones."""
    lines = touched(root, given.since) if given.since else None
    paths = files_in(root, given.paths or ["xpnet"])
    found = []
    for path in paths:
        if lines is None or path in lines:
            source = (root / path).read_text("utf-8")
            found += mutants(path, source, None if lines is None else lines[path])
    known = {key for key in EQUIVALENT if key[0] in paths}
    unknown = [m for m in found if (m.path, m.was, m.became) not in known]
    new = [m for m in unknown if not computes_unused_gradient(m)]
    return random.Random(given.seed).sample(new, min(given.count, len(new)))


def computes_unused_gradient(mutant: Mutant) -> bool:
    """Whether the change makes a rule compute a gradient that is not needed and is discarded."""
    return mutant.kind == "always" and mutant.was.startswith("self.needs[")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Test a choice of mutants; print the survivors, and how many were killed; return the exit code."""
    given = options(arguments)
    chosen = choice(root, given)
    if given.list or not chosen:
        print(*chosen, f"{len(chosen)} mutants.", sep="\n")
        return 0
    alive = Harness(root, given.jobs, given.tests).survivors(chosen)
    killed = 100.0 * (len(chosen) - len(alive)) / len(chosen)
    print(f"\n{len(chosen)} mutants, {len(alive)} survivors: {killed:.1f} % killed.")
    print(*sorted(map(str, alive)), sep="\n")
    return int(killed < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
