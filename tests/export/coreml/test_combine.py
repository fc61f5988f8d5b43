"""Packages of several functions: each computes what its source does, and weights that are equal are stored once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml import OUTPUTS_KEY
from export.coreml.blobs import RecordWriter, read_record
from export.coreml.combine import combine_packages
from export.coreml.interpret import Program
from export.coreml.package import WEIGHTS, save_specification
from export.coreml.package_archive import CoreMLPackage
from export.coreml.repack import SharedRecords
from export.coreml.toolchain import NOISY_LOGGERS, without_bars
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

WIDTH = 64
LAYER = 64 + WIDTH * WIDTH * 2 + 64 + WIDTH * 2
"""Bytes of one layer's weight and bias in a file."""
Save = Callable[..., Path]


def weights(seed: int) -> list[np.ndarray]:
    """Four matrices."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal((WIDTH, WIDTH), np.float32) / 8 for _ in range(4)]


def adapted(base: list[np.ndarray], layer: int) -> list[np.ndarray]:
    """The matrices with one of them changed by rank one, as a merged adapter changes it."""
    generator = np.random.default_rng(99)
    change = np.outer(*generator.standard_normal((2, WIDTH), np.float32)) / 8
    return [matrix + change if number == layer else matrix for number, matrix in enumerate(base)]


@pytest.fixture
def save(ct: Any, tmp_path: Path) -> Save:
    """`save("a", matrices, rows=1, target="iOS18")`: a package of linear layers."""
    from coremltools.converters.mil import Builder

    def make(name: str, matrices: list[np.ndarray], rows: int = 1, target: str = "iOS18") -> Path:
        system = getattr(ct.target, target)

        @Builder.program(input_specs=[Builder.TensorSpec(shape=(rows, WIDTH))], opset_version=system)
        def program(x: Any) -> Any:
            for matrix in matrices:
                x = Builder.tanh(x=Builder.linear(x=x, weight=matrix, bias=matrix[0]))
            return Builder.identity(x=x, name="y")

        path = tmp_path / f"{name}.mlpackage"
        with errors_only(NOISY_LOGGERS), without_bars():
            ct.convert(program, minimum_deployment_target=system, skip_model_load=True).save(str(path))
        return path

    return make


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, WIDTH), np.float32)


def weights_size(path: Path) -> int:
    return (path / WEIGHTS / "weight.bin").stat().st_size


def test_every_function_computes_what_its_package_does(save: Save, tmp_path: Path) -> None:
    base = weights(0)
    sources = {
        "base": save("base", base),
        "adapted": save("adapted", adapted(base, 2)),
        "large": save("large", base, rows=4),
    }
    found = combine_packages(sources, tmp_path / "all.mlpackage", "adapted")
    for name, path in sources.items():
        arrays = {"x": rows(4 if name == "large" else 1)}
        wanted, got = Program.open(path).run(**arrays), Program.open(found.path, function=name).run(**arrays)
        assert list(got) == list(wanted)
        np.testing.assert_array_equal(got["y"], wanted["y"])
        assert wanted["y"].std() > 0
    default = Program.open(found.path).run(x=rows(1))
    np.testing.assert_array_equal(default["y"], Program.open(sources["adapted"]).run(x=rows(1))["y"])


def test_the_same_network_for_two_sizes_shares_all(save: Save, tmp_path: Path) -> None:
    sources = {"small": save("small", weights(0)), "large": save("large", weights(0), rows=16)}
    found = combine_packages(sources, tmp_path / "all.mlpackage")
    assert (found.functions[1].shared, found.functions[1].shared_records) == (1.0, found.functions[1].records)
    assert found.weight_bytes == weights_size(found.path) == weights_size(sources["small"])


def test_an_adapter_shares_the_layers_that_it_leaves_alone(save: Save, tmp_path: Path) -> None:
    base = weights(0)
    sources = {"base": save("base", base), "adapted": save("adapted", adapted(base, 1))}
    found = combine_packages(sources, tmp_path / "all.mlpackage")
    share = found.functions[1]
    assert (share.record_bytes, share.shared_bytes) == (4 * LAYER, 3 * LAYER)
    assert found.weight_bytes == weights_size(found.path) == weights_size(sources["base"]) + LAYER
    assert found.source_bytes == sum(each.record_bytes for each in found.functions)


def test_networks_that_have_nothing_in_common_share_nothing(save: Save, tmp_path: Path) -> None:
    sources = {"a": save("a", weights(0)), "b": save("b", weights(1))}
    found = combine_packages(sources, tmp_path / "all.mlpackage")
    assert [share.shared for share in found.functions] == [0.0, 0.0]
    assert found.source_bytes == found.weight_bytes - 64


def test_it_is_as_coremltools_makes_it(save: Save, ct: Any, tmp_path: Path) -> None:
    """`save_multifunction` gives the same functions, descriptions and places, and the same file of weights."""
    base = weights(0)
    sources = {"a": save("a", base), "b": save("b", adapted(base, 2)), "c": save("c", base, rows=3)}
    ours = combine_packages(sources, tmp_path / "ours.mlpackage", "b").path
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, path in sources.items():
        descriptor.add_function(str(path), "main", name)
    descriptor.default_function_name = "b"
    theirs = tmp_path / "theirs.mlpackage"
    with errors_only(NOISY_LOGGERS), without_bars():
        ct.utils.save_multifunction(descriptor, str(theirs))
    specs = [CoreMLPackage.open(path).spec for path in (ours, theirs)]
    for spec in specs:
        spec.description.ClearField("metadata")
    assert specs[0].description == specs[1].description
    assert specs[0].specificationVersion == specs[1].specificationVersion == 9
    programs = [spec.mlProgram.functions for spec in specs]
    assert sorted(programs[0]) == sorted(programs[1]) == ["a", "b", "c"]
    for name in programs[0]:
        one, other = (operations(program[name]) for program in programs)
        assert one == other
    assert (ours / WEIGHTS / "weight.bin").read_bytes() == (theirs / WEIGHTS / "weight.bin").read_bytes()


def operations(function: Any) -> list[tuple[Any, ...]]:
    """What the operations of a function do, and where their weights are."""
    return [
        (
            operation.type,
            [out.name for out in operation.outputs],
            {key: [one.name for one in bound.arguments] for key, bound in operation.inputs.items()},
            operation.attributes["val"].blobFileValue.offset if "val" in operation.attributes else None,
        )
        for operation in function.block_specializations[function.opset].operations
    ]


def test_coremltools_opens_every_function(save: Save, ct: Any, tmp_path: Path) -> None:
    sources = {"a": save("a", weights(0)), "b": save("b", weights(0), rows=2)}
    path = combine_packages(sources, tmp_path / "all.mlpackage").path
    for name in sources:
        assert ct.models.MLModel(str(path), skip_model_load=True, function_name=name).function_name == name
    with pytest.raises(ValueError, match="nothing"):
        ct.models.MLModel(str(path), skip_model_load=True, function_name="nothing")


def test_the_names_of_outputs_are_kept_and_may_not_contradict(save: Save, tmp_path: Path) -> None:
    first, second = save("a", weights(0)), save("b", weights(1))
    for path, meant in ((first, "latents"), (second, "latents")):
        rename(path, meant)
    found = combine_packages({"a": first, "b": second}, tmp_path / "all.mlpackage").path
    assert json.loads(CoreMLPackage.open(found).spec.description.metadata.userDefined[OUTPUTS_KEY]) == {"y": "latents"}
    rename(second, "image")
    with pytest.raises(ExportError, match=r"expected the output 'y' to be 'latents'.*got 'image'; combine packages of"):
        combine_packages({"a": first, "b": second}, tmp_path / "other.mlpackage")


def rename(path: Path, meant: str) -> None:
    """Say in a package's metadata what its stage calls its output."""
    spec = CoreMLPackage.open(path).spec
    spec.description.metadata.userDefined[OUTPUTS_KEY] = json.dumps({"y": meant})
    save_specification(spec, path)


