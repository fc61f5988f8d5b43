import { ClipTokenizer } from "./clip-tokenizer.js";
import { Definition } from "./definition.js";
import { BundleError } from "./errors.js";
import type { TokenizerSpec } from "./manifest.js";
import { quote } from "./text.js";
import { type Tokenizer, checkLength } from "./tokenizer.js";
import { WordPiece } from "./word-piece.js";

/** Reads the text of a `tokenizer.json` of the kind that the manifest names; throws `BundleError` for another. */
export function readTokenizer(spec: TokenizerSpec, text: string, where = "tokenizer.json"): Tokenizer {
  const definition = Definition.read(text, where, spec.kind);
  checkLength(spec.maxTokens);
  if (spec.kind === "wordpiece") return new WordPiece(definition, spec.maxTokens);
  if (spec.kind === "clip-bpe") return new ClipTokenizer(definition, spec.maxTokens);
  throw new BundleError(
    `manifest.json: expected a tokenizer of kind wordpiece or clip-bpe, got ${quote(spec.kind)}; update this program`,
  );
}
