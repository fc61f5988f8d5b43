package org.mobilediffusion.sample.history

import org.mobilediffusion.core.PromptSyntax
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.inFolder
import org.mobilediffusion.sample.pictureOf
import java.io.File
import javax.imageio.ImageIO
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

class HistoryStoreTest {
    private val drawing =
        Drawing("ein Apfel, rot: 苹果 🍎 \"\n", "3d", ULong.MAX_VALUE, 3.5, "emoji", 1234, 0.4, PromptSyntax.A1111)

    @Test
    fun `a saved picture says how it came about`() =
        inFolder { folder ->
            val store = HistoryStore(folder)
            store.save(pictureOf(), drawing)
            store.save(pictureOf(), drawing.copy(prompt = "", style = "", guidance = null, strength = null))
            val (second, first) = store.list()
            assertEquals(drawing, first.drawing)
            assertEquals(drawing.copy(prompt = "", style = "", guidance = null, strength = null), second.drawing)
        }

    @Test
    fun `another reader of PNG finds every pixel`() =
        inFolder { folder ->
            val picture = pictureOf(7, 4)
            val read = ImageIO.read(HistoryStore(folder).save(picture, drawing).file)
            assertEquals(7 to 4, read.width to read.height)
            for (pixel in 0 until 28) {
                val (red, green, blue) = List(3) { picture.rgb[3 * pixel + it].toInt() and 0xFF }
                assertEquals((red shl 16) or (green shl 8) or blue, read.getRGB(pixel % 7, pixel / 7) and 0xFFFFFF)
            }
        }

    @Test
    fun `numbers go on from the highest`() =
        inFolder { folder ->
            val store = HistoryStore(folder)
            repeat(3) { store.save(pictureOf(), drawing) }
            store.delete(2)
            assertEquals(4, store.save(pictureOf(), drawing).number)
            assertEquals(listOf(4, 3, 1), store.list().map { it.number })
        }

    @Test
    fun `foreign and cut files are left out`() =
        inFolder { folder ->
            val store = HistoryStore(folder)
            val whole = store.save(pictureOf(), drawing).file.readBytes()
            File(folder, "000002.png").writeText("no picture")
            File(folder, "000003.png").writeBytes(whole.copyOf(60))
            File(folder, "000004.png").writeBytes(whole.clone().also { it[70] = (it[70] + 1).toByte() })
            File(folder, "note.png").writeBytes(whole)
            assertEquals(listOf(1), store.list().map { it.number })
        }

    @Test
    fun `a picture that is gone is none`() =
        inFolder { folder ->
            val store = HistoryStore(folder)
            assertNull(store.find(1))
            store.delete(1)
            assertEquals(emptyList(), HistoryStore(File(folder, "nothing")).list())
        }

    @Test
    fun `a place that cannot be written is one line, and leaves nothing`() =
        inFolder { folder ->
            val file = File(folder, "file").apply { writeText("in the way") }
            val line = assertFailsWith<StoreException> { HistoryStore(file).save(pictureOf(), drawing) }.message!!
            assertTrue("expected a place that can be written" in line && '\n' !in line)
            assertEquals(listOf("file"), folder.list()!!.toList())
        }
}
