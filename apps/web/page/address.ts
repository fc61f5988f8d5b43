// What the address of the page says, by the names of the options of `mobile-diffusion generate`.

/** The parameters that are read. */
export const PARAMETERS = [
  "prompt",
  "negative",
  "prompt-syntax",
  "seed",
  "guidance",
  "batch",
  "strength",
  "image-guidance",
  "hint-scale",
  "adapter-scale",
] as const;

export type Parameter = (typeof PARAMETERS)[number];

/** The values of a parameter, in their order; most have one. */
export function given(parameter: Parameter): readonly string[] {
  return new URLSearchParams(location.search).getAll(parameter);
}

/** Fills in fields, and marks those that the address sets. */
export function fill(fields: Partial<Record<Parameter, HTMLInputElement | HTMLTextAreaElement>>): void {
  for (const [parameter, field] of Object.entries(fields)) {
    const value = given(parameter as Parameter)[0];
    if (value === undefined) continue;
    field.value = value;
    field.dataset["set"] = "true";
  }
}
