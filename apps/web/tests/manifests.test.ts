import { test } from "node:test";
import { BundleError } from "../src/errors.js";
import { readManifest } from "../src/manifest-reader.js";
import { styled } from "../src/styles.js";
import { assert } from "./checks.js";
import { golden, refusal } from "./golden.js";
import { Trajectory } from "./trajectory.js";

interface Case {
  name: string;
  text: string;
  message: string;
}

const { accepted, refused } = golden<{ accepted: Case[]; refused: Case[] }>("manifests.json");

test("what every language reads", () => {
  assert.ok(accepted.length >= 5);
  for (const each of accepted) readManifest(each.text);
});

test("what every language refuses, in the same words", () => {
  assert.ok(refused.length >= 80);
  for (const each of refused) {
    const message = refusal(() => readManifest(each.text), BundleError, each.name);
    assert.ok(message.includes(each.message), `${each.name}: ${message}`);
  }
});

test("the fields that an app needs", () => {
  const { styles } = readManifest(accepted[0]!.text);
  assert.deepEqual(styles, ["3d", "flat"]);
  assert.deepEqual([styled("a cat", "flat"), styled("a cat", ""), styled("", "3d")], ["a cat, flat", "a cat", ""]);
  const manifest = readManifest(new Trajectory("multistep").manifest);
  assert.deepEqual(manifest.stages.map((each) => each.stage), ["encode_text", "denoise", "decode_image"]);
  assert.equal(manifest.schedule.memory, 1);
  assert.equal(manifest.schedule.stochastic, false);
  assert.equal(manifest.tokenizer.kind, "wordpiece");
  assert.deepEqual(manifest.runtimes.map((each) => each.name), ["xnnpack"]);
  assert.deepEqual(manifest.runtimes[0]?.artifacts[1]?.outputs, ["latents_out", "memory_out"]);
  assert.equal(readManifest(new Trajectory("lcm").manifest).schedule.stochastic, true);
});

test("a spoiled manifest is read or refused, never anything else", () => {
  const text = accepted[0]!.text;
  let state = 3;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let found = 0;
  for (let round = 0; round < 3000; round++) {
    let spoiled = text;
    for (let change = 0; change <= random(3); change++) {
      const place = random(spoiled.length);
      const kind = random(3);
      if (kind === 0) spoiled = spoiled.slice(0, Math.max(place, 1));
      if (kind === 1) spoiled = spoiled.slice(0, place) + String.fromCharCode(1 + random(0x2030)) + spoiled.slice(place + 1);
      if (kind === 2) spoiled = spoiled.slice(0, place) + spoiled.slice(place + 1 + random(30));
    }
    try {
      readManifest(spoiled);
    } catch (error) {
      assert.ok(error instanceof BundleError && !error.message.includes("\n"), String(error));
      found++;
    }
  }
  assert.ok(found > 1500, `${found} refused`);
});
