package org.mobilediffusion.sample.history

import org.mobilediffusion.core.Picture
import org.mobilediffusion.core.PromptSyntax
import org.mobilediffusion.core.parseDecimal
import org.mobilediffusion.core.parseSeed
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.writeWhole
import java.io.File

/** The pictures that were drawn: a folder of PNG files, each of which says itself how it came about. */
class HistoryStore(
    private val folder: File,
) {
    /** Keeps a picture as the newest; throws [StoreException]. */
    @Synchronized
    fun save(
        picture: Picture,
        drawing: Drawing,
    ): SavedDrawing {
        val number = 1 + (numbers().maxOrNull() ?: 0)
        val file = fileOf(number)
        writeWhole(file, pngOf(picture, textsOf(drawing)))
        return SavedDrawing(number, file, drawing)
    }

    /** All pictures, the newest first; files that are no such pictures are left out. */
    fun list(): List<SavedDrawing> = numbers().sortedDescending().mapNotNull(::find)

    /** The picture of a number, or null. */
    fun find(number: Int): SavedDrawing? {
        val file = fileOf(number)
        val drawing = pngTexts(file)?.let(::drawingOf) ?: return null
        return SavedDrawing(number, file, drawing)
    }

    /** Removes a picture; nothing happens when there is none; throws [StoreException] when it cannot be removed. */
    fun delete(number: Int) {
        val file = fileOf(number)
        if (file.delete() || !file.exists()) return
        throw StoreException("$file: expected a file that can be removed, got storage that is read only")
    }

    private fun fileOf(number: Int) = File(folder, number.toString().padStart(DIGITS, '0') + SUFFIX)

    private fun numbers(): List<Int> =
        folder.list().orEmpty().mapNotNull { name ->
            name.removeSuffix(SUFFIX).takeIf { it != name && it.all { one -> one in '0'..'9' } }?.toIntOrNull()
        }

    private companion object {
        const val DIGITS = 6
        const val SUFFIX = ".png"

        fun textsOf(drawing: Drawing): Map<String, String> =
            listOfNotNull(
                "Description" to drawing.fullPrompt,
                drawing.style.takeIf { it.isNotEmpty() }?.let { "Style" to it },
                drawing.syntax.takeIf { it != PromptSyntax.PLAIN }?.let { "Syntax" to it.id },
                "Seed" to drawing.seed.toString(),
                drawing.strength?.let { "Strength" to it.toString() },
                drawing.guidance?.let { "Guidance" to it.toString() },
                "Model" to drawing.model,
                "Milliseconds" to drawing.milliseconds.toString(),
            ).toMap()

        fun syntaxOf(id: String?): PromptSyntax? =
            if (id == null) PromptSyntax.PLAIN else PromptSyntax.entries.firstOrNull { it.id == id }

        fun drawingOf(texts: Map<String, String>): Drawing? {
            val style = texts["Style"].orEmpty()
            val read = texts["Description"] ?: return null
            return Drawing(
                prompt = if (style.isEmpty()) read else read.removeSuffix(", $style"),
                style = style,
                seed = texts["Seed"]?.let(::parseSeed) ?: return null,
                guidance = texts["Guidance"]?.let { parseDecimal(it) ?: return null },
                model = texts["Model"] ?: return null,
                milliseconds = texts["Milliseconds"]?.toLongOrNull() ?: return null,
                strength = texts["Strength"]?.let { parseDecimal(it) ?: return null },
                syntax = syntaxOf(texts["Syntax"]) ?: return null,
            )
        }
    }
}
