// The ending of a prompt that names a set of drawings, as the captions of the training data have it: "a cat, 3d".

/** The styles of the emoji models, "" for none; a model of another name has none. */
export function stylesOf(model: string): readonly string[] {
  return model.startsWith("emoji") ? ["", "3d", "fluent", "flat", "noto"] : [];
}

/** The prompt with the ending; an empty prompt has none. */
export function styled(prompt: string, style: string): string {
  return style === "" || prompt === "" ? prompt : `${prompt}, ${style}`;
}
