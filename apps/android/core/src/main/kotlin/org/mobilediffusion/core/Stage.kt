package org.mobilediffusion.core

/** The programs of a bundle; [id] is a program's name in the manifest. */
enum class Stage(
    val id: String,
) {
    /** Tokens to context. */
    ENCODE_TEXT("encode_text"),

    /** Latents, one step further. */
    DENOISE("denoise"),

    /** Latents to an image. */
    DECODE_IMAGE("decode_image"),

    /** An image to latents: in some bundles, and not needed to draw from noise. */
    ENCODE_IMAGE("encode_image"),

    /** Hint pictures to what `denoise` reads of them: in bundles with ControlNets. */
    ENCODE_HINT("encode_hint"),
    ;

    companion object {
        /** What a picture takes. */
        val drawing = listOf(ENCODE_TEXT, DENOISE, DECODE_IMAGE)

        /** The stage of this name, or null. */
        fun of(id: String): Stage? = entries.firstOrNull { it.id == id }
    }
}
