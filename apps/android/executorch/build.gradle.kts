// The core's runner on ExecuTorch's library.
plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.mobilediffusion.executorch"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.min.sdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    api(project(":core"))
    implementation(libs.executorch)
}
