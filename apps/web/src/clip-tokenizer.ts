import { AddedTokens } from "./added-tokens.js";
import { BytePairs } from "./byte-pairs.js";
import { clipWords } from "./clip-words.js";
import type { Definition } from "./definition.js";
import { textOf } from "./text.js";
import { SingleTokenizer } from "./tokenizer.js";
import { compose, isSpace, lowerCase } from "./unicode.js";

/** CLIP's tokenizer, Stable Diffusion's: words of letters, single digits or signs, and byte pairs in each. */
export class ClipTokenizer extends SingleTokenizer {
  private readonly pairs: BytePairs;
  private readonly added: AddedTokens;

  /** Ids that follow the id of an added token `x`: those of `x_1`, `x_2`, ... */
  private readonly companions: Map<number, number[]>;
  private readonly start: number;
  protected override readonly end: number;
  protected override readonly padding: number;

  constructor(definition: Definition, maxTokens: number) {
    super(maxTokens);
    checkParts(definition);
    this.pairs = new BytePairs(definition.field("model"));
    this.added = new AddedTokens(definition.field("added_tokens"), normalized);
    this.companions = companionsOf(this.added.ids);
    const processor = definition.field("post_processor");
    this.start = processor.field("cls").item(1).whole;
    this.end = processor.field("sep").item(1).whole;
    definition.expect(!definition.field("padding").isNull, "a padding section");
    this.padding = definition.field("padding").field("pad_id").whole;
  }

  protected override ids(prompt: readonly number[]): number[] {
    const ids = [this.start];
    const add = (id: number): void => {
      ids.push(id, ...(this.companions.get(id) ?? []));
    };
    for (const stretch of this.added.split(prompt)) {
      if (stretch.id !== null) add(stretch.id);
      for (const [from, to] of clipWords(stretch.text)) {
        for (const id of this.pairs.encode(textOf(stretch.text, from, to))) add(id);
      }
    }
    ids.push(this.end);
    return ids;
  }
}

function companionsOf(ids: ReadonlyMap<string, number>): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const [content, id] of ids) {
    const following: number[] = [];
    for (let place = 1; ids.has(`${content}_${place}`); place++) following.push(ids.get(`${content}_${place}`)!);
    found.set(id, following);
  }
  return found;
}

/** Normal form C, runs of white space as one space, lower case. */
function normalized(text: readonly number[]): number[] {
  const result: number[] = [];
  let inSpace = false;
  for (const point of compose(text)) {
    const space = isSpace(point);
    if (!space) result.push(point);
    if (space && !inSpace) result.push(0x20);
    inSpace = space;
  }
  return lowerCase(result);
}

/** Throws `BundleError` unless the parts are those that CLIP's tokenizer is exported with. */
function checkParts(definition: Definition): void {
  const model = definition.field("model");
  const bytePairs = model.field("type").text === "BPE" && model.field("end_of_word_suffix").text === "</w>";
  definition.expect(bytePairs, "byte pairs with the suffix </w>");
  const prefix = model.field("continuing_subword_prefix");
  definition.expect(prefix.isNull || prefix.text === "", "no prefix");
  const steps = definition.field("normalizer").field("normalizers").items;
  const normalizer =
    typesOf(steps) === "NFC Replace Lowercase" && steps[1]!.field("pattern").field("Regex").text === "\\s+";
  definition.expect(normalizer, "CLIP's normalizer");
  const splits = definition.field("pre_tokenizer").field("pretokenizers").items;
  const preTokenizer = typesOf(splits) === "Split ByteLevel" && !splits[1]!.field("add_prefix_space").flag;
  definition.expect(preTokenizer, "CLIP's pre-tokenizer");
  definition.expect(definition.field("post_processor").field("type").text === "RobertaProcessing", "CLIP's post-processor");
}

function typesOf(parts: readonly Definition[]): string {
  return parts.map((each) => each.field("type").text).join(" ");
}
