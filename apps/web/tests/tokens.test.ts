import { test } from "node:test";
import { BundleError, PromptError } from "../src/errors.js";
import { type Json, isObject, readJson, writeJson } from "../src/json.js";
import type { TokenizerSpec } from "../src/manifest.js";
import { readTokenizer } from "../src/read-tokenizer.js";
import { decodeUtf8 } from "../src/text.js";
import { assert } from "./checks.js";
import { golden, goldenBytes, refusal } from "./golden.js";

interface Golden {
  kind: string;
  max_tokens: number;
  tokenizer: string;
  padding: number;
  cases: { prompt: string; ids: number[]; known?: false }[];
  refused: { prompt: string; message: string }[];
}

class Cases {
  readonly golden: Golden;
  readonly spec: TokenizerSpec;
  readonly definition: string;

  constructor(name: string) {
    this.golden = golden<Golden>(`tokens-${name}.json`);
    this.spec = { kind: this.golden.kind, maxTokens: this.golden.max_tokens, files: ["tokenizer.json"] };
    this.definition = decodeUtf8(goldenBytes(this.golden.tokenizer))!;
  }

  readonly open = () => readTokenizer(this.spec, [this.definition]);
}

for (const name of ["wordpiece", "clip", "added"]) {
  test(`prompts of the golden file ${name}`, () => {
    const cases = new Cases(name);
    const tokenizer = cases.open();
    assert.ok(cases.golden.cases.length >= 2000);
    for (const { prompt, ids, known } of cases.golden.cases) {
      const tokens = tokenizer.encode(prompt);
      const rest = cases.golden.max_tokens - ids.length;
      const shown = JSON.stringify(prompt);
      assert.deepEqual([...tokens.ids], [...ids, ...Array<number>(rest).fill(cases.golden.padding)], `ids of ${shown}`);
      assert.deepEqual([...tokens.mask], [...ids.map(() => 1), ...Array<number>(rest).fill(0)], `mask of ${shown}`);
      assert.equal(tokens.known, known ?? true, `known of ${shown}`);
      assert.ok(tokens.count === ids.length || (tokens.count > ids.length && rest === 0), `count of ${shown}`);
    }
    for (const { prompt, message } of cases.golden.refused) {
      assert.ok(refusal(() => tokenizer.encode(prompt), PromptError).includes(message));
    }
  });
}

test("a prompt of a million characters is read, and one more is not", () => {
  const tokenizer = new Cases("wordpiece").open();
  const apple = "\u{1f34e}"; // one character, two units of UTF-16
  assert.deepEqual([...tokenizer.encode("a".repeat(1_000_000)).ids.slice(0, 4)], [101, 100, 102, 0]);
  tokenizer.encode(apple.repeat(1_000_000));
  const message = refusal(() => tokenizer.encode(apple.repeat(1_000_001)), PromptError);
  assert.ok(message.includes("at most 1,000,000 characters, got 1000001"));
});

test("half of a surrogate pair is refused", () => {
  const tokenizer = new Cases("clip").open();
  for (const prompt of ["\ud83c", "a\udf4e", "\ud83c\ud83c\udf4e", "\udf4e\ud83c"]) {
    assert.ok(refusal(() => tokenizer.encode(prompt), PromptError).includes("valid Unicode"));
  }
});

test("a long word takes no long time", () => {
  for (const name of ["wordpiece", "clip"]) {
    const tokenizer = new Cases(name).open();
    const start = performance.now();
    tokenizer.encode("w".repeat(100_000));
    tokenizer.encode("\u0301".repeat(100_000));
    assert.ok(performance.now() - start < 5000, name);
  }
});

test("another tokenizer is refused in one line", () => {
  const cases = new Cases("wordpiece");
  const text = writeJson(readJson(cases.definition, ""));
  const changes: [string, string][] = [
    ['"WordPiece"', '"BPE"'],
    ['"lowercase":true', '"lowercase":false'],
    ['"BertPreTokenizer"', '"Whitespace"'],
    ['"single_word":false', '"single_word":true'],
    ['"[SEP]"', '"[END]"'],
    ['"model":', '"brain":'],
    ['"vocab":{', '"vocab":{"a b":1.5,'],
  ];
  for (const [old, changed] of changes) {
    assert.ok(text.includes(old), old);
    refusal(() => readTokenizer(cases.spec, [text.replaceAll(old, changed)]), BundleError, old);
  }
  for (const other of ["", "hello", "[]", "{}", "null"]) {
    refusal(() => readTokenizer(cases.spec, [other]), BundleError, other);
  }
  const clip = new Cases("clip");
  refusal(() => readTokenizer(cases.spec, [clip.definition]), BundleError);
  refusal(() => readTokenizer(clip.spec, [cases.definition]), BundleError);
});

test("a kind from the future and a length without room are refused", () => {
  const cases = new Cases("wordpiece");
  const future = refusal(() => readTokenizer({ ...cases.spec, kind: "unigram" }, [cases.definition]), BundleError);
  assert.ok(future.includes("wordpiece, clip-bpe or clip-bpe-pair, got 'unigram'; update"));
  for (const maxTokens of [2, -1, 2 ** 62]) {
    const message = refusal(() => readTokenizer({ ...cases.spec, maxTokens }, [cases.definition]), BundleError);
    assert.ok(message.includes("max_tokens of at least 3"));
  }
});

test("what is not JSON", () => {
  const words = String.raw`{ } [1,] [,1] {"a":1,} {"a"} {a:1} {'a':1} nul truefalse NaN Infinity - +1 01 1. .5 1e 1e+ 0x1
    1e999 [1;2] " "\" "\x" "\u12" "\u12g4" "\ud800" "\udc00\ud800" \u0031 /**/1 1// ١`.split(/\s+/);
  const others = ["", " ", "1 2", "[1 2]", '"a\nb"', '"\t"', "\ufeff{}", "[".repeat(100_000), '{"a":'.repeat(100_000)];
  for (const text of [...words, ...others]) {
    const message = refusal(() => readJson(text, "test"), BundleError, text.slice(0, 40));
    assert.equal(message, "test: expected JSON, got something else; export the bundle again");
  }
});

test("values, and the last of two fields of one name", () => {
  const text = ' { "a" : [ 1 , -2.5e-3 , true , false , null , "\\u00e9\\n\\/\\"\\\\ \u{1f34e}" ] , "b" : { } , "c" : [ ] } ';
  assert.equal(writeJson(readJson(text, "")), '{"a":[1,-2.5e-3,true,false,null,"é\\n/\\"\\\\ \u{1f34e}"],"b":{},"c":[]}');
  const twice: Json = readJson('{"a":1,"a":2}', "");
  assert.ok(isObject(twice) && writeJson(twice) === '{"a":2}');
});
