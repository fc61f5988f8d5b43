import { test } from "node:test";
import { type Words4, gaussian, philox } from "../src/noise.js";
import { assert } from "./checks.js";
import { golden, hash } from "./golden.js";

interface Golden {
  philox: { counter: string[]; key: string[]; words: string[] }[];
  gaussian: { seed: string; tensor: number; count: number; sha256: string }[];
}

const cases = golden<Golden>("noise.json");
const words = (texts: string[]): number[] => texts.map((each) => parseInt(each, 16));

test("published words", () => {
  assert.ok(cases.philox.length >= 3);
  for (const each of cases.philox) {
    const [first = 0, second = 0] = words(each.key);
    assert.deepEqual(philox([first, second], words(each.counter) as unknown as Words4), words(each.words));
  }
});

test("noise of many seeds, bit for bit", () => {
  assert.ok(cases.gaussian.length > 300);
  for (const each of cases.gaussian) {
    const noise = gaussian(BigInt(each.seed), each.count, each.tensor);
    assert.equal(hash(noise), each.sha256, JSON.stringify(each));
  }
});
