"""A small program with a weight of every kind, saved for iOS 17 and 18."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.toolchain import NOISY_LOGGERS, without_bars
from export.quiet import errors_only

Arrays = dict[str, np.ndarray]
OPSETS = {"iOS17": 7, "iOS18": 8}


@pytest.fixture(scope="session")
def numbers() -> Arrays:
    """The weights of the program: normal, with heavy tails, and with many zeros."""
    generator = np.random.default_rng(5)
    table = generator.standard_t(4, (80, 64)) * 0.1
    zeros = generator.normal(0, 0.2, (96, 64)) * (generator.random((96, 64)) < 0.4)
    made = {"conv": generator.normal(0, 0.1, (64, 64, 3, 3)), "linear": zeros, "matmul": table.T, "table": table}
    return {name: np.ascontiguousarray(array.astype(np.float16)) for name, array in made.items()}


@pytest.fixture(scope="session")
def plain(ct: Any, numbers: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Deployment target -> package: gather, conv, linear and matmul, and a table that is indexed by the step."""
    folder = tmp_path_factory.mktemp("plain")
    for target in OPSETS:
        save(build(ct, numbers, target), folder / f"{target}.mlpackage")
    return {target: folder / f"{target}.mlpackage" for target in OPSETS}


def build(ct: Any, numbers: Arrays, target: str) -> Any:
    """The program as a model of coremltools."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    opset = getattr(ct.target, target)
    half = Builder.TensorSpec((1, 64, 8, 8), dtype=types.fp16)
    specs = [half, *(Builder.TensorSpec((1,), dtype=types.int32) for _ in range(2))]

    def body(x: Any, word: Any, step: Any) -> Any:
        times = Builder.gather(x=numbers["table"], indices=step, axis=0, name="time")
        x = Builder.conv(x=x, weight=numbers["conv"], pad_type="same", name="conv")
        x = Builder.add(x=Builder.reduce_mean(x=x, axes=[2, 3]), y=times)
        x = Builder.add(x=x, y=Builder.gather(x=numbers["table"] * 2, indices=word, axis=0, name="words"))
        return (
            Builder.linear(x=x, weight=numbers["linear"], bias=np.zeros(96, np.float16), name="linear"),
            Builder.matmul(x=x, y=numbers["matmul"], name="matmul"),
        )

    program = Builder.program(input_specs=specs, opset_version=opset)(lambda x, word, step: body(x, word, step))
    with errors_only(NOISY_LOGGERS), without_bars():
        return ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=opset,
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
        )


def save(model: Any, path: Path) -> Path:
    """Save without coremltools' bars."""
    with errors_only(NOISY_LOGGERS), without_bars():
        model.save(str(path))
    return path


@pytest.fixture(scope="session")
def theirs(ct: Any, plain: Mapping[str, Path]) -> Callable[[Any, Path, str], Any]:
    """`theirs(compress, path, target)`: the program compressed by coremltools, saved."""

    def make(compress: Callable[[Any], Any], path: Path, target: str) -> Path:
        with errors_only(NOISY_LOGGERS), without_bars():
            return save(compress(ct.models.MLModel(str(plain[target]), skip_model_load=True)), path)

    return make


@pytest.fixture(scope="session")
def loaded_by_coremltools(ct: Any) -> Callable[[Path], Arrays]:
    """Decoded weights by the name of their value, through coremltools' reader and its own decompression."""
    from coremltools.converters.mil.frontend.milproto.load import load

    def read(path: Path) -> Arrays:
        with errors_only(NOISY_LOGGERS):
            model = ct.models.MLModel(str(path), skip_model_load=True)
            spec = model.get_spec()
            version = spec.specificationVersion
            program = load(spec, specification_version=version, file_weights_dir=model.weights_dir)
        found = (each for function in program.functions.values() for each in function.operations)
        coded = (each for each in found if each.op_type.startswith("constexpr_"))
        return {each.outputs[0].name: np.asarray(each.materialized_val_inference()) for each in coded}

    return read
