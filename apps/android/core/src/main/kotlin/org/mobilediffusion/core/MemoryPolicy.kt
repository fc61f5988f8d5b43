package org.mobilediffusion.core

/** Which stages stay in memory. */
enum class MemoryPolicy {
    /** A stage stays loaded until [Pipeline.unload]: the next picture begins at once. */
    KEEP,

    /** One stage at a time, and none after a picture: for phones with little memory. */
    SEQUENTIAL,
}
