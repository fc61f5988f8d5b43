"""Copies a bundle into the sample app on a phone, and fetches its times and its comparison with PyTorch.

adb reaches Android phones, Xcode's devicectl reaches iPhones.  Both apps keep bundles in `models/<name>`.  They write
`benchmark/<name>.json`, with the schema of latency.json, and `golden/<name>.json`, with that of golden_record.py, or a
file `<name>.error` with one line.
"""
