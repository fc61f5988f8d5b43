// Draws with a bundle of mobile-diffusion: the fifth language beside Python, Kotlin, Swift and C++.
//
//   const bundle = await ModelBundle.open(source);
//   const pipeline = new Pipeline(bundle, new OnnxRunner(bundle, ort));
//   for await (const event of pipeline.draw({ prompt: "a red apple, 3d", seed: 7n })) ...

export { type BundleSource, ModelBundle, RUNTIME } from "./bundle.js";
export { BundleError, DiffusionError, ModelError, PromptError } from "./errors.js";
export { DRAWING, MANIFEST, type Manifest, SCHEMA_VERSION, STAGES, type Stage, type TensorSpec } from "./manifest.js";
export { type GoldenResult, checkGolden, ratioDb } from "./golden-check.js";
export { readManifest } from "./manifest-reader.js";
export { gaussian } from "./noise.js";
export { MAX_SEED, parseDecimal, parseSeed } from "./numbers.js";
export { OnnxRunner, type OrtModule, type Provider } from "./onnx-runner.js";
export type { Picture } from "./picture.js";
export { type DrawEvent, Pipeline, type StageTime } from "./pipeline.js";
export { readTokenizer } from "./read-tokenizer.js";
export type { StageRunner } from "./runner.js";
export { type DrawSettings, settingsOf } from "./draw-settings.js";
export { Sha256, sha256 } from "./sha256.js";
export { styled } from "./styles.js";
export { DEFAULT_STRENGTH, IMAGE_GUIDANCE } from "./picture-inputs.js";
export { type PromptSyntax, SYNTAXES } from "./prompt-pieces.js";
export type { Adapter } from "./adapter-inputs.js";
export type { AdapterRoom } from "./adapter-files.js";
export { type DrawRequest, type Hint, MAX_ADAPTER_SCALE, MAX_GUIDANCE, MAX_HINT_SCALE, type ScaledAdapter } from "./request.js";
export type { FloatTensor, FloatTensors, Tensor, Tensors } from "./tensor.js";
export type { Tokenizer, Tokens } from "./tokenizer.js";
