"""Begin with the model now at sea: float weights out of a bundle's int8 model. Keras and NumPy alone.

Conversion folded each normalisation into its convolution. Here the convolution keeps the folded kernel, and
the normalisation gets the statistics that images of the new data give, and just undoes them: the network
computes what the int8 model does, and can be trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError, InputError
from edge.inference.bundle import Bundle, load_bundle
from edge.inference.manifest import Source
from training.fit import network_inputs
from training.layers import RoundedConv2D, RoundedDepthwiseConv2D
from training.model import HEAD, Architecture, build_model
from training.recipe import Recipe

if TYPE_CHECKING:
    from training.run import Prepared

N_PROBES = 96
"""Images that the statistics are taken from."""
CONV, DEPTHWISE, DENSE = 3, 4, 9
"""Numbers of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED among the built-in operators."""

Floats = NDArray[np.float32]


class Weights(NamedTuple):
    """Kernel, as Keras holds it, and bias of one operation, both dequantized."""

    operator: int
    kernel: Floats
    bias: Floats


def read_recipe_of(bundle: Bundle) -> Recipe:
    """The recipe that a bundle was made by; raises `BundleError` when it has none."""
    try:
        return msgspec.toml.decode(bundle.run, type=Recipe)
    except msgspec.MsgspecError as cause:
        raise BundleError(
            f"is not a recipe ({cause})",
            file=bundle.path,
            field="run.toml",
            remedy="use the version of seston that made the bundle",
        ) from cause


def begin_with_bundle(
    model: Any, path_or_name: str, architecture: Architecture, prepared: Prepared
) -> tuple[Source, ...]:
    """Set a network's weights to those of a bundle; returns what they learnt from.

    Classes of the same name keep their output; a class that merges former ones begins with their mean; a new
    one begins at random.

    Raises
    ------
    InputError
        When the bundle holds another network; `BundleError` when it cannot be read.
    """
    bundle = load_bundle(path_or_name)
    former = read_recipe_of(bundle)
    if former.architecture != architecture:
        raise InputError(
            "holds a network of another architecture",
            file=bundle.path,
            remedy="leave the architecture as the bundle has it",
        )
    normalisations, head = _set_body(model, bundle)
    _take_statistics(model, normalisations, prepared)
    _begin_head(model, head, bundle.classes, prepared)
    made = f"weights to begin with (bundle {bundle.sha256[:12]})"
    return (*bundle.manifest.provenance.sources, Source(name=bundle.name, licence="see above", use=made))


def float_network(bundle: Bundle) -> Any:
    """The network that a bundle's int8 model computes, in float: the same classes, nothing to be trained.

    Raises
    ------
    BundleError
        When the bundle does not say what it is made of.
    """
    model = build_model(
        bundle.preprocessing.size_px, len(bundle.classes), read_recipe_of(bundle).architecture
    )
    _, head = _set_body(model, bundle)
    model.get_layer(HEAD).set_weights([head.kernel, head.bias])
    return model


def _set_body(model: Any, bundle: Bundle) -> tuple[list[Any], Weights]:
    """Set all weights but the head's; returns the normalisations, which do nothing yet, and the head's."""
    *body, head = dequantize(bundle.model)
    convolutions = [one for one in model.layers if isinstance(one, RoundedConv2D | RoundedDepthwiseConv2D)]
    normalisations = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    stored = [one for one in body if one.operator != DENSE]
    if len(stored) != len(convolutions):
        raise BundleError(
            f"has {len(stored)} convolutions, {len(convolutions)} were expected",
            file=bundle.path,
            field="model.tflite",
            remedy="export the bundle again",
        )
    for layer, normalisation, weights in zip(convolutions, normalisations, stored, strict=True):
        layer.kernel.assign(weights.kernel)
        one, zero = np.ones_like(weights.bias), np.zeros_like(weights.bias)
        normalisation.set_weights([one, weights.bias, zero, one - np.float32(normalisation.epsilon)])
    for weights in body:
        if weights.operator == DENSE:
            model.get_layer("hidden").set_weights([weights.kernel, weights.bias])
    return normalisations, head


def _take_statistics(model: Any, normalisations: list[Any], prepared: Prepared) -> None:
    """Give each normalisation the statistics of its input, and the scale and offset that undo them."""
    train = prepared.train
    chosen = np.linspace(0, len(train.labels) - 1, min(N_PROBES, len(train.labels))).astype(int)
    probe = keras.Model(model.inputs, [one.input for one in normalisations])
    inputs = network_inputs(model, train.images[chosen], train.numbers[chosen])
    for normalisation, values in zip(normalisations, probe.predict_on_batch(inputs), strict=True):
        flat = np.asarray(values, dtype=np.float64).reshape(-1, values.shape[-1])
        mean, variance = flat.mean(axis=0), flat.var(axis=0)
        _, bias, _, _ = normalisation.get_weights()
        scale = np.sqrt(variance + normalisation.epsilon)
        normalisation.set_weights([scale, bias + mean, mean, variance])


def _begin_head(model: Any, head: Weights, classes: tuple[str, ...], prepared: Prepared) -> None:
    layer = model.get_layer(HEAD)
    kernel, bias = (np.array(values) for values in layer.get_weights())
    old = {name: i for i, name in enumerate(classes)}
    taxonomy = prepared.data.taxonomy
    for i, name in enumerate(taxonomy.classes):
        merged = [
            source.rpartition("__")[0] or source
            for source, to in taxonomy.source_to_class.items()
            if to == name
        ]
        known = [old[name]] if name in old else [old[source] for source in merged if source in old]
        if known:
            kernel[:, i], bias[i] = head.kernel[:, known].mean(axis=1), head.bias[known].mean()
    layer.set_weights([kernel, bias])


def dequantize(model: bytes) -> list[Weights]:
    """Weights of every convolution and dense layer of an int8 TFLite model, in the order of execution."""
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(model, 0)
    graph = root.Subgraphs(0)

    def values(index: int) -> NDArray[np.float64]:
        tensor = graph.Tensors(index)
        kind = np.int8 if tensor.Type() == schema.TensorType.INT8 else np.int32
        raw = np.frombuffer(root.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), dtype=kind)
        quantization = tensor.Quantization()
        scale = quantization.ScaleAsNumpy().astype(np.float64)
        shape = [1] * tensor.ShapeLength()
        shape[quantization.QuantizedDimension() if len(scale) > 1 else 0] = len(scale)
        return np.asarray(raw.reshape(tensor.ShapeAsNumpy()) * scale.reshape(shape))

    found = []
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = root.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind not in (CONV, DEPTHWISE, DENSE):
            continue
        order = {CONV: (1, 2, 3, 0), DEPTHWISE: (1, 2, 3, 0), DENSE: (1, 0)}[kind]
        kernel = values(operator.Inputs(1)).transpose(order)
        has_bias = operator.InputsLength() > 2 and operator.Inputs(2) >= 0
        n_channels = kernel.shape[2] if kind == DEPTHWISE else kernel.shape[-1]
        bias = values(operator.Inputs(2)) if has_bias else np.zeros(n_channels)
        found.append(Weights(kind, kernel.astype(np.float32), bias.astype(np.float32)))
    return found
