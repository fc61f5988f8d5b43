// The form: what a model offers in it, and what the user chose as a request.

import { PromptError } from "../src/errors.js";
import { MAX_SEED, parseSeed } from "../src/numbers.js";
import type { Picture } from "../src/picture.js";
import type { PromptSyntax } from "../src/prompt-pieces.js";
import { styled } from "../src/styles.js";
import { quote } from "../src/text.js";
import { AdapterFields } from "./adapter-fields.js";
import { fill, given } from "./address.js";
import { Choice } from "./choice.js";
import { element } from "./elements.js";
import { HintFields } from "./hint-fields.js";
import type { OpenedModel, Order } from "./messages.js";
import { listenForDrops } from "./picture-field.js";
import { countOf } from "./series.js";
import { StartField } from "./start-field.js";

const SYNTAXES: readonly (readonly [PromptSyntax, string])[] = [["plain", "none"], ["a1111", "(word:1.3)"], ["compel", "word++"]];

export class Form {
  readonly prompt = element<HTMLTextAreaElement>("prompt");
  private readonly negative = element<HTMLInputElement>("negative");
  private readonly seed = element<HTMLInputElement>("seed");
  private readonly guidance = element<HTMLInputElement>("guidance");
  private readonly batch = element<HTMLInputElement>("batch");
  private readonly styles = new Choice<string>(element("styles"));
  private readonly syntaxes = new Choice<PromptSyntax>(element("prompt-syntax"));
  private readonly start: StartField;
  private readonly hints: HintFields;
  private readonly adapters = new AdapterFields(given("adapter-scale"));
  private model: OpenedModel | null = null;

  /** Filled in as the address says; `onProblem` gets a line about a picture, or null when it is another. */
  constructor(onProblem: (line: string | null) => void) {
    const { prompt, negative, seed, guidance, batch } = this;
    this.start = new StartField(onProblem);
    this.hints = new HintFields(given("hint-scale"), onProblem);
    const { strength, imageGuidance } = this.start;
    fill({ prompt, negative, seed, guidance, batch, strength, "image-guidance": imageGuidance });
    const syntax = SYNTAXES.find(([name]) => name === given("prompt-syntax")[0]);
    this.syntaxes.offer(SYNTAXES, syntax?.[0] ?? "plain");
    guidance.addEventListener("input", () => this.showGuidance());
    listenForDrops(() => [...(this.start.offered ? [this.start.field] : []), ...this.hints.fields]);
  }

  /** Shows what a model takes. */
  offer(model: OpenedModel): void {
    this.model = model;
    const guided = model.guidanceKind === "cfg";
    element("guidance-field").hidden = element("negative-field").hidden = !guided;
    if (!this.guidance.dataset["set"]) this.guidance.value = String(model.guidance);
    this.showGuidance();
    element("styles-field").hidden = model.styles.length === 0;
    this.styles.offer([["", "none"], ...model.styles.map((each) => [each, each] as const)], this.styles.value ?? "");
    this.start.offer(model);
    this.hints.offer(model);
    this.adapters.offer(model);
  }

  /** What is asked for; throws `PromptError` for numbers that are none. */
  order(): Order {
    const found = parseSeed(this.seed.value.trim());
    if (found === null) {
      throw new PromptError(`seed: expected a number from 0 to ${MAX_SEED}, got ${quote(this.seed.value)}; the dice give one`);
    }
    const guided = this.model?.guidanceKind === "cfg";
    const led = guided ? { negative: this.negative.value, guidance: Number(this.guidance.value) } : {};
    const words = { prompt: styled(this.prompt.value, this.styles.value ?? ""), syntax: this.syntaxes.value ?? "plain" };
    const request = { ...words, seed: found, ...led, ...this.start.request(), hints: this.hints.request() };
    return { request, pictures: countOf(this.batch.value), adapters: this.adapters.switches() };
  }

  rollDice(): void {
    this.seed.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  }

  /** Lets the next drawing begin with a picture of the model's size. */
  begin(picture: Picture): void {
    this.start.field.show(picture);
  }

  private showGuidance(): void {
    element("guidance-shown").textContent = Number(this.guidance.value) > 1 ? this.guidance.value : "none";
  }
}
