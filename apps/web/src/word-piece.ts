import { AddedTokens } from "./added-tokens.js";
import type { Definition } from "./definition.js";
import { textOf } from "./text.js";
import { SingleTokenizer } from "./tokenizer.js";
import { decompose, isControl, isHan, isMark, isPunctuation, isSpace, lowerCase } from "./unicode.js";

/** BERT's tokenizer: lower case, accents stripped, words split greedily into pieces of a vocabulary. */
export class WordPiece extends SingleTokenizer {
  private readonly added: AddedTokens;
  private readonly vocabulary: Map<string, number>;
  private readonly longestWord: number;
  private readonly start: number;
  protected override readonly unknown: number;
  protected override readonly end: number;
  protected override readonly padding: number;

  constructor(definition: Definition, maxTokens: number) {
    super(maxTokens);
    checkParts(definition);
    const model = definition.field("model");
    this.added = new AddedTokens(definition.field("added_tokens"), normalized);
    this.vocabulary = new Map([...this.added.ids, ...model.field("vocab").ids()]);
    this.longestWord = model.field("max_input_chars_per_word").whole;
    this.unknown = this.special(model, model.field("unk_token").text);
    this.start = this.special(model, "[CLS]");
    this.end = this.special(model, "[SEP]");
    this.padding = this.special(model, "[PAD]");
  }

  private special(model: Definition, token: string): number {
    const id = this.vocabulary.get(token);
    model.expect(id !== undefined, `the token ${token} in the vocabulary`);
    return id!;
  }

  protected override ids(prompt: readonly number[]): number[] {
    const ids = [this.start];
    for (const stretch of this.added.split(prompt)) {
      if (stretch.id !== null) ids.push(stretch.id);
      for (const [from, to] of wordsOf(stretch.text)) ids.push(...this.pieces(stretch.text, from, to));
    }
    ids.push(this.end);
    return ids;
  }

  /** The pieces of a word, the longest first; a word with a part that no piece covers is unknown as a whole. */
  private pieces(text: readonly number[], from: number, to: number): number[] {
    const found: number[] = [];
    let place = from;
    while (to - from <= this.longestWord && place < to) {
      const prefix = place > from ? "##" : "";
      let stop = to;
      while (stop > place && !this.vocabulary.has(prefix + textOf(text, place, stop))) stop--;
      if (stop === place) break;
      found.push(this.vocabulary.get(prefix + textOf(text, place, stop))!);
      place = stop;
    }
    return place === to ? found : [this.unknown];
  }
}

/** Without control characters and accents, Chinese characters apart, in lower case. */
function normalized(text: readonly number[]): number[] {
  const cleaned: number[] = [];
  for (const point of text) {
    if (isControl(point)) continue;
    if (isHan(point)) cleaned.push(0x20, point, 0x20);
    else cleaned.push(point);
  }
  return lowerCase(decompose(cleaned).filter((point) => !isMark(point)));
}

/** The start and the end of every word between spaces; punctuation is a word of its own. */
function* wordsOf(text: readonly number[]): Generator<[start: number, end: number]> {
  let start = 0;
  for (let place = 0; place <= text.length; place++) {
    const point = text[place];
    const punctuation = point !== undefined && isPunctuation(point);
    if (point !== undefined && !punctuation && !isSpace(point)) continue;
    if (place > start) yield [start, place];
    if (punctuation) yield [place, place + 1];
    start = place + 1;
  }
}

/** Throws `BundleError` unless the parts are those of the uncased models. */
function checkParts(definition: Definition): void {
  const model = definition.field("model");
  const pieces = model.field("type").text === "WordPiece" && model.field("continuing_subword_prefix").text === "##";
  definition.expect(pieces, "a WordPiece model with the prefix ##");
  const normalizer = definition.field("normalizer");
  const accents = normalizer.field("strip_accents");
  const bert =
    normalizer.field("type").text === "BertNormalizer" &&
    ["lowercase", "clean_text", "handle_chinese_chars"].every((each) => normalizer.field(each).flag) &&
    (accents.isNull || accents.flag);
  definition.expect(bert, "BERT's normalizer in lower case");
  const preTokenizer = definition.field("pre_tokenizer").field("type").text;
  definition.expect(preTokenizer === "BertPreTokenizer", "BERT's pre-tokenizer");
  const processor = definition.field("post_processor");
  definition.expect(processor.field("type").text === "TemplateProcessing", "BERT's post-processor");
  const single = processor.field("single").items;
  const special = (place: number): string => single[place]!.field("SpecialToken").field("id").text;
  const template =
    single.length === 3 && special(0) === "[CLS]" && !single[1]!.field("Sequence").isNull && special(2) === "[SEP]";
  definition.expect(template, "[CLS], the prompt and [SEP]");
}
