package org.pytorch.executorch;

/** Stands in for the class of this name in ExecuTorch's library for Android: float32 and int32. */
public final class Tensor {
  private final Object data;
  private final long[] shape;

  Tensor(Object data, long[] shape) {
    this.data = data;
    this.shape = shape;
  }

  public static Tensor fromBlob(float[] data, long[] shape) {
    return new Tensor(data, shape);
  }

  public static Tensor fromBlob(int[] data, long[] shape) {
    return new Tensor(data, shape);
  }

  public long[] shape() {
    return shape;
  }

  public float[] getDataAsFloatArray() {
    if (data instanceof float[]) {
      return (float[]) data;
    }
    throw new IllegalStateException("expected a tensor of float32, got int32");
  }

  Object data() {
    return data;
  }
}
