// The picture that is drawn: its steps, its series, its times, and what can be done with it.

import type { StageTime } from "../src/pipeline.js";
import { quote } from "../src/text.js";
import { element } from "./elements.js";
import type { DrawEvent, OpenedModel, Order, Picture } from "./messages.js";
import { pictureIn, showPicture } from "./pixels.js";
import { savePicture, sharePicture } from "./saving.js";
import { addPicture } from "./series.js";
import { timeRows } from "./tables.js";

export class PictureView {
  private readonly canvas = element<HTMLCanvasElement>("canvas");
  private readonly saving = element<HTMLButtonElement>("save");
  private order: Order | null = null;
  /** Pictures of the order that are finished. */
  private finished = 0;
  private begun = 0;

  /** `onStatus` gets what happens; `onRedraw` a picture to begin with; `onProblem` a line. */
  constructor(
    private readonly onStatus: (line: string) => void,
    onRedraw: (picture: Picture) => void,
    onProblem: (line: string) => void,
  ) {
    this.saving.addEventListener("click", () => void savePicture(this.canvas, this.name));
    element("share").addEventListener("click", () => {
      void sharePicture(this.canvas, this.name).then((line) => line !== null && onProblem(line));
    });
    element("again").addEventListener("click", () => onRedraw(pictureIn(this.canvas)));
  }

  /** Whether something was asked for before. */
  get used(): boolean {
    return this.order !== null;
  }

  /** Gets ready for the pictures of an order. */
  begin(order: Order): void {
    [this.order, this.finished] = [order, 0];
    element("series").replaceChildren();
    element("series").hidden = order.pictures === 1;
    element("steps").replaceChildren();
    this.saving.disabled = true;
    element("share").hidden = element("again").hidden = true;
    this.begun = performance.now();
  }

  /** Shows an event of a drawing; a line when it was the last of the series, else null. */
  show(event: DrawEvent, model: OpenedModel | null): string | null {
    if (event.kind === "stage") this.onStatus(`${event.stage.replaceAll("_", " ")} …`);
    if (event.kind === "step") this.showStep(event.step, event.steps, event.preview);
    return event.kind === "finished" ? this.finish(event.picture, event.times, model) : null;
  }

  private showStep(step: number, steps: number, preview: Picture | null): void {
    const bars = Array.from({ length: steps }, (_, place) => {
      const bar = document.createElement("li");
      bar.className = place < step ? "made" : "";
      return bar;
    });
    element("steps").replaceChildren(...bars);
    this.onStatus(`Step ${step} of ${steps}`);
    if (preview !== null) this.showDrawn(preview);
  }

  private finish(picture: Picture, times: readonly StageTime[], model: OpenedModel | null): string | null {
    this.showDrawn(picture);
    element("times-card").hidden = false;
    element("times").replaceChildren(...timeRows(times));
    addPicture(element("series"), picture, this.seed);
    this.finished += 1;
    if (this.finished < this.order!.pictures) return null;
    this.saving.disabled = false;
    element("share").hidden = !("share" in navigator);
    element("again").hidden = !model?.takesPictures;
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(2);
    return `${quote(this.order!.request.prompt).replace(/^'|'$/g, "")} · seed ${this.seed} · ${seconds} s`;
  }

  private showDrawn(picture: Picture): void {
    element("empty").hidden = true;
    showPicture(this.canvas, picture);
  }

  /** Of the picture that is drawn, or was the last. */
  private get seed(): bigint {
    const { request, pictures } = this.order!;
    return (request.seed ?? 0n) + BigInt(Math.min(this.finished, pictures - 1));
  }

  /** The file's name, with the form's own words. */
  private get name(): string {
    const { prompt } = this.order!.request;
    return `${prompt.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "picture"}-${this.seed}.png`;
  }
}
