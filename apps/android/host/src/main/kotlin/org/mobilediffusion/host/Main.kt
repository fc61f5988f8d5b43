package org.mobilediffusion.host

import kotlinx.coroutines.flow.last
import kotlinx.coroutines.runBlocking
import org.mobilediffusion.core.Benchmark
import org.mobilediffusion.core.DiffusionException
import org.mobilediffusion.core.DrawEvent
import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.GoldenCheck
import org.mobilediffusion.core.MemoryPolicy
import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.Pipeline
import org.mobilediffusion.core.RuntimeInfo
import org.mobilediffusion.executorch.ExecuTorchRunner
import java.io.File
import java.io.IOException
import kotlin.system.exitProcess

/** Version of ExecuTorch, which the start script passes. */
private val version = System.getProperty("executorch.version", "")

/** Opens a bundle and draws or measures, with the app's own core and runner. */
fun main(arguments: Array<String>) {
    val problem =
        try {
            run(Options.of(arguments))
            null
        } catch (error: OptionException) {
            error.message
        } catch (error: DiffusionException) {
            error.message
        } catch (error: IOException) {
            error.message
        } catch (_: OutOfMemoryError) {
            "expected enough memory, got none: free some, or try --sequential"
        }
    if (problem == null) return
    System.err.println(problem)
    exitProcess(2)
}

private fun run(options: Options) {
    if (options.help) return println(Options.USAGE)
    val conditions = Machine.conditions()
    val folder = options.bundle
    val request = if (options.golden) null else options.request // missing words are named before files
    val bundle = ModelBundle.open(folder)
    if (request == null) return check(bundle, options)
    warn(bundle, request.prompt)
    request.unusedNegative(bundle.manifest.schedule)?.let(System.err::println)
    val pipeline = pipelineOf(bundle, options)
    val runs = options.benchmark
    if (runs == null) return draw(pipeline, request, options.out)
    val info = RuntimeInfo("executorch kotlin", version, options.threads)
    val report = runBlocking { Benchmark(pipeline, info, conditions).measure(runs, request) }
    println(report.toJson())
}

private fun pipelineOf(
    bundle: ModelBundle,
    options: Options,
): Pipeline {
    val memory = if (options.sequential) MemoryPolicy.SEQUENTIAL else MemoryPolicy.KEEP
    return Pipeline(bundle, ExecuTorchRunner(bundle, options.threads), memory)
}

/** Prints every comparison with PyTorch; ends with status 1 when one misses its limit. */
private fun check(
    bundle: ModelBundle,
    options: Options,
) {
    val report = runBlocking { GoldenCheck(pipelineOf(bundle, options)).run() }
    println(report.toJson())
    if (!report.passed) exitProcess(1)
}

private fun draw(
    pipeline: Pipeline,
    request: DrawRequest,
    file: File?,
) {
    val finished = runBlocking { pipeline.draw(request).last() } as DrawEvent.Finished
    val picture = finished.picture
    if (file != null) write(file, picture.rgb)
    println("""{"width":${picture.width},"height":${picture.height},"milliseconds":${finished.milliseconds}}""")
}

/** Says when the end of a prompt, or all of it, is ignored. */
private fun warn(
    bundle: ModelBundle,
    prompt: String,
) {
    val tokens = bundle.tokenizer.encode(prompt)
    if (!tokens.known) {
        System.err.println("the model knows no word of the prompt: the picture is any picture; use other words")
    }
    val count = tokens.count
    val read = bundle.tokenizer.maxTokens
    if (count <= read) return
    System.err.println("the prompt has $count tokens and the model reads $read: its end is ignored; shorten it")
}

/** Writes a file that appears whole. */
private fun write(
    file: File,
    bytes: ByteArray,
) {
    val draft = File("${file.path}.part${ProcessHandle.current().pid()}")
    try {
        draft.writeBytes(bytes)
        if (!file.isDirectory && draft.renameTo(file)) return
    } catch (_: IOException) {
        // reported below
    }
    draft.delete()
    throw IOException("$file: expected a file that can be written, got a full disk, a missing folder or no permission")
}
