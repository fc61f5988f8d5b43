package org.mobilediffusion.host

import org.mobilediffusion.core.Benchmark
import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.MAX_GUIDANCE
import org.mobilediffusion.core.PromptSyntax
import org.mobilediffusion.core.parseDecimal
import org.mobilediffusion.core.parseSeed
import java.io.File

/** An option that cannot be used: one line. */
class OptionException(
    message: String,
) : Exception(message)

/** The command line. */
class Options private constructor(
    private val values: Map<String, String>,
    private val flags: Set<String>,
) {
    val help = HELP in flags
    val sequential = SEQUENTIAL in flags
    val golden = GOLDEN in flags
    val bundle: File get() = File(values["--bundle"] ?: missing("--bundle", "a bundle's folder"))
    val out: File? = values["--out"]?.let(::File)

    /** 1 to 256. */
    val threads: Int = whole("--threads", MAX_THREADS) ?: 2

    /** Runs of each stage, or null to draw. */
    val benchmark: Int? = whole("--benchmark", Benchmark.MAX_RUNS)
    private val seed: ULong = seedIn("--seed") ?: 0u
    private val guidance: Double? = guidanceIn("--guidance")
    private val syntax: PromptSyntax =
        valueOf("--prompt-syntax", PromptSyntax.entries.joinToString(" or ") { it.id }) { text ->
            PromptSyntax.entries.firstOrNull { it.id == text }
        } ?: PromptSyntax.PLAIN
    val request: DrawRequest
        get() =
            DrawRequest(
                values["--prompt"] ?: missing("--prompt", "what to draw"),
                values["--negative"] ?: "",
                seed,
                guidance,
                syntax = syntax,
            )

    init {
        if (benchmark != null && out != null) {
            throw OptionException("--benchmark: expected no --out, as nothing is drawn")
        }
        val foreign = listOf("--prompt", "--benchmark", "--out").firstOrNull { it in values }
        if (golden && foreign != null) {
            throw OptionException("--golden: expected no $foreign, as the bundle's own drawings are compared")
        }
    }

    private fun missing(
        name: String,
        expected: String,
    ): Nothing = throw OptionException("$name: expected $expected, got none; see --help")

    private fun whole(
        name: String,
        most: Int,
    ): Int? = valueOf(name, "1 to $most") { parseSeed(it)?.takeIf { value -> value in 1uL..most.toULong() }?.toInt() }

    private fun seedIn(name: String): ULong? = valueOf(name, "0 to ${ULong.MAX_VALUE}", ::parseSeed)

    private fun guidanceIn(name: String): Double? =
        valueOf(name, "a number up to ${MAX_GUIDANCE.toInt()}") {
            parseDecimal(it)?.takeIf { value -> value.isFinite() && value <= MAX_GUIDANCE }
        }

    private fun <Value : Any> valueOf(
        name: String,
        expected: String,
        parse: (String) -> Value?,
    ): Value? {
        val text = values[name] ?: return null
        return parse(text) ?: throw OptionException("$name: expected $expected, got '${text.take(SHOWN)}'")
    }

    companion object {
        const val USAGE = """Draws a picture with a bundle that `mobile-diffusion export android` has written.

  draw --bundle build/android --prompt "a red apple, 3d" --seed 7 --out apple.rgb

  --bundle DIR      the bundle; its manifest and every file that is used are verified
  --prompt TEXT     what to draw; "" is the null condition
  --negative TEXT   what the picture should not show
  --prompt-syntax S weights in both prompts: plain, a1111 or compel; plain by default
  --seed N          0 to 18446744073709551615; the same seed gives the same picture everywhere
  --guidance X      scale of guidance, up to 30; 1 or less is none; the bundle's own by default
  --out FILE.rgb    the picture to write: rows from the top, three bytes a pixel
  --threads N       1 to 256; 2 by default
  --sequential      hold one stage in memory at a time
  --benchmark N     time each stage N times instead of drawing
  --golden          compare every stage, step and picture with PyTorch's, which are in the bundle

Standard output is JSON: the picture's size and time, what latency.json holds, or the comparisons.
Exit status: 0; 1 when a comparison misses its limit; 2 with one line on standard error for anything that cannot be used."""

        private const val HELP = "--help"
        private const val SEQUENTIAL = "--sequential"
        private const val GOLDEN = "--golden"
        private const val MAX_THREADS = 256
        private const val SHOWN = 60
        private val known =
            setOf(
                "--bundle",
                "--prompt",
                "--negative",
                "--prompt-syntax",
                "--seed",
                "--guidance",
                "--out",
                "--threads",
                "--benchmark",
            )

        /** Throws [OptionException] for an option that is unknown, incomplete, or has a value that cannot be used. */
        fun of(arguments: Array<String>): Options {
            val values = HashMap<String, String>()
            val flags = HashSet<String>()
            val rest = arguments.iterator()
            for (name in rest) {
                when (name) {
                    HELP, SEQUENTIAL, GOLDEN -> {
                        flags += name
                    }

                    !in known -> {
                        throw OptionException("expected an option, got '${name.take(SHOWN)}'; see --help")
                    }

                    else -> {
                        if (!rest.hasNext()) throw OptionException("$name: expected a value, got none; see --help")
                        values[name] = rest.next()
                    }
                }
            }
            return Options(values, flags)
        }
    }
}
