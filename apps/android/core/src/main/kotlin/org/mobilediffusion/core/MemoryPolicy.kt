package org.mobilediffusion.core

/** Which stages stay in memory. */
enum class MemoryPolicy {
    /** A stage stays loaded until [Pipeline.unload]: the next picture begins at once. */
    KEEP,

    /** One stage at a time, and none after a picture: for phones with little memory. */
    SEQUENTIAL,

    ;

    companion object {
        /** Memory of a loaded program by its file: a runtime packs its weights, which may be stored in half, in float32. */
        const val PACKED = 2

        /** The policy for programs of so many bytes when the system says that so many are free. */
        fun of(
            programBytes: Long,
            freeBytes: Long,
        ): MemoryPolicy = if (PACKED * programBytes <= freeBytes) KEEP else SEQUENTIAL
    }
}
