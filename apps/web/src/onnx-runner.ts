import type * as Ort from "onnxruntime-web";
import type { ModelBundle } from "./bundle.js";
import { ModelError } from "./errors.js";
import { type Stage, stageOf } from "./manifest.js";
import type { StageRunner } from "./runner.js";
import { type FloatTensor, type FloatTensors, type Tensors, floats } from "./tensor.js";

/** The part of onnxruntime-web that is used; its builds (with and without WebGPU) have it alike. */
export type OrtModule = Pick<typeof Ort, "InferenceSession" | "Tensor">;

/** Where a stage is run: by WebAssembly, or by WebGPU with WebAssembly for the operations that it lacks. */
export type Provider = "wasm" | "webgpu";

/** Threads that wait do not spin: on a phone they would empty the battery, and beside other work they slow all down. */
const ASLEEP = { session: { intra_op: { allow_spinning: "0" } } };

/** Runs the ONNX models of a bundle with onnxruntime-web. */
export class OnnxRunner implements StageRunner {
  private readonly sessions = new Map<Stage, Ort.InferenceSession>();

  constructor(
    private readonly bundle: ModelBundle,
    private readonly ort: OrtModule,
    readonly provider: Provider = "wasm",
  ) {}

  async load(stage: Stage): Promise<void> {
    if (this.sessions.has(stage)) return;
    const { program, weights } = this.bundle.files(stage);
    const externalData: { path: string; data: Uint8Array }[] = [];
    for (const path of weights) {
      externalData.push({ path: path.slice(path.lastIndexOf("/") + 1), data: await this.bundle.read(path) });
    }
    const options = { executionProviders: [this.provider], externalData, extra: ASLEEP };
    this.sessions.set(stage, await this.ort.InferenceSession.create(await this.bundle.read(program), options));
  }

  async unload(stage: Stage): Promise<void> {
    const session = this.sessions.get(stage);
    this.sessions.delete(stage);
    await session?.release();
  }

  async run(stage: Stage, inputs: Tensors): Promise<FloatTensors> {
    const session = this.sessions.get(stage);
    if (session === undefined) throw new ModelError(`${stage}: expected a loaded stage, got none`);
    const feeds: Record<string, Ort.Tensor> = {};
    for (const [name, { values, shape }] of inputs) {
      feeds[name] =
        values instanceof Float32Array
          ? new this.ort.Tensor("float32", values, shape)
          : new this.ort.Tensor("int32", values, shape);
    }
    return this.named(stage, await session.run(feeds));
  }

  /** The outputs under the names of the stage: in a program, no output may have the name of an input. */
  private named(stage: Stage, results: Ort.InferenceSession.ReturnType): FloatTensors {
    const names = this.bundle.runtime.artifacts.find((each) => each.stage === stage)!.outputs;
    const specs = stageOf(this.bundle.manifest, stage)!.outputs;
    const found = new Map<string, FloatTensor>();
    specs.forEach((spec, place) => {
      const tensor = results[names[place] ?? ""];
      if (tensor !== undefined) found.set(spec.name, floats(tensor.data as Float32Array, tensor.dims));
    });
    return found;
  }
}
