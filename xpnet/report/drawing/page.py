"""The page as one file: the template with the network, the runtime, the style sheet and the scripts in it."""

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from xpnet._typing import PathLike
from xpnet.errors import ShapeError
from xpnet.report.drawing.graph import inspected
from xpnet.report.drawing.runtime import Runtime, find_runtime
from xpnet.report.page import STYLE
from xpnet.saving.safetensors import replacing

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["drawing_page"]

FOLDER = Path(__file__).parent
SCRIPTS = ("digit.js", "pad.js", "page.js")  # they make one module, in this order
DIGITS = tuple("0123456789")


def drawing_page(
    path: PathLike,
    model: "ModelProto",
    classes: Sequence[str] = DIGITS,
    *,
    title: str = "Draw a digit",
    subtitle: str = "",
    runtime: Runtime | None = None,
) -> Path:
    """Write a page on which one draws a digit, and sees what a network makes of it.

    The page shows the probabilities of the classes, and what each convolution computes; of a network that
    begins with an affine layer, its strongest units. It is one file of about 5 MB, and needs neither a server nor
    a network. The drawing is prepared as the digits of MNIST were: see `xpnet.data.load_digit`.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced if it exists.
    model : onnx.ModelProto
        A network that was trained on MNIST's images, or on others like them: white on black, 28 x 28, from 0
        to 1, centred by mass. Its input is (n, 784), (n, 28, 28) or (n, 1, 28, 28) in float32, and its output
        are scores or probabilities, (n, classes).
    classes : sequence of str, default "0" to "9"
        Their names.
    title, subtitle : str
        The heading, and a line below it.
    runtime : Runtime, optional
        onnxruntime-web; by default `find_runtime()`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ShapeError
        The network takes or returns something else, or there is not one name per class.
    DataError
        onnxruntime-web is missing, and could not be fetched.
    """
    network = inspected(model)
    names = [str(name) for name in classes]
    if len(names) != network.outputs:
        raise ShapeError(
            f"Expected a name for each output of the network, {network.outputs}, got {len(names)}."
        )
    if runtime is None:
        runtime = find_runtime()
    script = "\n" + "\n".join(_text(name) for name in SCRIPTS)
    text = Template(_text("page.html")).substitute(
        policy=_policy(script),
        title=escape(title),
        subtitle=escape(subtitle),
        style=STYLE.read_text(encoding="utf-8") + _text("page.css"),
        note=_note(network.description),
        version=escape(runtime.version),
        network=_json({**network.description, "classes": names}),
        model=_packed(network.model.SerializeToString()),
        runtime=_packed(runtime.module),
        wasm=_packed(runtime.wasm),
        script=script,
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def _text(name: str) -> str:
    """A file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """What the page may load: nothing. Only its own script runs, and the module and WebAssembly that it holds."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}' blob: 'wasm-unsafe-eval'"
    )


def _note(description: dict[str, object]) -> str:
    """A sentence in place of pictures, if the network has no layer that the page can show."""
    if description["maps"] or description["units"]:
        return ""
    return '<p class="soft">Only its input: neither a convolution nor a first affine layer was found in it.</p>'


def _json(value: object) -> str:
    """JSON that may stand in an element `script`: without "<", it cannot end there."""
    return json.dumps(value).replace("<", "\\u003c")


def _packed(data: bytes) -> str:
    """Bytes, compressed by gzip, in Base64: as `bytesOf` in page.js reads them."""
    return b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
