plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.mobilediffusion.sample"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "org.mobilediffusion.sample"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        // Benchmarks name the runtime that ran them.
        resValue("string", "executorch_version", libs.versions.executorch.get())
        // The processors that ExecuTorch's library is built for.
        ndk.abiFilters += listOf("arm64-v8a", "x86_64")
    }

    // The library of ExecuTorch, and the runtimes of a bundle that the app opens with it.
    flavorDimensions += "backend"
    productFlavors {
        create("cpu") {
            isDefault = true
            resValue("string", "runtimes", "xnnpack")
        }
        create("vulkan") { resValue("string", "runtimes", "xnnpack vulkan") }
        create("qnn") { resValue("string", "runtimes", "xnnpack qnn") }
    }

    buildFeatures {
        resValues = true
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    // A bundle in the assets is compressed as far as it can be already.
    androidResources {
        noCompress += "zip"
    }
}

dependencies {
    implementation(project(":core"))
    implementation(project(":executorch"))
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test)
}
