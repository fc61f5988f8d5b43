"""Packages cut into parts: they compute the whole, weigh what they may, and lie in files as coremltools lays them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.chunks import Chunks, split_package
from export.coreml.interpret import Program
from export.coreml.joints import choose_joints, crossings
from export.coreml.package import SPECIFICATION, WEIGHTS
from export.coreml.package_archive import CoreMLPackage
from export.coreml.repack import file_bytes
from export.coreml.steps import Steps, read_steps
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

Arrays = dict[str, np.ndarray]
Save = Callable[..., Path]
Change = Callable[[Any], Any]


@pytest.fixture
def save(ct: Any, tmp_path: Path) -> Save:
    """`save(function, x=(1, 64))`: a package of a MIL function of float32 inputs, in half precision inside."""
    from coremltools.converters.mil import Builder

    def make(function: Callable[..., Any], target: str = "iOS17", change: Change | None = None, **shapes: Any) -> Path:
        specs = [Builder.TensorSpec(shape=shape) for shape in shapes.values()]
        system = getattr(ct.target, target)
        program = Builder.program(input_specs=specs, opset_version=system)(function)
        with errors_only(NOISY_LOGGERS), without_bars():
            model = ct.convert(program, minimum_deployment_target=system, skip_model_load=True)
            model = model if change is None else change(model)
        path = tmp_path / "whole.mlpackage"
        model.save(str(path))
        return path

    return make


def layers(count: int, seed: int = 1) -> Callable[[Any], Any]:
    """A chain of linear layers and activations, every one with a weight of its own."""
    from coremltools.converters.mil import Builder

    generator = np.random.default_rng(seed)
    weights = [generator.standard_normal((64, 64), np.float32) / 8 for _ in range(count)]

    def function(x: Any) -> Any:
        for weight in weights:
            x = Builder.tanh(x=Builder.linear(x=x, weight=weight, bias=weight[0]))
        return x

    return function


LAYER = 64 + 64 * 64 * 2 + 64 + 64 * 2
"""Bytes of one layer's weight and bias in a file."""


def run_in_order(folder: Path, arrays: Arrays) -> Arrays:
    """All values, after the packages of a folder have been run one after the other."""
    values = dict(arrays)
    for path in sorted(folder.iterdir()):
        part = Program.open(path)
        values |= part.run(**{spec.name: values[spec.name] for spec in part.inputs})
    return values


def assert_equal(whole: Path, parts: Path, arrays: Arrays) -> None:
    """The outputs of the whole are among the values of the parts, bit by bit, and are no trivial ones."""
    wanted, got = Program.open(whole).run(**arrays), run_in_order(parts, arrays)
    for name, value in wanted.items():
        assert np.isfinite(value).all() and value.std() > 0
        np.testing.assert_array_equal(got[name], value)
        assert got[name].dtype == value.dtype


def part_of(path: Path, share: float) -> int:
    """So much of a package's weights, in bytes."""
    return int((path / WEIGHTS / "weight.bin").stat().st_size * share)


def sizes_on_disk(found: Chunks) -> list[int]:
    return [file.stat().st_size for file in sorted(found.path.rglob("*.bin"))]


@pytest.mark.parametrize(("stage", "share"), [("encode_text", 0.98), ("denoise", 0.6), ("decode_image", 0.6)])
def test_the_parts_of_a_stage_compute_the_stage(
    stage: str, share: float, coreml_folder: Path, make_inputs: Callable[..., Arrays], tmp_path: Path
) -> None:
    whole = coreml_folder / f"{stage}.mlpackage"
    found = split_package(whole, part_of(whole, share), tmp_path / "parts", separate=True)
    assert len(found.chunks) >= 2
    assert_equal(whole, found.path, make_inputs(stage))


@pytest.mark.parametrize("share", [0.6, 0.3, 0.15])
def test_a_pipeline_computes_the_whole(
    share: float, coreml_folder: Path, make_inputs: Callable[..., Arrays], tmp_path: Path
) -> None:
    whole = coreml_folder / "denoise.mlpackage"
    limit = part_of(whole, share)
    found = split_package(whole, limit, tmp_path / "denoise.mlpackage")
    sizes = sizes_on_disk(found)
    assert [chunk.weight_bytes for chunk in found.chunks] == sizes
    assert max(sizes) <= limit and len(sizes) >= 1 / share
    wanted, got = Program.open(whole), Program.open(found.path)
    assert (got.inputs, got.outputs, got.stage_names) == (wanted.inputs, wanted.outputs, wanted.stage_names)
    for step in (0, 7):
        arrays = make_inputs("denoise", step)
        expected, outputs = wanted.run(**arrays), got.run(**arrays)
        assert list(outputs) == list(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value)


