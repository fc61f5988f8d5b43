/** What cannot be used: `message` is one line that says what was expected, what was got, and how to fix it. */
export class DiffusionError extends Error {
  override name = "DiffusionError";
}

/** A bundle that is damaged, foreign or of another version. */
export class BundleError extends DiffusionError {
  override name = "BundleError";
}

/** A prompt, a seed, a picture or a scale of guidance that cannot be drawn. */
export class PromptError extends DiffusionError {
  override name = "PromptError";
}

/** A stage that cannot be loaded or run, or that gave NaN or infinity. */
export class ModelError extends DiffusionError {
  override name = "ModelError";
}
