package org.mobilediffusion.sample

import kotlin.math.roundToLong

/** Milliseconds as seconds with one digit after a point, whatever the locale: "3.4". */
fun secondsOf(milliseconds: Long): String {
    val tenths = (milliseconds + 50) / 100
    return "${tenths / 10}.${tenths % 10}"
}

/** Milliseconds with one digit after a point. */
fun millisecondsOf(value: Double): String {
    val tenths = (value * 10).roundToLong()
    return "${tenths / 10}.${tenths % 10}"
}

/** Bytes as megabytes (10^6), rounded up, so that nothing has none. */
fun megabytesOf(bytes: Long): String = ((bytes + 999_999) / 1_000_000).toString()
