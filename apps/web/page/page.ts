// The page: what the user chose becomes a request, and what the worker tells becomes what is shown.

import { PromptError } from "../src/errors.js";
import { MAX_SEED, parseSeed } from "../src/numbers.js";
import type { StageTime } from "../src/pipeline.js";
import type { PromptSyntax } from "../src/prompt-pieces.js";
import { styled } from "../src/styles.js";
import { quote } from "../src/text.js";
import { Choice } from "./choice.js";
import type { Answer, DrawEvent, DrawRequest, OpenedModel, Picture, Provider, Task } from "./messages.js";
import { savePicture, sharePicture } from "./saving.js";
import { addPicture, seriesOf } from "./series.js";
import { pictureIn, readPicture, showPicture } from "./start-picture.js";
import { CheckTable, timeRows } from "./tables.js";

const PROVIDERS: readonly (readonly [Provider, string])[] = [["wasm", "Processor"], ["webgpu", "WebGPU, untested"]];
const MEGABYTE = 1e6;

function element<Kind extends HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

const prompt = element<HTMLTextAreaElement>("prompt");
const negative = element<HTMLInputElement>("negative");
const seed = element<HTMLInputElement>("seed");
const guidance = element<HTMLInputElement>("guidance");
const strength = element<HTMLInputElement>("strength");
const batch = element<HTMLInputElement>("batch");
const SYNTAXES: readonly (readonly [PromptSyntax, string])[] = [["plain", "none"], ["a1111", "(word:1.3)"], ["compel", "word++"]];
const canvas = element<HTMLCanvasElement>("canvas");
const drawButton = element<HTMLButtonElement>("draw");
const checkButton = element<HTMLButtonElement>("check");
const saveButton = element<HTMLButtonElement>("save");

let worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
let opened: OpenedModel | null = null;
let start: Picture | null = null;
let state: "opening" | "ready" | "drawing" | "checking" = "opening";
let drawn: { request: DrawRequest; name: string } | null = null;
let checks = new CheckTable(element("check-rows"));
let begun = 0;
/** Of a series, those behind the picture that is drawn. */
let asked: DrawRequest[] = [];

const styles = new Choice<string>(element("styles"));
const syntaxes = new Choice<PromptSyntax>(element("prompt-syntax"));
const units = new Choice<Provider>(element("units"), (provider) => open(provider));

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
  if (answer.kind === "event") show(answer.event);
  if (answer.kind === "stopped") ended("Stopped.");
  if (answer.kind === "checked") showCheck(answer);
  if (answer.kind === "check-ended") endCheck();
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
  const guided = model.guidanceKind === "cfg";
  element("guidance-field").hidden = !guided;
  element("negative-field").hidden = !guided;
  if (!guidance.dataset["set"]) guidance.value = String(model.guidance);
  element("image-field").hidden = !model.takesPictures;
  element("styles-field").hidden = model.styles.length === 0;
  styles.offer([["", "none"], ...model.styles.map((each) => [each, each] as const)], styles.value ?? "");
  const isolated = self.crossOriginIsolated ? "" : " (one thread: this address is not this computer's own)";
  const runs = provider === "wasm" ? `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}${isolated}` : "WebGPU";
  element("runtime").textContent = `ONNX Runtime for browsers, ${runs}. Licence of the model: ${model.licence}.`;
  element("conditions").textContent = `Measured in this browser: ${runs}.`;
  showOutputs();
  status("");
  setState("ready");
}

/** What the form says; throws `PromptError` for a seed that is none. */
function request(): DrawRequest {
  const found = parseSeed(seed.value.trim());
  if (found === null) {
    throw new PromptError(`seed: expected a number from 0 to ${MAX_SEED}, got ${quote(seed.value)}; the dice give one`);
  }
  const words = styled(prompt.value, styles.value ?? "");
  const guided = opened?.guidanceKind === "cfg";
  const own = guided ? { negative: negative.value, guidance: Number(guidance.value) } : {};
  return { prompt: words, seed: found, image: start, strength: Number(strength.value), syntax: syntaxes.value ?? "plain", ...own };
}

