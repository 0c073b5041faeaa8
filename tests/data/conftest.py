"""Files are read on the host, whatever the library: the tests of that run once, in NumPy's session."""

from pathlib import Path

from tests.conftest import CHOSEN

collect_ignore = []
if CHOSEN and "numpy" not in CHOSEN:
    tests = Path(__file__).parent.glob("test_*.py")
    collect_ignore += [file.name for file in tests if "backend" not in file.read_text("utf-8")]
