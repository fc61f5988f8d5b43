"""Copies a bundle into the sample app on a phone, and fetches the times of the app's benchmark.

adb reaches Android phones, Xcode's devicectl reaches iPhones.  Both apps keep bundles in `models/<name>`.  They write
`benchmark/<name>.json`, with the schema of latency.json, or `benchmark/<name>.error` with one line.
"""
