package org.pytorch.executorch;

/** Stands in for the class of this name in ExecuTorch's library for Android. */
public class ExecutorchRuntimeException extends RuntimeException {
  private final int errorCode;

  public ExecutorchRuntimeException(int errorCode, String details) {
    super(details);
    this.errorCode = errorCode;
  }

  public int getErrorCode() {
    return errorCode;
  }
}
