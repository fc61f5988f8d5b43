package org.pytorch.executorch;

/** Stands in for the class of this name in ExecuTorch's library for Android: a value that is a tensor. */
public final class EValue {
  private final Tensor tensor;

  private EValue(Tensor tensor) {
    this.tensor = tensor;
  }

  public static EValue from(Tensor tensor) {
    return new EValue(tensor);
  }

  public Tensor toTensor() {
    return tensor;
  }
}
