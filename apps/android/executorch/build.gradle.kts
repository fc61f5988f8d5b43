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

    // One library of ExecuTorch for each set of processors that it computes on.
    flavorDimensions += "backend"
    productFlavors {
        create("cpu") { isDefault = true }
        create("vulkan")
        create("qnn")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    api(project(":core"))
    "cpuImplementation"(libs.executorch)
    "vulkanImplementation"(libs.executorch.vulkan)
    "qnnImplementation"(libs.executorch.qnn)
}
