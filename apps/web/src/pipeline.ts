import type { DrawRequest } from "./request.js";
import { StageInputs, unusedNegative } from "./stage-inputs.js";
import type { ModelBundle } from "./bundle.js";
import { type DrawSettings, settingsOf } from "./draw-settings.js";
import { ModelError, PromptError } from "./errors.js";
import { encodeReading } from "./prompt-context.js";
import { readPrompt } from "./prompt-windows.js";
import { seedsFrom } from "./seeds.js";
import type { Stage } from "./manifest.js";
import { type Picture, pictureOf } from "./picture.js";
import { type StageRunner, guarded, runChecked } from "./runner.js";
import { type FloatTensor, type FloatTensors, type Tensors, checkFinite } from "./tensor.js";
import { decodePicture, encodePicture } from "./tiles.js";

/** What happens while a picture is drawn, in order. */
export type DrawEvent =
  /** A stage is about to be loaded or called. */
  | { readonly kind: "stage"; readonly stage: Stage }
  /** A step has been taken: 1 to `steps`; `preview` is null when the bundle does not say how latents look. */
  | { readonly kind: "step"; readonly step: number; readonly steps: number; readonly preview: Picture | null }
  /** A picture; nothing follows the last. */
  | { readonly kind: "finished"; readonly picture: Picture; readonly times: readonly StageTime[] };

/** Milliseconds of one stage: all of its calls up to a picture, and its loading. */
export interface StageTime {
  readonly stage: Stage;
  readonly calls: number;
  readonly loadMs: number;
  readonly runMs: number;
}

/**
 * From a prompt to a picture: the loop that every app runs.
 *
 * It draws one picture at a time. A caller that stops iterating ends the drawing between two calls of a stage.
 */
export class Pipeline {
  private readonly settings: DrawSettings;
  private readonly loaded = new Set<Stage>();
  private drawing = false;

  constructor(
    readonly bundle: ModelBundle,
    private readonly runner: StageRunner,
    /** Whether stages stay in memory when the next one is loaded. */
    private readonly keep = true,
  ) {
    this.settings = settingsOf(bundle.manifest);
  }

  /** Whether a drawing can begin with a picture. */
  get takesPictures(): boolean {
    return this.bundle.manifest.stages.some((each) => each.stage === "encode_image");
  }

  /** What a user should know of a request before it is drawn, each in one line; throws `PromptError` for its prompts. */
  warnings(request: DrawRequest): string[] {
    const found: string[] = [];
    const unused = unusedNegative(this.settings, request);
    if (unused !== null) found.push(unused);
    const tokens = this.bundle.tokenizer.encode(request.prompt);
    const weighted = (request.syntax ?? "plain") !== "plain";
    const { maxTokens } = this.bundle.tokenizer;
    const { windows } = this.settings;
    if (windows === 1 && !weighted && tokens.count > maxTokens) {
      found.push(`the prompt has ${tokens.count} tokens of ${maxTokens}: its end is ignored`);
    } else if (readPrompt(this.bundle.tokenizer, request.prompt, request.syntax ?? "plain", windows).cut) {
      found.push(`the prompt does not fit into ${windows} windows of ${maxTokens} tokens: its end is ignored`);
    }
    if (!tokens.known) {
      found.push("the model knows no word of the prompt: the picture is any picture; use other words");
    }
    return found;
  }

  /**
   * Draws so many pictures, with the request's seed and those after it; text, picture and hints are encoded once.
   *
   * Throws `PromptError` for a request that cannot be drawn, `ModelError` when a stage cannot be loaded or run, or gives
   * NaN or infinity, or when another drawing is not finished.
   */
  async *draw(request: DrawRequest, pictures = 1): AsyncGenerator<DrawEvent, void, void> {
    if (this.drawing) throw new ModelError("expected one drawing at a time, got another; wait until it is finished");
    this.drawing = true;
    try {
      yield* this.drawTo(request, seedsFrom(request.seed, pictures));
    } finally {
      this.drawing = false;
    }
  }

  /** Gives all memory of the stages back; what is drawn next loads them again. */
  async unload(): Promise<void> {
    for (const stage of this.loaded) await this.runner.unload(stage);
    this.loaded.clear();
  }

