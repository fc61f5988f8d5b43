import { ADAPTER_INDEX, type AdapterRoom, adapterPath, readAdapter, readAdapterIndex } from "./adapter-files.js";
import type { Adapter } from "./adapter-inputs.js";
import { settingsOf } from "./draw-settings.js";
import { BundleError } from "./errors.js";
import { FIX } from "./fields.js";
import { MANIFEST, type Manifest, type RuntimeSpec, type Stage } from "./manifest.js";
import { readManifest } from "./manifest-reader.js";
import { PREVIEW, Preview } from "./preview.js";
import { readTokenizer } from "./read-tokenizer.js";
import { sha256 } from "./sha256.js";
import { decodeUtf8, quote } from "./text.js";
import type { Tokenizer } from "./tokenizer.js";

/** The runtime whose programs a browser runs. */
export const RUNTIME = "onnx";

/** What stands between the name of a program and the number of a file with its weights. */
const WEIGHTS = ".data";

/** Where the files of a bundle come from. */
export interface BundleSource {
  /** How errors name it. */
  readonly where: string;

  /** All bytes of a file. `sha256` is the hash that the manifest states: a copy with this hash may be returned. */
  read(path: string, sha256?: string): Promise<Uint8Array>;
}

/** An opened bundle. Its programs are read and compared with their hashes when they are asked for. */
export class ModelBundle {
  private constructor(
    private readonly source: BundleSource,
    readonly manifest: Manifest,
    /** The programs that are used. */
    readonly runtime: RuntimeSpec,
    readonly tokenizer: Tokenizer,
    /** How latents look; null when the bundle does not say it. */
    readonly preview: Preview | null,
  ) {}

  /**
   * Opens a bundle for the runtime of a name.
   *
   * Throws `BundleError` in one line: not a bundle, a newer one, no programs for the runtime, a file that changed.
   */
  static async open(source: BundleSource, runtime = RUNTIME): Promise<ModelBundle> {
    const manifest = readManifest(textOf(await source.read(MANIFEST), `${source.where}/${MANIFEST}`), `${source.where}/${MANIFEST}`);
    const chosen = manifest.runtimes.find((each) => each.name === runtime);
    if (chosen === undefined) {
      const got = manifest.runtimes.map((each) => each.name).join(", ");
      const fix = runtime === RUNTIME ? "export it with: mobile-diffusion export web" : FIX;
      throw new BundleError(`${source.where}: expected programs for ${runtime}, got ${got}; ${fix}`);
    }
    const settings = settingsOf(manifest);
    const read = async (path: string): Promise<string> =>
      textOf(await readVerified(source, manifest, path), `${source.where}/${path}`);
    const words = manifest.tokenizer.files;
    const texts = await Promise.all(words.map(read));
    const tokenizer = readTokenizer(manifest.tokenizer, texts, words.map((file) => `${source.where}/${file}`));
    const channels = settings.latents.shape[1] ?? 0;
    const preview = manifest.files.has(PREVIEW)
      ? Preview.read(await read(PREVIEW), channels, `${source.where}/${PREVIEW}`)
      : null;
    return new ModelBundle(source, manifest, chosen, tokenizer, preview);
  }

  /** A file whose size and SHA-256 are the manifest's; throws `BundleError` for another. */
  read(path: string): Promise<Uint8Array> {
    return readVerified(this.source, this.manifest, path);
  }

  /** What the bundle's adapters change, and their names; null for a model without them. Throws `BundleError`. */
  async adapterRoom(): Promise<AdapterRoom | null> {
    const { adapters } = settingsOf(this.manifest);
    if (adapters.length === 0) return null;
    const where = `${this.source.where}/${ADAPTER_INDEX}`;
    return readAdapterIndex(textOf(await this.read(ADAPTER_INDEX), where), adapters, where);
  }

  /** One of the bundle's adapters, or with `added` one whose file was made for it later. Throws `BundleError`. */
  async adapter(name: string, added?: Uint8Array): Promise<Adapter> {
    const room = await this.adapterRoom();
    if (room === null) throw new BundleError(`${this.source.where}: expected a bundle with adapters, got one without; ${FIX}`);
    if (added !== undefined) return readAdapter(added, name, room, name);
    if (!room.names.includes(name)) {
      throw new BundleError(`adapter: expected one of ${room.names.join(", ")}, got ${quote(name)}`);
    }
    return readAdapter(await this.read(adapterPath(name)), name, room, `${this.source.where}/${adapterPath(name)}`);
  }

  /** The file of a stage's program, and the files of its weights. */
  files(stage: Stage): { readonly program: string; readonly weights: readonly string[] } {
    const program = this.runtime.artifacts.find((each) => each.stage === stage)!.path;
    const weights = [...this.manifest.files.keys()].filter((each) => each.startsWith(program + WEIGHTS));
    return { program, weights };
  }

  /** Bytes of the programs that drawing needs, weights included. */
  get programBytes(): number {
    const stages = this.runtime.artifacts.map((each) => each.stage).filter((each) => each !== "encode_image");
    const paths = stages.flatMap((stage) => [this.files(stage).program, ...this.files(stage).weights]);
    return [...new Set(paths)].reduce((sum, path) => sum + (this.manifest.files.get(path)?.size ?? 0), 0);
  }
}

async function readVerified(source: BundleSource, manifest: Manifest, path: string): Promise<Uint8Array> {
  const spec = manifest.files.get(path);
  if (spec === undefined) throw damaged(source, path, "a file that the manifest lists", "another");
  const bytes = await source.read(path, spec.sha256);
  if (bytes.length !== spec.size) throw damaged(source, path, `${spec.size} bytes`, `${bytes.length}`);
  const digest = await digestOf(bytes);
  if (digest === spec.sha256) return bytes;
  throw damaged(source, path, `SHA-256 ${spec.sha256.slice(0, 12)}...`, `${digest.slice(0, 12)}...`);
}

/** By the browser where it can: it is ten times as fast. */
async function digestOf(bytes: Uint8Array): Promise<string> {
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (subtle === undefined) return sha256(bytes);
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function damaged(source: BundleSource, path: string, expected: string, got: string): BundleError {
  return new BundleError(
    `${source.where}: ${path}: expected ${expected}, got ${got}; the bundle is damaged: export it again`,
  );
}

function textOf(bytes: Uint8Array, where: string): string {
  const text = decodeUtf8(bytes);
  if (text === null) throw new BundleError(`${where}: expected JSON, got something else; ${FIX}`);
  return text;
}
