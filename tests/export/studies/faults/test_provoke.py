"""The inputs that bring out faults: whole, seeded, and different from each other."""

from __future__ import annotations

import numpy as np
import pytest

from export.signatures import TensorSpec, signature
from export.studies.faults.provoke import PROVOCATIONS, Filling, cases
from mobile_diffusion.config import ModelConfig

STAGES = ("encode_text", "denoise", "decode_image", "encode_image")


@pytest.mark.parametrize("stage", STAGES)
def test_arrays_are_what_the_stage_takes(stage: str, tiny_config: ModelConfig) -> None:
    inputs = signature(tiny_config, stage).inputs
    found = dict(cases(Filling(steps=8), inputs))
    assert "ordinary" in found and len(found) >= 3
    for arrays in found.values():
        assert {name: (str(array.dtype), array.shape) for name, array in arrays.items()} == {
            spec.name: (spec.dtype, spec.shape) for spec in inputs
        }
        assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(
        np.array_equal(array, again[name])
        for arrays, again in zip(found.values(), dict(cases(Filling(steps=8), inputs)).values(), strict=True)
        for name, array in arrays.items()
    )


def test_they_differ_in_what_they_say(tiny_config: ModelConfig) -> None:
    found = dict(cases(Filling(steps=8), signature(tiny_config, "denoise").inputs))
    assert [int(found[name]["step"][0]) for name in ("ordinary", "last step")] == [0, 7]
    assert found["extreme guidance"]["guidance"] == 30
    assert found["large latents"]["latents"].std() > 4 > 2 > found["ordinary"]["latents"].std()
    assert found["constant"]["latents"].std() == 0 and found["constant"]["latents"].mean() == 1


def test_prompts_fill_few_or_all_tokens(tiny_config: ModelConfig) -> None:
    found = dict(cases(Filling(), signature(tiny_config, "encode_text").inputs))
    used = {name: int(arrays["mask"].sum()) for name, arrays in found.items()}
    assert used["empty prompt"] < used["ordinary"] < used["long prompt"] == tiny_config.text.max_tokens


def test_pictures_are_whole_levels() -> None:
    found = dict(cases(Filling(), [TensorSpec("image", "float32", (1, 3, 8, 8))]))
    for arrays in found.values():
        levels = arrays["image"] * 255
        assert np.allclose(levels, np.rint(levels), atol=1e-4) and levels.min() >= 0 and levels.max() <= 255
    assert 0 < found["faint latents"]["image"].std() < 0.01


def test_contexts_and_tokens_come_from_the_model_where_there_is_one() -> None:
    asked: list[str] = []

    def contexts(prompt: str) -> dict[str, np.ndarray]:
        asked.append(prompt)
        return {name: np.full((1, 2, 3), len(prompt), np.float32) for name in ("context", "pooled")}

    specs = [TensorSpec(name, "float32", (1, 2, 3)) for name in ("context", "pooled", "null_context", "null_pooled")]
    arrays = Filling(contexts=contexts).arrays(specs, PROVOCATIONS[0])
    assert asked == [PROVOCATIONS[0].prompt] * 2 + [""] * 2
    assert arrays["null_context"].max() == arrays["null_pooled"].max() == 0 < arrays["pooled"].min()


def test_an_unknown_program_gets_numbers_too() -> None:
    specs = [TensorSpec("sample", "float32", (1, 4)), TensorSpec("flag", "int32", (1,))]
    found = dict(cases(Filling(), specs))
    assert set(found) == {"ordinary", "large latents", "faint latents", "constant", "zero"}
    assert all(arrays["flag"] == 0 for arrays in found.values())


def test_names_are_one_each() -> None:
    assert len({each.name for each in PROVOCATIONS}) == len(PROVOCATIONS)
