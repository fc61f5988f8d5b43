package org.mobilediffusion.core

/** Reads one runtime of a manifest: a program for each of [stages], all of one precision and one compression. */
internal class RuntimeReader(
    private val where: String,
    private val stages: List<String>,
) {
    private val precisions = HashSet<String>()
    private val compressions = HashSet<String>()

    fun read(value: Json): RuntimeSpec {
        val fields = Fields(value, where, "name", "primary", "verified", "settings", "artifacts")
        checkSettings(fields)
        val artifacts = fields.list("artifacts").map(::readArtifact)
        if (artifacts.map { it.stage.id } != stages) {
            fields.refuse("artifacts", "one program for each stage of ${stages.joinToString()}")
        }
        if (compressions.size != 1) fields.refuse("artifacts", "programs of one compression")
        val precision = precisions.singleOrNull() ?: fields.refuse("artifacts", "programs of one precision")
        return RuntimeSpec(fields.text("name"), fields.flag("primary"), fields.flag("verified"), precision, artifacts)
    }

    private fun readArtifact(value: Json): Artifact {
        val fields = Fields(value, "$where.artifacts", *FIELDS)
        if (fields.texts("outputs").isEmpty()) fields.refuse("outputs", "an output at least")
        if (fields.whole("delegates") < 0) fields.refuse("delegates", "a number of delegates")
        fields.list("undelegated").forEach(::checkOperation)
        precisions += fields.oneOf("precision", PRECISIONS)
        compressions += fields.text("compression")
        return Artifact(stageOf(fields, "stage"), innerPath(fields, "path"), fields.text("method"))
    }

    private fun checkOperation(value: Json) {
        val operation = Fields(value, "$where.artifacts.undelegated", "name", "count")
        if (operation.text("name").isEmpty()) operation.refuse("name", "the name of an operation")
        if (operation.whole("count") <= 0) operation.refuse("count", "a count above zero")
    }

    private fun checkSettings(runtime: Fields) {
        val names = HashSet<String>()
        for (value in runtime.list("settings")) {
            val setting = Fields(value, "$where.settings", "name", "value")
            setting.text("value")
            val fresh = setting.text("name").isNotEmpty() && names.add(setting.text("name"))
            if (!fresh) setting.refuse("name", "every setting once, with a name")
        }
    }

    private companion object {
        val PRECISIONS = listOf("fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic")
        val FIELDS =
            arrayOf("stage", "path", "method", "outputs", "precision", "compression", "delegates", "undelegated")
    }
}
