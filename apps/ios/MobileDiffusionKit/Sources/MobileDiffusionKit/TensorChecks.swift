extension StageSpec {
  /// Throws unless the tensors are exactly the stage's inputs.
  func check(inputs: [String: TensorValue]) throws {
    try require(
      inputs.count == self.inputs.count,
      "\(stage.rawValue): expected \(self.inputs.count) inputs, got \(inputs.count); export the bundle again")
    for spec in self.inputs {
      guard let value = inputs[spec.name] else {
        throw DiffusionError("\(stage.rawValue): expected the input \(spec.name), got none; export the bundle again")
      }
      try check(value, spec)
    }
  }

  /// Throws unless the tensors are exactly the stage's outputs.
  func check(outputs: [String: TensorValue]) throws {
    for spec in self.outputs {
      guard let value = outputs[spec.name] else {
        throw DiffusionError("\(stage.rawValue): expected the output \(spec.name), got none; export the bundle again")
      }
      try check(value, spec)
    }
  }

  private func check(_ value: TensorValue, _ spec: TensorSpec) throws {
    try require(
      value.dtype == spec.dtype && value.shape == spec.shape && value.count == spec.count,
      "\(stage.rawValue): expected \(spec.dtype) of shape \(spec.shape) for \(spec.name), "
        + "got \(value.count) of \(value.dtype) of shape \(value.shape); export the bundle again")
  }
}
