"""How the code reads, in numbers: the limits that CONTRIBUTING.md names, held by `nox -s lint`.

    python tests/style.py                      the whole of xpnet/; exit code 1 if a limit is exceeded
    python tests/style.py xpnet/functions      a part of it, while you work

Five things are counted:

- the complexity of each function, as radon counts it: branches, comprehensions, conditional
  expressions and boolean operators;
- the lines of each function's body, without its docstring;
- assignments of a tuple to a tuple (`a, b = c, d`), two ideas on one line. An exchange
  (`a, b = b, a`) is one idea, and not counted;
- conditional expressions (`x if c else y`);
- annotations that say no more than `Any`.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPLEXITY = 15
BODY = 40
PER_THOUSAND_LINES = {"tuple assignments": 3.0, "conditional expressions": 17.0}
ANY = 0.08


@dataclass
class Count:
    """What was found in one or several files."""

    lines: int = 0
    annotations: int = 0
    bare_any: int = 0
    tuple_assignments: list[str] = field(default_factory=list)
    conditional_expressions: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a module, a class or a function."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
        return None
    value = body[0].value
    return body[0] if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def is_exchange(node: ast.Assign) -> bool:
    """Whether an assignment puts the same names into another order."""
    left = {ast.unparse(target) for target in node.targets[0].elts}
    right = {ast.unparse(value) for value in node.value.elts}
    return left == right


def is_tuple_assignment(node: ast.AST) -> bool:
    """Whether a tuple is assigned to a tuple, and that is no exchange."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
        and not is_exchange(node)
    )


def annotations_of(node: ast.AST) -> Iterator[ast.expr]:
    """The annotations of a function's parameters and result, or of a variable."""
    if isinstance(node, ast.AnnAssign):
        yield node.annotation
    if isinstance(node, ast.FunctionDef):
        a = node.args
        for parameter in [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]:
            if parameter is not None and parameter.annotation is not None:
                yield parameter.annotation
        if node.returns is not None:
            yield node.returns


def body_lines(node: ast.FunctionDef) -> int:
    """The lines of a function's body without its docstring."""
    first = 1 if docstring_of(node) else 0
    if len(node.body) == first:
        return 0
    return node.body[-1].end_lineno - node.body[first].lineno + 1


def lines_of_code(source: str, tree: ast.Module) -> int:
    """The lines that are neither empty, nor a comment, nor part of a docstring."""
    documented: set[int] = set()
    for node in ast.walk(tree):
        if docstring := docstring_of(node):
            documented |= set(range(docstring.lineno, docstring.end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        1 for i, line in lines if i not in documented and line.strip() and line.strip()[0] != "#"
    )


def count(path: Path, into: Count) -> None:
    """Add to `into` what one file has."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    name = path.relative_to(ROOT).as_posix()
    into.lines += lines_of_code(source, tree)
    for node in ast.walk(tree):
        if is_tuple_assignment(node):
            into.tuple_assignments.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.IfExp):
            into.conditional_expressions.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.FunctionDef) and body_lines(node) > BODY:
            length = f"a body of {body_lines(node)} lines, at most {BODY}"
            into.faults.append(f"{name}:{node.lineno}: {node.name} has {length}")
        for annotation in annotations_of(node):
            into.annotations += 1
            into.bare_any += isinstance(annotation, ast.Name) and annotation.id == "Any"
    from radon.complexity import cc_visit  # here, for pytest imports every file under tests/

    for block in cc_visit(source):
        for function in [block, *getattr(block, "closures", [])]:
            # radon reports a class as well, by the mean of its methods, and these beside it
            if function.complexity > COMPLEXITY and not hasattr(block, "methods"):
                where = f"{name}:{function.lineno}: {function.name}"
                into.faults.append(
                    f"{where} has complexity {function.complexity}, at most {COMPLEXITY}"
                )


def main(arguments: list[str]) -> int:
    paths = [Path(argument).resolve() for argument in arguments] or [ROOT / "xpnet"]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    total = Count()
    for path in sorted(files):
        count(path, total)
    found = {
        "tuple assignments": total.tuple_assignments,
        "conditional expressions": total.conditional_expressions,
    }
    for kind, places in found.items():
        share = 1000 * len(places) / max(total.lines, 1)
        limit = PER_THOUSAND_LINES[kind]
        print(f"{len(places)} {kind}, {share:.1f} per 1,000 lines of code (at most {limit})")
        if share > limit:
            total.faults += places
    share = total.bare_any / max(total.annotations, 1)
    print(f"{total.bare_any} of {total.annotations} annotations are Any: {share:.1%}")
    if share >= ANY:
        total.faults.append(f"{share:.1%} of the annotations are Any, less than {ANY:.0%} may be")
    print(*total.faults, sep="\n")
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
