package org.mobilediffusion.sample

import java.io.File
import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class SharedFilesTest {
    @Test
    fun `pictures and times are shared, and nothing else`() =
        inFolder { root ->
            for (name in listOf("history/1.png", "benchmark/a.json", "models/a/manifest.json", "benchmark/a.error")) {
                File(root, name).apply { parentFile.mkdirs() }.writeText("x")
            }
            File(root, "history/.2.png").writeText("x")
            val files = SharedFiles(root)
            for ((path, type) in mapOf("history/1.png" to "image/png", "benchmark/a.json" to "application/json")) {
                val file = files.find("/$path")!!
                assertEquals(path, files.pathOf(file))
                assertEquals(type, files.typeOf(file))
            }
            val hidden =
                listOf(
                    "",
                    "/",
                    "/history",
                    "/history/",
                    "/history/2.png",
                    "/history/.2.png",
                    "/history/../benchmark/a.json",
                    "/models/a/manifest.json",
                    "/benchmark/a.error",
                    "/history/a.json",
                    "/benchmark/..",
                )
            for (path in hidden) assertNull(files.find(path), path)
        }

    @Test
    fun `figures have a point in every locale`() {
        val before = Locale.getDefault()
        try {
            Locale.setDefault(Locale.GERMANY)
            assertEquals("3.4", secondsOf(3449))
            assertEquals("0.1", secondsOf(50))
            assertEquals("12.3", millisecondsOf(12.345))
            assertEquals("1", megabytesOf(1))
            assertEquals("208", megabytesOf(207_859_756))
        } finally {
            Locale.setDefault(before)
        }
    }
}
