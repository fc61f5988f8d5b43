// Prompts with weights and of several windows, read as the golden file says.

import { test } from "node:test";
import { PromptError } from "../src/errors.js";
import type { PromptSyntax } from "../src/prompt-pieces.js";
import { readPrompt } from "../src/prompt-windows.js";
import { readTokenizer } from "../src/read-tokenizer.js";
import { decodeUtf8 } from "../src/text.js";
import { assert } from "./checks.js";
import { golden, goldenBytes, refusal } from "./golden.js";

interface Case {
  prompt: string;
  syntax: PromptSyntax;
  windows: number;
  cut: boolean;
  empty: boolean;
  versions: { share: number; windows: { ids: number[]; weights: number[] }[] }[];
}

interface Golden {
  kind: string;
  max_tokens: number;
  tokenizer: string;
  cases: Case[];
  refused: { prompt: string; syntax: PromptSyntax; message: string }[];
}

const { kind, max_tokens: maxTokens, tokenizer: file, cases, refused } = golden<Golden>("prompts.json");
const tokenizer = readTokenizer({ kind, maxTokens, files: [file] }, [decodeUtf8(goldenBytes(file))!]);

test("prompts of the golden file", () => {
  assert.ok(cases.length >= 70);
  for (const { prompt, syntax, windows, cut, empty, versions } of cases) {
    const found = readPrompt(tokenizer, prompt, syntax, windows);
    const shown = `${syntax} ${windows} ${JSON.stringify(prompt)}`;
    assert.deepEqual([found.cut, found.empty !== null, found.versions.length], [cut, empty, versions.length], shown);
    for (const [number, { share, windows: expected }] of versions.entries()) {
      const version = found.versions[number]!;
      assert.ok(Math.abs(version.share - share) <= 1e-12 * share, shown);
      const kept = version.windows.map(({ tokens: { ids, mask }, weights }) => {
        const length = mask.reduce((sum, each) => sum + each, 0);
        assert.ok(weights.slice(length).every((each) => each === 1), shown);
        return { ids: [...ids.slice(0, length)], weights: [...weights.slice(0, length)] };
      });
      assert.deepEqual(kept, expected, shown);
    }
  }
});

test("prompts that are refused", () => {
  for (const { prompt, syntax, message } of refused) {
    const found = refusal(() => readPrompt(tokenizer, prompt, syntax, 1), PromptError);
    assert.ok(found.includes(message), found);
  }
  const long = refusal(() => readPrompt(tokenizer, "a".repeat(10_001), "a1111", 1), PromptError);
  assert.ok(long.includes("at most 10,000 characters"));
});
