// Holds the model and draws, off the thread of the page: a call of a stage blocks its thread.

import type * as Ort from "onnxruntime-web";
import { ModelBundle } from "../src/bundle.js";
import { settingsOf } from "../src/draw-settings.js";
import { DiffusionError, ModelError } from "../src/errors.js";
import { checkGolden } from "../src/golden-check.js";
import { OnnxRunner, type Provider } from "../src/onnx-runner.js";
import { Pipeline } from "../src/pipeline.js";
import type { ScaledAdapter } from "../src/request.js";
import { quote } from "../src/text.js";
import { CachedSource } from "./cached-source.js";
import type { Answer, OpenedModel, Order, Task } from "./messages.js";

/** The build of ONNX Runtime for each provider: that with WebGPU is twice as large. */
const BUILDS: Record<Provider, string> = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };
const MAX_THREADS = 8;

let opened: { bundle: ModelBundle; runner: OnnxRunner; pipeline: Pipeline } | null = null;
let stopping = false;
let busy = false;

function tell(answer: Answer): void {
  postMessage(answer);
}

/** Lets messages in, which wait while this thread works. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function open(base: string, provider: Provider): Promise<void> {
  const ort = (await import(new URL(`ort/${BUILDS[provider]}`, base).href)) as typeof Ort;
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MAX_THREADS) : 1;
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const source = new CachedSource(new URL("bundle/", base).href, (received) => tell({ kind: "loading", received }));
  const bundle = await ModelBundle.open(source);
  const runner = new OnnxRunner(bundle, ort, provider);
  opened = { bundle, runner, pipeline: new Pipeline(bundle, runner) };
  tell({ kind: "opened", opened: await describe(bundle, opened.pipeline), threads, provider });
}

async function describe(bundle: ModelBundle, pipeline: Pipeline): Promise<OpenedModel> {
  const { image, latents, schedule, task, controls } = settingsOf(bundle.manifest);
  const [height = 0, width = 0] = image.shape.slice(2);
  const [latentHeight = 0, latentWidth = 0] = latents.shape.slice(2);
  const { model, licence, styles } = bundle.manifest;
  const { steps, guidanceKind, guidance } = schedule;
  const { precision } = bundle.runtime;
  const facts = { model, licence, styles, precision, width, height, steps, guidanceKind, guidance };
  const adapters = (await bundle.adapterRoom())?.names ?? [];
  const taken = { takesPictures: pipeline.takesPictures, task, controls, adapters, latentWidth, latentHeight };
  return { ...facts, ...taken, programBytes: bundle.programBytes };
}

async function draw({ request: asked, pictures, adapters: switches }: Order): Promise<void> {
  const { bundle, pipeline } = model();
  const adapters: ScaledAdapter[] = [];
  for (const { name, scale } of switches) adapters.push({ adapter: await bundle.adapter(name), scale });
  const request = { ...asked, adapters };
  tell({ kind: "warnings", lines: pipeline.warnings(request) });
  for await (const event of pipeline.draw(request, pictures)) {
    tell({ kind: "event", event });
    await pause();
    if (stopping) break;
  }
  if (stopping) tell({ kind: "stopped" });
}

async function check(): Promise<void> {
  const { bundle, runner } = model();
  for await (const result of checkGolden(bundle, runner)) {
    tell({ kind: "checked", result });
    await pause();
    if (stopping) break;
  }
  tell({ kind: "check-ended" });
}

function model(): NonNullable<typeof opened> {
  if (opened === null) throw new ModelError("expected an opened model, got none; load the page again");
  return opened;
}

async function work(action: () => Promise<void>): Promise<void> {
  if (busy) return;
  busy = true;
  stopping = false;
  try {
    await action();
  } catch (error) {
    tell({ kind: "problem", message: lineOf(error) });
  } finally {
    busy = false;
  }
}

function lineOf(error: unknown): string {
  if (error instanceof DiffusionError) return error.message;
  return `expected a picture, got an error: ${quote(error instanceof Error ? error.message : String(error))}`;
}

addEventListener("message", ({ data }: MessageEvent<Task>) => {
  if (data.kind === "stop") stopping = true;
  if (data.kind === "open") void work(() => open(data.base, data.provider));
  if (data.kind === "draw") void work(() => draw(data));
  if (data.kind === "check") void work(check);
});
