import { BundleError } from "./errors.js";
import { FIX, Fields, wholeOf } from "./fields.js";
import { type Json, type JsonObject, JsonNumber, isObject, readJson } from "./json.js";
import {
  DRAWING,
  type FileSpec,
  MANIFEST,
  type Manifest,
  PAIR,
  type ParityLimit,
  type RuntimeSpec,
  SCHEMA_VERSION,
  STAGES,
  type StageSpec,
  type TensorSpec,
  type TokenizerSpec,
} from "./manifest.js";
import { innerPath, staysInside } from "./paths.js";
import { RuntimeReader } from "./runtime-reader.js";
import { readSchedule } from "./schedule-reader.js";
import { quote } from "./text.js";

const FORMAT = "mobile-diffusion-bundle";
const MAX_SIZE = 2 ** 24;
const MAX_COUNT = 2 ** 31 - 1;
const FIELDS = [
  ...["format", "schema_version", "target", "model", "stages", "runtimes", "schedule", "tokenizer", "golden"],
  ...["parity", "tools", "files"],
];

/**
 * Reads the text of a manifest as strictly as the exporter does: every field is known, present and of its type.
 *
 * Throws `BundleError`, which begins with `where`: not a manifest, another schema version, a malformed field, a path
 * that leaves the bundle or is not listed, a stage without a program.
 */
export function readManifest(text: string, where = MANIFEST): Manifest {
  const value = readJson(text, where);
  checkVersion(value, where);
  const fields = new Fields(value, where, ...FIELDS);
  if (fields.text("format") !== FORMAT) fields.refuse("format", FORMAT);
  if (fields.whole("schema_version") !== SCHEMA_VERSION) fields.refuse("schema_version", "a version");
  const target = fields.text("target");
  const model = readModel(fields.object("model"), where);
  const stages = readStages(fields, where);
  const manifest: Manifest = {
    model: model.text("name"),
    licence: model.text("licence"),
    styles: model.texts("styles"),
    textWidths: widthsOf(model),
    target,
    stages,
    runtimes: readRuntimes(fields, where, stages),
    schedule: readSchedule(fields.object("schedule"), `${where}: schedule`),
    tokenizer: readTokenizerSpec(fields.object("tokenizer"), where),
    files: readFiles(fields.list("files"), where),
    parity: fields.list("parity").map((each) => readParity(each, where)),
    golden: innerPath(fields, "golden"),
  };
  for (const each of fields.list("tools")) checkTool(each, where);
  checkReferences(manifest, where);
  return manifest;
}

/** Another version is refused before anything else is looked at: it may hold anything. */
function checkVersion(value: Json, where: string): void {
  if (!isObject(value)) throw new BundleError(`${where}: expected a JSON object, got another value; ${FIX}`);
  const version = value.get("schema_version");
  if (!(version instanceof JsonNumber) || !version.isWhole || version.whole === SCHEMA_VERSION) return;
  const fix = Number(version.text) > SCHEMA_VERSION ? "update this program" : FIX;
  const got = quote(version.text).slice(1, -1);
  throw new BundleError(`${where}: expected a bundle of schema version ${SCHEMA_VERSION}, got ${got}; ${fix}`);
}

function readModel(value: JsonObject, where: string): Fields {
  const names = ["name", "licence", "height", "width", "styles", "changes", "text_widths", "source_sha256"];
  const model = new Fields(value, `${where}: model`, ...names);
  model.texts("changes");
  const styles = model.texts("styles");
  if (new Set(styles).size !== styles.length || styles.includes("")) {
    model.refuse("styles", "different names, none empty");
  }
  if (model.whole("height") <= 0 || model.whole("width") <= 0) model.refuse("height", "a positive height and width");
  widthsOf(model);
  const source = model.text("source_sha256");
  if (source !== "" && !isSha256(source)) model.refuse("source_sha256", "a SHA-256");
  return model;
}

function widthsOf(model: Fields): number[] {
  const widths = model.list("text_widths").map((each) => wholeOf(each) ?? 0);
  const good = widths.length > 0 && widths.every((each) => each > 0 && each < MAX_SIZE);
  return good ? widths : model.refuse("text_widths", "text_widths with a positive width per text encoder");
}

