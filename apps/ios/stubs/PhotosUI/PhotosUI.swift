@_exported import Foundation
import SwiftUI

/// What the system's picker of photos gives.
public struct PhotosPickerItem: Hashable, Sendable {
  public func loadTransferable<T: Transferable>(type: T.Type) async throws -> T? { nil }
}

public struct PHPickerFilter: Sendable {
  public static let images = PHPickerFilter()
}

/// A button that opens the picker.
public struct PhotosPicker<Label: View>: View {
  private let label: Label

  public init(
    selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter? = nil, @ViewBuilder label: () -> Label
  ) {
    self.label = label()
  }

  public var body: some View {
    Button {
    } label: {
      label
    }
  }
}
