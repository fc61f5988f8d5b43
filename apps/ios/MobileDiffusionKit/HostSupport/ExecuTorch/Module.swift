// A stand-in for the module ExecuTorch on systems that it is not published for, above apps/runner/c_api: the names and
// signatures that ExecuTorchRunner uses, and nothing else.  It is part of no app.
import CExecuTorch
import Foundation

/// How a program's file is read.
public enum ModuleLoadMode: Sendable {
  /// Weights are mapped from the file.
  case mmap
}

/// A program in a file.
public final class Module {
  /// Threads of the process: the published module has no such thing.
  public nonisolated(unsafe) static var hostThreads: Int32 = 1

  private let filePath: String
  private var program: OpaquePointer?

  public init(filePath: String, loadMode: ModuleLoadMode) {
    self.filePath = filePath
  }

  deinit {
    et_close(program)
  }

  /// Opens the file, if it is not open yet, and loads a method.
  public func load(_ method: String) throws {
    if program == nil { program = et_open(filePath, Self.hostThreads) }
    guard program != nil, et_load_method(program, method) == 0 else { throw ModuleError.last() }
  }

  /// Runs a method, loading it if need be.
  public func execute(_ method: String, _ inputs: [any ValueConvertible]) throws -> [Value] {
    if program == nil { try load(method) }
    let count = withTensors(inputs.map { $0.asValue() }[...], []) { tensors in
      et_execute(program, method, tensors, Int32(tensors.count))
    }
    guard count >= 0 else { throw ModuleError.last() }
    return (0..<count).map { Value(et_output(program, $0)) }
  }

  /// Calls `action` with the tensors of all values, whose memory stays where it is meanwhile.
  private func withTensors(_ values: ArraySlice<Value>, _ done: [ETTensor], _ action: ([ETTensor]) -> Int32) -> Int32 {
    guard let value = values.first else { return action(done) }
    return value.withTensor { withTensors(values.dropFirst(), done + [$0], action) }
  }
}

/// What the runtime says of a failure.
struct ModuleError: LocalizedError {
  let errorDescription: String?

  static func last() -> ModuleError {
    ModuleError(errorDescription: String(cString: et_error()).replacingOccurrences(of: "\n", with: " "))
  }
}
