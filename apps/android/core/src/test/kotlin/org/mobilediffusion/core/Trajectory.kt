package org.mobilediffusion.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64

/** A recorded drawing, call by call. */
internal class Trajectory(
    val name: String,
) {
    private val golden = Golden.read("trajectories/$name.json")
    val manifest = golden["manifest"].text
    val calls = golden["calls"].items
    val picture = golden["picture"]
    val previews = (golden.fields["preview"])?.get("pictures")?.items
    private val previewText = golden.fields["preview"]?.get("text")?.text
    private val values = golden["request"]
    val request =
        DrawRequest(
            values["prompt"].text,
            values["negative"].text,
            values["seed"].text.toULong(),
            (values["guidance"] as? JsonNumber)?.text?.toDouble(),
            (values as JsonObject).fields["start"]?.let(::startOf),
            syntaxOf(values.fields["syntax"]?.text ?: "plain"),
            hints =
                values.fields["hints"]
                    ?.items
                    .orEmpty()
                    .map(::hintOf),
        )
    val steps = golden["steps"].int
    private val adapters = golden.fields["adapters"] as? JsonObject
    private val later = adapters?.get("later") as? JsonObject

    /** The request, with adapters that the bundle reads. */
    fun requestOf(bundle: ModelBundle): DrawRequest {
        val asked = (values as JsonObject).fields["adapters"]?.items.orEmpty()
        val given =
            asked.map { each ->
                val name = each["name"].text
                val added = later?.fields?.get(name)?.let { Base64.getDecoder().decode(it.text) }
                ScaledAdapter(bundle.adapter(name, added), (each["scale"] as JsonNumber).text.toDouble())
            }
        return request.copy(adapters = given)
    }

    /** Steps that are skipped. */
    val skipped = mapOf("image" to 2, "inpaint" to 1)[name] ?: 0

    /** Writes the bundle: its programs are empty files. */
    fun writeTo(folder: File): File {
        folder.mkdirs()
        File(folder, "manifest.json").writeText(manifest)
        for (path in Manifest.read(manifest).files.keys) {
            File(folder, path).parentFile.mkdirs()
            File(folder, path).writeBytes(ByteArray(0))
        }
        for ((path, content) in (adapters?.get("files") as? JsonObject)?.fields.orEmpty()) {
            File(folder, path).writeBytes(Base64.getDecoder().decode(content.text))
        }
        for (name in listOf("tokenizer", "tokenizer_2")) {
            val source = golden.fields[name] ?: continue
            Golden.file(source.text).copyTo(File(folder, "$name.json"), overwrite = true)
        }
        previewText?.let { File(folder, "preview.json").writeText(it) }
        return folder
    }
}

internal fun syntaxOf(id: String): PromptSyntax = PromptSyntax.entries.first { it.id == id }

private fun hintOf(asked: Json): Hint {
    val pixels = Base64.getDecoder().decode(asked["pixels"].text)
    val picture = Picture(asked["width"].int, asked["height"].int, pixels)
    return Hint(picture, (asked["scale"] as JsonNumber).text.toDouble())
}

private fun startOf(asked: Json): Start {
    val bytes = { name: String -> (asked[name] as? JsonText)?.let { Base64.getDecoder().decode(it.text) } }
    val picture = Picture(asked["width"].int, asked["height"].int, bytes("pixels")!!)
    val number = { name: String -> (asked[name] as? JsonNumber)?.text?.toDouble() }
    return Start(picture, number("strength"), bytes("mask"), number("image_guidance"))
}

internal fun floatsOf(output: Json): TensorValue.Floats {
    val bytes = Base64.getDecoder().decode(output["data"].text)
    val values = FloatArray(bytes.size / 4)
    ByteBuffer
        .wrap(bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .get(values)
    return TensorValue.Floats(values, output["shape"].ints)
}

internal fun sha256(value: TensorValue): String =
    when (value) {
        is TensorValue.Floats -> {
            Golden.sha256(littleEndian(value.values))
        }

        is TensorValue.Integers -> {
            val bytes = ByteBuffer.allocate(4 * value.values.size).order(ByteOrder.LITTLE_ENDIAN)
            bytes.asIntBuffer().put(value.values)
            Golden.sha256(bytes.array())
        }
    }
