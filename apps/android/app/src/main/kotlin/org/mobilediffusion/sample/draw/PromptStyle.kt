package org.mobilediffusion.sample.draw

/**
 * The ending of a prompt that names a set of drawings, as the captions of the training data have it: "a cat, 3d".
 *
 * The emoji model has seen [THREE_D] alone; a model that was trained on more sets knows the others.
 */
enum class PromptStyle(
    val id: String,
) {
    PLAIN(""),
    THREE_D("3d"),
    FLUENT("fluent"),
    FLAT("flat"),
    NOTO("noto"),
    ;

    /** The prompt with the ending; an empty prompt has none. */
    fun applyTo(prompt: String): String = if (this == PLAIN || prompt.isEmpty()) prompt else "$prompt, $id"

    companion object {
        /** A drawn prompt as what was typed and the style. */
        fun split(prompt: String): Pair<String, PromptStyle> {
            val style = entries.firstOrNull { it != PLAIN && prompt.endsWith(", ${it.id}") } ?: return prompt to PLAIN
            return prompt.removeSuffix(", ${style.id}") to style
        }
    }
}