function readStages(fields: Fields, where: string): StageSpec[] {
  const stages = fields.list("stages").map((each) => readStage(each, `${where}: stages`));
  const names = stages.map((each) => each.stage);
  const ordered = STAGES.filter((each) => DRAWING.includes(each) || names.includes(each));
  if (names.join(", ") !== ordered.join(", ")) {
    fields.refuse("stages", `the stages ${DRAWING.join(", ")}`);
  }
  return stages;
}

function readStage(value: Json, where: string): StageSpec {
  const fields = new Fields(value, where, "name", "inputs", "outputs");
  return {
    stage: fields.oneOf("name", STAGES),
    inputs: fields.list("inputs").map((each) => readTensor(each, where)),
    outputs: fields.list("outputs").map((each) => readTensor(each, where)),
  };
}

function readTensor(value: Json, where: string): TensorSpec {
  const fields = new Fields(value, where, "name", "dtype", "shape");
  const shape = fields.list("shape").map((each) => {
    const size = wholeOf(each) ?? 0;
    return size >= 1 && size < MAX_SIZE ? size : fields.refuse("shape", "positive sizes");
  });
  if (shape.reduce((product, size) => product * size, 1) > MAX_COUNT) {
    fields.refuse("shape", "fewer than 2^31 values");
  }
  return { name: fields.text("name"), dtype: fields.oneOf("dtype", ["float32", "int32"] as const), shape };
}

function readRuntimes(fields: Fields, where: string, stages: readonly StageSpec[]): RuntimeSpec[] {
  const names = stages.map((each) => each.stage);
  const runtimes = fields.list("runtimes").map((each) => new RuntimeReader(`${where}: runtimes`, names).read(each));
  const different = new Set(runtimes.map((each) => each.name)).size === runtimes.length;
  const good = different && runtimes.filter((each) => each.primary).length === 1;
  return good ? runtimes : fields.refuse("runtimes", "different runtimes, one of them primary");
}

function readTokenizerSpec(value: JsonObject, where: string): TokenizerSpec {
  const fields = new Fields(value, `${where}: tokenizer`, "kind", "max_tokens", "files");
  const files = fields.texts("files");
  if (files.length === 0) fields.refuse("files", "a file");
  if (!files.every(staysInside)) fields.refuse("files", "paths in the bundle");
  const kind = fields.text("kind");
  if (kind === PAIR && files.length !== 2) fields.refuse("files", "two tokenizer files of this kind");
  return { kind, maxTokens: fields.whole("max_tokens"), files };
}

function readFiles(entries: readonly Json[], where: string): Map<string, FileSpec> {
  const files = new Map<string, FileSpec>();
  for (const entry of entries) {
    const fields = new Fields(entry, `${where}: files`, "path", "size", "sha256");
    const path = innerPath(fields, "path");
    const spec = { size: fields.whole("size"), sha256: fields.text("sha256") };
    if (spec.size < 0) fields.refuse("size", "zero or more bytes");
    if (!isSha256(spec.sha256)) fields.refuse("sha256", "a SHA-256 in lower case hexadecimal");
    if (files.has(path) || path === MANIFEST) fields.refuse("path", "every file once, without the manifest");
    files.set(path, spec);
  }
  return files;
}

function readParity(value: Json, where: string): ParityLimit {
  const fields = new Fields(value, `${where}: parity`, "runtime", "check", "metric", "worst", "limit");
  const [runtime, check, metric] = [fields.text("runtime"), fields.text("check"), fields.text("metric")];
  return { runtime, check, metric, worst: fields.number("worst"), limit: fields.number("limit") };
}

function checkTool(value: Json, where: string): void {
  const fields = new Fields(value, `${where}: tools`, "name", "version");
  for (const name of ["name", "version"]) fields.text(name);
}

/** Every path that is mentioned is a listed file, or a folder of listed files. */
function checkReferences(manifest: Manifest, where: string): void {
  const known = new Set([...manifest.files.keys()].flatMap(withFolders));
  const programs = manifest.runtimes.flatMap((runtime) => runtime.artifacts.map((each) => each.path));
  const lost = [...programs, ...manifest.tokenizer.files, manifest.golden].find((path) => !known.has(path));
  if (lost === undefined) return;
  throw new BundleError(`${where}: expected only files that are listed under 'files', got ${quote(lost)}; ${FIX}`);
}

function withFolders(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, count) => parts.slice(0, count + 1).join("/"));
}

function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
