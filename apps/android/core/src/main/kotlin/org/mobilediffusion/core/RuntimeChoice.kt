package org.mobilediffusion.core

import java.io.File

/** Which runtime of a bundle an app takes, of those that it was built with. */
class RuntimeChoice(
    /** "xnnpack", "vulkan": the names that a manifest uses. */
    val names: List<String>,
) {
    /**
     * The runtimes of a bundle that the app can open, the primary one first.
     *
     * With a [folder], one that lacks a program there does not count.  Throws [BundleException], which begins with
     * [where], when none is left.
     */
    fun all(
        manifest: Manifest,
        where: String,
        folder: File? = null,
    ): List<RuntimeSpec> {
        val known = manifest.runtimes.filter { it.name in names && isHeld(it, folder) }
        val found = known.sortedByDescending { it.primary }
        if (found.isNotEmpty()) return found
        val got = manifest.runtimes.joinToString { it.name }
        val wanted = names.joinToString(" or ")
        throw BundleException("$where: expected programs for $wanted, got $got; ${fix(manifest)}")
    }

    /** The one to draw with: [preferred] if it is among them. */
    fun of(
        manifest: Manifest,
        where: String,
        folder: File? = null,
        preferred: String? = null,
    ): RuntimeSpec {
        val found = all(manifest, where, folder)
        return found.firstOrNull { it.name == preferred } ?: found.first()
    }

    /** A flavour of the app opens what this one cannot; for others, the bundle is exported again. */
    private fun fix(manifest: Manifest): String {
        val flavour = manifest.runtimes.map { it.name }.firstOrNull { it in FLAVOURS }
        val again = "export for android with --runtime ${names.first()}"
        return if (flavour == null) again else "install the app's flavour $flavour, or $again"
    }

    private fun isHeld(
        runtime: RuntimeSpec,
        folder: File?,
    ): Boolean = folder == null || runtime.artifacts.all { File(folder, it.path).isFile }

    private companion object {
        /** The flavours of ExecuTorch's library beside the one for the processor alone. */
        val FLAVOURS = setOf("vulkan", "qnn")
    }
}

/** The part of the phone that computes a runtime's programs: "cpu", "gpu" or "npu". */
val RuntimeSpec.unit: String
    get() =
        when (name) {
            "vulkan" -> "gpu"
            "qnn" -> "npu"
            else -> "cpu"
        }
