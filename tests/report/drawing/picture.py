"""The README's picture of the page: a digit is drawn on it in a browser, which then takes the picture.

xpnet train mnist --model lenet --epochs 4 --schedule one-cycle --lr 0.003 --out runs/lenet
xpnet export runs/lenet --page draw.html
python -m tests.report.drawing.picture draw.html docs/draw.png
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.report.drawing.browser import Browser
from tests.report.drawing.digits import line

HALFWAY = [  # a 4 whose top is almost closed, as that of a 9
    line((0.5, 0.22), (0.34, 0.36), (0.36, 0.5), (0.5, 0.55), (0.64, 0.5)),
    line((0.64, 0.24), (0.62, 0.5), (0.6, 0.84)),
]
COLOURS = 128  # of the picture: the file becomes a third as large


def take(page, picture, width, scale, scheme):
    """Draw on the page, and write what the browser shows."""
    from PIL import Image

    with TemporaryDirectory() as folder:
        browser = Browser(f"{folder}/profile")
        browser.prefer(color_scheme=scheme, reduced_motion="reduce")
        browser.open(page.resolve(), width, 900, scale)
        left, top, side = browser.box("pad")
        for stroke in HALFWAY:
            browser.mouse([(left + x * side, top + y * side) for x, y in stroke])
        browser.settle()
        browser.screenshot(Path(folder, "page.png"))
        browser.close()
        with Image.open(f"{folder}/page.png") as shown:
            few = shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--scale", type=float, default=1.5)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    take(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
