package org.mobilediffusion.sample

import org.mobilediffusion.sample.benchmark.BenchmarkState
import org.mobilediffusion.sample.draw.DrawState
import org.mobilediffusion.sample.models.InstallState

/** What must go on when the screen is left, as a notification names it. */
enum class Work {
    INSTALL,
    DRAW,
    MEASURE,
    ;

    companion object {
        /** The work under way, a model's arrival first; null when the app may be ended. */
        fun of(
            draw: DrawState,
            install: InstallState,
            benchmark: BenchmarkState,
        ): Work? =
            when {
                install.isBusy -> INSTALL
                draw.isBusy -> DRAW
                benchmark.isBusy -> MEASURE
                else -> null
            }
    }
}
