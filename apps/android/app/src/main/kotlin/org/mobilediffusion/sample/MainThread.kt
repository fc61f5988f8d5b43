package org.mobilediffusion.sample

import android.os.Handler
import android.os.Looper
import kotlinx.coroutines.CoroutineDispatcher
import kotlin.coroutines.CoroutineContext

/** Coroutines on the thread that may touch views; at once when they are there already. */
object MainThread : CoroutineDispatcher() {
    private val looper = Looper.getMainLooper()
    private val handler = Handler(looper)

    override fun isDispatchNeeded(context: CoroutineContext): Boolean = Looper.myLooper() != looper

    override fun dispatch(
        context: CoroutineContext,
        block: Runnable,
    ) {
        handler.post(block)
    }
}
