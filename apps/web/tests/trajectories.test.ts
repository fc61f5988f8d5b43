// Whole drawings against the recordings: every input of every call, every preview, and the picture.

import { test } from "node:test";
import { ModelBundle } from "../src/bundle.js";
import type { Picture } from "../src/picture.js";
import { type DrawEvent, Pipeline } from "../src/pipeline.js";
import { assert } from "./checks.js";
import { hash } from "./golden.js";
import { type PictureHash, ReplayRunner, Trajectory } from "./trajectory.js";

function assertPicture(expected: PictureHash, { width, height, rgb }: Picture): void {
  assert.deepEqual({ width, height, sha256: hash(rgb) }, expected);
}

const PLAIN = ["ddim", "multistep", "lcm", "unguided", "interval", "sde", "sdxl", "sdxl-interval", "weights", "compel"];
const OF_PICTURES = ["image", "tiles", "mask", "inpaint", "inpaint-all", "edit", "edit-unguided"];
const STEERED = ["hints", "hints-interval", "adapters", "adapters-interval"];

for (const name of [...PLAIN, ...OF_PICTURES, ...STEERED]) {
  for (const keep of [true, false]) {
    test(`${name}, stages ${keep ? "stay" : "one at a time"}`, async () => {
      const trajectory = new Trajectory(name);
      const runner = new ReplayRunner(trajectory);
      const bundle = await ModelBundle.open(trajectory, "xnnpack");
      const [pipeline, request] = [new Pipeline(bundle, runner, keep), await trajectory.requestOf(bundle)];
      for (let round = 0; round < 2; round++) {
        const events: DrawEvent[] = [];
        for await (const event of pipeline.draw(request)) events.push(event);
        const stages = events.flatMap((each) => (each.kind === "stage" ? [each.stage] : []));
        assert.deepEqual(stages, trajectory.stages);
        const steps = events.flatMap((each) => (each.kind === "step" ? [each] : []));
        assert.deepEqual(steps.map((each) => each.step), steps.map((_, place) => trajectory.steps - steps.length + place + 1));
        assert.deepEqual(new Set(steps.map((each) => each.steps)), new Set([trajectory.steps]));
        steps.forEach((step, place) => {
          const expected = trajectory.previews?.[place];
          if (expected === undefined) assert.equal(step.preview, null);
          else assertPicture(expected, step.preview!);
        });
        const last = events.at(-1)!;
        assert.ok(last.kind === "finished");
        assertPicture(trajectory.picture, last.picture);
        assert.equal(events.length, trajectory.stages.length + steps.length + 1);
        const calls = Object.fromEntries(last.times.map((each) => [each.stage, each.calls]));
        assert.equal(calls["decode_image"], trajectory.calls.filter((call) => call.stage === "decode_image").length);
      }
      const runs = [...trajectory.calls, ...trajectory.calls].map((call) => `run ${call.stage}`);
      assert.deepEqual(runner.log.filter((each) => each.startsWith("run")), runs);
      assert.deepEqual([...runner.loaded], keep ? trajectory.stages : ["decode_image"]);
    });
  }
}
