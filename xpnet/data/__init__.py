"""Data on the host: files and data sets in, NumPy arrays out.

The arrays go to the device of a run in one step, by the caller.
"""

from xpnet.data.datasets import count_classes, load_idx_folder, load_mnist
from xpnet.data.idx import read_idx
from xpnet.data.images import load_digit

__all__ = ["count_classes", "load_digit", "load_idx_folder", "load_mnist", "read_idx"]
