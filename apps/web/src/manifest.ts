// What a bundle says of itself, as far as an app needs it; manifest-reader.ts reads it from `manifest.json`.

/** The file's name in a bundle. */
export const MANIFEST = "manifest.json";
export const SCHEMA_VERSION = 7;

/** The programs of a bundle, by their names in the manifest. */
export const STAGES = ["encode_text", "denoise", "decode_image", "encode_image", "encode_hint"] as const;
export type Stage = (typeof STAGES)[number];

/** What a picture takes. */
export const DRAWING: readonly Stage[] = STAGES.slice(0, 3);

/** An input or output. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: "float32" | "int32";
  readonly shape: readonly number[];
}

/** Inputs and outputs of a stage, in order. */
export interface StageSpec {
  readonly stage: Stage;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** The program of a stage. */
export interface Artifact {
  readonly stage: Stage;
  /** Its file in the bundle. */
  readonly path: string;
  /** Names that the program gives to the outputs of the stage, in order. */
  readonly outputs: readonly string[];
}

/** All programs for one runtime. */
export interface RuntimeSpec {
  readonly name: string;
  /** Whether an app takes this one when it can choose. */
  readonly primary: boolean;
  /** Whether the programs were compared with PyTorch before the bundle appeared. */
  readonly verified: boolean;
  /** Of the arithmetic inside, "fp32" for example. */
  readonly precision: string;
  readonly artifacts: readonly Artifact[];
}

/** The steps of a picture. Their coefficients are inside the program; these are what an app needs beside it. */
export interface Schedule {
  /** Steps of a whole drawing. */
  readonly steps: number;
  /** Latents before row i are alphas[i] * clean + sigmas[i] * noise. */
  readonly alphas: readonly number[];
  readonly sigmas: readonly number[];
  /** The input `step` of each call, for a drawing that skips 0, 1, ... of its steps; none where that is every row. */
  readonly starts: readonly (readonly number[])[];
  /** Tensors that the solver remembers between steps. */
  readonly memory: number;
  /** Whether noise is added at the steps. */
  readonly stochastic: boolean;
  /** "none" for a model that is drawn without guidance. */
  readonly guidanceKind: "cfg" | "distilled" | "none";
  /** The scale of guidance when none is asked for. */
  readonly guidance: number;
  /** Share of the guidance at each step of `denoise`; empty where all steps are guided alike. */
  readonly shares: readonly number[];
  /** Whether a missing negative prompt is zeros instead of the encoded empty prompt. */
  readonly zeroNull: boolean;
}

/** The kind of SDXL's two tokenizers. */
export const PAIR = "clip-bpe-pair";

/** The kind of tokenizer, "wordpiece", "clip-bpe" or PAIR, and its files in the bundle: two of PAIR. */
export interface TokenizerSpec {
  readonly kind: string;
  readonly maxTokens: number;
  readonly files: readonly string[];
}

/** Size in bytes, and SHA-256 in lower-case hexadecimal. */
export interface FileSpec {
  readonly size: number;
  readonly sha256: string;
}

/** The limit of one check of a runtime, and the worst that the export found. */
export interface ParityLimit {
  readonly runtime: string;
  readonly check: string;
  readonly metric: string;
  readonly worst: number;
  readonly limit: number;
}

export interface Manifest {
  /** The model's name. */
  readonly model: string;
  readonly licence: string;
  /** Styles that the model was trained on, which a prompt can name (`styled`); empty for a model without. */
  readonly styles: readonly string[];
  /** Width of the context per text encoder, in the order in which they are joined. */
  readonly textWidths: readonly number[];
  readonly target: string;
  readonly stages: readonly StageSpec[];
  readonly runtimes: readonly RuntimeSpec[];
  readonly schedule: Schedule;
  readonly tokenizer: TokenizerSpec;
  /** The index of the golden vectors. */
  readonly golden: string;
  readonly parity: readonly ParityLimit[];
  /** Every file but the manifest, by its path in the bundle. */
  readonly files: ReadonlyMap<string, FileSpec>;
}

/** Inputs and outputs of a stage, or undefined when the bundle has no such stage. */
export function stageOf(manifest: Manifest, stage: Stage): StageSpec | undefined {
  return manifest.stages.find((each) => each.stage === stage);
}

/** The number of values of a shape. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
