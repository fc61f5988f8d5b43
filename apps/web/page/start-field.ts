// The part of the form with the picture that a drawing begins with: choose it, paint its mask, say how much is redrawn.

import { DEFAULT_STRENGTH, IMAGE_GUIDANCE } from "../src/picture-inputs.js";
import type { Picture } from "../src/picture.js";
import type { DrawRequest } from "../src/request.js";
import { element } from "./elements.js";
import { MaskGrid } from "./mask-grid.js";
import { MaskPainter } from "./mask-painter.js";
import type { OpenedModel } from "./messages.js";
import { PictureField } from "./picture-field.js";

const INVITING = "Drop a picture here, or choose one";
const CHOSEN = "Drop another picture here, or choose one";
/** What painting does, by the model's task. */
const PAINTING = {
  draw: "Paint what is drawn anew; unpainted, all of it is.",
  inpaint: "Paint what is drawn anew.",
  edit: "",
};

export class StartField {
  readonly strength = element<HTMLInputElement>("strength");
  readonly imageGuidance = element<HTMLInputElement>("image-guidance");
  readonly field: PictureField;
  private readonly painter = new MaskPainter(element("mask"), () => this.suggest());
  private model: OpenedModel | null = null;

  constructor(onProblem: (line: string | null) => void) {
    const changed = (picture: Picture | null): void => this.changed(picture);
    this.field = new PictureField(element("drop"), element("start"), () => this.model, changed, onProblem);
    element("clear").addEventListener("click", () => this.field.show(null));
    element("mask-clear").addEventListener("click", () => this.painter.clear());
    for (const range of [this.strength, this.imageGuidance]) {
      range.addEventListener("input", () => {
        range.dataset["set"] = "true";
        this.showOutputs();
      });
    }
  }

  get offered(): boolean {
    return this.model?.takesPictures ?? false;
  }

  /** Shows what a model takes. */
  offer(model: OpenedModel): void {
    this.model = model;
    element("image-field").hidden = !this.offered;
    element("image-label").textContent = model.task === "edit" ? "The picture to change" : "Begin with a picture";
    element("painting").textContent = PAINTING[model.task];
    element("strength-label").hidden = element("mask-clear").hidden = model.task === "edit";
    element("image-guidance-label").hidden = model.task !== "edit" || model.guidanceKind !== "cfg";
    if (!this.imageGuidance.dataset["set"]) this.imageGuidance.value = String(IMAGE_GUIDANCE);
    if (this.field.picture === null) this.changed(null);
  }

  /** What a request says of the picture. */
  request(): Pick<DrawRequest, "image" | "mask" | "strength" | "imageGuidance"> {
    const { model, field } = this;
    if (model === null || !this.offered || field.picture === null) return {};
    if (model.task === "edit") {
      const guided = model.guidanceKind === "cfg" ? { imageGuidance: Number(this.imageGuidance.value) } : {};
      return { image: field.picture, ...guided };
    }
    const mask = this.painter.pixels(model.width, model.height);
    return { image: field.picture, mask, strength: Number(this.strength.value) };
  }

  private changed(picture: Picture | null): void {
    const { model } = this;
    element("start-panel").hidden = picture === null;
    element("drop-text").textContent = picture === null ? INVITING : CHOSEN;
    const paints = picture !== null && model !== null && model.task !== "edit";
    this.painter.begin(paints ? new MaskGrid(model.latentWidth, model.latentHeight) : null);
  }

  /** Where the user has not said how much is redrawn: as `generate` does, all of it where a mask keeps the rest. */
  private suggest(): void {
    const whole = this.model?.task === "inpaint" || this.painter.painted;
    if (!this.strength.dataset["set"]) this.strength.value = String(whole ? 1 : DEFAULT_STRENGTH);
    this.showOutputs();
  }

  private showOutputs(): void {
    element("strength-shown").textContent = `${Math.round(100 * Number(this.strength.value))} %`;
    element("image-guidance-shown").textContent = this.imageGuidance.value;
  }
}
