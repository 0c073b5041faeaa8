"""What to write for names that come from other libraries: `v.sum()`, `F.mse_loss`, `Linear`.

PyTorch, NumPy, Keras, JAX and DeZero have names that xpnet does not have, or has elsewhere. Reading
one of them raises an AttributeError with xpnet's own name, and importing one from a module an
ImportError; `hasattr` is False.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NoReturn, TypeVar

from xpnet.errors import MissingAttributeError, MissingImportError

T = TypeVar("T")

METHODS = {
    # leaving the graph
    "item": "float(x), int(x) or complex(x)",
    "numpy": "xpnet.to_numpy(x)",
    "tolist": "xpnet.to_numpy(x).tolist()",
    "detach": "x.data, or F.stop_gradient(x) for a Variable",
    "cpu": "xpnet.to_numpy(x), or x.to_device(device)",
    "cuda": "x.to_device(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
    "to_cpu": "xpnet.to_numpy(x), or x.to_device(device)",
    "to_gpu": "x.to_device(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
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
    "unchain_backward": "F.stop_gradient(x) for what the next step starts from",
    "generation": "x.creator: the order of the graph is xpnet's own",
    "name": "xpnet.plots.dot(y, {'x': x}), which is given the names of the graph",
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
    "searchsorted": "F.searchsorted(x, values)",
    "ptp": "np.ptp(x)",
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
    "conjugate": "F.conj(x)",
    "real": "F.real(x)",
    "imag": "F.imag(x)",
    "take": "F.take(x, indices, axis=axis)",
    "gather": "F.take_along_axis(x, indices, axis=axis)",
    "masked_fill": "F.where(mask, value, x)",
    "fill": "x[...] = value",
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
    "multi_margin_loss": "F.hinge_loss(x, t)",
    "multilabel_soft_margin_loss": "F.binary_cross_entropy_with_logits(x, t)",
    "soft_margin_loss": "F.mean(F.softplus(-t * y)), for t = 1 or -1",
    "squared_hinge": "F.mean(F.relu(1.0 - t * y) ** 2), for t = 1 or -1",
    "margin_ranking_loss": "F.mean(F.relu(margin - t * (x1 - x2)))",
    "poisson_nll_loss": "F.mean(F.exp(y) - t * y)",
    "poisson": "F.mean(y - t * F.log(y))",
    "gaussian_nll_loss": "0.5 * F.mean(F.log(var) + (y - t) ** 2 / var)",
    "log_cosh": "F.mean(d + F.softplus(-2.0 * d) - 0.6931471805599453), for d = y - t",
    "mean_absolute_percentage_error": "100.0 * F.mean(F.abs((t - y) / t))",
    "mean_squared_logarithmic_error": "F.mean((F.log1p(y) - F.log1p(t)) ** 2)",
    "sum_squared_error": "0.5 * F.sum((y - t) ** 2)",
    "softmax_loss": "F.softmax_cross_entropy(scores, t)",
    "softmax_with_loss": "F.softmax_cross_entropy(scores, t)",
    "sigmoid_with_loss": "F.binary_cross_entropy_with_logits(scores, t)",
    "eval_perplexity": "F.exp(loss), for the loss F.softmax_cross_entropy(scores, t)",
    "linear_cross_entropy": "F.softmax_cross_entropy(F.linear(x, weight), t)",
    # activations
    "relu6": "F.clip(x, 0.0, 6.0)",
    "hardtanh": "F.clip(x, -1.0, 1.0)",
    "hardsigmoid": "F.clip(x / 6.0 + 0.5, 0.0, 1.0)",
    "hardswish": "x * F.clip(x / 6.0 + 0.5, 0.0, 1.0)",
    "hard_silu": "x * F.clip(x / 6.0 + 0.5, 0.0, 1.0)",
    "hardshrink": "F.where(F.abs(x) > 0.5, x, 0.0)",
    "softshrink": "F.sign(x) * F.relu(F.abs(x) - 0.5)",
    "tanhshrink": "x - F.tanh(x)",
    "softsign": "x / (1.0 + F.abs(x))",
    "softmin": "F.softmax(-x)",
    "logsigmoid": "-F.softplus(-x)",
    "mish": "x * F.tanh(F.softplus(x))",
    "selu": "1.0507009873554805 * F.elu(x, 1.6732632423543772)",
    "celu": "F.relu(x) + alpha * F.expm1(F.minimum(x, 0.0) / alpha)",
    "glu": "a * F.sigmoid(b), for the halves a and b of x",
    "prelu": "F.where(x > 0.0, x, weight * x)",
    "threshold": "F.where(x > threshold, x, value)",
    "squareplus": "0.5 * (x + F.sqrt(x * x + 4.0))",
    "exponential": "F.exp(x)",
    "identity_function": "x as it is",
    "step_function": "F.astype(x > 0.0, dtype)",
    "sigmoid_grad": "s * (1.0 - s), for s = F.sigmoid(x)",
    "relu_grad": "F.astype(x > 0.0, dtype)",
    # networks
    "embed_id": "F.embedding(x, weight)",
    "embedding_bag": "F.mean(F.embedding(x, weight), axis=1)",
    "pooling": "F.max_pool(x, kernel_size), or F.avg_pool(x, kernel_size)",
    "adaptive_max_pool": "F.global_max_pool(x)",
    "im2col": "F.conv(x, weight), which needs no im2col",
    "col2im": "F.conv_transpose(x, weight), which needs no col2im",
    "unfold": "F.conv(x, weight), which needs no unfold",
    "fold": "F.conv_transpose(x, weight), which needs no fold",
    "dropout1d": "F.dropout(x, p, mask=mask), with a mask of shape (batch, channels, 1)",
    "dropout2d": "F.dropout(x, p, mask=mask), with a mask of shape (batch, channels, 1, 1)",
    "dropout3d": "F.dropout(x, p, mask=mask), with a mask of shape (batch, channels, 1, 1, 1)",
    "instance_norm": "F.group_norm(x, channels)",
    "rms_norm": "x / F.sqrt(F.mean(x * x, axis=-1, keepdims=True) + eps)",
    "rms_normalization": "x / F.sqrt(F.mean(x * x, axis=-1, keepdims=True) + eps)",
    "bilinear": "F.einsum('bi,oij,bj->bo', x1, weight, x2)",
    "cos_similarity": "F.vecdot(x1, x2), of x1 and x2 divided by their norms",
    "cosine_similarity": "F.vecdot(x1, x2), of x1 and x2 divided by their norms",
    "pairwise_distance": "F.linalg.vector_norm(x1 - x2, axis=-1)",
    "pdist": "F.linalg.vector_norm(x[:, None, :] - x[None, :, :], axis=-1)",
    "cdist": "F.linalg.vector_norm(x1[:, None, :] - x2[None, :, :], axis=-1)",
    "upsample": "F.repeat(F.repeat(x, 2, axis=2), 2, axis=3), for images",
    "upsample_nearest": "F.repeat(F.repeat(x, 2, axis=2), 2, axis=3), for images",
    "interpolate": "F.repeat(F.repeat(x, 2, axis=2), 2, axis=3), for images",
    "multi_head_attention_forward": "xpnet.MultiheadAttention",
    "dot_product_attention": "F.scaled_dot_product_attention(q, k, v)",
    "affine": "F.linear(x, weight, bias)",
    "dense": "F.linear(x, weight, bias)",
    "conv2d": "F.conv(x, weight, bias)",
    "conv_transpose2d": "F.conv_transpose(x, weight, bias)",
    "max_pool2d": "F.max_pool(x, kernel_size)",
    "avg_pool2d": "F.avg_pool(x, kernel_size)",
    "adaptive_avg_pool": "F.global_avg_pool(x)",
    "batch_normalization": "F.batch_norm",
    "batch_nrom": "F.batch_norm",
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
    "interp": "np.interp(x, xp, fp)",
    "trapezoid": "np.trapezoid(y, x)",
    "convolve": "np.convolve(x, kernel)",
    "kron": "np.kron(x1, x2)",
    "gradient": "np.gradient(x, spacing)",
    "polyval": "np.polyval(coefficients, x)",
    "erf": "F.special.erf(x)",
    "gammaln": "F.special.gammaln(x)",
    "from_numpy": "F.asarray(values)",
    "normalize": "x / F.linalg.vector_norm(x, axis=axis, keepdims=True)",
    "accuracy": "xpnet.metrics.accuracy",
    "no_grad": "xpnet.no_grad",
    "lgamma": "F.special.gammaln(x)",
    "rsub": "x2 - x1",
    "rdiv": "x2 / x1",
    "as_array": "F.asarray(values)",
    "as_variable": "x as it is, or xpnet.Variable(x)",
    "convert_one_hot": "F.astype(t[:, None] == F.arange(n), dtype)",
    "numerical_gradient": "xpnet.testing.numerical_gradient(f, x)",
    "clip_grads": "xpnet.clip_grad_norm(model.parameters(), max_norm)",
    "shuffle_dataset": "xpnet.data.DataLoader(x, t, batch_size=n, shuffle=True)",
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
    "grads": "[p.grad for p in layer.parameters()]",
    "gradient": "loss.backward(), and then p.grad for each p of layer.parameters()",
    "weights": "layer.parameters()",
    "trainable_variables": "layer.parameters()",
    "trainable_weights": "layer.parameters()",
    "get_weights": "layer.state_dict()",
    "set_weights": "layer.load_state_dict(state)",
    "save_weights": "xpnet.saving.safetensors.save(layer, path)",
    "load_weights": "xpnet.saving.safetensors.load(layer, path)",
    "save": "xpnet.saving.safetensors.save(layer, path)",
    "save_params": "xpnet.saving.safetensors.save(layer, path)",
    "load_params": "xpnet.saving.safetensors.load(layer, path)",
    "register_buffer": "layer.name = xpnet.Buffer(array)",
    "register_parameter": "layer.name = xpnet.Parameter(array)",
    "requires_grad_": "p.requires_grad = False for p in layer.parameters()",
    # devices and dtypes
    "cpu": "layer.to('cpu')",
    "cuda": "layer.to(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
    "to_cpu": "layer.to('cpu')",
    "to_gpu": "layer.to(device), after xpnet.use('cupy') or xpnet.use('torch:cuda')",
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
    "plot": "xpnet.plots.dot(layer(x))",
    "reset_state": "layer(x) without a state, which is one of zeros: a layer keeps none between calls",
    "set_state": "layer(x, None, h_0): a layer keeps no state between calls",
}
"""Attributes that models of other libraries have, and what to write for a Layer."""

OPTIMIZERS = {
    "param_groups": "optimizer.groups for the options of a group, and optimizer.defaults for those of all",
    "add_param_group": "optimizer.add_group(group)",
    "apply_gradients": "optimizer.step()",
    "minimize": "loss.backward(), then optimizer.step()",
    "setup": "xpnet.SGD(model.parameters())",
    "params": "optimizer.parameters",
    "target": "optimizer.parameters",
    "cleargrads": "optimizer.zero_grad()",
    "add_hook": (
        "weight_decay=0.0001, an option of each optimizer, or "
        "xpnet.clip_grad_norm(model.parameters(), max_norm) before optimizer.step()"
    ),
}
"""Attributes that optimizers of other libraries have, and what to write for an Optimizer."""

SOURCES: list[Callable[[], dict[str, str]]] = []
"""Functions that return more hints for names of functions: of NumPy, from `xpnet._interoperability`."""

IN_MODULES = {
    "data": (
        "DataLoader Schema Standardizer load_archive load_dataset load_image_folder load_mnist load_samples "
        "load_table open_samples split transforms"
    ),
    "layers.initializers": (
        "glorot_normal glorot_uniform he_normal he_uniform lecun_normal lecun_uniform"
    ),
    "metrics": (
        "ConfusionMatrix F1 Precision R2 Recall RocAuc accuracy confusion_matrix f1 mean_absolute_error "
        "precision r2 recall roc_auc top_k_accuracy"
    ),
    "models": "lenet resnet",
    "saving": "export_onnx load_onnx load_keras_weights load_torch_state_dict torch_state_dict",
    "schedules": (
        "constant cosine cosine_restarts exponential multi_step one_cycle per_epoch reduce_on_plateau "
        "step_decay warmup"
    ),
    "testing": "check_gradients numerical_gradient",
    "training": (
        "CSVLogger Callback Checkpoint EarlyStopping History MixedPrecision ProgressBar ReduceOnPlateau "
        "StopOnNaN TensorBoard Trainer evaluate predict"
    ),
}
"""Names that are in a module of xpnet, and that people look for in the package."""

RULES = {
    "inputs": "backward(self, gy, x), which is given the inputs that it names; or extend xpnet.lessons.Function",
    "outputs": "backward(self, gy, y), which is given the output; or extend xpnet.lessons.Function",
}
"""Attributes that a Function of DeZero has, and what to write in its `backward`."""

PACKAGE = {
    **{
        name: f"xpnet.{module}.{name}"
        for module, names in IN_MODULES.items()
        for name in names.split()
    },
    "Linear": "xpnet.Affine(in_features, out_features)",
    "Dense": "xpnet.Affine(in_features, out_features)",
    "Conv2DTranspose": "xpnet.ConvTranspose2d",
    "AdaptiveAvgPool2d": "xpnet.GlobalAvgPool2d",
    "Convolution": "xpnet.Conv2d",
    "Deconvolution": "xpnet.ConvTranspose2d",
    "Pooling": "xpnet.MaxPool2d, or xpnet.AvgPool2d",
    "BatchNorm3d": "xpnet.functions.batch_norm, in the forward of a layer",
    "EmbedID": "xpnet.Embedding",
    "BatchNorm": "xpnet.BatchNorm1d or xpnet.BatchNorm2d",
    "SimpleRNN": "xpnet.RNN",
    "AddLayer": "xpnet.lessons.AddLayer, or x + y",
    "MulLayer": "xpnet.lessons.MulLayer, or x * y",
    "MSELayer": "xpnet.lessons.MSELayer, or xpnet.functions.mean_squared_error",
    "SigmoidWithLoss": "xpnet.functions.binary_cross_entropy_with_logits",
    "SyncBatchNorm": "xpnet.BatchNorm2d(features, sync=True)",
    "Softmax2d": "xpnet.Softmax(dim=1)",
    "Unflatten": "xpnet.Reshape(*sizes)",
    "Permute": "xpnet.functions.permute_dims, in the forward of a layer",
    "Concatenate": "xpnet.functions.concat, in the forward of a layer",
    "Normalization": "xpnet.data.Standardizer",
    "Cropping": "x[:, :, 1:-1, 1:-1], in the forward of a layer",
    "ZeroPad": "padding=1 of a convolution, or np.pad(x, widths)",
    "ConstantPad": "np.pad(x, widths, constant_values=value)",
    "CircularPad": "np.pad(x, widths, mode='wrap')",
    "ReflectionPad": "np.pad(x, widths, mode='reflect')",
    "ReplicationPad": "np.pad(x, widths, mode='edge')",
    "DepthwiseConv": "xpnet.Conv2d(channels, channels, kernel_size, groups=channels)",
    "SeparableConv": "xpnet.Conv2d(..., groups=channels), and a convolution of size 1",
    "AdaptiveMaxPool2d": "xpnet.GlobalMaxPool2d",
    "Input": "nothing: layers take the arrays that they are called with",
    "InputLayer": "nothing: layers take the arrays that they are called with",
    "RepeatVector": "xpnet.functions.repeat, in the forward of a layer",
    "StackedRNNCells": "xpnet.RNN(..., num_layers=n)",
    "ModuleDict": "a dict of layers, as an attribute of a Layer",
    "ParameterList": "a list of Parameters, as an attribute of a Layer",
    "ParameterDict": "a dict of Parameters, as an attribute of a Layer",
    "DataParallel": "xpnet.distributed: each process has a share of the batch",
    "LBFGS": "scipy.optimize.minimize, with xpnet.value_and_grad",
    "kaiming_normal": "xpnet.layers.initializers.he_normal",
    "kaiming_uniform": "xpnet.layers.initializers.he_uniform",
    "xavier_normal": "xpnet.layers.initializers.glorot_normal",
    "xavier_uniform": "xpnet.layers.initializers.glorot_uniform",
    "normal": "xpnet.layers.initializers.normal",
    "uniform": "xpnet.layers.initializers.uniform",
    "random_normal": "xpnet.layers.initializers.normal",
    "random_uniform": "xpnet.layers.initializers.uniform",
    "Lambda": "a subclass of xpnet.Layer, whose forward is the function",
    "Activation": "xpnet.ReLU, or another activation",
    "Identity": "xpnet.Sequential(), which returns its input",
    "RNNCell": "xpnet.RNN, on sequences of length 1",
    "SimpleRNNCell": "xpnet.RNN, on sequences of length 1",
    "LSTMCell": "xpnet.LSTM, on sequences of length 1",
    "GRUCell": "xpnet.GRU, on sequences of length 1",
    "Bidirectional": "xpnet.LSTM(..., bidirectional=True)",
    "TimeBiLSTM": "xpnet.LSTM(..., bidirectional=True)",
    "TimeDistributed": "the layer itself: xpnet.Affine works on the last axis",
    "EinsumDense": "xpnet.functions.einsum, in the forward of a layer",
    "Transformer": "xpnet.TransformerEncoder",
    "to_categorical": "the class numbers as they are, which xpnet.functions.softmax_cross_entropy takes",
    "load_model": "xpnet.training.open_run(folder).build(), or xpnet.saving.load(model, path)",
    "read_csv": "xpnet.data.load_table(path, target)",
    "TwoLayerNet": "xpnet.MLP(in_features, hidden, out_features)",
    "MultiLayerNet": "xpnet.MLP(in_features, hidden, out_features)",
    "MultiLayerNetExtend": "xpnet.MLP(in_features, hidden, out_features)",
    "ResNet": "xpnet.models.resnet",
    "ResNet50": "xpnet.models.resnet",
    "ResNet101": "xpnet.models.resnet",
    "ResNet152": "xpnet.models.resnet",
    "BatchNormalization": "xpnet.BatchNorm1d or xpnet.BatchNorm2d",
    "Attention": "xpnet.MultiheadAttention",
    "TransformerBlock": "xpnet.TransformerEncoderLayer",
    "BCEWithLogitsLoss": "xpnet.functions.binary_cross_entropy_with_logits",
    "SoftmaxWithLoss": "xpnet.functions.softmax_cross_entropy",
    "Module": "xpnet.Layer",
    "BaseModel": "xpnet.Layer",
    "Model": "xpnet.Layer",
    "ModuleList": "a list of layers, as an attribute of a Layer",
    "Tensor": "xpnet.Variable",
    "tensor": "xpnet.Variable",
    "array": "xpnet.Variable, or xpnet.current().asarray(values)",
    "as_variable": "xpnet.Variable",
    "MomentumSGD": "xpnet.SGD(parameters, momentum=0.9), or xpnet.Momentum",
    "AdaGrad": "xpnet.Adagrad",
    "RMSProp": "xpnet.RMSprop",
    "AdaDelta": "xpnet.Adadelta",
    "WeightDecay": "xpnet.SGD(..., weight_decay=0.0001), an option of each optimizer",
    "ClipGrad": "xpnet.clip_grad_norm(model.parameters(), max_norm)",
    "clip_grads": "xpnet.clip_grad_norm(model.parameters(), max_norm)",
    "FreezeParam": "p.requires_grad = False, for each parameter p",
    "StepLR": "xpnet.schedules.step_decay",
    "MultiStepLR": "xpnet.schedules.multi_step",
    "PiecewiseConstantDecay": "xpnet.schedules.multi_step",
    "ExponentialLR": "xpnet.schedules.exponential",
    "ExponentialDecay": "xpnet.schedules.exponential",
    "ConstantLR": "xpnet.schedules.constant",
    "LinearLR": "xpnet.schedules.linear",
    "PolynomialLR": "xpnet.schedules.linear",
    "PolynomialDecay": "xpnet.schedules.linear",
    "CosineAnnealingLR": "xpnet.schedules.cosine",
    "CosineDecay": "xpnet.schedules.cosine",
    "CosineAnnealingWarmRestarts": "xpnet.schedules.cosine_restarts",
    "CosineDecayRestarts": "xpnet.schedules.cosine_restarts",
    "OneCycleLR": "xpnet.schedules.one_cycle",
    "SequentialLR": "xpnet.schedules.warmup",
    "LambdaLR": "a function of the step: optimizer.factor = function(step)",
    "LRScheduler": "a function of the step, as in xpnet.schedules",
    "LearningRateSchedule": "a function of the step, as in xpnet.schedules",
    "ReduceLROnPlateau": "xpnet.training.ReduceOnPlateau",
    "ModelCheckpoint": "xpnet.training.Checkpoint",
    "TerminateOnNaN": "xpnet.training.StopOnNaN",
    "ProgbarLogger": "xpnet.training.ProgressBar",
    "LearningRateScheduler": "xpnet.training.Trainer(..., schedule=schedule)",
    "LossScaleOptimizer": "xpnet.training.MixedPrecision",
    "Dataset": "xpnet.data.DataLoader, which takes arrays, or any iterable of batches",
    "TensorDataset": "xpnet.data.DataLoader, which takes arrays",
    "IterableDataset": "any iterable of batches",
    "SeqDataLoader": "x[:, i : i + steps], for the n parts x = x.reshape(n, -1) of a sequence",
    "MNIST": "xpnet.data.load_mnist()",
    "CIFAR10": "xpnet.data.load_dataset('cifar10')",
    "Compose": "xpnet.data.transforms",
    "one_hot": "F.astype(t[:, None] == F.arange(n), dtype), with F = xpnet.functions",
    "convert_one_hot": "F.astype(t[:, None] == F.arange(n), dtype), with F = xpnet.functions",
    "NegativeSamplingLoss": "xpnet.functions.binary_cross_entropy_with_logits",
    "datasets": "xpnet.data",
    "utils": "xpnet.plots.dot, for the picture of a graph",
    "seed": "xpnet.manual_seed",
    "set_seed": "xpnet.manual_seed",
    "set_backend": "xpnet.use",
    "backend_name": "xpnet.current().name",
    "nn": "xpnet itself: layers are xpnet.Affine, functions are in xpnet.functions",
    "optim": "xpnet itself: xpnet.Adam, xpnet.SGD",
    "save": "xpnet.saving.safetensors.save(model, path)",
    "load": "xpnet.saving.safetensors.load(model, path)",
    "asnumpy": "xpnet.to_numpy",
    "as_numpy": "xpnet.to_numpy",
    "as_cupy": "x.to_device(device), after xpnet.use('cupy')",
    "cuda": "xpnet.use('cupy'), or xpnet.use('torch:cuda')",
    "to_cpu": "xpnet.to_numpy",
    "to_gpu": "x.to_device(device), after xpnet.use('cupy')",
    "get_array_module": "xpnet.array_namespace",
    "numerical_grad": "xpnet.testing.numerical_gradient",
    "gradient_check": "xpnet.testing.check_gradients",
    "get_dot_graph": "xpnet.plots.dot",
    "plot_dot_graph": "xpnet.plots.dot",
    "as_array": "xpnet.current().asarray(values)",
    "test_mode": "layer.eval()",
    "convert_to_tensor": "xpnet.current().asarray(values)",
    "convert_to_numpy": "xpnet.to_numpy",
    "stop_gradient": "xpnet.functions.stop_gradient",
    # derivatives of functions, and what JAX, autograd and PyTorch do with functions
    "gradient": "xpnet.grad(f)",
    "derivative": "xpnet.grad(f)",
    "elementwise_grad": "xpnet.grad(lambda x: xpnet.functions.sum(f(x)))",
    "jacrev": "xpnet.jacobian(f)",
    "jacfwd": "xpnet.jacobian(f, columns=True)",
    "linearize": "xpnet.jvp(f, primals, tangents)",
    "custom_vjp": "xpnet.custom_rule(rule)",
    "custom_jvp": "xpnet.custom_rule(rule)",
    "custom_gradient": "xpnet.custom_rule(rule)",
    "checkpoint": "xpnet.gradient_checkpoint(f)",
    "remat": "xpnet.gradient_checkpoint(f)",
    "check_grads": "xpnet.testing.check_gradients(f, x)",
    "gradcheck": "xpnet.testing.check_gradients(f, x)",
    "jit": "xpnet.compile(f)",
    "vmap": "f for arrays with a first axis of samples; or pass f to jax.vmap, with arrays of JAX",
    "set_default_dtype": 'xpnet.use("numpy", "float64")',
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
    """The noun with its article, at the beginning of a sentence: A Layer, An SGD, which is spelled."""
    is_spelled = noun[:2].isupper() and noun[1] not in "AEIOU"
    vowels = "AEFHILMNORSX" if is_spelled else "AEIOU"
    return f"An {noun}" if noun[0] in vowels else f"A {noun}"


def missing(
    module: str, name: str, known: list[str], hints: dict[str, str]
) -> MissingAttributeError | MissingImportError:
    """The error for a name that a module does not have, with xpnet's name for it, or similar names.

    The `__getattr__` of a module calls it, and raises what it returns.

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
    from difflib import get_close_matches  # only an error needs it

    advice = ""
    if name in hints:
        advice = f" Write {hints[name]}."
    elif spelled := _spelled_otherwise(name, known, hints):
        advice = spelled
    elif similar := get_close_matches(name, known, cutoff=0.75):
        advice = _did_you_mean(similar)
    message = f"{module} has no {name!r}.{advice}"
    if advice and _is_imported(module, name):
        return MissingImportError(message)
    return MissingAttributeError(message)


