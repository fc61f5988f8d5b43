package org.mobilediffusion.sample

import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.PowerManager
import org.mobilediffusion.core.Conditions
import org.mobilediffusion.core.MemoryPolicy
import org.mobilediffusion.core.ModelBundle
import java.io.File

/** What is asked of the phone itself. */
object Phone {
    /** Threads to draw with: half of the processors, as the other half is slower on most phones, 4 at most. */
    val threads: Int get() = (Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, 4)

    /** One stage at a time where the model does not fit in what is free now, above what makes the system end apps. */
    fun memoryPolicy(
        context: Context,
        bundle: ModelBundle,
    ): MemoryPolicy {
        val manager = context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager
        val memory = ActivityManager.MemoryInfo().also(manager::getMemoryInfo)
        return MemoryPolicy.of(bundle.programBytes, memory.availMem - memory.threshold)
    }

    /** The machine as latency.json names it. */
    fun conditions(context: Context): Conditions {
        val chip = if (Build.VERSION.SDK_INT >= 31) Build.SOC_MODEL else Build.HARDWARE
        val architecture = Build.SUPPORTED_ABIS.firstOrNull().orEmpty()
        return Conditions(
            processor = "$chip, ${Build.MANUFACTURER} ${Build.MODEL}",
            cores = Runtime.getRuntime().availableProcessors(),
            system = "Android ${Build.VERSION.RELEASE} $architecture",
            load = load(),
            thermal = thermal(context),
        )
    }

    /** How warm the phone is, in the words of Android's documentation; "" before Android 10. */
    private fun thermal(context: Context): String {
        if (Build.VERSION.SDK_INT < 29) return ""
        val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager
        return thermalWord(power.currentThermalStatus)
    }

    /** Null where apps may not read it, as on most phones. */
    private fun load(): Double? =
        File("/proc/loadavg")
            .takeIf { it.canRead() }
            ?.readText()
            ?.substringBefore(' ')
            ?.toDoubleOrNull()
}
