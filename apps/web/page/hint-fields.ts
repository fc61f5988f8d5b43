// The part of the form with the hints of ControlNets: a picture for each, and the strength of its effect.

import type { Hint } from "../src/request.js";
import { element } from "./elements.js";
import type { OpenedModel } from "./messages.js";
import { PictureField } from "./picture-field.js";

interface HintField {
  readonly field: PictureField;
  readonly scale: HTMLInputElement;
}

export class HintFields {
  private shown: readonly HintField[] = [];
  private model: OpenedModel | null = null;

  /** `scales` are those of the address, in the order of the ControlNets. */
  constructor(
    private readonly scales: readonly string[],
    private readonly onProblem: (line: string | null) => void,
  ) {}

  /** A field for each ControlNet of a model; pictures stay where they were. */
  offer(model: OpenedModel): void {
    this.model = model;
    element("hints-field").hidden = model.controls === 0;
    if (this.shown.length === model.controls) return;
    this.shown = Array.from({ length: model.controls }, (_, number) => this.made(number, model.controls));
    element("hints").replaceChildren(...this.shown.map(({ field }) => field.area.parentElement!));
  }

  get fields(): readonly PictureField[] {
    return this.shown.map(({ field }) => field);
  }

  /** The hints that are there: the pipeline says what is missing. */
  request(): readonly Hint[] {
    return this.shown.flatMap(({ field: { picture }, scale }) =>
      picture === null ? [] : [{ picture, scale: Number(scale.value) }],
    );
  }

  private made(number: number, count: number): HintField {
    const { content } = element<HTMLTemplateElement>("hint-template");
    const item = (content.cloneNode(true) as DocumentFragment).firstElementChild!;
    const find = <Kind extends HTMLElement>(selector: string): Kind => item.querySelector<Kind>(selector)!;
    const words = find<HTMLElement>(".drop span");
    const inviting = count === 1 ? "Drop its picture here, or choose one" : `Picture ${number + 1} of ${count}`;
    words.textContent = inviting;
    const [scale, output] = [find<HTMLInputElement>("input[type=range]"), find<HTMLOutputElement>("output")];
    const show = (): void => void (output.textContent = scale.value);
    scale.value = this.scales[number] ?? "1";
    scale.addEventListener("input", show);
    show();
    const size = (): OpenedModel | null => this.model;
    const field = new PictureField(find(".drop"), find("canvas"), size, () => undefined, this.onProblem);
    return { field, scale };
  }
}
