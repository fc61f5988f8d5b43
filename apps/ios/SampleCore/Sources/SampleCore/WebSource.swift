import Foundation
import MobileDiffusionKit

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Files below an address, over HTTP; what has been received is asked for no second time (`Range`).
public struct WebSource: FileSource {
  private let address: URL

  /// `text` is the address of the bundle's folder, or of its `manifest.json`; throws for one that is not https.
  ///
  /// http is let through for this device's own address alone.
  public init(address text: String) throws {
    let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard let url = URL(string: trimmed), let scheme = url.scheme, let host = url.host, !host.isEmpty,
      scheme == "https" || (scheme == "http" && ["localhost", "127.0.0.1"].contains(host))
    else { throw DiffusionError("address: expected https://..., got \"\(trimmed.prefix(80))\"") }
    address = url.lastPathComponent == BundleInstaller.manifestName ? url.deletingLastPathComponent() : url
  }

  public func manifest(limit: Int) async throws -> Data {
    let collector = Collector(limit: limit)
    try await get(BundleInstaller.manifestName, into: collector)
    return collector.data
  }

  public func receive(_ path: String, into part: PartialFile) async throws {
    try await get(path, into: part)
  }

  private func get(_ path: String, into sink: any Sink) async throws {
    var request = URLRequest(url: address.appendingPathComponent(path))
    request.cachePolicy = .reloadIgnoringLocalCacheData
    request.timeoutInterval = 30
    // A compressed answer has other bytes than the file, so that its parts could not be put together.
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    if sink.size > 0 { request.setValue("bytes=\(sink.size)-", forHTTPHeaderField: "Range") }
    let receiver = Receiver(path: path, sink: sink)
    let session = URLSession(configuration: .ephemeral, delegate: receiver, delegateQueue: nil)
    defer { session.finishTasksAndInvalidate() }
    try await receiver.run(session.dataTask(with: request))
  }
}

/// What takes the bytes of an answer.
protocol Sink: AnyObject, Sendable {
  /// Bytes that it has.
  var size: Int64 { get }
  func append(_ data: Data) throws
  func restart() throws
}

extension PartialFile: Sink {}

/// A short answer in memory.
private final class Collector: Sink, @unchecked Sendable {
  private(set) var data = Data()
  private let limit: Int

  init(limit: Int) {
    self.limit = limit
  }

  var size: Int64 { Int64(data.count) }

  func append(_ more: Data) throws {
    guard data.count + more.count <= limit else {
      throw DiffusionError("manifest.json: expected at most \(limit) bytes, got more; look at the address")
    }
    data += more
  }

  func restart() {
    data = Data()
  }
}

/// Hands an answer on as it comes in.  The session calls it on one serial queue.
private final class Receiver: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  private let path: String
  private let sink: any Sink
  private var continuation: CheckedContinuation<Void, any Error>?
  private var problem: (any Error)?

  init(path: String, sink: any Sink) {
    self.path = path
    self.sink = sink
  }

  func run(_ task: URLSessionDataTask) async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        self.continuation = continuation
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    do {
      try accept((response as? HTTPURLResponse)?.statusCode ?? 0)
      completionHandler(.allow)
    } catch {
      problem = error
      completionHandler(.cancel)
    }
  }

  private func accept(_ status: Int) throws {
    if status == 206 { return }
    // 200: the server sends whole files only; 416: what is there is not the beginning of its file.
    if status == 200 || status == 416 { try sink.restart() }
    guard status == 200 else {
      throw DiffusionError("\(path): expected the file from the server, got status \(status); look at the address")
    }
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    guard problem == nil else { return }
    do {
      try sink.append(data)
    } catch {
      problem = error
      dataTask.cancel()
    }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    if let problem = problem ?? error.map(translated) {
      continuation?.resume(throwing: problem)
    } else {
      continuation?.resume()
    }
    continuation = nil
  }

  private func translated(_ error: any Error) -> any Error {
    if (error as? URLError)?.code == .cancelled { return CancellationError() }
    return DiffusionError("\(path): \(error.localizedDescription); what was received is kept, try again")
  }
}
