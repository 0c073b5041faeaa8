"""An ONNX graph under construction: names that do not collide, constants that are written once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.errors import CompileError

if TYPE_CHECKING:
    import onnx

__all__ = ["IR_VERSION", "OPSET", "Graph", "tensor_type"]

OPSET = 20  # the first with Gelu; runtimes of 2024 and later have it
IR_VERSION = 9  # of the files of that time
LARGEST = 2**31 - 1  # bytes: what protobuf reads and writes

Dimension = int | str  # a name, such as "batch", stands for any size


class Graph:
    """Nodes, constants, inputs and outputs, in the order in which they are added.

    Values are strings: the names that ONNX gives to edges. `node` returns those of its outputs.

    Parameters
    ----------
    name : str, default "xpnet"
    opset : int, default OPSET
        The version of the operators, in ONNX's own domain.

    Examples
    --------
    The package onnx is needed::

        graph = Graph()
        x = graph.input("x", np.float32, ("batch", 3))
        y = graph.node("Mul", [x, graph.constant(np.float32(2.0))])
        graph.output("y", y, np.float32, ("batch", 3))
        model = graph.model()
    """

    def __init__(self, name: str = "xpnet", opset: int = OPSET) -> None:
        self.name = name
        self.opset = opset
        self._names: set[str] = set()
        self._counts: dict[str, int] = {}  # how often a name was asked for
        self._constants: dict[tuple[Any, ...], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._computed: set[str] = set()
        self._renamed: dict[str, str] = {}  # what the graph returns, to the names of its outputs

    def fresh(self, name: str) -> str:
        """`name` if it is still free, else with a number at its end."""
        found = name
        while found in self._names:
            self._counts[name] = self._counts.get(name, 1) + 1
            found = f"{name}_{self._counts[name]}"
        self._names.add(found)
        return found

    def input(self, name: str, dtype: Any, shape: Sequence[Dimension]) -> str:
        """Add an input of the graph, and return its name."""
        name = self.fresh(name)
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: Any, shape: Sequence[Dimension]) -> str:
        """Add an output of the graph, which is `value` by another name, and return that name."""
        name = self.fresh(name)
        if value in self._computed and value not in self._renamed:
            self._renamed[value] = name
        else:  # an input, a parameter, or what is an output already
            self._nodes.append(_node("Identity", [value], [name], {}))
        self._outputs.append(_value_info(name, dtype, shape))
        return name

    def parameter(self, name: str, array: Array) -> str:
        """Add an array by a name of its own, such as "layers.0.weight"."""
        from onnx import numpy_helper

        name = self.fresh(name)
        self._initializers.append(numpy_helper.from_array(_on_host(array), name))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A number or an array; the same value is written once."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        array = array.reshape(np.shape(value))  # ascontiguousarray gives a number one dimension
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.parameter("constant", array)
        return self._constants[key]

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        /,
        name: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node with one output, and return the output's name.

        Parameters
        ----------
        operator : str
            Of ONNX's own domain, such as "Gemm".
        inputs : sequence of str
            An optional input that is left out is "".
        name : str, optional
            Of the node and its output; the operator's by default.
        **attributes
            Those that are None are left out.
        """
        (output,) = self.nodes(operator, inputs, 1, name, **attributes)
        return output

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: int | Sequence[bool],
        /,
        name: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node with several outputs, and return their names.

        `outputs` is their number; or for each of them whether it is wanted. The others are "".
        """
        wanted = [True] * outputs if isinstance(outputs, int) else outputs
        name = name or operator.lower()
        names = [self.fresh(name) if is_wanted else "" for is_wanted in wanted]
        self._nodes.append(_node(operator, inputs, names, attributes))
        self._computed.update(names)
        return names

    def model(self, metadata: Mapping[str, str] | None = None) -> "onnx.ModelProto":
        """The whole as a model, checked by ONNX, with the shapes that ONNX infers.

        Nodes and constants that no output depends on are left out.

        Parameters
        ----------
        metadata : mapping of str to str, optional
            Of the model, such as the names of the classes.

        Raises
        ------
        CompileError
            The constants have 2 GB or more, or there is no output.
        """
        import onnx
        from onnx import helper

        if not self._outputs:
            raise CompileError(
                "Expected a graph with an output: return an array, or change one in a training step."
            )
        nodes = [self._with_names_of_outputs(node) for node in self._needed()]
        read = {name for node in nodes for name in node.input}
        arrays = [array for array in self._initializers if array.name in read]
        size = sum(len(array.raw_data) for array in arrays)
        if size > LARGEST:
            raise CompileError(
                f"Expected parameters of less than 2 GB, the limit of a file of ONNX; got {size / 1e9:.1f} GB. "
                "Export in a smaller dtype, such as float16, or one part of the model at a time."
            )
        graph = helper.make_graph(nodes, self.name, self._inputs, self._outputs, arrays)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=max(IR_VERSION, helper.find_min_ir_version_for(opsets)),
            producer_name="xpnet",
        )
        helper.set_model_props(model, dict(metadata or {}))
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _needed(self) -> list["onnx.NodeProto"]:
        """The nodes that an output of the graph depends on."""
        needed = {*self._renamed, *(x.name for x in self._outputs)}
        found = []
        for node in reversed(self._nodes):
            if not needed.isdisjoint(node.output):
                found.append(node)
                needed.update(node.input)
        return found[::-1]

    def _with_names_of_outputs(self, node: "onnx.NodeProto") -> "onnx.NodeProto":
        """A copy of a node in which what the graph returns has the name of that output."""
        renamed = type(node)()
        renamed.CopyFrom(node)
        renamed.input[:] = [self._renamed.get(name, name) for name in node.input]
        renamed.output[:] = [self._renamed.get(name, name) for name in node.output]
        return renamed


def _on_host(array: Array) -> np.ndarray[Any, Any]:
    return np.array(to_numpy(array), order="C", copy=True)


def tensor_type(dtype: Any) -> int:
    """ONNX's number for a dtype."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _value_info(name: str, dtype: Any, shape: Sequence[Dimension]) -> "onnx.ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, tensor_type(dtype), list(shape))


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
) -> "onnx.NodeProto":
    from onnx import helper

    given = {key: x for key, x in attributes.items() if x is not None}
    name = next((output for output in outputs if output), "")
    return helper.make_node(operator, list(inputs), list(outputs), name, **given)