  private async *drawTo(request: DrawRequest, seeds: readonly bigint[]): AsyncGenerator<DrawEvent, void, void> {
    if (request.image && !this.takesPictures) {
      throw new PromptError("picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again");
    }
    const [clock, { tokenizer }] = [new Clock(), this.bundle];
    const { contexts, clean } = yield* this.encodeAll(new StageInputs(this.settings, tokenizer, request), clock);
    for (const seed of seeds) {
      const inputs = new StageInputs(this.settings, tokenizer, { ...request, seed });
      yield { kind: "stage", stage: "denoise" };
      const latents = yield* this.denoise(inputs, contexts, clean, clock);
      yield { kind: "stage", stage: "decode_image" };
      const decode = async (tile: FloatTensor) => (await this.run("decode_image", new Map([["latents", tile]]), clock)).get("image")!;
      const image = await decodePicture(decode, this.settings, latents);
      yield { kind: "finished", picture: pictureOf(image), times: clock.times() };
    }
  }

  /** What `denoise` takes at every step of every picture, and the clean latents of the picture to begin with. */
  private async *encodeAll(
    inputs: StageInputs,
    clock: Clock,
  ): AsyncGenerator<DrawEvent, { contexts: FloatTensors; clean: FloatTensor | null }, void> {
    const texts = [...inputs.prompts].map(([name, prompt]) => [name, inputs.reading(prompt)] as const);
    const pictures = { read: inputs.read(), clean: inputs.clean(), hints: inputs.hints() };
    yield { kind: "stage", stage: "encode_text" };
    const encoded = new Map<string, FloatTensors>();
    for (const [name, text] of texts) {
      encoded.set(name, await encodeReading(text, this.settings, (tokens) => this.run("encode_text", inputs.text(tokens), clock)));
    }
    let contexts: FloatTensors = new Map([...inputs.contexts(encoded), ...inputs.ofAdapters()]);
    if (pictures.hints !== null) {
      yield { kind: "stage", stage: "encode_hint" };
      const features = (await this.run("encode_hint", pictures.hints, clock)).get("hint_features")!;
      contexts = new Map([...contexts, ...inputs.ofHints(features)]);
    }
    if (pictures.read ?? pictures.clean) yield { kind: "stage", stage: "encode_image" };
    const read = await this.encode(pictures.read, clock);
    if (read !== null) contexts = new Map([...contexts, ...inputs.ofPicture(read)]);
    return { contexts, clean: await this.encode(pictures.clean, clock) };
  }

  /** The latents of a picture; null without one. */
  private async encode(picture: Tensors | null, clock: Clock): Promise<FloatTensor | null> {
    if (picture === null) return null;
    const encode = async (image: FloatTensor) => (await this.run("encode_image", new Map([["image", image]]), clock)).get("latents")!;
    return encodePicture(encode, this.settings, picture.get("image") as FloatTensor);
  }

  private async *denoise(
    inputs: StageInputs,
    contexts: FloatTensors,
    clean: FloatTensor | null,
    clock: Clock,
  ): AsyncGenerator<DrawEvent, FloatTensor, void> {
    let state = inputs.firstState(clean);
    const { steps } = this.settings.schedule;
    for (const [number, row] of inputs.rows.entries()) {
      let given = inputs.step(contexts, state, row);
      const unguided = inputs.nullStep(contexts, given, row);
      if (unguided !== null) given = inputs.guided(given, await this.run("denoise", unguided, clock), row);
      state = inputs.kept(inputs.next(await this.run("denoise", given, clock)), clean, number);
      const preview = this.bundle.preview?.picture(state.latents) ?? null;
      yield { kind: "step", step: steps - inputs.rows.length + number + 1, steps, preview };
    }
    checkFinite("latents", state.latents.values);
    return state.latents;
  }

  private async run(stage: Stage, inputs: Tensors, clock: Clock): Promise<FloatTensors> {
    try {
      if (!this.loaded.has(stage)) await clock.measure(stage, "loadMs", () => this.load(stage));
      return await clock.measure(stage, "runMs", () => runChecked(this.runner, this.bundle.manifest, stage, inputs));
    } catch (error) {
      await this.unload();
      throw error;
    }
  }

  private async load(stage: Stage): Promise<void> {
    if (!this.keep) await this.unload();
    this.loaded.add(stage); // before it is: a load that fails half-way is undone, too
    await guarded(stage, () => this.runner.load(stage));
  }
}

/** Adds up the times of stages. */
class Clock {
  private readonly found = new Map<Stage, { calls: number; loadMs: number; runMs: number }>();

  async measure<Value>(stage: Stage, kind: "loadMs" | "runMs", action: () => Promise<Value>): Promise<Value> {
    const entry = this.found.get(stage) ?? { calls: 0, loadMs: 0, runMs: 0 };
    this.found.set(stage, entry);
    const start = performance.now();
    const value = await action();
    entry[kind] += performance.now() - start;
    if (kind === "runMs") entry.calls++;
    return value;
  }

  times(): StageTime[] {
    return [...this.found].map(([stage, times]) => ({ stage, ...times }));
  }
}
