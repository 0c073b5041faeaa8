"""Variables in the functions of other libraries: NumPy, by its protocols, and einops.

Importing this package registers both.
"""

from xpnet._interoperability import einops as einops, numpy as numpy
