package org.mobilediffusion.core

/** Compares every stage, step and picture of a bundle's golden vectors with what PyTorch computed. */
class GoldenCheck(
    private val pipeline: Pipeline,
) {
    /**
     * All comparisons, one case after the other; [onCase] is told how many are done, and of how many.
     *
     * Throws [BundleException] for vectors that are lost, changed or of other steps, and for programs that were not
     * compared when they were exported; else as [Pipeline.draw] does.
     */
    suspend fun run(onCase: (Int, Int) -> Unit = { _, _ -> }): GoldenReport {
        val bundle = pipeline.bundle
        if (!bundle.runtime.verified) {
            val name = bundle.runtime.name
            throw BundleException(
                "${bundle.folder}: expected programs that were compared with PyTorch when they were exported, got " +
                    "$name that were not; export them again",
            )
        }
        return pipeline.exclusively {
            val cases = pipeline.called { GoldenCase.read(bundle.folder, bundle.manifest) }
            val found =
                cases.mapIndexed { number, golden ->
                    onCase(number, cases.size)
                    GoldenPrompt(golden.prompt, golden.seed, GoldenReplay(pipeline, golden).results())
                }
            GoldenReport(bundle.name, bundle.runtime.precision, found)
        }
    }
}
