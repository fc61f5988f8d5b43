/** A row of buttons of which one is chosen. */
export class Choice<Value extends string> {
  private chosen: Value | null = null;

  constructor(
    private readonly row: HTMLElement,
    private readonly onChange: (value: Value) => void = () => undefined,
  ) {}

  get value(): Value | null {
    return this.chosen;
  }

  offer(choices: readonly (readonly [value: Value, title: string])[], chosen: Value): void {
    this.row.replaceChildren(...choices.map(([value, title]) => this.button(value, title)));
    this.choose(chosen);
  }

  choose(value: Value): void {
    this.chosen = value;
    for (const button of this.row.children) {
      button.setAttribute("aria-checked", String((button as HTMLElement).dataset["value"] === value));
    }
  }

  private button(value: Value, title: string): HTMLButtonElement {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.dataset["value"] = value;
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => {
      if (this.chosen === value) return;
      this.choose(value);
      this.onChange(value);
    });
    return button;
  }
}
