// The native half of the stand-in for ExecuTorch's Module: arrays of Java in, arrays of Java out.
#include <jni.h>

#include <string>
#include <vector>

#include "executorch_c.h"

namespace {

constexpr int internal_error = 1;  // of ExecuTorch

ETProgram* program_of(jlong handle) { return reinterpret_cast<ETProgram*>(handle); }

// The text of bytes that end with NUL.
std::string text_of(JNIEnv* env, jbyteArray bytes) {
  std::string text(static_cast<std::size_t>(env->GetArrayLength(bytes)), '\0');
  env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(text.size()), reinterpret_cast<jbyte*>(text.data()));
  return text.c_str();
}

void throw_latest(JNIEnv* env) {
  jclass type = env->FindClass("org/pytorch/executorch/ExecutorchRuntimeException");
  jmethodID make = env->GetMethodID(type, "<init>", "(ILjava/lang/String;)V");
  jobject error = env->NewObject(type, make, internal_error, env->NewStringUTF(et_error()));
  if (error != nullptr) env->Throw(static_cast<jthrowable>(error));
}

// An input, copied out of Java: the runtime reads it while no array may be held.
struct Input {
  ETType type;
  std::vector<int64_t> shape;
  std::vector<char> data;

  Input(JNIEnv* env, jobject values, jlongArray sizes)
      : type(env->IsInstanceOf(values, env->FindClass("[F")) ? ET_FLOAT32 : ET_INT32),
        shape(static_cast<std::size_t>(env->GetArrayLength(sizes))) {
    env->GetLongArrayRegion(sizes, 0, env->GetArrayLength(sizes), reinterpret_cast<jlong*>(shape.data()));
    const jsize count = env->GetArrayLength(static_cast<jarray>(values));
    data.resize(4 * static_cast<std::size_t>(count));
    if (type == ET_FLOAT32) {
      env->GetFloatArrayRegion(static_cast<jfloatArray>(values), 0, count, reinterpret_cast<jfloat*>(data.data()));
    } else {
      env->GetIntArrayRegion(static_cast<jintArray>(values), 0, count, reinterpret_cast<jint*>(data.data()));
    }
  }

  ETTensor view() const { return {type, static_cast<int32_t>(shape.size()), shape.data(), data.data()}; }
};

std::vector<Input> inputs_of(JNIEnv* env, jobjectArray data, jobjectArray shapes) {
  std::vector<Input> inputs;
  for (jsize i = 0; i < env->GetArrayLength(data); ++i) {
    jobject values = env->GetObjectArrayElement(data, i);
    inputs.emplace_back(env, values, static_cast<jlongArray>(env->GetObjectArrayElement(shapes, i)));
  }
  return inputs;
}

jobject data_of(JNIEnv* env, const ETTensor& tensor) {
  jsize count = 1;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) count *= static_cast<jsize>(tensor.shape[axis]);
  if (tensor.type == ET_FLOAT32) {
    jfloatArray values = env->NewFloatArray(count);
    if (values != nullptr) env->SetFloatArrayRegion(values, 0, count, static_cast<const jfloat*>(tensor.data));
    return values;
  }
  jintArray values = env->NewIntArray(count);
  if (values != nullptr) env->SetIntArrayRegion(values, 0, count, static_cast<const jint*>(tensor.data));
  return values;
}

jobject shape_of(JNIEnv* env, const ETTensor& tensor) {
  jlongArray sizes = env->NewLongArray(tensor.rank);
  if (sizes == nullptr) return nullptr;
  env->SetLongArrayRegion(sizes, 0, tensor.rank, reinterpret_cast<const jlong*>(tensor.shape));
  return sizes;
}

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_org_pytorch_executorch_Module_open(JNIEnv* env, jclass, jbyteArray path, jint threads) {
  ETProgram* program = et_open(text_of(env, path).c_str(), threads);
  if (program == nullptr) throw_latest(env);
  return reinterpret_cast<jlong>(program);
}

JNIEXPORT jint JNICALL Java_org_pytorch_executorch_Module_loadMethod__J_3B(JNIEnv* env, jclass, jlong handle,
                                                                          jbyteArray name) {
  return et_load_method(program_of(handle), text_of(env, name).c_str()) == 0 ? 0 : internal_error;
}

JNIEXPORT jobjectArray JNICALL Java_org_pytorch_executorch_Module_execute__J_3B_3Ljava_lang_Object_2_3_3J(
    JNIEnv* env, jclass, jlong handle, jbyteArray name, jobjectArray data, jobjectArray shapes) {
  const std::vector<Input> inputs = inputs_of(env, data, shapes);
  std::vector<ETTensor> views;
  for (const Input& input : inputs) views.push_back(input.view());
  const auto count = static_cast<int32_t>(views.size());
  const int32_t found = et_execute(program_of(handle), text_of(env, name).c_str(), views.data(), count);
  if (found < 0) {
    throw_latest(env);
    return nullptr;
  }
  jobjectArray outputs = env->NewObjectArray(2 * found, env->FindClass("java/lang/Object"), nullptr);
  for (int32_t i = 0; i < found && outputs != nullptr && !env->ExceptionCheck(); ++i) {
    const ETTensor tensor = et_output(program_of(handle), i);
    env->SetObjectArrayElement(outputs, 2 * i, data_of(env, tensor));
    if (!env->ExceptionCheck()) env->SetObjectArrayElement(outputs, 2 * i + 1, shape_of(env, tensor));
  }
  return outputs;
}

JNIEXPORT void JNICALL Java_org_pytorch_executorch_Module_close(JNIEnv*, jclass, jlong handle) {
  et_close(program_of(handle));
}

}  // extern "C"