function draw(): void {
  element("problem").hidden = true;
  try {
    const requests = seriesOf(request(), batch.value);
    asked = [...requests];
    nameNext();
    element("series").replaceChildren();
    element("series").hidden = requests.length === 1;
    element("steps").replaceChildren();
    saveButton.disabled = true;
    element("share").hidden = element("again").hidden = true;
    begun = performance.now();
    setState("drawing");
    send({ kind: "draw", requests });
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

/** What is drawn next, of a series the first that is not there. */
function nameNext(): void {
  const next = asked.shift()!;
  drawn = { request: next, name: `${next.prompt.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "picture"}-${next.seed}.png` };
}

function show(event: DrawEvent): void {
  if (event.kind === "stage") status(`${event.stage.replaceAll("_", " ")} …`);
  if (event.kind === "step") {
    const bars = Array.from({ length: event.steps }, (_, place) => {
      const bar = document.createElement("li");
      bar.className = place < event.step ? "made" : "";
      return bar;
    });
    element("steps").replaceChildren(...bars);
    status(`Step ${event.step} of ${event.steps}`);
    if (event.preview !== null) showDrawn(event.preview);
  }
  if (event.kind === "finished") finish(event.picture, event.times);
}

function finish(picture: Picture, times: readonly StageTime[]): void {
  showDrawn(picture);
  const seconds = ((performance.now() - begun) / 1000).toFixed(2);
  element("times-card").hidden = false;
  element("times").replaceChildren(...timeRows(times));
  addPicture(element("series"), picture, drawn?.request.seed ?? 0n);
  if (asked.length > 0) return nameNext();
  saveButton.disabled = false;
  element("share").hidden = !("share" in navigator);
  element("again").hidden = !opened?.takesPictures;
  ended(`${quote(drawn?.request.prompt ?? "").replace(/^'|'$/g, "")} · seed ${drawn?.request.seed} · ${seconds} s`);
}

function showDrawn(picture: Picture): void {
  element("hint").hidden = true;
  showPicture(canvas, picture);
}

function ended(line: string): void {
  status(line);
  setState(opened === null ? "opening" : "ready");
}

function status(line: string): void {
  element("status").textContent = line;
}

function problem(line: string): void {
  element("problem").textContent = line;
  element("problem").hidden = false;
}

function showCheck({ result }: { result: Parameters<CheckTable["add"]>[0] }): void {
  checks.add(result);
  element("checks").hidden = false;
  const verdict = element("verdict");
  verdict.hidden = false;
  verdict.className = "verdict";
  verdict.textContent = `${checks.count} comparisons …`;
}

function endCheck(): void {
  const verdict = element("verdict");
  verdict.className = `verdict ${checks.failed === 0 ? "good" : "bad"}`;
  verdict.textContent = checks.failed === 0 ? `${checks.count} comparisons passed` : `${checks.failed} of ${checks.count} failed`;
  setState("ready");
}

async function share(): Promise<void> {
  const line = await sharePicture(canvas, pictureName());
  if (line !== null) problem(line);
}

/** With the form's own words. */
function pictureName(): string {
  return drawn?.name ?? "picture.png";
}

function begin(picture: Picture | null): void {
  start = picture;
  element("start").hidden = element("strength-field").hidden = picture === null;
  element("drop-text").textContent = picture === null ? "Drop a picture here, or choose one" : "The drawing begins with this";
}

async function take(file: File | undefined): Promise<void> {
  if (file === undefined || opened === null) return;
  element("problem").hidden = true;
  try {
    begin(await readPicture(file, element<HTMLCanvasElement>("start"), opened.width, opened.height));
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

function showOutputs(): void {
  element("guidance-shown").textContent = Number(guidance.value) > 1 ? guidance.value : "none";
  element("strength-shown").textContent = `${Math.round(100 * Number(strength.value))} %`;
}

/** What the address says, by the names of the options of `mobile-diffusion generate`. */
function readAddress(): void {
  const given = new URLSearchParams(location.search);
  for (const [name, field] of Object.entries({ prompt, negative, seed, guidance, strength, batch })) {
    const value = given.get(name);
    if (value === null) continue;
    field.value = value;
    field.dataset["set"] = "true";
  }
  const syntax = SYNTAXES.find(([name]) => name === given.get("prompt-syntax"));
  syntaxes.offer(SYNTAXES, syntax?.[0] ?? "plain");
}

function listen(): void {
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state === "drawing") send({ kind: "stop" });
    else if (state === "ready") draw();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (state === "ready") draw();
  });
  element("dice").addEventListener("click", () => {
    seed.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    if (state === "ready" && drawn !== null) draw();
  });
  checkButton.addEventListener("click", () => {
    if (state === "checking") return send({ kind: "stop" });
    checks = new CheckTable(element("check-rows"));
    element("problem").hidden = true;
    setState("checking");
    send({ kind: "check" });
  });
  saveButton.addEventListener("click", () => void savePicture(canvas, pictureName()));
  element("share").addEventListener("click", () => void share());
  element("clear").addEventListener("click", () => begin(null));
  element("again").addEventListener("click", () => {
    showPicture(element<HTMLCanvasElement>("start"), pictureIn(canvas));
    begin(pictureIn(canvas));
  });
  for (const range of [guidance, strength]) range.addEventListener("input", showOutputs);
  element<HTMLInputElement>("image").addEventListener("change", ({ target }) => {
    const input = target as HTMLInputElement;
    void take(input.files?.[0]).then(() => (input.value = ""));
  });
  const drop = element("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (opened?.takesPictures) void take(event.dataTransfer?.files[0]);
  });
}

readAddress();
listen();
if ("gpu" in navigator) {
  element("unit-field").hidden = false;
  units.offer(PROVIDERS, "wasm");
}
open("wasm");
