"""Exports of networks that float16 cannot hold: the line that says why, the way out, and what the manifest keeps."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from export.bundle.bundle import open_bundle
from export.cli import main
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.job.calibration import CALIBRATION_CASES, collect
from export.job.mixed import decide, measured_stages
from export.job.plan import ExportPlan, plan_export
from export.job.reference import open_reference, record_cases
from export.job.unfit import check_unrun, inputs_of, unstable
from export.mixed.choose import MARGIN_DB
from export.parity.trajectories import CASES
from export.runners.torch import TorchRunner
from export.stages import build_stage
from export.targets import find_target
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ParityError
from mobile_diffusion.formats.open_options import OpenOptions
from tests.export.overflow import overflowing, save_overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

OVERFLOWING = ("scores", "stream", "text", "decoder", "weight")


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Exit status, errors and output of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    words = ["mobile-diffusion", *map(str, arguments)]
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main.main()
    errors = [line for line in err.getvalue().splitlines() if line.startswith("error:")]
    return int(end.value.code or 0), errors, out.getvalue()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of which every stage overflows."""
    folder = tmp_path_factory.mktemp("overflow") / "all"
    return save_overflowing(untrained(SMALL, emoji_words(12)), folder, *OVERFLOWING)


def export_ios(checkpoint: Path, out: Path, *arguments: object) -> tuple[int, list[str], str]:
    """Export in one step and one thread, so that it takes seconds."""
    return run("export", "ios", checkpoint, "--steps", 1, "--threads", 1, "--out", out, *arguments)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle with measured float32."""
    out = tmp_path_factory.mktemp("bundle") / "ios"
    status, errors, _ = export_ios(checkpoint, out, "--mixed-precision", "auto")
    assert (status, errors) == (0, [])
    return out


def names_of(bundle: Path) -> str:
    """The modules in a bundle's manifest."""
    (runtime,) = open_bundle(bundle).manifest.runtimes
    return next((each.value for each in runtime.settings if each.name == "mixed_precision"), "")


def test_naive_float16_is_refused_with_the_place_and_the_way_out(checkpoint: Path, tmp_path: Path) -> None:
    status, errors, _ = export_ios(checkpoint, tmp_path / "ios")
    (line,) = errors
    module = "text_encoder.encoder.layer.0.output.dense"
    assert status == 2
    assert f"coreml encode_text: float16 leaves PyTorch at {module} (linear): largest value " in line
    assert "expected at most 65504; give --mixed-precision auto; " in line and "gates failed" in line
    assert list(tmp_path.iterdir()) == []


def test_auto_passes_every_gate_with_few_modules_in_float32(bundle: Path) -> None:
    names = names_of(bundle).split(",")
    assert {"text_encoder.encoder.layer.0.output", "unet.conv_in", "autoencoder.decoder.conv_in"} < set(names)
    assert "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1:own" in names
    assert not [name for name in names if name.endswith(("attn1.to_q", "ff", "conv1", "conv2"))]
    report = verify_bundle(bundle, threads=1)
    report.require()
    page = (bundle / "report.html").read_text()
    assert "text_encoder.encoder.layer.0.output" in page


def test_the_names_of_a_manifest_make_the_same_programs(bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = CoreMLOptions(mixed_precision=names_of(bundle))
    stage = build_stage(open_source(checkpoint, OpenOptions(steps=1)), "decode_image")
    weights = Path(lower(stage, tmp_path, options)) / "Data/com.apple.CoreML/weights/weight.bin"
    assert (tmp_path / weights).read_bytes() == (bundle / weights).read_bytes()


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("unet.nowhere", "expected the name of a stage or module, such as "),
        ("unet.conv_in,,", "expected names of modules with commas in between"),
    ],
)
def test_a_wrong_name_is_refused_before_any_work(choice: str, reason: str, checkpoint: Path, tmp_path: Path) -> None:
    status, errors, _ = export_ios(checkpoint, tmp_path / "ios", "--mixed-precision", choice)
    assert status == 2 and len(errors) == 1 and f"mixed_precision: {reason}" in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_float32_needs_no_modules_in_float32(checkpoint: Path, tmp_path: Path) -> None:
    words = ("--runtime", "xnnpack", "--mixed-precision", "auto", "--out", tmp_path / "android")
    status, errors, _ = run("export", "android", checkpoint, *words)
    expected = "expected xnnpack with --precision fp16 or vulkan with --precision fp16, got xnnpack at fp32"
    assert status == 2 and expected in errors[0]


@pytest.mark.full
def test_faults_takes_the_checkpoint_of_an_export_that_failed(checkpoint: Path) -> None:
    words = ("coreml", "faults", "--checkpoint", checkpoint, "--steps", 1, "--threads", 1, "--json")
    status, errors, out = run(*words)
    assert (status, errors) == (2, [])
    reports = {each["package"]: each for each in json.loads(out)["reports"]}
    assert list(reports) == ["encode_text", "denoise", "decode_image"]
    first = next(each for each in reports["encode_text"]["operations"] if each["counts"]["overflow"])
    assert first["module"] == "text_encoder.encoder.layer.0.output.dense"


