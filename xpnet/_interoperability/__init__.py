"""Variables under other libraries' functions: NumPy's, by its protocols, and einops.

To import it is to register them.
"""

from xpnet._interoperability import einops as einops, numpy as numpy
