package org.mobilediffusion.sample.draw

import org.mobilediffusion.sample.inFolder
import org.mobilediffusion.sample.pictureOf
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNull

class StartFileTest {
    @Test
    fun `a process that ended finds picture and mask again`() =
        inFolder { folder ->
            val mask = MaskGrid(4, 2).apply { paint(0.5f, 0.5f) }
            val picture = pictureOf(8, 4)
            StartFile(File(folder, "start")).write(StartPicture(picture, mask))
            val found = checkNotNull(StartFile(File(folder, "start")).read())
            assertContentEquals(picture.rgb, found.picture.rgb)
            assertEquals(8 to 4, found.picture.width to found.picture.height)
            assertContentEquals(mask.mask(8, 4), found.mask.mask(8, 4))
        }

    @Test
    fun `nothing is found where nothing was kept, or where it was cut`() =
        inFolder { folder ->
            val file = File(folder, "start")
            assertNull(StartFile(file).read())
            StartFile(file).write(StartPicture(pictureOf(), MaskGrid(2, 2)))
            file.writeBytes(file.readBytes().copyOf(40))
            assertNull(StartFile(file).read())
            file.writeBytes(ByteArray(16) { -1 })
            assertNull(StartFile(file).read())
            StartFile(file).write(null)
            assertEquals(false, file.exists())
        }
}
