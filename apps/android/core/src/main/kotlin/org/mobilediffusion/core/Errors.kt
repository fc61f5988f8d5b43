package org.mobilediffusion.core

/** What cannot be used: [message] is one line that says what was expected, what was got, and how to fix it. */
sealed class DiffusionException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** A bundle that is damaged, foreign or of another version. */
class BundleException(
    message: String,
    cause: Throwable? = null,
) : DiffusionException(message, cause)

/** A prompt, a seed or a scale of guidance that cannot be drawn. */
class PromptException(
    message: String,
) : DiffusionException(message)

/** A stage that cannot be loaded or run, or that gave NaN or infinity. */
class ModelException(
    message: String,
    cause: Throwable? = null,
) : DiffusionException(message, cause)
