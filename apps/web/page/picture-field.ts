// A field of the form that takes a picture: chosen in it, or dropped on it.

import type { Picture } from "../src/picture.js";
import { readPicture, showPicture } from "./pixels.js";

/** What pictures are scaled to. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export class PictureField {
  private chosen: Picture | null = null;

  /** `area` holds the file input and the words; `onChange` gets each new picture, `onProblem` a line. */
  constructor(
    readonly area: HTMLElement,
    private readonly canvas: HTMLCanvasElement,
    private readonly size: () => Size | null,
    private readonly onChange: (picture: Picture | null) => void,
    private readonly onProblem: (line: string | null) => void,
  ) {
    const input = area.querySelector("input")!;
    input.addEventListener("change", () => {
      void this.take(input.files?.[0]).then(() => (input.value = ""));
    });
  }

  get picture(): Picture | null {
    return this.chosen;
  }

  show(picture: Picture | null): void {
    this.chosen = picture;
    this.canvas.hidden = picture === null;
    if (picture !== null) showPicture(this.canvas, picture);
    this.onChange(picture);
  }

  async take(file: File | undefined): Promise<void> {
    const size = this.size();
    if (file === undefined || size === null) return;
    this.onProblem(null);
    try {
      this.show(await readPicture(file, size.width, size.height));
    } catch (error) {
      this.onProblem(error instanceof Error ? error.message : String(error));
    }
  }
}

/** A picture that is dropped anywhere goes to the field under it, or to the first. */
export function listenForDrops(fields: () => readonly PictureField[]): void {
  const under = ({ target }: DragEvent): PictureField | undefined =>
    fields().find(({ area }) => area.contains(target as Node)) ?? fields()[0];
  const mark = (found?: PictureField): void => {
    for (const each of fields()) each.area.classList.toggle("over", each === found);
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(under(event));
  });
  document.addEventListener("dragleave", () => mark());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark();
    void under(event)?.take(event.dataTransfer?.files[0]);
  });
}
