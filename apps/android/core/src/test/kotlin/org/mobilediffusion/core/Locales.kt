package org.mobilediffusion.core

import java.util.Locale

/** Languages that write numbers with a comma, have other digits, or another lower case of I. */
internal val locales = listOf("", "tr-TR", "de-DE", "ar-EG-u-nu-arab").map(Locale::forLanguageTag)

/** Runs [action] in every language, each being the system's meanwhile. */
internal inline fun inEveryLocale(action: () -> Unit) {
    val own = Locale.getDefault()
    try {
        for (locale in locales) {
            Locale.setDefault(locale)
            action()
        }
    } finally {
        Locale.setDefault(own)
    }
}
