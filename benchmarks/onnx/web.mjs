// Runs ONNX models with ONNX Runtime's WebAssembly, as a browser does: one call for each line of standard input.
//
//   node web.mjs PACKAGES
//
// PACKAGES is a folder with node_modules/onnxruntime-web.  A line is JSON: the model's path, and its inputs and outputs by
// name, each with a type, a shape and a file of its bytes.  When the outputs are written, the line "done" is printed.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const bundle = join(process.argv[2], "node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs");
const ort = await import(pathToFileURL(bundle));
ort.env.wasm.numThreads = 1;
const ARRAYS = { float32: Float32Array, int32: Int32Array };
const sessions = new Map();

function read({ type, shape, file }) {
  const bytes = readFileSync(file);
  const data = new ARRAYS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return new ort.Tensor(type, data, shape);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { model, inputs, outputs } = JSON.parse(line);
  if (!sessions.has(model)) {
    const weights = readFileSync(model);
    sessions.set(model, await ort.InferenceSession.create(weights, { executionProviders: ["wasm"] }));
  }
  const feed = Object.fromEntries(Object.entries(inputs).map(([name, entry]) => [name, read(entry)]));
  const results = await sessions.get(model).run(feed);
  for (const [name, { file }] of Object.entries(outputs)) {
    const { data } = results[name];
    writeFileSync(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  console.log("done");
}
