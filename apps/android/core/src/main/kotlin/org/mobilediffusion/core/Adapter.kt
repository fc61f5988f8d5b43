package org.mobilediffusion.core

import kotlin.math.abs

/** An adapter that was read: a LoRA that a drawing turns on and off. [ModelBundle.adapter] reads one. */
class Adapter internal constructor(
    val name: String,
    /** (r, P). */
    internal val factors: TensorValue.Floats,
)

/** An adapter that is on. */
class ScaledAdapter(
    val adapter: Adapter,
    /** From -5 to 5; 0 is off. */
    val scale: Double = 1.0,
)

/** The largest scale of an adapter. */
const val MAX_ADAPTER_SCALE = 5.0

/** What `denoise` takes of the adapters of a drawing (mobile_diffusion/adapters.py). */
internal class AdapterInputs(
    private val settings: DrawSettings,
    given: List<ScaledAdapter>,
) {
    private val slots = settings.adapters.firstOrNull() ?: 0
    private val on = given.filter { it.scale != 0.0 }

    init {
        if (slots == 0 && given.isNotEmpty()) {
            val got = quote(given[0].adapter.name)
            throw PromptException("adapter: expected none, as this model has none, got $got")
        }
        given.forEach(::check)
        val names = given.map { it.adapter.name }
        val twice = names.firstOrNull { name -> names.count { it == name } > 1 }
        if (twice != null) throw PromptException("adapter: expected each name once, got ${quote(twice)} twice")
        if (on.size > slots) {
            throw PromptException("adapter: expected up to $slots at once, for which there is room, got ${on.size}")
        }
    }

    /** At every step: those that are on take the first slots in order, the other slots are zeros. */
    fun inputs(): Map<String, TensorValue> {
        if (slots == 0) return emptyMap()
        val factors = FloatArray(settings.adapters.fold(1) { product, size -> product * size })
        val scales = FloatArray(slots)
        for ((slot, each) in on.withIndex()) {
            val values = each.adapter.factors.values
            values.copyInto(factors, slot * values.size)
            scales[slot] = each.scale.toFloat()
        }
        return mapOf(
            "adapters" to TensorValue.Floats(factors, settings.adapters),
            "adapter_scales" to TensorValue.Floats(scales, listOf(slots)),
        )
    }

    private fun check(given: ScaledAdapter) {
        val name = given.adapter.name
        if (!(abs(given.scale) <= MAX_ADAPTER_SCALE)) {
            val limits = "${plain(-MAX_ADAPTER_SCALE)} to ${plain(MAX_ADAPTER_SCALE)}"
            throw PromptException("adapter $name: expected a scale from $limits, got ${plain(given.scale)}")
        }
        val shape = settings.adapters.drop(1)
        if (given.adapter.factors.shape != shape) {
            val got = given.adapter.factors.shape
            throw PromptException("adapter $name: expected factors of $shape, got $got; read it with this bundle")
        }
    }
}
