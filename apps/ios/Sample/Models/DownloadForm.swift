import SwiftUI

/// Asks for the address of a bundle.
struct DownloadForm: View {
  @Environment(\.dismiss) private var dismiss
  @State private var address = ""
  /// Called with the address.
  let start: (String) -> Void

  var body: some View {
    NavigationStack {
      Form {
        Section {
          TextField("https://", text: $address)
            .keyboardType(.URL)
            .textContentType(.URL)
            .textInputAutocapitalization(.never)
            .autocorrectionDisabled()
            .accessibilityLabel("Address")
        } footer: {
          Text("The address of a bundle's folder. An interrupted download resumes where it stopped.")
        }
      }
      .navigationTitle("Download")
      .navigationBarTitleDisplayMode(.inline)
      .toolbar {
        ToolbarItem(placement: .cancellationAction) {
          Button("Cancel") { dismiss() }
        }
        ToolbarItem(placement: .confirmationAction) {
          Button("Download") {
            start(address)
            dismiss()
          }
          .disabled(address.isEmpty)
        }
      }
    }
    .presentationDetents([.medium])
  }
}
