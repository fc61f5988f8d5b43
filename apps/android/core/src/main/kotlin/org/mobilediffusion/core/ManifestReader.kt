package org.mobilediffusion.core

/** Reads `manifest.json` as strictly as the exporter does: every field is known, present and of its type. */
internal class ManifestReader(
    private val where: String,
) {
    fun read(text: String): Manifest {
        val value = JsonReader.read(text, where)
        checkVersion(value)
        val fields = Fields(value, where, *FIELDS)
        if (fields.text("format") != FORMAT) fields.refuse("format", FORMAT)
        if (fields.whole("schema_version") !=
            Manifest.SCHEMA_VERSION.toLong()
        ) {
            fields.refuse("schema_version", "a version")
        }
        fields.text("target")
        val model = readModel(fields.obj("model"))
        val stages = readStages(fields)
        val manifest =
            Manifest(
                model = model.text("name"),
                licence = model.text("licence"),
                styles = model.texts("styles"),
                textWidths = widthsOf(model),
                stages = stages,
                runtimes = readRuntimes(fields, stages.map { it.stage.id }),
                schedule = readSchedule(fields.obj("schedule")),
                tokenizer = readTokenizer(fields.obj("tokenizer")),
                golden = innerPath(fields, "golden"),
                parity = fields.list("parity").map(::readParity),
                files = readFiles(fields.list("files")),
            )
        fields.list("tools").forEach(::checkTool)
        checkReferences(manifest)
        return manifest
    }

    /** Another version is refused before anything else is looked at: it may hold anything. */
    private fun checkVersion(value: Json) {
        if (value !is JsonObject) {
            throw BundleException("$where: expected a JSON object, got another value; ${Fields.FIX}")
        }
        val version = value.fields["schema_version"] as? JsonNumber ?: return
        if (!version.isWhole || Fields.wholeOf(version) == Manifest.SCHEMA_VERSION.toLong()) return
        val newer = version.text.toDouble() > Manifest.SCHEMA_VERSION
        throw BundleException(
            "$where: expected a bundle of schema version ${Manifest.SCHEMA_VERSION}, got ${quoteless(version)}; " +
                if (newer) "update this program" else Fields.FIX,
        )
    }

    private fun quoteless(number: JsonNumber): String = quote(number.text).removeSurrounding("'")

    private fun readModel(value: Json): Fields {
        val names = arrayOf("name", "licence", "height", "width", "styles", "changes", "text_widths", "source_sha256")
        val model = Fields(value, "$where: model", *names)
        model.texts("changes")
        val styles = model.texts("styles")
        if (styles.toSet().size != styles.size || "" in styles) model.refuse("styles", "different names, none empty")
        if (model.whole("height") <= 0 || model.whole("width") <= 0) {
            model.refuse("height", "a positive height and width")
        }
        widthsOf(model)
        val source = model.text("source_sha256")
        if (source.isNotEmpty() && !isSha256(source)) model.refuse("source_sha256", "a SHA-256")
        return model
    }

    private fun widthsOf(model: Fields): List<Int> {
        val widths = model.list("text_widths").map { Fields.wholeOf(it) ?: 0 }
        val good = widths.isNotEmpty() && widths.all { it in 1 until MAX_SIZE }
        if (!good) model.refuse("text_widths", "text_widths with a positive width per text encoder")
        return widths.map { it.toInt() }
    }

    private fun readStages(fields: Fields): List<StageSpec> {
        val stages = fields.list("stages").map { readStage(it, "$where: stages") }
        val names = stages.map { it.stage }
        if (names != Stage.entries.filter { it in Stage.drawing || it in names }) {
            fields.refuse("stages", "the stages ${Stage.drawing.joinToString { it.id }}")
        }
        return stages
    }

    private fun readStage(
        value: Json,
        where: String,
    ): StageSpec {
        val fields = Fields(value, where, "name", "inputs", "outputs")
        return StageSpec(
            stageOf(fields, "name"),
            fields.list("inputs").map { readTensor(it, where) },
            fields.list("outputs").map { readTensor(it, where) },
        )
    }

    private fun readTensor(
        value: Json,
        where: String,
    ): TensorSpec {
        val fields = Fields(value, where, "name", "dtype", "shape")
        val shape =
            fields.list("shape").map { size ->
                val whole = Fields.wholeOf(size) ?: 0
                if (whole in 1 until MAX_SIZE) whole.toInt() else fields.refuse("shape", "positive sizes")
            }
        val count = shape.fold(1.0) { product, size -> product * size }
        if (count > MAX_COUNT) fields.refuse("shape", "fewer than 2^31 values")
        return TensorSpec(fields.text("name"), fields.oneOf("dtype", listOf("float32", "int32")), shape)
    }

    private fun readRuntimes(
        fields: Fields,
        stages: List<String>,
    ): List<RuntimeSpec> {
        val runtimes = fields.list("runtimes").map { RuntimeReader("$where: runtimes", stages).read(it) }
        val names = runtimes.map { it.name }
        val good = names.toSet().size == names.size && runtimes.count { it.primary } == 1
        if (!good) fields.refuse("runtimes", "different runtimes, one of them primary")
        return runtimes
    }

    private fun readSchedule(value: Json): Schedule = ScheduleReader("$where: schedule").read(value)

    private fun readTokenizer(value: Json): TokenizerSpec {
        val fields = Fields(value, "$where: tokenizer", "kind", "max_tokens", "files")
        val files = fields.texts("files")
        if (files.isEmpty()) fields.refuse("files", "a file")
        if (!files.all(::staysInside)) fields.refuse("files", "paths in the bundle")
        val kind = fields.text("kind")
        if (kind == Tokenizer.PAIR && files.size != 2) fields.refuse("files", "two tokenizer files of this kind")
        return TokenizerSpec(kind, fields.whole("max_tokens"), files)
    }

    private fun readFiles(entries: List<Json>): Map<String, FileSpec> {
        val files = LinkedHashMap<String, FileSpec>()
        for (entry in entries) {
            val fields = Fields(entry, "$where: files", "path", "size", "sha256")
            val path = innerPath(fields, "path")
            val spec = FileSpec(fields.whole("size"), fields.text("sha256"))
            if (spec.size < 0) fields.refuse("size", "zero or more bytes")
            if (!isSha256(spec.sha256)) fields.refuse("sha256", "a SHA-256 in lower case hexadecimal")
            val fresh = files.put(path, spec) == null && path != Manifest.NAME
            if (!fresh) fields.refuse("path", "every file once, without the manifest")
        }
        return files
    }

    private fun readParity(value: Json): ParityLimit {
        val fields = Fields(value, "$where: parity", "runtime", "check", "metric", "worst", "limit")
        fields.number("worst")
        val (runtime, check, metric) = listOf("runtime", "check", "metric").map(fields::text)
        return ParityLimit(runtime, check, metric, fields.number("limit"))
    }

    private fun checkTool(value: Json) {
        val fields = Fields(value, "$where: tools", "name", "version")
        listOf("name", "version").forEach(fields::text)
    }

    /** Every path that is mentioned is a listed file, or a folder of listed files. */
    private fun checkReferences(manifest: Manifest) {
        val known =
            manifest.files.keys
                .flatMap(::withFolders)
                .toSet()
        val programs = manifest.runtimes.flatMap { runtime -> runtime.artifacts.map { it.path } }
        val lost = (programs + manifest.tokenizer.files + manifest.golden).firstOrNull { it !in known } ?: return
        throw BundleException(
            "$where: expected only files that are listed under 'files', got ${quote(lost)}; ${Fields.FIX}",
        )
    }

    private fun withFolders(path: String): List<String> =
        path.indices.filter { path[it] == '/' }.map { path.substring(0, it) } + path

    private companion object {
        const val FORMAT = "mobile-diffusion-bundle"
        const val MAX_SIZE = 1L shl 24
        const val MAX_COUNT = Int.MAX_VALUE.toDouble()
        val FIELDS =
            arrayOf(
                "format",
                "schema_version",
                "target",
                "model",
                "stages",
                "runtimes",
                "schedule",
                "tokenizer",
                "golden",
                "parity",
                "tools",
                "files",
            )
    }
}

internal fun stageOf(
    fields: Fields,
    name: String,
): Stage = Stage.of(fields.text(name)) ?: fields.refuse(name, "one of ${Stage.entries.joinToString { it.id }}")

/** A path that stays in the bundle. */
internal fun innerPath(
    fields: Fields,
    name: String,
): String = fields.text(name).takeIf(::staysInside) ?: fields.refuse(name, "a relative path that stays in the bundle")

/** Relative, with single slashes, and inside the bundle. */
private fun staysInside(path: String): Boolean =
    path.none { it in "\\:\u0000" } && path.split('/').none { it.isEmpty() || it == "." || it == ".." }

private fun isSha256(text: String): Boolean = text.length == 64 && text.all { it in '0'..'9' || it in 'a'..'f' }
