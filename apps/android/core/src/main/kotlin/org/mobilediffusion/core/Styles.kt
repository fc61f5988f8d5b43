package org.mobilediffusion.core

/** A prompt in one of [Manifest.styles]: "a cat, 3d".  It stays as typed for the style "", and when it is empty. */
fun styled(
    prompt: String,
    style: String,
): String = if (style.isEmpty() || prompt.isEmpty()) prompt else "$prompt, $style"
