package org.mobilediffusion.core

import org.junit.Test
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ManifestTest {
    private val golden = Golden.read("manifests.json")

    @Test fun `what every language reads`() {
        val cases = golden["accepted"].items
        assertTrue(cases.size >= 5)
        inEveryLocale { cases.forEach { Manifest.read(it["text"].text) } }
    }

    @Test fun `what every language refuses, in the same words`() {
        val cases = golden["refused"].items
        assertTrue(cases.size >= 80)
        inEveryLocale {
            for (case in cases) {
                val name = case["name"].text
                val error = assertFailsWith<BundleException>(name) { Manifest.read(case["text"].text) }
                assertTrue(case["message"].text in error.message!!, "$name: ${error.message}")
                assertTrue("expected" in error.message!! && error.message!!.lines().size == 1, name)
            }
        }
    }

    @Test fun `the fields that an app needs`() {
        val sample = Manifest.read(golden["accepted"].items.first()["text"].text)
        assertEquals(listOf("3d", "flat"), sample.styles)
        assertEquals("a cat, flat", styled("a cat", sample.styles.last()))
        assertEquals(listOf("a cat", ""), listOf(styled("a cat", ""), styled("", "3d")))
        val manifest = Manifest.read(Trajectory("multistep").manifest)
        assertEquals(emptyList(), manifest.styles)
        assertEquals(Stage.drawing, manifest.stages.map { it.stage })
        assertEquals(1, manifest.schedule.memory)
        assertEquals(false, manifest.schedule.stochastic)
        assertEquals("wordpiece", manifest.tokenizer.kind)
        assertEquals(listOf("xnnpack"), manifest.runtimes.map { it.name })
        assertEquals(
            "decode_image.pte",
            manifest.runtimes
                .single()
                .artifacts
                .last()
                .path,
        )
        assertTrue(Manifest.read(Trajectory("lcm").manifest).schedule.stochastic)
    }

    @Test fun `a spoiled manifest is read or refused, never anything else`() {
        val text = golden["accepted"].items.first()["text"].text
        val random = Random(3)
        var refused = 0
        repeat(3000) {
            val spoiled = StringBuilder(text)
            repeat(random.nextInt(1, 4)) {
                val place = random.nextInt(spoiled.length)
                when (random.nextInt(3)) {
                    0 -> spoiled.setLength(maxOf(place, 1))
                    1 -> spoiled.setCharAt(place, random.nextInt(1, 0x2030).toChar())
                    else -> spoiled.deleteRange(place, minOf(place + random.nextInt(1, 30), spoiled.length))
                }
            }
            try {
                Manifest.read(spoiled.toString())
            } catch (error: BundleException) {
                assertEquals(1, error.message!!.lines().size, error.message)
                refused++
            }
        }
        assertTrue(refused > 1500, "$refused refused")
    }
}
