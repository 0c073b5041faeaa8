"""The same training step in several libraries, each written as its users write it.

workloads     what is trained: the networks, their sizes and initial weights, and MNIST
contender     what a contender is, and the register of all of them
by_numpy, by_xpnet, by_torch, by_jax, by_mygrad
worker        one contender on one workload, in a process of its own
race          several workers, each allowed to run in turn
"""
