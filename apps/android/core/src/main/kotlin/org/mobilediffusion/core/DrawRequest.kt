package org.mobilediffusion.core

/** What to draw. */
data class DrawRequest(
    /** What the picture shows; "" is the null condition. */
    val prompt: String,
    /** What it should not show; only with guidance of the kind "cfg". */
    val negative: String = "",
    /** The same seed gives the same picture everywhere. */
    val seed: ULong = 0u,
    /** Scale of guidance, 0 to 30; the bundle's own when null. */
    val guidance: Double? = null,
)

/** The largest scale of guidance. */
const val MAX_GUIDANCE = 30.0
