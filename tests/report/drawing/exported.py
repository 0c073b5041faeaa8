"""A Sequential as ONNX, for its tests."""

import numpy as np

from xpnet.saving.onnx._graph import Graph


def exported(model, shape):
    g = Graph()
    v = g.input("x", np.float32, ("n", *shape))
    for i, layer in enumerate(model):
        k = type(layer).__name__
        if k == "Conv2d":
            p = layer.padding if isinstance(layer.padding, tuple) else (layer.padding,) * 2
            v = g.node(
                "Conv",
                [
                    v,
                    g.parameter(f"{i}.w", layer.weight.data),
                    g.parameter(f"{i}.b", layer.bias.data),
                ],
                pads=[p[0], p[1]] * 2,
            )
        elif k == "ReLU":
            v = g.node("Relu", [v])
        elif k == "MaxPool2d":
            v = g.node("MaxPool", [v], kernel_shape=[2, 2], strides=[2, 2])
        elif k == "Flatten":
            v = g.node("Flatten", [v], axis=1)
        elif k == "Affine":
            v = g.node(
                "Gemm",
                [
                    v,
                    g.parameter(f"{i}.w", layer.weight.data),
                    g.parameter(f"{i}.b", layer.bias.data),
                ],
                transB=int(layer.weight.data.shape[0] == layer.out_features),
            )
    g.output("scores", v, np.float32, ("n", 10))
    return g.model()
