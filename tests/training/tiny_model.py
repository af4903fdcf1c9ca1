"""A real int8 TFLite model of one layer, written by hand: the brightest quarter of the picture is its class.

With it the world that it knows: four classes counted as three taxa, pictures of them, and a bundle.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.inference.bundle import image_hash
from edge.inference.engine import input_table
from edge.inference.litert import Int8Model
from edge.inference.manifest import Provenance, Source
from edge.inference.preprocessing import N_NUMBERS, Preprocessing, describe, prepare
from edge.taxonomy import Taxon
from training.bundle_export import Trained
from training.evaluate import HeldBack
from training.taxonomy_file import Taxonomy

SIDE = 16
SPEC = Preprocessing(size_px=SIDE)
CLASSES = ("Acartia", "Calanus", "Snow", "Snow_chain")
K = len(CLASSES)


def taxonomy() -> Taxonomy:
    return Taxonomy(
        classes=CLASSES,
        taxa=(
            Taxon(label="Acartia", living=True, parent="Copepod"),
            Taxon(label="Calanus", living=True, parent="Copepod", ecotaxa_id=61),
            Taxon(label="Snow", living=False),
        ),
        class_taxon=np.array([0, 1, 2, 2]),
        parents=(Taxon(label="Copepod", living=True),),
        source_to_class={name: name for name in CLASSES} | {"Flakes": "Snow", "Blur": ""},
        source_classes={**{name: name for name in CLASSES[:2]}, "Snow": "Snow", "Snow_chain": "Snow",
                        "Flakes": "Snow", "Blur": ""},
        limits=("It knows <quarters> | nothing else.",),
    )  # fmt: skip


def quarter(i: int) -> tuple[slice, slice]:
    half = SIDE // 2
    return slice(i // 2 * half, (i // 2 + 1) * half), slice(i % 2 * half, (i % 2 + 1) * half)


def picture(rng: np.random.Generator, i: int, other: float = 0.0) -> np.ndarray:
    """Quarter `i` is bright, and another one as bright times `other`."""
    grey = rng.integers(0, 30, (SIDE, SIDE)).astype(np.float64)
    grey[quarter(i)] += 200
    grey[quarter((i + 1) % K)] += 200 * other
    return grey.clip(0, 255).astype(np.uint8)


def strange(rng: np.random.Generator) -> np.ndarray:
    """Like no class: specks all over."""
    return np.where(rng.random((SIDE, SIDE)) < 0.3, 255, 0).astype(np.uint8)


def tiny_model(*, numbers: bool = False) -> bytes:
    """Logits are four times the mean of each quarter; the numbers, if wanted, count for nothing."""
    model = schema.ModelT()
    model.version, model.description = 3, "tiny"
    model.buffers = [schema.BufferT()]
    tensors, operators = [], []

    def tensor(name, shape, kind, scale, data=None):
        one, quantization = schema.TensorT(), schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [scale], [0]
        one.name, one.shape, one.type, one.quantization = name, list(shape), kind, quantization
        one.buffer = 0
        if data is not None:
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(data.tobytes(), dtype=np.uint8)
            one.buffer = len(model.buffers) - 1
        tensors.append(one)
        return len(tensors) - 1

    def operator(code, inputs, outputs, options_type, options):
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = code, inputs, outputs
        one.builtinOptionsType, one.builtinOptions = options_type, options
        operators.append(one)

    int8, int32, options = schema.TensorType.INT8, schema.TensorType.INT32, schema.BuiltinOptions
    weights = np.zeros((K, SIDE, SIDE), dtype=np.int8)
    for i in range(K):
        weights[i][quarter(i)] = 127
    scale, out = 1 / 128, 10 / 255
    weight_scale = 4 * K / (127 * SIDE * SIDE)
    image = tensor("vignette", (1, SIDE, SIDE, 1), int8, scale)
    kernel = tensor("kernel", (K, SIDE * SIDE), int8, weight_scale, weights)
    bias = tensor("bias", (K,), int32, scale * weight_scale, np.zeros(K, dtype=np.int32))
    logits = tensor("logits", (1, K), int8, out)
    operator(
        0, [image, kernel, bias], [logits], options.FullyConnectedOptions, schema.FullyConnectedOptionsT()
    )
    inputs, outputs, codes = [image], [logits], [(schema.BuiltinOperator.FULLY_CONNECTED, 4)]
    if numbers:
        told = tensor("numbers", (1, N_NUMBERS), int8, scale)
        small = tensor("small", (K, N_NUMBERS), int8, weight_scale, np.zeros((K, N_NUMBERS), dtype=np.int8))
        nothing = tensor("nothing", (1, K), int8, out)
        total = tensor("total", (1, K), int8, out)
        operator(0, [told, small, bias], [nothing], options.FullyConnectedOptions,
                 schema.FullyConnectedOptionsT())  # fmt: skip
        operator(1, [logits, nothing], [total], options.AddOptions, schema.AddOptionsT())
        codes.append((schema.BuiltinOperator.ADD, 2))
        inputs, outputs = [image, told], [total]
    for code, version in codes:
        one = schema.OperatorCodeT()
        one.builtinCode = one.deprecatedBuiltinCode = code
        one.version = version
        model.operatorCodes = [*(model.operatorCodes or []), one]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, inputs, outputs
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 14)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def logits_of(model: bytes, pictures: list[np.ndarray], spec: Preprocessing = SPEC) -> np.ndarray:
    runner = Int8Model(model)
    table = input_table(runner.input_scale, runner.input_zero_point)
    rows = [
        runner.run(
            table[prepare(one, spec)[np.newaxis]],
            table[describe(one, spec)[np.newaxis]] if runner.n_numbers else None,
        )
        for one in pictures
    ]
    return (np.stack(rows).astype(np.float64) - runner.output_zero_point) * runner.output_scale


def held_back(
    model: bytes, n: int = 200, *, known: tuple[int, ...] = (0, 1, 2, 3), seed: int = 1
) -> tuple[HeldBack, list[np.ndarray]]:
    """What the model says of pictures, one in four hard to tell, four of a group; and the pictures."""
    rng = np.random.default_rng(seed)
    labels = np.array(known)[rng.integers(0, len(known), n)]
    hard = rng.random(n) < 0.25
    pictures = [
        picture(rng, label, rng.uniform(0.6, 1.2) if one else 0.1)
        for label, one in zip(labels, hard, strict=True)
    ]
    logits = logits_of(model, pictures)
    groups = tuple(f"acquisition-{i // 4}" for i in range(n))
    return HeldBack(logits, logits + rng.normal(0, 0.02, logits.shape), labels, groups), pictures


def trained(*, numbers: bool = False, known: tuple[int, ...] = (0, 1, 2, 3), **fields) -> Trained:
    model = tiny_model(numbers=numbers)
    found, pictures = held_back(model, known=known)
    rng = np.random.default_rng(7)
    learnt = [picture(rng, i % K) for i in range(20)]
    values = {
        "name": "tiny",
        "model": model,
        "taxonomy": taxonomy(),
        "preprocessing": Preprocessing(size_px=SIDE, numbers=numbers),
        "held_back": found,
        "training_hashes": tuple(image_hash(one) for one in learnt),
        "held_back_hashes": tuple(image_hash(one) for one in pictures),
        "training_counts": np.bincount(np.arange(20) % K, minlength=K),
        "parity": {},
        "provenance": Provenance(
            sources=(Source(name="quarters.zip", licence="none needed", use="training", images=20),),
            split="by acquisition",
            seed=3,
            command="seston train run.toml --out tiny",
            packages={"numpy": "2"},
        ),
    }
    return Trained(**(values | fields))
