// The files that all languages are compared with; assets/golden/README.md describes them.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert } from "./checks.js";

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "assets/golden/make.py"))) folder = dirname(folder);
  return folder;
}

const FOLDER = join(findRoot(), "assets", "golden");

/** The bytes of a file, by its path relative to the folder. */
export function goldenBytes(path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(FOLDER, path)));
}

/** The JSON of a file, by JavaScript's own reader. */
export function golden<Content>(path: string): Content {
  return JSON.parse(readFileSync(join(FOLDER, path), "ascii")) as Content;
}

/** SHA-256 by node's own library. */
export function hash(values: Uint8Array | Float32Array | Int32Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}

/** The message of the error that an action throws, which is one line. */
export function refusal(action: () => unknown, kind: new (message: string) => Error, name = ""): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof kind, `${name}: ${String(error)}`);
    return oneLine(error.message, name);
  }
  return assert.fail(`${name}: expected an error, got none`);
}

export function oneLine(message: string, name = ""): string {
  assert.ok(message.includes("expected") && !message.includes("\n"), `${name}: ${message}`);
  return message;
}
