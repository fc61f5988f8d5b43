import { DiffusionError, ModelError } from "./errors.js";
import { type Manifest, type Stage, stageOf } from "./manifest.js";
import type { FloatTensors, Tensors } from "./tensor.js";
import { quote } from "./text.js";

/** Runs the programs of one opened bundle; calls come one at a time. */
export interface StageRunner {
  /** Brings a stage into memory; nothing happens when it is loaded. */
  load(stage: Stage): Promise<void>;

  /** Gives a stage's memory back; nothing happens when it is not loaded. */
  unload(stage: Stage): Promise<void>;

  /** The outputs of a loaded stage by the names of the manifest; `inputs` are exactly those that it names. */
  run(stage: Stage, inputs: Tensors): Promise<FloatTensors>;
}

/** The outputs of a stage, checked against the manifest; any failure is a `DiffusionError` of one line. */
export async function runChecked(
  runner: StageRunner,
  manifest: Manifest,
  stage: Stage,
  inputs: Tensors,
): Promise<FloatTensors> {
  const outputs = await guarded(stage, () => runner.run(stage, inputs));
  for (const spec of stageOf(manifest, stage)?.outputs ?? []) {
    const shape = outputs.get(spec.name)?.shape;
    if (shape?.join() === spec.shape.join()) continue;
    const got = shape?.join(" x ") ?? "none";
    throw new ModelError(`${stage}: expected ${spec.name} of shape ${spec.shape.join(" x ")}, got ${got}`);
  }
  return outputs;
}

/** What an action gives; its failure as one line. */
export async function guarded<Value>(stage: Stage, action: () => Promise<Value>): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DiffusionError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(`${stage}: expected outputs, got an error: ${quote(reason)}`, { cause: error });
  }
}
