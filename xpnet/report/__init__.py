"""A report about how good a model is: one HTML file, which opens anywhere.

>>> from tempfile import TemporaryDirectory
>>> from pathlib import Path
>>> with TemporaryDirectory() as folder:
...     scores, targets = [[2.0, 0.5], [0.1, 1.0], [0.7, 0.2]], [0, 1, 1]
...     path = report(f"{folder}/report.html", scores, targets, classes=["cat", "dog"])
...     "<td>66.67 %</td>" in Path(path).read_text(encoding="utf-8")
True
"""

from xpnet.report.report import report as report

__all__ = [
    "report",
]
