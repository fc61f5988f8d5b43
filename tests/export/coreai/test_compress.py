"""Compressed weights of a program: found, stored, read back, and decoded by Apple's runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.compression.plan import parameter_of, uniform_plan
from export.compression.recipes import LARGE_OPSET
from export.compression.recipes import RECIPES as RECIPES_BY_NAME
from export.coreai.compress import compress_program, verify_asset, weights_of
from export.coreai.compress.decode import pack_bits, unpack_bits
from export.coreai.inspect import storage
from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.coreai.program import open_program
from export.coreai.sources import modules_of, replace_locations
from export.coreai.sums import Sums
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.quiet import errors_only
from export.stages import ExportStage
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.coreai_packages import needs_coreai

RECIPES = (
    "int8",
    "int8-block",
    "int4-block",
    "palettize-8",
    "palettize-6",
    "palettize-4",
    "palettize-3",
    "palettize-2",
    "palettize-4-grouped",
    "palettize-4-pairs",
)


class Network(nn.Module):
    """A weight of every kind whose values are its outputs: with unit inputs, an output is a weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(96, 64)
        self.conv = nn.Conv2d(64, 48, 1, bias=False)
        self.up = nn.ConvTranspose2d(64, 48, 1, bias=False)
        self.groups = nn.Conv2d(128, 128, 1, groups=2, bias=False)
        self.linear = nn.Linear(64, 96, bias=False)

    def forward(self, unit: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        columns = unit.half()  # (64, 64), the unit matrix
        pixels = columns.reshape(1, 64, 64, 1)
        both = torch.cat([pixels, pixels], 1)
        found = (self.table(tokens), self.conv(pixels), self.up(pixels), self.groups(both), self.linear(columns))
        return tuple(each.float() for each in found)


NAMES = ("table", "conv", "up", "groups", "linear")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network().half().eval()


def converted(network: Network) -> Any:
    given = (torch.eye(64), torch.arange(96, dtype=torch.int32))
    torchs = import_coreai("coreai_torch")
    with errors_only(NOISY_LOGGERS, prints=True), torch.no_grad():
        program = torch.export.export(network, given).run_decompositions(torchs.get_decomp_table())
        staged = torchs.TorchConverter().add_exported_program(
            program, entrypoint_name="main", input_names=["unit", "tokens"], output_names=list(NAMES)
        )
        found = staged.to_coreai()
    replace_locations(found, modules_of(program))
    return found


def outputs(path: Path, work: Path) -> dict[str, np.ndarray]:
    program = open_program(path, "denoise", "main", work, Sums.FLOAT32)
    return program.run({"unit": np.eye(64, dtype=np.float32), "tokens": np.arange(96, dtype=np.int32)})


@needs_coreai
def test_the_weights_are_found_by_the_names_of_the_modules(network: Network) -> None:
    found = {weight.name: weight for weight in weights_of(converted(network))}
    axes = {name: (found[f"{name}.weight"].output_axis, found[f"{name}.weight"].input_axis) for name in NAMES}
    assert list(found) == [f"{name}.weight" for name in NAMES]
    assert axes == {"table": (0, 1), "conv": (0, 1), "up": (1, 0), "groups": (0, 1), "linear": (0, 1)}
    assert [name for name, weight in found.items() if weight.grouped] == ["groups.weight"]


@needs_coreai
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_runtime_decodes_what_was_promised(recipe: str, network: Network, tmp_path: Path) -> None:
    program = converted(network)
    program.save_asset(tmp_path / "plain.aimodel")
    plain = outputs(tmp_path / "plain.aimodel", tmp_path)
    promised = compress_program(program, "denoise", recipe)
    program.save_asset(tmp_path / "small.aimodel")
    verify_asset(tmp_path / "small.aimodel", promised)
    small = outputs(tmp_path / "small.aimodel", tmp_path)
    assert [each.name for each in promised] == [f"{name}.weight" for name in NAMES]
    for name, promise in zip(NAMES, promised, strict=True):
        error = np.square(small[name] - plain[name]).sum() / np.square(plain[name]).sum()
        assert -10 * np.log10(error) == pytest.approx(promise.snr_db, abs=0.01), name


@needs_coreai
def test_another_weight_in_the_file_is_found(network: Network, tmp_path: Path) -> None:
    program, other = converted(network), converted(Network().half().eval())
    promised = compress_program(program, "denoise", "palettize-4")
    compress_program(other, "denoise", "palettize-3")
    other.save_asset(tmp_path / "other.aimodel")
    with pytest.raises(ExportError, match=r"expected palettize-4 of table\.weight, got other numbers"):
        verify_asset(tmp_path / "other.aimodel", promised)
    with pytest.raises(ExportError, match=r"expected 4 compressed weights, got 5"):
        verify_asset(tmp_path / "other.aimodel", promised[1:])


@needs_coreai
def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    network = Network().half().eval()
    network.conv.weight.data[0, 0] = float("inf")
    with pytest.raises(ExportError, match=r"conv\.weight: expected finite weights, got 1 NaN or infinities"):
        compress_program(converted(network), "denoise", "int8")


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_packed_numbers_are_unpacked(bits: int, signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.coreai.compress.decode.CHUNK", 64)
    low = -(2 ** (bits - 1)) if signed else 0
    numbers = np.random.default_rng(0).integers(low, low + 2**bits, 333).astype(np.int8 if signed else np.uint8)
    packed = pack_bits(numbers, bits)
    assert packed.size == -(-numbers.size * bits // 8)
    np.testing.assert_array_equal(unpack_bits(packed, numbers.size, bits, signed), numbers)


def test_a_choice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"compression: expected one of none, int8, .* got 'zip'"):
        assert CoreAIOptions(compression="zip").compression_name
    with pytest.raises(ConfigError, match=r"compression: expected precision fp16 with it, got fp32"):
        CoreAIOptions("fp32", compression="int8")


@needs_coreai
def test_a_plan_for_core_ml_fits(coreml_folder: Path, coreai_half_folder: Path) -> None:
    from export.coreml.compress import layers_of
    from export.coreml.package_archive import CoreMLPackage

    layers = layers_of(CoreMLPackage.open(coreml_folder / "denoise.mlpackage"))
    asset = import_coreai("coreai.authoring").AIModelAsset.load(str(coreai_half_folder / "denoise.aimodel"))
    weights = weights_of(asset.program)
    plan = uniform_plan("denoise", layers, RECIPES_BY_NAME["palettize-4"])
    mixed = replace(plan, layers=(replace(plan.layers[0], recipe="int8"), *plan.layers[1:]))
    found = mixed.recipes(weights, LARGE_OPSET)
    first = next(weight for weight in weights if parameter_of(weight.name) == parameter_of(layers[0].name))
    assert len(found) == len(layers) > 10
    assert [name for name, recipe in found.items() if recipe.name == "int8"] == [first.name]


@needs_coreai
def test_a_lowered_program_is_small_and_in_half(tiny_stages: Mapping[str, ExportStage], tmp_path: Path) -> None:
    lower(tiny_stages["denoise"], tmp_path, CoreAIOptions(compression="palettize-3"))
    found = storage(tmp_path / "denoise.aimodel")
    assert found["UInt3"] > found["Float16"]
    lower(tiny_stages["decode_image"], tmp_path, CoreAIOptions(compression="palettize-3"))
    assert "UInt3" not in storage(tmp_path / "decode_image.aimodel")
    assert storage(tmp_path / "decode_image.aimodel")["UInt8"] > 2048


@needs_coreai
def test_numbers_that_changed_in_the_file_leave_no_program(
    tiny_stages: Mapping[str, ExportStage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.coreai.compress.write.pack_bits", lambda codes, bits: pack_bits(codes[::-1], bits))
    with pytest.raises(ExportError, match=r"expected palettize-4 of unet\..*, got other numbers; export it again"):
        lower(tiny_stages["denoise"], tmp_path, CoreAIOptions(compression="palettize-4"))
    assert not list(tmp_path.iterdir())