def test_faults_without_anything_to_examine() -> None:
    status, errors, _ = run("coreml", "faults")
    assert status == 2 and "expected a package, a bundle, or --checkpoint without either" in errors[0]


@pytest.mark.full
def test_half_weights_of_android_have_the_same_line_and_way_out(tmp_path: Path) -> None:
    checkpoint = save_overflowing(untrained(SMALL, emoji_words(12)), tmp_path / "model", "filter")
    words = ("--steps", 1, "--threads", 1, "--runtime", "xnnpack", "--precision", "fp16", "--out", tmp_path / "android")
    status, (line,), _ = run("export", "android", checkpoint, *words)
    place = "xnnpack decode_image: float16 leaves PyTorch at autoencoder.decoder.conv_in (conv2d): largest value "
    assert status == 2 and place in line and "expected at most 65504; give --mixed-precision auto" in line
    assert not (tmp_path / "android").exists()
    status, errors, _ = run("export", "android", checkpoint, *words, "--mixed-precision", "auto")
    assert (status, errors) == (0, [])
    assert names_of(tmp_path / "android") == "autoencoder.decoder.conv_in"


@pytest.mark.parametrize(("precision", "overflows"), [("fp16", ("stream",)), ("fp16", ()), ("fp32", ("stream",))])
def test_a_program_that_cannot_run_here_is_measured_with_pytorch(precision: str, overflows: tuple[str, ...]) -> None:
    """Vulkan's programs run on a phone's GPU alone; float16 that loses the picture is refused nevertheless."""
    model = overflowing(untrained(SMALL, emoji_words(12)), *overflows)
    plan = plan_export(SMALL, find_target("android"), ["vulkan"], threads=1, precision=precision)
    reference = open_reference(model, plan)
    trajectories = record_cases(reference, model.tokenizer, DrawSettings.of(SMALL), CASES[:1], plan)
    if precision == "fp16" and overflows:
        place = r"vulkan denoise: float16 leaves PyTorch at unet.conv_in \(conv.*\): .* give --mixed-precision auto"
        with pytest.raises(ParityError, match=place):
            check_unrun(model, plan, trajectories)
    else:
        check_unrun(model, plan, trajectories)


UPCAST = dataclasses.replace(SMALL, unet=dataclasses.replace(SMALL.unet, upcast_attention=True))
FORCED = dataclasses.replace(SMALL, autoencoder=dataclasses.replace(SMALL.autoencoder, force_upcast=True))


UNSTABLE = "PyTorch in float32 is .* dB from itself in float64: no program"


@pytest.mark.parametrize(("offset", "said"), [(0.0, ""), (3e7, UNSTABLE)])
def test_a_network_that_float32_cannot_draw_is_named(offset: float, said: str) -> None:
    """What is added to every channel in front of the last norm, which takes it away, leaves no digit of the rest."""
    model = untrained(SMALL, emoji_words(12))
    unet: Any = model.parts["unet"]
    unet.up_blocks[-1].resnets[-1].conv2.bias.requires_grad_(False).add_(offset)
    plan = planned(SMALL)
    reference, settings = open_reference(model, plan), DrawSettings.of(SMALL)
    (drawn,) = record_cases(reference, model.tokenizer, settings, CASES[:1], plan)
    found = unstable(model, "denoise", inputs_of(SMALL, "denoise", drawn), "fp16")
    assert re.match(said or "$", found), found


def planned(config: ModelConfig, choice: str | None = None) -> ExportPlan:
    return plan_export(config, find_target("ios"), threads=1, mixed_precision=choice)


def test_a_checkpoint_asks_for_float32_attention() -> None:
    plan, _ = decide(untrained(UPCAST, emoji_words(12)), planned(UPCAST), {})
    assert plan.runtimes[0].mixed_precision == "unet.*.attn1:own,unet.*.attn2:own"
    plain, _ = decide(untrained(UPCAST, emoji_words(12)), planned(UPCAST, "none"), {})
    assert plain.runtimes[0].mixed_precision == "none"


@pytest.mark.parametrize(("overflows", "found"), [(("decoder",), True), ((), False)])
def test_a_forced_decoder_is_measured_and_float32_where_it_must_be(overflows: tuple[str, ...], found: bool) -> None:
    """Every VAE that diffusers has saved since 0.17 asks for it; only one as Stable Diffusion XL's needs it."""
    model = overflowing(untrained(FORCED, emoji_words(12)), *overflows)
    runner, settings = TorchRunner.from_model(model, 1), DrawSettings.of(model.config)
    plan = planned(FORCED)
    assert (
        measured_stages(FORCED, plan) == {"coreml": ("decode_image",)} and measured_stages(SMALL, planned(SMALL)) == {}
    )
    samples = collect(runner, model.tokenizer, settings, CALIBRATION_CASES[:1], "step")
    decided, (choice,) = decide(model, plan, samples)
    assert (
        ("autoencoder.decoder.conv_in" in choice.names) is found is ("conv_in" in decided.runtimes[0].mixed_precision)
    )
    assert choice.after_db >= MARGIN_DB
