// The part of the form with a bundle's adapters: how strong each is in a drawing, where 0 is off.

import { element } from "./elements.js";
import type { OpenedModel, Switch } from "./messages.js";

export class AdapterFields {
  private readonly sliders = new Map<string, HTMLInputElement>();

  /** `given` are those of the address, as "ink=0.7". */
  constructor(private readonly given: readonly string[]) {}

  /** A slider for each adapter of a model; they stay where they were. */
  offer({ adapters }: OpenedModel): void {
    element("adapters-field").hidden = adapters.length === 0;
    if (adapters.join() === [...this.sliders.keys()].join()) return;
    this.sliders.clear();
    element("adapters").replaceChildren(...adapters.map((name) => this.made(name)));
  }

  /** Those that are on. */
  switches(): readonly Switch[] {
    const all = [...this.sliders].map(([name, slider]) => ({ name, scale: Number(slider.value) }));
    return all.filter((each) => each.scale !== 0);
  }

  private made(name: string): Element {
    const { content } = element<HTMLTemplateElement>("adapter-template");
    const item = (content.cloneNode(true) as DocumentFragment).firstElementChild!;
    const [slider, output] = [item.querySelector("input")!, item.querySelector("output")!];
    const show = (): void => void (output.textContent = slider.value === "0" ? "off" : slider.value);
    item.querySelector("label span b")!.textContent = name;
    slider.value = this.given.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1) ?? "0";
    slider.addEventListener("input", show);
    show();
    this.sliders.set(name, slider);
    return item;
  }
}
