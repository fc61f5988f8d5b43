// The picture that is drawn: its steps, its series, its times, and what can be done with it.

import type { StageTime } from "../src/pipeline.js";
import { quote } from "../src/text.js";
import { element } from "./elements.js";
import type { DrawEvent, DrawRequest, OpenedModel, Picture } from "./messages.js";
import { pictureIn, showPicture } from "./pixels.js";
import { savePicture, sharePicture } from "./saving.js";
import { addPicture } from "./series.js";
import { timeRows } from "./tables.js";

export class PictureView {
  private readonly canvas = element<HTMLCanvasElement>("canvas");
  private readonly saving = element<HTMLButtonElement>("save");
  private drawn: DrawRequest | null = null;
  /** Of a series, those behind the picture that is drawn. */
  private asked: DrawRequest[] = [];
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
    return this.drawn !== null;
  }

  /** Gets ready for the pictures of a series. */
  begin(requests: readonly DrawRequest[]): void {
    this.asked = [...requests];
    this.drawn = this.asked.shift()!;
    element("series").replaceChildren();
    element("series").hidden = requests.length === 1;
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
    const { prompt, seed = 0n } = this.drawn!;
    addPicture(element("series"), picture, seed);
    const next = this.asked.shift();
    if (next !== undefined) {
      this.drawn = next;
      return null;
    }
    this.saving.disabled = false;
    element("share").hidden = !("share" in navigator);
    element("again").hidden = !model?.takesPictures;
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(2);
    return `${quote(prompt).replace(/^'|'$/g, "")} · seed ${seed} · ${seconds} s`;
  }

  private showDrawn(picture: Picture): void {
    element("empty").hidden = true;
    showPicture(this.canvas, picture);
  }

  /** The file's name, with the form's own words. */
  private get name(): string {
    const { prompt, seed } = this.drawn!;
    return `${prompt.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "picture"}-${seed}.png`;
  }
}