def _is_imported(module: str, name: str) -> bool:
    """Whether `from module import name` calls the `__getattr__` that calls `missing`.

    Python replaces an AttributeError there by an ImportError without its message. First it looks for
    a submodule that is still being imported, which is left to Python.
    """
    from opcode import opmap

    frame = sys._getframe(2).f_back  # noqa: SLF001 - the one way to the caller of `__getattr__`
    if frame is None:  # it is C code, without a program in Python
        return False
    operation = frame.f_code.co_code[frame.f_lasti]
    return operation == opmap["IMPORT_FROM"] and f"{module}.{name}" not in sys.modules


def _did_you_mean(names: list[str]) -> str:
    return f" Did you mean {' or '.join(names)}?"


def for_functions() -> dict[str, str]:
    """The hints for names of functions: those of NumPy, and `FUNCTIONS`."""
    hints: dict[str, str] = {}
    for source in SOURCES:
        hints |= source()
    return hints | FUNCTIONS


def in_package(name_of_function: dict[str, str]) -> dict[str, str]:
    """The hints for names of the package: those of `PACKAGE`, and functions, which are elsewhere.

    Parameters
    ----------
    name_of_function : dict
        xpnet's functions, and where they are.
    """
    functions = {
        name: f"{hint}, with F = xpnet.functions" if "F." in hint else hint
        for name, hint in FUNCTIONS.items()
    }
    return {**functions, **name_of_function, **PACKAGE}


