// Node's assertions, in a form that the compiler takes as such.

import strict from "node:assert/strict";

export const assert: typeof strict = strict;
