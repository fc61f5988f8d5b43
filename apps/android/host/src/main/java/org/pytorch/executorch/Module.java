package org.pytorch.executorch;

import java.nio.charset.StandardCharsets;

/**
 * Stands in for the class of this name in ExecuTorch's library for Android: what the app calls of it, on this machine's
 * runtime.
 */
public final class Module {
  public static final int LOAD_MODE_MMAP = 1;

  static {
    System.loadLibrary("executorch_jni");
  }

  private long program;

  private Module(long program) {
    this.program = program;
  }

  /** Opens a .pte; every mode maps it. Throws ExecutorchRuntimeException when it is none. */
  public static Module load(String path, int loadMode, int threads) {
    return new Module(open(bytes(path), threads));
  }

  /** Loads a method; 0, or the number of an error. */
  public int loadMethod(String name) {
    return loadMethod(program, bytes(name));
  }

  /** Runs a method; throws ExecutorchRuntimeException when it fails. */
  public EValue[] execute(String name, EValue... inputs) {
    Object[] data = new Object[inputs.length];
    long[][] shapes = new long[inputs.length][];
    for (int i = 0; i < inputs.length; i++) {
      data[i] = inputs[i].toTensor().data();
      shapes[i] = inputs[i].toTensor().shape();
    }
    Object[] outputs = execute(program, bytes(name), data, shapes);
    EValue[] values = new EValue[outputs.length / 2];
    for (int i = 0; i < values.length; i++) {
      values[i] = EValue.from(new Tensor(outputs[2 * i], (long[]) outputs[2 * i + 1]));
    }
    return values;
  }

  /** Frees everything; nothing happens the second time. */
  public void destroy() {
    close(program);
    program = 0;
  }

  private static byte[] bytes(String text) {
    return (text + '\0').getBytes(StandardCharsets.UTF_8);
  }

  private static native long open(byte[] path, int threads);

  private static native int loadMethod(long program, byte[] name);

  /** data: float[] or int[] for each input; returns data and shape (long[]) of each output, interleaved. */
  private static native Object[] execute(
      long program, byte[] name, Object[] data, long[][] shapes);

  private static native void close(long program);
}
