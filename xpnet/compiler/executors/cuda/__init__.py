"""Code for CUDA that the CuPy executor makes of a program.

fusion.py    which operations become one kernel
chain.py     a chain as lines of CUDA: an ElementwiseKernel
matrix.py    kernels that compute a chain over the rows of a matrix, and more: columns.cu, head.cu
"""

__all__: list[str] = []
