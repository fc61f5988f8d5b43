package org.mobilediffusion.sample

private val words = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

/** Android's PowerManager.THERMAL_STATUS_* as a word: from "moderate" on, the processors are slowed down. */
fun thermalWord(status: Int): String = words.getOrElse(status) { "$status" }
