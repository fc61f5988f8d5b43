// Several pictures of one request: what does not depend on the seed is computed once.

import { test } from "node:test";
import { ModelBundle } from "../src/bundle.js";
import { PromptError } from "../src/errors.js";
import type { Stage } from "../src/manifest.js";
import { MAX_SEED } from "../src/numbers.js";
import { Pipeline } from "../src/pipeline.js";
import type { DrawRequest } from "../src/request.js";
import type { StageRunner } from "../src/runner.js";
import type { FloatTensors, Tensors } from "../src/tensor.js";
import { assert } from "./checks.js";
import { hash } from "./golden.js";
import { Trajectory, outputsOf } from "./trajectory.js";

/** Gives what was recorded of a stage, whatever it is given, and keeps a line of each call's inputs. */
class EchoRunner implements StageRunner {
  readonly calls: string[] = [];

  constructor(private readonly trajectory: Trajectory) {}

  load(): Promise<void> {
    return Promise.resolve();
  }

  unload(): Promise<void> {
    return Promise.resolve();
  }

  run(stage: Stage, inputs: Tensors): Promise<FloatTensors> {
    const given = [...inputs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { values }]) => `${name} ${hash(values)}`);
    this.calls.push([stage, ...given].join(" "));
    return Promise.resolve(outputsOf(this.trajectory.calls.find((each) => each.stage === stage)!));
  }
}

async function calls(trajectory: Trajectory, request: DrawRequest, pictures?: number): Promise<string[]> {
  const runner = new EchoRunner(trajectory);
  const pipeline = new Pipeline(await ModelBundle.open(trajectory, "xnnpack"), runner);
  let finished = 0;
  for await (const { kind } of pipeline.draw(request, pictures)) if (kind === "finished") finished++;
  assert.equal(finished, pictures ?? 1);
  return runner.calls;
}

const encodes = (call: string): boolean => call.startsWith("encode_");

for (const name of ["ddim", "sde", "mask", "inpaint", "edit", "hints", "compel"]) {
  test(`${name}: text, picture and hints are encoded once, and each picture is that of its seed`, async () => {
    const trajectory = new Trajectory(name);
    const { request } = trajectory;
    const second = await calls(trajectory, { ...request, seed: (request.seed ?? 0n) + 1n });
    assert.ok(second.some(encodes));
    const expected = [...(await calls(trajectory, request)), ...second.filter((each) => !encodes(each))];
    assert.deepEqual(await calls(trajectory, request, 2), expected);
  });
}

test("seeds that end before the pictures do", async () => {
  const trajectory = new Trajectory("ddim");
  const drawing = calls(trajectory, { ...trajectory.request, seed: MAX_SEED - 1n }, 3);
  const error: unknown = await drawing.then(() => null, (reason: unknown) => reason);
  assert.ok(error instanceof PromptError);
  assert.equal(error.message, "seed: expected 3 seeds from it on, got 18446744073709551614; take a smaller one");
});
