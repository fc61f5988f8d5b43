// ExecuTorch with a C interface: the host's tests of the Kotlin and the Swift app call it instead of the
// libraries that ExecuTorch publishes for Android and iOS.  On a phone the apps use those; nothing of this is in them.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ETProgram ETProgram;

typedef enum { ET_FLOAT32 = 0, ET_INT32 = 1 } ETType;

// A dense tensor in C order.  `data` of an input is read during the call only.
typedef struct {
  ETType type;
  int32_t rank;
  const int64_t* shape;
  const void* data;
} ETTensor;

// Opens a .pte, its weights mapped; `threads` (1 to 256) is for the whole process, so it is refused while a program is
// open that has another number.  NULL on failure.
ETProgram* et_open(const char* path, int32_t threads);

// Loads a method: memory is planned and weights are packed.  0, or -1 on failure.
int32_t et_load_method(ETProgram* program, const char* method);

// Runs a method, loading it if need be; gives the number of outputs, or -1 on failure.
int32_t et_execute(ETProgram* program, const char* method, const ETTensor* inputs, int32_t count);

// One output of the latest et_execute, valid until the next call with the same program.
ETTensor et_output(const ETProgram* program, int32_t index);

// Frees everything; NULL is allowed.
void et_close(ETProgram* program);

// One line about the latest failure on this thread.
const char* et_error(void);

#ifdef __cplusplus
}
#endif