def test_the_pipeline_is_as_coremltools_makes_it(save: Save, ct: Any, tmp_path: Path) -> None:
    """`make_pipeline` of the parts as packages gives the same specification and the same files."""
    whole = save(layers(4), x=(1, 64))
    limit = 2 * LAYER + 64
    ours = split_package(whole, limit, tmp_path / "ours.mlpackage").path
    parts = sorted(split_package(whole, limit, tmp_path / "parts", separate=True).path.iterdir())
    models = [ct.models.MLModel(str(path), skip_model_load=True) for path in parts]
    with errors_only(NOISY_LOGGERS):
        made = ct.utils.make_pipeline(*models)
    theirs = tmp_path / "theirs.mlpackage"
    made.save(str(theirs))
    specs = [CoreMLPackage.open(path).spec for path in (ours, theirs)]
    for spec in specs:
        for model in (spec, *spec.pipeline.models):
            model.description.ClearField("metadata")
    assert len(specs[0].pipeline.models) == 2
    assert specs[0] == specs[1]
    weights = [{file.name: file.read_bytes() for file in (path / WEIGHTS).iterdir()} for path in (ours, theirs)]
    assert weights[0] == weights[1] and sorted(weights[0]) == ["0-weight.bin", "1-weight.bin"]


def test_coremltools_reads_every_part(coreml_folder: Path, tmp_path: Path, ct: Any) -> None:
    """Its reader infers the type of every value and compares it with what is written."""
    from coremltools.converters.mil.frontend.milproto.load import load

    whole = coreml_folder / "denoise.mlpackage"
    found = split_package(whole, part_of(whole, 0.3), tmp_path / "parts", separate=True)
    for path in found.path.iterdir():
        with errors_only(NOISY_LOGGERS):
            model = ct.models.MLModel(str(path), skip_model_load=True)
            spec = model.get_spec()
            program = load(spec, spec.specificationVersion, model.weights_dir)
        function = program.functions["main"]
        assert [feature.name for feature in spec.description.input] == list(function.inputs)
        assert {feature.name for feature in spec.description.output} == {value.name for value in function.outputs}


def test_the_packages_manifest_is_one_that_coremltools_accepts(save: Save, tmp_path: Path) -> None:
    from coremltools.libmodelpackage import ModelPackage

    found = split_package(save(layers(4), x=(1, 64)), 2 * LAYER + 64, tmp_path / "parts.mlpackage")
    assert ModelPackage.isValid(str(found.path))
    package = ModelPackage(str(found.path))
    assert Path(package.getRootModel().path()).samefile(found.path / SPECIFICATION)
    assert Path(package.findItemByNameAuthor("weights", "com.apple.CoreML").path()).samefile(found.path / WEIGHTS)


def test_metadata_and_descriptions_stay(coreml_folder: Path, tmp_path: Path) -> None:
    whole = coreml_folder / "denoise.mlpackage"
    found = split_package(whole, part_of(whole, 0.6), tmp_path / "denoise.mlpackage")
    before, after = CoreMLPackage.open(whole).spec, CoreMLPackage.open(found.path).spec
    assert after.description == before.description
    assert after.specificationVersion == before.specificationVersion
    parts = split_package(whole, part_of(whole, 0.6), tmp_path / "parts", separate=True).path
    texts = [CoreMLPackage.open(path).spec.description.metadata.shortDescription for path in sorted(parts.iterdir())]
    said = before.description.metadata.shortDescription
    assert texts == [f"Part {number} of {len(texts)}. {said}" for number in range(1, len(texts) + 1)]


@pytest.mark.parametrize(("fit", "parts"), [(1, 6), (2, 3), (3, 2), (4, 2), (5, 2), (6, 1)])
def test_there_are_as_few_parts_as_there_can_be(fit: int, parts: int, save: Save, tmp_path: Path) -> None:
    whole = save(layers(6), x=(1, 64))
    limit = fit * LAYER + 64
    found = split_package(whole, limit, tmp_path / "parts.mlpackage")
    assert len(found.chunks) == parts
    assert max(sizes_on_disk(found)) <= limit
    assert [chunk.operations for chunk in found.chunks][1:-1] == [2 * fit] * (parts - 2)