def for_modules() -> dict[str, str]:
    """The hints for names of a module of the package: where xpnet has them, and those of the package."""
    functions = {name: f"xpnet.functions.{name}" for name in sys.modules["xpnet.functions"].__all__}
    in_xpnet = {name: f"xpnet.{name}" for name in sys.modules["xpnet"].__all__}
    return {**in_package(functions), **in_xpnet}


WORDS = (
    ("_", ""), ("lazy", ""), ("spatial", ""), ("deconvolution", "convtranspose"),
    ("deconv", "convtranspose"), ("convolution", "conv"), ("pooling", "pool"), ("padding", "pad"),
    ("average", "avg"), ("normalization", "norm"), ("sampling", "sample"),
)  # fmt: skip
"""Words of other libraries, and xpnet's, in names without underscores and capital letters."""

PARTS = ("1d", "2d", "3d", "loss", "simple", "withindices")
"""What names of other libraries end with, where xpnet has one function for all: conv3d, NLLLoss."""


def _spelled_otherwise(name: str, known: list[str], hints: dict[str, str]) -> str:
    """What to write if a known name, or one with a hint, is the same apart from WORDS and PARTS.

    The one that has most in common: for MaxPool1D it is MaxPool1d, and not max_pool. "" if none is.
    """
    of_known = _by_spelling(known)
    of_hints = _by_spelling(hints)
    for spelling in _spellings(_plain(name)):
        if spelling in of_known:
            return _did_you_mean(of_known[spelling])
        if spelling in of_hints:
            return f" Write {hints[of_hints[spelling][-1]]}."  # the last are the most exact
    return ""


def _by_spelling(names: Iterable[str]) -> dict[str, list[str]]:
    """The names by what they are without capital letters and underscores, and without "loss"."""
    found: dict[str, list[str]] = {}
    for name in names:
        plain = _plain(name)
        for spelling in {plain, plain.removesuffix("loss")}:
            found.setdefault(spelling, []).append(name)
    return found


def _spellings(plain: str) -> Iterator[str]:
    """A name, and the same without each of PARTS at its end, and "time" at its beginning."""
    yield plain
    for part in PARTS:
        if plain.endswith(part) and plain != part:
            yield from _spellings(plain.removesuffix(part))
    if plain.startswith("time") and plain != "time":
        yield from _spellings(plain.removeprefix("time"))


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    """A name in small letters, and in xpnet's words: "convtranspose2d" for Conv2DTranspose."""
    plain = name.lower()
    for theirs, ours in WORDS:
        plain = plain.replace(theirs, ours)
    return re.sub(r"conv([123]d)transpose", r"convtranspose\1", plain)
