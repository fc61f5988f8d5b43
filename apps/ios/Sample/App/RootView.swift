import SampleCore
import SwiftUI

/// The four screens.
struct RootView: View {
  /// The tabs, in their order.
  enum Screen: Hashable {
    case draw, history, models, benchmark
  }

  @State var screen = Screen.draw

  var body: some View {
    TabView(selection: $screen) {
      DrawScreen()
        .tabItem { Label("Draw", systemImage: "paintbrush.pointed") }
        .tag(Screen.draw)
      HistoryScreen { screen = .draw }
        .tabItem { Label("History", systemImage: "photo.on.rectangle") }
        .tag(Screen.history)
      ModelsScreen()
        .tabItem { Label("Models", systemImage: "shippingbox") }
        .tag(Screen.models)
      BenchmarkScreen()
        .tabItem { Label("Benchmark", systemImage: "gauge.with.needle") }
        .tag(Screen.benchmark)
    }
  }
}