def test_one_byte_less_is_a_part_more(save: Save, tmp_path: Path) -> None:
    whole = save(layers(4), x=(1, 64))
    limit = 2 * LAYER + 64
    assert len(split_package(whole, limit, tmp_path / "a.mlpackage").chunks) == 2
    assert len(split_package(whole, limit - 1, tmp_path / "b.mlpackage").chunks) == 4


def weight_of(program: Steps, start: int, end: int) -> int:
    """Bytes of the records that a range of steps reads."""
    records = {place for step in program.steps[start:end] for place in step.weights}
    return file_bytes(sum(program.sizes[place] for place in records))


def best(program: Steps, limit: int) -> tuple[int, int]:
    """By trying all cuts: the fewest parts, and the fewest bytes that cross the joints of so few."""
    count, crossing = len(program.steps), crossings(program)
    for parts in itertools.count(1):
        found = []
        for joints in itertools.combinations(range(1, count), parts - 1):
            edges = (0, *joints, count)
            weights = [weight_of(program, start, end) for start, end in itertools.pairwise(edges)]
            if max(weights) <= limit and all(crossing[joint] is not None for joint in joints):
                found.append(sum(crossing[joint] or 0 for joint in joints))
        if found:
            return parts, min(found)
    raise AssertionError


def test_no_cut_of_all_has_fewer_parts(coreml_folder: Path) -> None:
    """On the last operations of a real program, where skip connections cross, against every cut there is."""
    program = read_steps(CoreMLPackage.open(coreml_folder / "decode_image.mlpackage"))
    few = Steps(program.block, program.steps[:40], program.constants, program.types, program.sizes)
    heaviest, whole = max(weight_of(few, one, one + 1) for one in range(40)), weight_of(few, 0, 40)
    for limit in (heaviest, (heaviest + whole) // 2, whole - 1):
        parts, _ = best(few, limit)
        assert len(choose_joints(few, limit)) == parts - 1
    assert choose_joints(few, whole) == []


def test_the_joint_is_where_least_crosses(save: Save, tmp_path: Path) -> None:
    """Around the middle the values are wide, but for one place a layer after it."""
    from coremltools.converters.mil import Builder

    generator = np.random.default_rng(1)
    square = [generator.standard_normal((64, 64), np.float32) / 8 for _ in range(14)]
    down, up = generator.standard_normal((4, 64), np.float32), generator.standard_normal((64, 4), np.float32)

    def function(x: Any) -> Any:
        for number, weight in enumerate(square):
            x = Builder.tanh(x=Builder.linear(x=x, weight=weight, bias=weight[0]))
            if number == 7:
                x = Builder.linear(x=Builder.linear(x=x, weight=down), weight=up)
        return x

    whole = save(function, x=(32, 64))
    found = split_package(whole, 8 * LAYER + 4096, tmp_path / "parts", separate=True)
    assert found.crossing_bytes == (32 * 4 * 2,)
    assert_equal(whole, found.path, {"x": generator.standard_normal((32, 64), np.float32)})


def test_skip_connections_cross_over_parts(save: Save, tmp_path: Path) -> None:
    """A value of the first part that only the last one reads passes the middle one by."""
    from coremltools.converters.mil import Builder

    inner = layers(5)

    def function(x: Any) -> Any:
        matrix = np.eye(64, dtype=np.float32) * 2
        first = Builder.relu(x=Builder.linear(x=x, weight=matrix, bias=matrix[0]))
        return Builder.add(x=inner(first), y=first, name="sum")

    whole = save(function, x=(1, 64))
    found = split_package(whole, 2 * LAYER + 64, tmp_path / "parts", separate=True)
    assert len(found.chunks) == 3
    (skipped,) = set(found.chunks[0].outputs) & set(found.chunks[2].inputs)
    assert skipped not in (*found.chunks[1].inputs, *found.chunks[1].outputs)
    assert_equal(whole, found.path, {"x": np.random.default_rng(2).standard_normal((1, 64), np.float32)})


def test_a_weight_of_several_parts_is_in_each(save: Save, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder

    shared = np.random.default_rng(3).standard_normal((64, 64), np.float32) / 8
    own = layers(2)

    def function(x: Any) -> Any:
        constant = Builder.const(val=shared)
        x = own(Builder.linear(x=x, weight=constant, bias=shared[0]))
        return Builder.linear(x=x, weight=constant, bias=shared[1])

    whole = save(function, x=(1, 64))
    found = split_package(whole, 2 * LAYER + 64, tmp_path / "parts", separate=True)
    assert sizes_on_disk(found) == [2 * LAYER + 64] * 2
    assert_equal(whole, found.path, {"x": np.random.default_rng(2).standard_normal((1, 64), np.float32)})


@pytest.mark.parametrize("dtype", ["bool", "uint16", "uint8"])
def test_types_that_core_ml_does_not_take_cross_as_int32(dtype: str, save: Save, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder

    first, second = layers(2, 1), layers(2, 2)

    def function(x: Any) -> Any:
        if dtype == "bool":
            kept = Builder.greater(x=x, y=np.float32(0.1))
            return Builder.select(cond=kept, a=second(first(x)), b=x, name="chosen")
        kept = Builder.cast(x=Builder.clip(x=Builder.mul(x=x, y=np.float32(9)), alpha=0.0, beta=15.0), dtype=dtype)
        table = np.linspace(-1, 1, 16, dtype=np.float32)
        y = first(Builder.add(x=x, y=Builder.gather(x=table, indices=kept, axis=0)))  # so that it is computed here
        return Builder.mul(x=second(y), y=Builder.gather(x=table + 3, indices=kept, axis=0), name="chosen")

    whole = save(function, x=(1, 64))
    found = split_package(whole, 2 * LAYER + 512, tmp_path / "parts", separate=True)
    (kept,) = [name for name in found.chunks[0].outputs if name.endswith("_as_int32")]
    specs = [Program.open(path) for path in sorted(found.path.iterdir())]
    assert [spec.dtype for spec in specs[0].outputs if spec.name == kept] == ["int32"]
    assert kept in found.chunks[1].inputs
    assert_equal(whole, found.path, {"x": np.random.default_rng(2).standard_normal((1, 64), np.float32)})


def test_a_scalar_crosses_no_joint(save: Save, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder

    inner = layers(4)

    def function(x: Any) -> Any:
        mean = Builder.reduce_mean(x=x, keep_dims=False)
        return Builder.add(x=inner(x), y=mean, name="sum")

    whole = save(function, x=(1, 64))
    with pytest.raises(ExportError, match=r"expected a place to cut within .* bytes of weights, got none; raise the"):
        split_package(whole, 2 * LAYER + 64, tmp_path / "parts.mlpackage")
    assert not (tmp_path / "parts.mlpackage").exists()


def palettized(ct: Any) -> Change:
    """Weights as indices into tables."""
    config = ct.optimize.coreml.OpPalettizerConfig(nbits=4, weight_threshold=0)
    return lambda model: ct.optimize.coreml.palettize_weights(
        model, ct.optimize.coreml.OptimizationConfig(global_config=config)
    )


def quantized(ct: Any) -> Change:
    """Weights as int8."""
    config = ct.optimize.coreml.OpLinearQuantizerConfig(weight_threshold=0)
    return lambda model: ct.optimize.coreml.linear_quantize_weights(
        model, ct.optimize.coreml.OptimizationConfig(global_config=config)
    )


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize("compress", [palettized, quantized])
def test_compressed_weights_go_with_what_reads_them(
    target: str, compress: Callable[[Any], Change], save: Save, ct: Any, tmp_path: Path
) -> None:
    with errors_only(NOISY_LOGGERS), without_bars():
        whole = save(layers(4), target, compress(ct), x=(1, 64))
    before = CoreMLPackage.open(whole)
    kinds = [operation.type for operation in read_steps(before).block.operations]
    compressed = sum(kind.startswith("constexpr") for kind in kinds)
    assert compressed >= 4
    found = split_package(whole, part_of(whole, 0.6), tmp_path / "parts", separate=True)
    parts = [CoreMLPackage.open(path) for path in sorted(found.path.iterdir())]
    after = [operation.type for part in parts for operation in read_steps(part).block.operations]
    assert sum(kind.startswith("constexpr") for kind in after) == compressed
    assert not any("weight" in name for chunk in found.chunks for name in (*chunk.inputs, *chunk.outputs))
    assert_equal(whole, found.path, {"x": np.random.default_rng(2).standard_normal((1, 64), np.float32)})


def test_what_a_branch_reads_crosses(save: Save, tmp_path: Path) -> None:
    """Control flow: the blocks inside an operation read values of the part before."""
    from coremltools.converters.mil import Builder

    inner = layers(4)

    def function(x: Any, flag: Any) -> Any:
        first = Builder.tanh(x=x)
        y = inner(first)
        positive = Builder.squeeze(x=Builder.greater(x=flag, y=np.float32(0)))
        return Builder.cond(
            pred=positive,
            _true_fn=lambda: Builder.add(x=y, y=first),
            _false_fn=lambda: Builder.sub(x=y, y=first),
            name="chosen",
        )

    whole = save(function, x=(1, 64), flag=(1,))
    found = split_package(whole, 2 * LAYER + 64, tmp_path / "parts", separate=True)
    assert len(found.chunks[0].outputs) == 2
    x = np.random.default_rng(2).standard_normal((1, 64), np.float32)
    for sign in (1, -1):
        assert_equal(whole, found.path, {"x": x, "flag": np.array([sign], np.float32)})


def test_a_package_below_the_limit_is_copied(save: Save, tmp_path: Path) -> None:
    whole = save(layers(2), x=(1, 64))
    found = split_package(whole, 10**9, tmp_path / "copy.mlpackage")
    assert (len(found.chunks), found.crossing_bytes) == (1, ())
    assert found.chunks[0].weight_bytes == (whole / WEIGHTS / "weight.bin").stat().st_size
    contents: list[Mapping[str, bytes]] = [
        {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        for path in (whole, found.path)
    ]
    assert contents[0] == contents[1]


def test_a_weight_above_the_limit_is_named(save: Save, tmp_path: Path) -> None:
    whole = save(layers(3), x=(1, 64))
    expected = r"linear 'linear_0.*expected at most 0.005 MB of weights in a part, got 0.00.*raise the limit"
    with pytest.raises(ExportError, match=expected) as caught:
        split_package(whole, 5000, tmp_path / "parts.mlpackage")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.mlpackage"]


def test_what_cannot_be_cut_is_refused(save: Save, tmp_path: Path) -> None:
    whole = save(layers(2), x=(1, 64))
    out = tmp_path / "parts.mlpackage"
    cut = split_package(whole, LAYER + 64, tmp_path / "cut.mlpackage").path
    with pytest.raises(ExportError, match=r"cut.mlpackage: expected an ML program, got a pipeline"):
        split_package(cut, 10**9, out)
    with pytest.raises(ExportError, match=r"expected a name that ends in \.mlpackage, got 'parts'"):
        split_package(whole, 10**9, tmp_path / "parts")
    with pytest.raises(ExportError, match=r"cut.mlpackage: expected a new folder"):
        split_package(whole, 10**9, cut)
    with pytest.raises(ExportError, match=r"nothing.mlpackage: expected a Core ML package"):
        split_package(tmp_path / "nothing.mlpackage", 10**9, out)
    spec = import_coremltools().proto.Model_pb2.Model(specificationVersion=4)
    spec.neuralNetwork.SetInParent()
    (shutil.copytree(whole, tmp_path / "old.mlpackage") / SPECIFICATION).write_bytes(spec.SerializeToString())
    with pytest.raises(ExportError, match=r"old.mlpackage: expected an? .*, got .*neuralNetwork"):
        split_package(tmp_path / "old.mlpackage", 10**9, out)
    (whole / WEIGHTS / "weight.bin").unlink()
    with pytest.raises(ExportError, match=r"weight.bin: expected a weights file"):
        split_package(whole, LAYER + 64, out)
    assert not out.exists()


def test_a_program_with_state_is_refused(ct: Any, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder, mil

    @Builder.program(
        input_specs=[Builder.TensorSpec((1, 4), mil.types.fp16), Builder.StateTensorSpec((1, 4), mil.types.fp16)],
        opset_version=ct.target.iOS18,
    )
    def program(x: Any, kept: Any) -> Any:
        value = Builder.read_state(input=kept)
        return Builder.add(x=x, y=value)

    with errors_only(NOISY_LOGGERS), without_bars():
        ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True).save(
            str(tmp_path / "state.mlpackage")
        )
    with pytest.raises(ExportError, match=r"expected a program without state"):
        split_package(tmp_path / "state.mlpackage", 100, tmp_path / "parts.mlpackage")


def test_progress_ends_at_one(save: Save, tmp_path: Path) -> None:
    seen: list[float] = []
    whole = save(layers(3), x=(1, 64))
    split_package(whole, LAYER + 64, tmp_path / "a.mlpackage", progress=lambda _, part: seen.append(part))
    assert seen == sorted(seen) and seen[-1] == 1.0
    assert len(seen) == 4
