"""The ten digits as a person draws them: strokes of points in a square from (0, 0) to (1, 1)."""

import math
from itertools import pairwise


def line(*corners, steps=6):
    """Points on the straight lines between corners."""
    points = [corners[0]]
    for (x, y), (u, v) in pairwise(corners):
        points += [(x + (u - x) * i / steps, y + (v - y) * i / steps) for i in range(1, steps + 1)]
    return points


def arc(x, y, width, height, begin, end, steps=16):
    """Points on an ellipse around (x, y), from one angle to another, in degrees: 0 is right, 90 is down."""
    angles = [math.radians(begin + (end - begin) * i / steps) for i in range(steps + 1)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


DIGITS = {
    "0": [arc(0.5, 0.5, 0.2, 0.32, -90, 270, steps=30)],
    "1": [line((0.53, 0.18), (0.48, 0.82))],
    "2": [arc(0.5, 0.34, 0.18, 0.16, -170, 40) + line((0.62, 0.46), (0.3, 0.8), (0.72, 0.8))],
    "3": [arc(0.47, 0.34, 0.17, 0.16, -150, 90) + arc(0.47, 0.66, 0.2, 0.17, -90, 150)],
    "4": [line((0.38, 0.18), (0.3, 0.52), (0.7, 0.52)), line((0.64, 0.2), (0.6, 0.84))],
    "5": [
        line((0.37, 0.2), (0.35, 0.46)) + arc(0.48, 0.63, 0.19, 0.19, -120, 150),
        line((0.37, 0.2), (0.68, 0.2)),
    ],
    "6": [line((0.58, 0.17), (0.44, 0.35), (0.36, 0.58)) + arc(0.5, 0.65, 0.14, 0.16, -180, 190)],
    "7": [line((0.3, 0.22), (0.68, 0.22), (0.48, 0.82))],
    "8": [arc(0.5, 0.35, 0.13, 0.15, 90, -270) + arc(0.5, 0.66, 0.16, 0.16, -90, 270)],
    "9": [arc(0.48, 0.36, 0.15, 0.16, 0, -360) + line((0.63, 0.36), (0.6, 0.6), (0.54, 0.84))],
}
