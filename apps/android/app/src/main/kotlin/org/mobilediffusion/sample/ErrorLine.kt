package org.mobilediffusion.sample

import org.mobilediffusion.core.DiffusionException
import java.io.IOException

/** One line about whatever was thrown, as a screen shows it: nothing that can go wrong ends the app. */
fun lineOf(error: Throwable): String =
    when (error) {
        is DiffusionException, is StoreException -> error.message.orEmpty()
        is SecurityException -> "expected a file that this app may read, got none; choose it again"
        is OutOfMemoryError -> "expected enough memory, got none; close other apps"
        is IOException -> "expected a file that can be read, got an error: ${quoted(error.message.orEmpty())}"
        else -> "expected no error, got ${error.javaClass.simpleName}: ${quoted(error.message.orEmpty())}"
    }
