import SampleCore
import SwiftUI
import UIKit

/// Draws pictures from text on this device.
@main
struct SampleApp: App {
  @UIApplicationDelegateAdaptor private var delegate: AppDelegate
  @Environment(\.scenePhase) private var scenePhase

  var body: some Scene {
    WindowGroup {
      RootView()
        .environment(delegate.studio)
        .onChange(of: scenePhase) { _, phase in
          if phase == .background { delegate.studio.unload() }
        }
    }
  }
}

/// Hears of the system's want of memory, and starts what the launch arguments ask for.
final class AppDelegate: NSObject, UIApplicationDelegate {
  let studio = Studio.live()

  func application(
    _ application: UIApplication, didFinishLaunchingWithOptions launchOptions: [UIApplication.LaunchOptionsKey: Any]?
  ) -> Bool {
    // A benchmark from outside must not end when the screen is about to sleep.
    application.isIdleTimerDisabled = studio.start(arguments: CommandLine.arguments)
    return true
  }

  func applicationDidReceiveMemoryWarning(_ application: UIApplication) {
    studio.unload()
  }
}
