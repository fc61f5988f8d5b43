"""What adb, a phone's shell and devicectl print, in their own words.

Those named WITHOUT_A_PHONE were recorded from adb 29.0.6 on a computer to which none was connected.  The others are
composed from the forms that Android and Xcode document: no phone was at hand, and nothing here was recorded from one.
"""

from __future__ import annotations

NONE_WITHOUT_A_PHONE = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached

"""
MISSING_WITHOUT_A_PHONE = "error: device 'foo' not found\n"

ONE = "List of devices attached\nR5CT30ABCDE\tdevice\n\n"
TWO = "List of devices attached\nR5CT30ABCDE\tdevice\nemulator-5554\tdevice\n\n"
UNAUTHORIZED = "List of devices attached\nR5CT30ABCDE\tunauthorized\n\n"
OFFLINE = "List of devices attached\nR5CT30ABCDE\toffline\n\n"

STARTED = """Stopping: org.mobilediffusion.sample
Starting: Intent {{ cmp=org.mobilediffusion.sample/.BenchmarkActivity (has extras) }}
Status: ok
LaunchState: COLD
Activity: org.mobilediffusion.sample/.BenchmarkActivity
TotalTime: 412
WaitTime: 420
Complete
"""
NO_ACTIVITY = """Starting: Intent { cmp=org.mobilediffusion.sample/.BenchmarkActivity (has extras) }
Error type 3
Error: Activity class {org.mobilediffusion.sample/org.mobilediffusion.sample.BenchmarkActivity} does not exist.
"""
NOT_DEBUGGABLE = "run-as: package not debuggable: org.mobilediffusion.sample\n"
NO_SPACE = "cp: /data/local/tmp/denoise.pte: No space left on device\n"
