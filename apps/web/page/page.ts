// The page: what the user asks for goes to the worker, and what the worker tells is shown.

import { CheckCard } from "./check-card.js";
import { Choice } from "./choice.js";
import { element } from "./elements.js";
import { Form } from "./form.js";
import type { Answer, OpenedModel, Provider, Task } from "./messages.js";
import { PictureView } from "./picture-view.js";

const PROVIDERS: readonly (readonly [Provider, string])[] = [["wasm", "Processor"], ["webgpu", "WebGPU, untested"]];
const MEGABYTE = 1e6;

const drawButton = element<HTMLButtonElement>("draw");
const checkButton = element<HTMLButtonElement>("check");
const form = new Form(problem);
const view = new PictureView(status, (picture) => form.begin(picture), problem);
const checks = new CheckCard();
const units = new Choice<Provider>(element("units"), (provider) => open(provider));

let worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
let opened: OpenedModel | null = null;
let state: "opening" | "ready" | "drawing" | "checking" = "opening";

function send(task: Task): void {
  worker.postMessage(task);
}

function open(provider: Provider): void {
  worker.terminate();
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => hear(data));
  worker.addEventListener("error", () => problem("expected the page's worker, got none; load the page again"));
  setState("opening");
  send({ kind: "open", base: new URL(".", location.href).href, provider });
}

function hear(answer: Answer): void {
  if (answer.kind === "opened") showModel(answer.opened, answer.threads, answer.provider);
  if (answer.kind === "loading" && state !== "checking") status(`Loading, ${(answer.received / MEGABYTE).toFixed(0)} MB …`);
  if (answer.kind === "warnings" && answer.lines.length > 0) problem(answer.lines.join("; "));
  if (answer.kind === "event") {
    const line = view.show(answer.event, opened);
    if (line !== null) ended(line);
  }
  if (answer.kind === "stopped") ended("Stopped.");
  if (answer.kind === "checked") checks.add(answer.result);
  if (answer.kind === "check-ended") {
    checks.end();
    setState("ready");
  }
  if (answer.kind === "problem") {
    problem(answer.message);
    ended("");
  }
}

function setState(next: typeof state): void {
  state = next;
  drawButton.textContent = next === "drawing" ? "Stop" : "Draw";
  drawButton.classList.toggle("stop", next === "drawing");
  drawButton.disabled = opened === null || next === "checking" || next === "opening";
  checkButton.textContent = next === "checking" ? "Stop" : "Compare";
  checkButton.disabled = opened === null || next === "drawing" || next === "opening";
  element("frame").classList.toggle("drawing", next === "drawing");
  document.body.dataset["state"] = next;
}

function showModel(model: OpenedModel, threads: number, provider: Provider): void {
  opened = model;
  element("model").textContent = model.model;
  document.title = `${model.model} – mobile-diffusion`;
  const facts = `${model.width} × ${model.height} pixels in ${model.steps} steps`;
  const size = `${(model.programBytes / MEGABYTE).toFixed(0)} MB in ${model.precision}`;
  element("facts").textContent = `${facts}, ${size}. Nothing that you type leaves this browser.`;
  form.offer(model);
  const isolated = self.crossOriginIsolated ? "" : " (one thread: this address is not this computer's own)";
  const runs = provider === "wasm" ? `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}${isolated}` : "WebGPU";
  element("runtime").textContent = `ONNX Runtime for browsers, ${runs}. Licence of the model: ${model.licence}.`;
  element("conditions").textContent = `Measured in this browser: ${runs}.`;
  ended("");
}

function draw(): void {
  problem(null);
  try {
    const order = form.order();
    view.begin(order);
    setState("drawing");
    send({ kind: "draw", ...order });
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

function ended(line: string): void {
  status(line);
  setState(opened === null ? "opening" : "ready");
}

function status(line: string): void {
  element("status").textContent = line;
}

/** Shows a line, or takes it away. */
function problem(line: string | null): void {
  element("problem").textContent = line;
  element("problem").hidden = line === null;
}

function listen(): void {
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state === "drawing") send({ kind: "stop" });
    else if (state === "ready") draw();
  });
  form.prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (state === "ready") draw();
  });
  element("dice").addEventListener("click", () => {
    form.rollDice();
    if (state === "ready" && view.used) draw();
  });
  checkButton.addEventListener("click", () => {
    if (state === "checking") return send({ kind: "stop" });
    checks.begin();
    problem(null);
    setState("checking");
    send({ kind: "check" });
  });
}

listen();
if ("gpu" in navigator) {
  element("unit-field").hidden = false;
  units.offer(PROVIDERS, "wasm");
}
open("wasm");