def test_packages_for_earlier_systems_are_refused(save: Save, tmp_path: Path) -> None:
    sources = {"new": save("new", weights(0)), "old": save("old", weights(0), target="iOS17")}
    expected = r"old.mlpackage: expected a package for iOS 18 .*got version 8; export all of them with"
    with pytest.raises(ExportError, match=expected):
        combine_packages(sources, tmp_path / "all.mlpackage")
    assert not (tmp_path / "all.mlpackage").exists()


def test_what_cannot_be_combined_is_refused(save: Save, tmp_path: Path) -> None:
    a, b, out = save("a", weights(0)), save("b", weights(1)), tmp_path / "all.mlpackage"
    with pytest.raises(ExportError, match=r"expected at least two functions, got 1"):
        combine_packages({"a": a}, out)
    with pytest.raises(ExportError, match=r"expected a function name of letters, digits and _, got 'a-b'"):
        combine_packages({"a-b": a, "b": b}, out)
    with pytest.raises(ExportError, match=r"default: expected one of a, b, got 'c'"):
        combine_packages({"a": a, "b": b}, out, "c")
    with pytest.raises(ExportError, match=r"expected a name that ends in \.mlpackage"):
        combine_packages({"a": a, "b": b}, tmp_path / "all")
    both = combine_packages({"a": a, "b": b}, out).path
    with pytest.raises(ExportError, match=r"expected the one function 'main', got a, b"):
        combine_packages({"a": a, "both": both}, tmp_path / "more.mlpackage")
    with pytest.raises(ExportError, match=r"all.mlpackage: expected a new folder"):
        combine_packages({"a": a, "b": b}, out)


def test_records_are_shared_only_if_all_their_bytes_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if their hashes were the same: the bytes decide."""
    with RecordWriter(tmp_path / "source.bin") as writer:
        numbers = np.arange(8, dtype=np.float16)
        offsets = [
            writer.append("fp16", numbers),
            writer.append("fp16", numbers + np.float16(1)),
            writer.append("fp16", numbers),
            writer.append("uint8", numbers.view(np.uint8)),
        ]
    records = [read_record(tmp_path / "source.bin", offset) for offset in offsets]
    for same_hash in (False, True):
        if same_hash:
            monkeypatch.setattr("export.coreml.repack.digest", lambda record: b"")
        with RecordWriter(tmp_path / "target.bin") as writer:
            shared = SharedRecords(writer)
            placed = [shared.place(record) for record in records]
        assert [known for _, known in placed] == [False, False, True, False]
        assert placed[2][0] == placed[0][0] and len({offset for offset, _ in placed}) == 3
        for record, (offset, _) in zip(records, placed, strict=True):
            again = read_record(tmp_path / "target.bin", offset)
            assert again.kind == record.kind
            np.testing.assert_array_equal(again.bytes(), record.bytes())
