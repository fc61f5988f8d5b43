package org.mobilediffusion.executorch

import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.ModelException
import org.mobilediffusion.core.ModelRunner
import org.mobilediffusion.core.Stage
import org.mobilediffusion.core.TensorSpec
import org.mobilediffusion.core.TensorValue
import org.pytorch.executorch.EValue
import org.pytorch.executorch.ExecutorchRuntimeException
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.util.concurrent.locks.ReentrantReadWriteLock
import kotlin.concurrent.read
import kotlin.concurrent.write

/**
 * Runs a bundle's programs with ExecuTorch on [threads] threads; the weights are mapped from the files.
 *
 * The threads belong to the whole process: the runner that loaded a stage last has set their number for all.
 */
class ExecuTorchRunner(
    private val bundle: ModelBundle,
    private val threads: Int,
) : ModelRunner {
    private val modules = HashMap<Stage, Module>()

    override fun load(stage: Stage) {
        val expected = "${bundle.file(stage)}: expected an ExecuTorch program of ${stage.id}"
        attempt(expected, "export it again") {
            val module = pool.write { Module.load(bundle.file(stage).path, Module.LOAD_MODE_MMAP, threads) }
            modules[stage] = module
            // A number that is not 0 for an error; releases after 1.5 give nothing and throw.
            val status: Any = module.loadMethod(bundle.method(stage))
            if (status is Int &&
                status != 0
            ) {
                throw ExecutorchRuntimeException(status, "${bundle.method(stage)}: not loaded")
            }
        }
    }

    override fun unload(stage: Stage) {
        modules.remove(stage)?.destroy()
    }

    override fun run(
        stage: Stage,
        inputs: Map<String, TensorValue>,
    ): Map<String, TensorValue.Floats> {
        val spec = checkNotNull(bundle.manifest.stage(stage)) { "${stage.id}: no such stage" }
        val module = checkNotNull(modules[stage]) { "${stage.id}: not loaded" }
        val values = spec.inputs.map { valueOf(it, inputs) }.toTypedArray()
        return attempt("${stage.id}: expected outputs", "export the bundle again") {
            val outputs = pool.read { module.execute(bundle.method(stage), *values) }
            check(outputs.size == spec.outputs.size) { "${outputs.size} outputs instead of ${spec.outputs.size}" }
            spec.outputs.indices.associate { spec.outputs[it].name to floatsOf(outputs[it].toTensor()) }
        }
    }

    private fun valueOf(
        spec: TensorSpec,
        inputs: Map<String, TensorValue>,
    ): EValue {
        val shape = spec.shape.map { it.toLong() }.toLongArray()
        val tensor =
            when (val input = inputs.getValue(spec.name)) {
                is TensorValue.Floats -> Tensor.fromBlob(input.values, shape)
                is TensorValue.Integers -> Tensor.fromBlob(input.values, shape)
            }
        return EValue.from(tensor)
    }

    private fun floatsOf(tensor: Tensor): TensorValue.Floats =
        TensorValue.Floats(tensor.dataAsFloatArray, tensor.shape().map { it.toInt() })

    /** What [action] gives; errors of the runtime become one line, and those of memory an OutOfMemoryError. */
    private inline fun <Value> attempt(
        expected: String,
        fix: String,
        action: () -> Value,
    ): Value =
        try {
            action()
        } catch (error: RuntimeException) {
            val reason = (error.message ?: error.toString()).lineSequence().first()
            if (error is ExecutorchRuntimeException && error.errorCode in OUT_OF_MEMORY) throw OutOfMemoryError(reason)
            throw ModelException("$expected, got an error: $reason; $fix", error)
        }

    private companion object {
        /** To open a program resets the process's threads, which deadlocks what runs on them: no run meanwhile. */
        val pool = ReentrantReadWriteLock()

        /** ExecuTorch's errors of memory: of the program's own, and of its delegates'. */
        val OUT_OF_MEMORY = setOf(0x21, 0x31)
    }
}
