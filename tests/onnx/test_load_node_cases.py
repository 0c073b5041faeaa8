"""The test cases that the package onnx has of each operator: all of those that `load_onnx` covers.

Each case runs twice: with all its tensors as inputs, and with all but the first as initializers, from
which layers are made. A case is one that is covered if its operators are, and if its tensors are of
dtypes of the array API standard; which of those are left out is listed here, and nothing else is.
"""

import importlib
import importlib.util

import numpy as np
import pytest

import xpnet
from xpnet.saving.onnx._load_file import OLDEST
from xpnet.saving.onnx._load_operators import DTYPES, ML_OPERATORS
from xpnet.saving.onnx.load import KNOWN, load_onnx

onnx = pytest.importorskip("onnx")

PACKAGE = "onnx.backend.test.case.node"
MODULES = {  # those that are not named as their operator, in lower case
    "And": "and_",
    "ArrayFeatureExtractor": "ai_onnx_ml.array_feature_extractor",
    "BatchNormalization": "batch_normalization",
    "Binarizer": "ai_onnx_ml.binarizer",
    "GreaterOrEqual": "greater_or_equal",
    "InstanceNormalization": "instance_normalization",
    "LessOrEqual": "less_or_equal",
    "Not": "not_",
    "Or": "or_",
    "Range": "rangeop",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
}
WITHOUT_CASES = {"LinearRegressor", "Normalizer", "Scaler"}  # compared in test_load.py
NAMES = sorted({*KNOWN[""], *ML_OPERATORS} - WITHOUT_CASES)

TRAINING = "it is in training, where xpnet draws other numbers, and a loaded model is not"
EMPTY = "the maximum of no numbers, which the array API standard leaves open"
EXCLUDED = {
    "test_batchnorm_epsilon_training_mode": TRAINING,
    "test_batchnorm_example_training_mode": TRAINING,
    "test_lstm_with_peepholes": "xpnet's LSTM has no peepholes",
    "test_reduce_max_empty_set": EMPTY,
    "test_reduce_max_empty_set_bool": EMPTY,
    "test_reduce_min_empty_set": EMPTY,
    "test_training_dropout": TRAINING,
    "test_training_dropout_default": TRAINING,
    "test_training_dropout_default_mask": TRAINING,
    "test_training_dropout_mask": TRAINING,
    "test_training_dropout_zero_ratio": TRAINING,
    "test_training_dropout_zero_ratio_mask": TRAINING,
}
FURTHER_OUTPUTS = {  # their first output is compared: the others are a mask, places, or statistics
    "test_dropout_default_mask",
    "test_dropout_default_mask_ratio",
    "test_maxpool_with_argmax_2d_precomputed_pads",
    "test_maxpool_with_argmax_2d_precomputed_strides",
}


def cases(operator):
    """The cases of an operator, and those of its definition by other operators."""
    name = f"{PACKAGE}.{MODULES.get(operator, operator.lower())}"
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"onnx {onnx.__version__} has no cases of {operator}")
    collected = importlib.import_module(PACKAGE)._NodeTestCases
    start = len(collected)
    importlib.import_module(name)
    found = collected[start:]
    assert found, "another test has imported these cases"
    return found


def is_covered(model):
    for node in model.graph.node:
        if node.op_type not in KNOWN.get(node.domain.removeprefix("ai.onnx"), KNOWN["ai.onnx.ml"]):
            return False
    values = (*model.graph.input, *model.graph.output)
    return all(value.type.tensor_type.elem_type in DTYPES for value in values)


def array(x):
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)


def with_initializers(model, arrays):
    """The model with all inputs but the first as initializers."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    rest = list(bound.graph.input)[1:]
    del bound.graph.input[1:]
    for value, array in zip(rest, arrays[1:], strict=True):
        bound.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return bound


def compare(case, model, inputs, expected):
    """Load a model and compare its outputs; they are of the same dtype and shape too."""
    for entry in model.opset_import:
        entry.version = max(entry.version, OLDEST)  # an operator that is as old as ONNX
    outputs = None
    if case.name in FURTHER_OUTPUTS or "layer_normalization" in case.name:
        expected = expected[:1]
        outputs = model.graph.output[0].name
    loaded = load_onnx(model, outputs=outputs)
    named = dict(zip((x.name for x in model.graph.input), inputs, strict=True))
    read = getattr(loaded, "input_names", list(named)[:1])  # others are left out
    y = loaded(*(named[name] for name in read))
    if not isinstance(y, tuple):
        y = (y,)
    for given, wanted in zip(y, expected, strict=True):
        given = xpnet.to_numpy(given)
        assert given.dtype == wanted.dtype
        assert given.shape == wanted.shape
        np.testing.assert_allclose(given, wanted, rtol=case.rtol, atol=case.atol)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for infinities that cases ask for
@pytest.mark.parametrize("operator", NAMES)
def test_cases_of_an_operator(operator):
    failed = []
    run = 0
    for case in cases(operator):
        if not is_covered(case.model) or case.name in EXCLUDED:
            continue
        inputs, expected = ([array(x) for x in xs] for xs in case.data_sets[0])
        needs_constants = operator in ("GRU", "LSTM", "RNN")
        ways = []
        if not needs_constants:
            ways.append((case.model, inputs))
        if len(inputs) > 1:
            ways.append((with_initializers(case.model, inputs), inputs[:1]))
        for model, given in ways:
            run += 1
            try:
                compare(case, model, given, expected)
            except Exception as error:  # noqa: BLE001 - all failures of the operator are listed
                failed.append(f"{case.name} ({len(given)} inputs): {error!r}"[:500])
    assert not failed, "\n".join(failed)
    assert run


def test_weights_that_are_inputs_are_refused():
    """The reason why cases of recurrent operators run in one way only."""
    with pytest.raises(xpnet.StateError, match="expected constant weights"):
        load_onnx(
            onnx.parser.parse_model("""
                <ir_version: 8, opset_import: ["" : 17]>
                g (float[3, 1, 2] x, float[1, 4, 2] W, float[1, 4, 4] R) => (float[3, 1, 1, 4] y)
                { y = RNN <hidden_size = 4> (x, W, R) }
            """)
        )
