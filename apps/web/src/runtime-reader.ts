import { Fields } from "./fields.js";
import type { Json } from "./json.js";
import { type Artifact, type RuntimeSpec, STAGES, type Stage } from "./manifest.js";
import { innerPath } from "./paths.js";

const PRECISIONS = ["fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic"];
const FIELDS = ["stage", "path", "method", "outputs", "precision", "compression", "delegates", "undelegated"];

/** Reads one runtime of a manifest: a program for each of `stages`, all of one precision and one compression. */
export class RuntimeReader {
  private readonly precisions = new Set<string>();
  private readonly compressions = new Set<string>();

  constructor(
    private readonly where: string,
    private readonly stages: readonly Stage[],
  ) {}

  read(value: Json): RuntimeSpec {
    const fields = new Fields(value, this.where, "name", "primary", "verified", "settings", "artifacts");
    this.checkSettings(fields);
    const artifacts = fields.list("artifacts").map((each) => this.readArtifact(each));
    if (artifacts.map((each) => each.stage).join() !== this.stages.join()) {
      fields.refuse("artifacts", `one program for each stage of ${this.stages.join(", ")}`);
    }
    if (this.compressions.size !== 1) fields.refuse("artifacts", "programs of one compression");
    const [precision, ...others] = this.precisions;
    if (precision === undefined || others.length > 0) return fields.refuse("artifacts", "programs of one precision");
    const [primary, verified] = [fields.flag("primary"), fields.flag("verified")];
    return { name: fields.text("name"), primary, verified, precision, artifacts };
  }

  private readArtifact(value: Json): Artifact {
    const fields = new Fields(value, `${this.where}.artifacts`, ...FIELDS);
    const outputs = fields.texts("outputs");
    if (outputs.length === 0) fields.refuse("outputs", "an output at least");
    if (fields.whole("delegates") < 0) fields.refuse("delegates", "a number of delegates");
    for (const each of fields.list("undelegated")) this.checkOperation(each);
    this.precisions.add(fields.oneOf("precision", PRECISIONS));
    this.compressions.add(fields.text("compression"));
    fields.text("method");
    return { stage: fields.oneOf("stage", STAGES), path: innerPath(fields, "path"), outputs };
  }

  private checkOperation(value: Json): void {
    const operation = new Fields(value, `${this.where}.artifacts.undelegated`, "name", "count");
    if (operation.text("name") === "") operation.refuse("name", "the name of an operation");
    if (operation.whole("count") <= 0) operation.refuse("count", "a count above zero");
  }

  private checkSettings(runtime: Fields): void {
    const names = new Set<string>();
    for (const value of runtime.list("settings")) {
      const setting = new Fields(value, `${this.where}.settings`, "name", "value");
      setting.text("value");
      const name = setting.text("name");
      if (name === "" || names.has(name)) setting.refuse("name", "every setting once, with a name");
      names.add(name);
    }
  }
}
