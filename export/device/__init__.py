"""From a bundle to a phone and back: the bundle goes into the sample app, its benchmark's times come out.

Android phones are reached by adb, iPhones by Xcode's devicectl; both apps keep bundles in `models/<name>` and write
`benchmark/<name>.json`, in the form of latency.json, or `benchmark/<name>.error` with one line.
"""
