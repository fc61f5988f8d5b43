package org.mobilediffusion.core

import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class RuntimeChoiceTest {
    @get:Rule val folder = TemporaryFolder()

    /** The recorded bundle, with a primary runtime for the GPU beside its own. */
    private val manifest = Manifest.read(withGpu(Trajectory("ddim").manifest))

    private fun withGpu(text: String): String {
        val values = JsonReader.read(text, "manifest") as JsonObject
        val own = values["runtimes"].items.single() as JsonObject
        val other = JsonObject(own.fields + ("primary" to JsonFlag(false)))
        val gpu = JsonObject(own.fields + ("name" to JsonText("vulkan")))
        return JsonObject(values.fields + ("runtimes" to JsonList(listOf(other, gpu)))).toString()
    }

    private fun names(vararg names: String) = RuntimeChoice(names.toList()).all(manifest, "bundle").map { it.name }

    @Test fun `a flavour opens what it has, the primary one first`() {
        assertEquals(listOf("vulkan", "xnnpack"), names("xnnpack", "vulkan"))
        assertEquals(listOf("xnnpack"), names("xnnpack"))
        assertEquals(listOf("gpu", "cpu"), RuntimeChoice(listOf("xnnpack", "vulkan")).all(manifest, "").map { it.unit })
    }

    @Test fun `the one that passed is preferred`() {
        val choice = RuntimeChoice(listOf("xnnpack", "vulkan"))
        assertEquals("vulkan", choice.of(manifest, "bundle").name)
        assertEquals("xnnpack", choice.of(manifest, "bundle", preferred = "xnnpack").name)
        assertEquals("vulkan", choice.of(manifest, "bundle", preferred = "qnn").name)
    }

    @Test fun `another flavour is named when it could open the bundle`() {
        val line = assertFailsWith<BundleException> { names("qnn") }.message!!
        assertTrue(
            "bundle: expected programs for qnn, got xnnpack, vulkan; install the app's flavour vulkan" in line,
            line,
        )
    }

    @Test fun `a runtime whose programs are not there does not count`() {
        assertFailsWith<BundleException> { RuntimeChoice(listOf("xnnpack")).all(manifest, "bundle", folder.root) }
    }
}
