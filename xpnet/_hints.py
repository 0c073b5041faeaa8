"""What to write for names that come from other libraries: `v.sum()`, `F.mse_loss`, `Linear`.

PyTorch, NumPy, Keras, JAX and DeZero have names that xpnet does not have, or has elsewhere. Reading
one of them raises an AttributeError with xpnet's own name; `hasattr` is False.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NoReturn, TypeVar

from xpnet.errors import MissingAttributeError

T = TypeVar("T")

METHODS = {
    # leaving the graph
    "item": "float(x), int(x) or complex(x)",
    "numpy": "xpnet.to_numpy(x)",
    "tolist": "xpnet.to_numpy(x).tolist()",
    "detach": "x.data, or F.stop_gradient(x) for a Variable",
    "cpu": "xpnet.to_numpy(x), or x.to_device(device)",
    "cuda": "x.to_device(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
    "to": "x.to_device(device), or F.astype(x, dtype)",
    "asnumpy": "xpnet.to_numpy(x)",
    "get": "xpnet.to_numpy(x)",
    "to_numpy": "xpnet.to_numpy(x)",
    # history
    "requires_grad_": "Variable(x.data, requires_grad=True)",
    "zero_": "x.zero_grad() for a gradient, or x.data[...] = 0.0",
    "retain_grad": "xpnet.gradients(loss, [x])",
    "grad_fn": "x.creator",
    "unchain": "x.data, or F.stop_gradient(x)",
    "is_leaf": "x.creator is None",
    "register_hook": "xpnet.gradients(loss, [x]), and change what it returns",
    "set_creator": "a subclass of xpnet.Function, which does it",
    # dtypes and copies
    "astype": "F.astype(x, dtype)",
    "float": "F.astype(x, xp.float32), with xp = xpnet.array_namespace(x)",
    "double": "F.astype(x, xp.float64), with xp = xpnet.array_namespace(x)",
    "half": "F.astype(x, xp.float16), with xp = xpnet.array_namespace(x)",
    "long": "F.astype(x, xp.int64), with xp = xpnet.array_namespace(x)",
    "int": "F.astype(x, xp.int32), with xp = xpnet.array_namespace(x)",
    "copy": "F.asarray(x, copy=True)",
    "clone": "F.asarray(x, copy=True)",
    # shapes
    "reshape": "F.reshape(x, shape)",
    "view": "F.reshape(x, shape)",
    "flatten": "F.reshape(x, (-1,))",
    "ravel": "F.reshape(x, (-1,))",
    "transpose": "F.permute_dims(x, axes), or x.T for a matrix",
    "permute": "F.permute_dims(x, axes)",
    "t": "x.T",
    "swapaxes": "F.moveaxis(x, source, destination), or np.swapaxes(x, i, j)",
    "squeeze": "F.squeeze(x, axis=axis)",
    "unsqueeze": "F.expand_dims(x, axis=axis)",
    "expand": "F.broadcast_to(x, shape)",
    "expand_as": "F.broadcast_to(x, y.shape)",
    "repeat": "F.tile(x, repetitions), or F.repeat(x, n, axis=axis) for each number",
    "flip": "F.flip(x, axis=axis)",
    "roll": "F.roll(x, shift, axis=axis)",
    "contiguous": "x as it is",
    "dim": "x.ndim",
    "numel": "x.size",
    "nelement": "x.size",
    "H": "F.conj(x).mT",
    "flat": "F.reshape(x, (-1,))",
    "nbytes": "x.data.nbytes",
    "itemsize": "x.data.itemsize",
    "strides": "x.data.strides",
    # reductions
    "sum": "F.sum(x)",
    "mean": "F.mean(x)",
    "prod": "F.prod(x)",
    "std": "F.std(x)",
    "var": "F.var(x)",
    "max": "F.max(x)",
    "min": "F.min(x)",
    "amax": "F.max(x)",
    "amin": "F.min(x)",
    "argmax": "F.argmax(x)",
    "argmin": "F.argmin(x)",
    "any": "F.any(x)",
    "all": "F.all(x)",
    "norm": "F.linalg.vector_norm(x)",
    "cumsum": "F.cumulative_sum(x, axis=axis)",
    "cumprod": "F.cumulative_prod(x, axis=axis)",
    "trace": "F.linalg.trace(x)",
    "diagonal": "F.linalg.diagonal(x)",
    "nonzero": "F.nonzero(x)",
    "sort": "F.sort(x)",
    "argsort": "F.argsort(x)",
    # products and elementwise functions
    "dot": "x @ y",
    "matmul": "x @ y",
    "mm": "x @ y",
    "bmm": "x @ y",
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "pow": "x ** y",
    "abs": "F.abs(x)",
    "exp": "F.exp(x)",
    "log": "F.log(x)",
    "sqrt": "F.sqrt(x)",
    "square": "F.square(x)",
    "sin": "F.sin(x)",
    "cos": "F.cos(x)",
    "tanh": "F.tanh(x)",
    "sigmoid": "F.sigmoid(x)",
    "relu": "F.relu(x)",
    "softmax": "F.softmax(x, axis=-1)",
    "log_softmax": "F.log_softmax(x, axis=-1)",
    "clip": "F.clip(x, low, high)",
    "clamp": "F.clip(x, low, high)",
    "round": "F.round(x)",
    "conj": "F.conj(x)",
    "real": "F.real(x)",
    "imag": "F.imag(x)",
    "take": "F.take(x, indices, axis=axis)",
    "gather": "F.take_along_axis(x, indices, axis=axis)",
    "masked_fill": "F.where(mask, value, x)",
    "fill_": "x.data[...] = value",
    "index_select": "F.take(x, indices, axis=axis)",
    "add_": "x += y",
    "sub_": "x -= y",
    "mul_": "x *= y",
    "div_": "x /= y",
    "copy_": "x.data[...] = value",
    "assign": "x.data[...] = value",
    "at": "x[key] = value, which is differentiated",
    "eq": "x == y",
    "gt": "x > y",
    "lt": "x < y",
}
"""Attributes that arrays of other libraries have, and what to write for a Variable x."""

FUNCTIONS = {
    # losses
    "mse_loss": "F.mean_squared_error(y, t)",
    "mse": "F.mean_squared_error(y, t)",
    "cross_entropy": "F.softmax_cross_entropy(scores, t)",
    "cross_entropy_loss": "F.softmax_cross_entropy(scores, t)",
    "cross_entropy_error": "F.softmax_cross_entropy(scores, t), with scores from before the softmax",
    "sparse_categorical_crossentropy": "F.softmax_cross_entropy(scores, t)",
    "categorical_crossentropy": "F.softmax_cross_entropy(scores, t)",
    "nll_loss": "F.softmax_cross_entropy(scores, t), with scores from before F.log_softmax",
    "bce_loss": "F.binary_cross_entropy(p, t)",
    "binary_crossentropy": "F.binary_cross_entropy(p, t)",
    "sigmoid_cross_entropy": "F.binary_cross_entropy_with_logits(scores, t)",
    "kl_div": "F.kl_divergence",
    "smooth_l1_loss": "F.huber_loss(y, t)",
    "mean_absolute_error": "F.l1_loss(y, t)",
    # networks
    "affine": "F.linear(x, weight, bias)",
    "dense": "F.linear(x, weight, bias)",
    "conv1d": "F.conv(x, weight, bias)",
    "conv2d": "F.conv(x, weight, bias)",
    "conv3d": "F.conv(x, weight, bias)",
    "conv_transpose1d": "F.conv_transpose(x, weight, bias)",
    "conv_transpose2d": "F.conv_transpose(x, weight, bias)",
    "max_pool1d": "F.max_pool(x, kernel_size)",
    "max_pool2d": "F.max_pool(x, kernel_size)",
    "avg_pool1d": "F.avg_pool(x, kernel_size)",
    "avg_pool2d": "F.avg_pool(x, kernel_size)",
    "average_pooling_2d": "F.avg_pool(x, kernel_size)",
    "max_pooling_2d": "F.max_pool(x, kernel_size)",
    "adaptive_avg_pool2d": "F.global_avg_pool(x)",
    "batch_normalization": "F.batch_norm",
    "layer_normalization": "F.layer_norm",
    "swish": "F.silu(x)",
    "attention": "F.scaled_dot_product_attention(q, k, v)",
    "one_hot": "F.astype(t[:, None] == F.arange(n), dtype)",
    # names of NumPy and PyTorch
    "absolute": "F.abs(x)",
    "fabs": "F.abs(x)",
    "neg": "F.negative(x)",
    "sub": "F.subtract(x1, x2)",
    "mul": "F.multiply(x1, x2)",
    "div": "F.divide(x1, x2)",
    "true_divide": "F.divide(x1, x2)",
    "power": "F.pow(x1, x2)",
    "mod": "F.remainder(x1, x2)",
    "fmod": "F.remainder(x1, x2)",
    "conjugate": "F.conj(x)",
    "arccos": "F.acos(x)",
    "arccosh": "F.acosh(x)",
    "arcsin": "F.asin(x)",
    "arcsinh": "F.asinh(x)",
    "arctan": "F.atan(x)",
    "arctan2": "F.atan2(x1, x2)",
    "arctanh": "F.atanh(x)",
    "invert": "F.bitwise_invert(x)",
    "left_shift": "F.bitwise_left_shift(x1, x2)",
    "right_shift": "F.bitwise_right_shift(x1, x2)",
    "rint": "F.round(x)",
    "around": "F.round(x)",
    "fix": "F.trunc(x)",
    "clamp": "F.clip(x, low, high)",
    "amax": "F.max(x)",
    "amin": "F.min(x)",
    "average": "F.mean(x)",
    "cumsum": "F.cumulative_sum(x, axis=axis)",
    "cumprod": "F.cumulative_prod(x, axis=axis)",
    "norm": "F.linalg.vector_norm(x), or F.linalg.matrix_norm(x)",
    "dot": "F.matmul(x1, x2), or F.vecdot(x1, x2)",
    "mm": "F.matmul(x1, x2)",
    "bmm": "F.matmul(x1, x2)",
    "inner": "F.vecdot(x1, x2)",
    "outer": "F.linalg.outer(x1, x2)",
    "cross": "F.linalg.cross(x1, x2)",
    "inv": "F.linalg.inv(x)",
    "inverse": "F.linalg.inv(x)",
    "det": "F.linalg.det(x)",
    "solve": "F.linalg.solve(a, b)",
    "svd": "F.linalg.svd(x)",
    "trace": "F.linalg.trace(x)",
    "diagonal": "F.linalg.diagonal(x)",
    "concatenate": "F.concat(arrays, axis=axis)",
    "cat": "F.concat(arrays, axis=axis)",
    "vstack": "F.concat(arrays, axis=0)",
    "hstack": "F.concat(arrays, axis=1)",
    "split": "x[start:stop], or np.split(x, n)",
    "transpose": "F.permute_dims(x, axes), or F.matrix_transpose(x)",
    "permute": "F.permute_dims(x, axes)",
    "swapaxes": "F.moveaxis(x, source, destination)",
    "view": "F.reshape(x, shape)",
    "flatten": "F.reshape(x, (-1,))",
    "ravel": "F.reshape(x, (-1,))",
    "unsqueeze": "F.expand_dims(x, axis=axis)",
    "expand": "F.broadcast_to(x, shape)",
    "gather": "F.take_along_axis(x, indices, axis=axis)",
    "get_item": "x[key]",
    "array": "F.asarray(values)",
    "tensor": "F.asarray(values)",
    "as_tensor": "F.asarray(values)",
    "identity": "F.eye(n)",
    "unique": "F.unique_values(x), or F.unique_all(x)",
    "detach": "F.stop_gradient(x)",
    "pad": "np.pad(x, widths)",
    "from_numpy": "F.asarray(values)",
    "normalize": "x / F.linalg.vector_norm(x, axis=axis, keepdims=True)",
    "accuracy": "xpnet.metrics.accuracy",
    "no_grad": "xpnet.no_grad",
    "lgamma": "F.special.gammaln(x)",
    "sum_to": "nothing: gradients are summed to the shapes of the inputs",
}
"""Functions of other libraries, and what to write with `from xpnet import functions as F`."""

LAYERS = {
    # learning
    "compile": "xpnet.training.Trainer(layer, loss, optimizer)",
    "fit": "xpnet.training.Trainer(layer, loss, optimizer).fit((x, t), epochs=n)",
    "evaluate": "xpnet.training.Trainer(layer, loss, optimizer).evaluate((x, t))",
    "predict": "layer(x) in a block `with xpnet.no_grad():`, after layer.eval()",
    # parameters
    "params": "layer.parameters()",
    "weights": "layer.parameters()",
    "trainable_variables": "layer.parameters()",
    "trainable_weights": "layer.parameters()",
    "get_weights": "layer.state_dict()",
    "set_weights": "layer.load_state_dict(state)",
    "save_weights": "xpnet.saving.safetensors.save(layer, path)",
    "load_weights": "xpnet.saving.safetensors.load(layer, path)",
    "save": "xpnet.saving.safetensors.save(layer, path)",
    "register_buffer": "layer.name = xpnet.Buffer(array)",
    "register_parameter": "layer.name = xpnet.Parameter(array)",
    "requires_grad_": "p.requires_grad = False for p in layer.parameters()",
    # devices and dtypes
    "cpu": "layer.to('cpu')",
    "cuda": "layer.to(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
    "float": "xpnet.use(library, 'float32') before the layer is created",
    "double": "xpnet.use(library, 'float64') before the layer is created",
    "half": "xpnet.training.precision.MixedPrecision(layer, 'float16')",
    # structure
    "children": "layer.sublayers()",
    "modules": "layer.named_layers()",
    "named_children": "layer.named_layers()",
    "named_modules": "layer.named_layers()",
    "get_submodule": "dict(layer.named_layers())[name]",
    "summary": "xpnet.summary.summary(layer, input_shape)",
}
"""Attributes that models of other libraries have, and what to write for a Layer."""

RULES = {
    "inputs": "backward(self, gy, x), which is given the inputs that it names; or extend xpnet.lessons.Function",
    "outputs": "backward(self, gy, y), which is given the output; or extend xpnet.lessons.Function",
}
"""Attributes that a Function of DeZero has, and what to write in its `backward`."""

PACKAGE = {
    "Linear": "xpnet.Affine(in_features, out_features)",
    "Dense": "xpnet.Affine(in_features, out_features)",
    "Conv1D": "xpnet.Conv1d",
    "Conv2D": "xpnet.Conv2d",
    "Conv2DTranspose": "xpnet.ConvTranspose2d",
    "MaxPooling1D": "xpnet.MaxPool1d",
    "MaxPooling2D": "xpnet.MaxPool2d",
    "MaxPool2D": "xpnet.MaxPool2d",
    "AveragePooling2D": "xpnet.AvgPool2d",
    "AdaptiveAvgPool2d": "xpnet.GlobalAvgPool2d",
    "GlobalAveragePooling2D": "xpnet.GlobalAvgPool2d",
    "BatchNormalization": "xpnet.BatchNorm1d or xpnet.BatchNorm2d",
    "LayerNormalization": "xpnet.LayerNorm",
    "Swish": "xpnet.SiLU",
    "Attention": "xpnet.MultiheadAttention",
    "MultiHeadAttention": "xpnet.MultiheadAttention",
    "TransformerBlock": "xpnet.TransformerEncoderLayer",
    "CrossEntropyLoss": "xpnet.functions.softmax_cross_entropy",
    "NLLLoss": "xpnet.functions.softmax_cross_entropy",
    "MSELoss": "xpnet.functions.mean_squared_error",
    "L1Loss": "xpnet.functions.l1_loss",
    "HuberLoss": "xpnet.functions.huber_loss",
    "SmoothL1Loss": "xpnet.functions.huber_loss",
    "BCELoss": "xpnet.functions.binary_cross_entropy",
    "BCEWithLogitsLoss": "xpnet.functions.binary_cross_entropy_with_logits",
    "SoftmaxWithLoss": "xpnet.functions.softmax_cross_entropy",
    "MulLayer": "xpnet.Multiply, or xpnet.lessons.MulLayer",
    "AddLayer": "xpnet.Add, or xpnet.lessons.AddLayer",
    "TwoLayerNet": "xpnet.MLP(784, 80, 10)",
    "MultiLayerNet": "xpnet.MLP(784, [80, 80], 10)",
    "Convolution": "xpnet.Conv2d",
    "Pooling": "xpnet.MaxPool2d",
    "Module": "xpnet.Layer",
    "Model": "xpnet.Layer",
    "ModuleList": "a list of layers, as an attribute of a Layer",
    "Tensor": "xpnet.Variable",
    "tensor": "xpnet.Variable",
    "array": "xpnet.Variable, or xpnet.current().asarray(values)",
    "as_variable": "xpnet.Variable",
    "MomentumSGD": "xpnet.Momentum",
    "Adagrad": "xpnet.AdaGrad",
    "RMSprop": "xpnet.RMSProp",
    "Nadam": "xpnet.NAdam",
    "Lamb": "xpnet.LAMB",
    "seed": "xpnet.manual_seed",
    "set_seed": "xpnet.manual_seed",
    "set_backend": "xpnet.use",
    "backend_name": "xpnet.current().name",
    "nn": "xpnet itself: layers are xpnet.Affine, functions are in xpnet.functions",
    "optim": "xpnet itself: xpnet.Adam, xpnet.SGD",
    "Trainer": "xpnet.training.Trainer",
    "DataLoader": "xpnet.data.DataLoader",
    "load_mnist": "xpnet.data.load_mnist",
    "load_table": "xpnet.data.load_table",
    "save": "xpnet.saving.safetensors.save(model, path)",
    "load": "xpnet.saving.safetensors.load(model, path)",
    "asnumpy": "xpnet.to_numpy",
    "stop_gradient": "xpnet.functions.stop_gradient",
    "using_config": "xpnet.no_grad",
    "inference_mode": "xpnet.no_grad",
}
"""Names of other packages, and where xpnet has theirs."""


class Hint:
    """An attribute that an object does not have: reading it raises an error with what to write."""

    __slots__ = ("instead", "name")

    def __init__(self, name: str, instead: str) -> None:
        self.name = name
        self.instead = instead

    def __get__(self, x: object, kind: type) -> NoReturn:
        where = ", with F = xpnet.functions" if "F." in self.instead else ""
        raise MissingAttributeError(
            f"{_a(kind.__name__)} has no {self.name!r}. Write {self.instead}{where}.",
            name=self.name,
            obj=x,
        )

    def __repr__(self) -> str:
        return f"missing: write {self.instead}"


class Renamed(Hint):
    """A hint that cannot be assigned to either: nothing would read the value."""

    __slots__ = ()

    def __set__(self, x: object, value: object) -> None:
        self.__get__(x, type(x))


def hinted(names: dict[str, str]) -> Callable[[type[T]], type[T]]:
    """Class decorator: add a `Hint` for each name, an attribute that other libraries' objects have.

    They are descriptors, because a `__getattr__` would slow down every attribute of the class.
    """

    def decorate(kind: type[T]) -> type[T]:
        for name, instead in names.items():
            if name not in kind.__dict__:
                setattr(kind, name, Hint(name, instead))
        return kind

    return decorate


def _a(noun: str) -> str:
    """The noun with its article, at the beginning of a sentence."""
    return f"An {noun}" if noun[0] in "AEIOU" else f"A {noun}"


def missing(
    module: str, name: str, known: list[str], hints: dict[str, str]
) -> MissingAttributeError:
    """The error for a name that a module does not have, with xpnet's name for it, or similar names.

    Parameters
    ----------
    module : str
        The name of the module, for the message.
    name : str
        The missing name.
    known : list of str
        The names that the module has.
    hints : dict
        Names of other libraries, and what to write for each.
    """
    message = f"{module} has no {name!r}."
    if name in hints:
        message += f" Write {hints[name]}."
    elif similar := _similar(name, known):
        message += f" Did you mean {' or '.join(similar)}?"
    return MissingAttributeError(message)


def _similar(name: str, known: list[str]) -> list[str]:
    """The known names that differ only in case or, if there are none, in a few letters."""
    same = [k for k in known if k.lower() == name.lower()]
    return same or get_close_matches(name, known, cutoff=0.75)
