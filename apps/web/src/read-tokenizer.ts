import { ClipTokenizer } from "./clip-tokenizer.js";
import { Definition } from "./definition.js";
import { BundleError } from "./errors.js";
import { PAIR, type TokenizerSpec } from "./manifest.js";
import { quote } from "./text.js";
import { type Tokenizer, TokenizerPair, checkLength } from "./tokenizer.js";
import { WordPiece } from "./word-piece.js";

/** Reads the texts of the files, of the kind, that the manifest names; throws `BundleError` for another. */
export function readTokenizer(spec: TokenizerSpec, texts: readonly string[], places = spec.files): Tokenizer {
  if (spec.kind !== PAIR) return readOne(spec.kind, spec.maxTokens, texts[0]!, places[0]!);
  const [first, second] = texts.map((text, place) => readOne("clip-bpe", spec.maxTokens, text, places[place]!));
  return new TokenizerPair(first!, second!);
}

function readOne(kind: string, maxTokens: number, text: string, where: string): Tokenizer {
  const definition = Definition.read(text, where, kind);
  checkLength(maxTokens);
  if (kind === "wordpiece") return new WordPiece(definition, maxTokens);
  if (kind === "clip-bpe") return new ClipTokenizer(definition, maxTokens);
  throw new BundleError(
    `manifest.json: expected a tokenizer of kind wordpiece, clip-bpe or ${PAIR}, got ${quote(kind)}; update this program`,
  );
}
