import { Fields, wholeOf } from "./fields.js";
import { type Json, JsonNumber, isList } from "./json.js";
import type { Schedule } from "./manifest.js";

const SOLVERS = [
  ...["ddim", "dpm-solver++", "euler", "pndm", "lcm", "ddpm", "dpm-solver", "sde-dpm-solver", "sde-dpm-solver++"],
  ...["deis", "unipc", "lms", "euler-ancestral", "heun", "kdpm2", "kdpm2-ancestral", "tcd"],
];
const FIELDS = [
  ...["solver", "prediction", "spacing", "train_steps", "timesteps", "inputs", "update", "noise_factors", "alphas"],
  ...["sigmas", "starts", "guidance_kind", "guidance_default", "guidance_shares", "zero_null"],
  "noise",
];

/** Reads what a manifest says of its steps. */
export function readSchedule(value: Json, where: string): Schedule {
  const fields = new Fields(value, where, ...FIELDS);
  fields.oneOf("solver", SOLVERS);
  fields.oneOf("prediction", ["v", "epsilon", "sample", "flow"]);
  fields.oneOf("spacing", ["trailing", "leading", "linspace"]);
  fields.whole("train_steps");
  fields.text("noise");
  const rows = fields.list("update").length;
  for (const name of ["timesteps", "inputs", "noise_factors", "alphas", "sigmas"]) {
    if (fields.numbers(name).length !== rows) fields.refuse(name, "a number for each step");
  }
  const guidanceKind = fields.oneOf("guidance_kind", ["cfg", "distilled", "none"] as const);
  const guidance = fields.number("guidance_default");
  if (guidanceKind === "none" && guidance > 1) fields.refuse("guidance_default", "1 or less without guidance");
  const starts = readStarts(fields, rows);
  return {
    steps: starts[0]?.length ?? rows,
    alphas: fields.numbers("alphas"),
    sigmas: fields.numbers("sigmas"),
    starts,
    memory: readMemory(fields),
    stochastic: fields.numbers("noise_factors").some((each) => each !== 0),
    guidanceKind,
    guidance,
    shares: readShares(fields, guidanceKind, rows),
    zeroNull: fields.flag("zero_null"),
  };
}

function readStarts(fields: Fields, rows: number): number[][] {
  return fields.list("starts").map((path) => {
    const steps = isList(path) ? path.map((each) => wholeOf(each) ?? -1) : [];
    const good = steps.length > 0 && steps.every((each) => each >= 0 && each < rows);
    return good ? steps : fields.refuse("starts", "rows of the table");
  });
}

function readShares(fields: Fields, guidanceKind: string, rows: number): number[] {
  const shares = fields.numbers("guidance_shares");
  if (shares.length > 0 && (shares.length !== rows || guidanceKind !== "cfg")) {
    fields.refuse("guidance_shares", "a share of the guidance for each step, with guidance_kind cfg");
  }
  if (!shares.every((each) => each >= 0 && each <= 1)) {
    fields.refuse("guidance_shares", "guidance_shares from 0 to 1");
  }
  return shares;
}

/** How many tensors the solver remembers: the update of every step has K rows of K + 1 numbers. */
function readMemory(fields: Fields): number {
  const sizes = new Set(fields.list("update").map((each) => rowsOf(each, fields)));
  const [rows, ...others] = sizes;
  return rows === undefined || others.length > 0 ? fields.refuse("update", "matrices of one size") : rows - 1;
}

function rowsOf(matrix: Json, fields: Fields): number {
  const rows = isList(matrix) ? matrix : [];
  if (rows.length === 0) fields.refuse("update", "a matrix for every step");
  const good = rows.every(
    (row) => isList(row) && row.length === rows.length + 1 && row.every((each) => each instanceof JsonNumber),
  );
  return good ? rows.length : fields.refuse("update", "matrices of K rows and K + 1 columns");
}
