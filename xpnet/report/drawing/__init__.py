"""A page on which one draws a digit, and sees what a network computes: one HTML file, which needs no network.

The page contains the network as ONNX, and onnxruntime-web, which runs it in the browser:

    page.py       the file, from the network, the runtime and the files below
    graph.py      which of the network's inner values the page shows
    runtime.py    where onnxruntime-web comes from
    page.html, page.css, page.js    the page
    pad.js        the sheet on which one draws
    digit.js      a drawing as an image like MNIST's
"""

from xpnet.report.drawing.page import drawing_page as drawing_page
from xpnet.report.drawing.runtime import Runtime as Runtime, find_runtime as find_runtime

__all__ = [
    "Runtime",
    "drawing_page",
    "find_runtime",
]
