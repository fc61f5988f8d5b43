package org.mobilediffusion.core

/** Ids or code points that are collected: a list of integers without boxes. */
internal class IntList {
    private var values = IntArray(16)

    /** May be set to less, which drops the end. */
    var size = 0

    operator fun get(place: Int): Int = values[place]

    operator fun set(
        place: Int,
        value: Int,
    ) {
        values[place] = value
    }

    operator fun plusAssign(value: Int) {
        if (size == values.size) values = values.copyOf(2 * size)
        values[size++] = value
    }

    operator fun plusAssign(more: IntArray) {
        for (value in more) this += value
    }

    fun toArray(): IntArray = values.copyOf(size)
}
