package org.mobilediffusion.core

/** Syllables of Hangul: S = (L * 21 + V) * 28 + T (The Unicode Standard, section 3.12). */
internal object Hangul {
    private const val SYLLABLES = 0xAC00
    private const val LEADS = 0x1100
    private const val VOWELS = 0x1161
    private const val TAILS = 0x11A7
    private const val LEAD_COUNT = 19
    private const val VOWEL_COUNT = 21
    private const val TAIL_COUNT = 28
    private const val SYLLABLE_COUNT = LEAD_COUNT * VOWEL_COUNT * TAIL_COUNT

    /** The parts of a syllable; null for another character. */
    fun decompose(point: Int): IntArray? {
        val index = point - SYLLABLES
        if (index !in 0 until SYLLABLE_COUNT) return null
        val lead = LEADS + index / (VOWEL_COUNT * TAIL_COUNT)
        val vowel = VOWELS + index % (VOWEL_COUNT * TAIL_COUNT) / TAIL_COUNT
        val tail = index % TAIL_COUNT
        return if (tail == 0) intArrayOf(lead, vowel) else intArrayOf(lead, vowel, TAILS + tail)
    }

    /** The syllable of a lead and a vowel, or of a syllable without a tail and a tail; null for other characters. */
    fun compose(
        first: Int,
        second: Int,
    ): Int? {
        val lead = first - LEADS
        val vowel = second - VOWELS
        if (lead in 0 until LEAD_COUNT && vowel in 0 until VOWEL_COUNT) {
            return SYLLABLES + (lead * VOWEL_COUNT + vowel) * TAIL_COUNT
        }
        val index = first - SYLLABLES
        val open = index in 0 until SYLLABLE_COUNT && index % TAIL_COUNT == 0
        val tail = second - TAILS
        return if (open && tail in 1 until TAIL_COUNT) first + tail else null
    }
}
