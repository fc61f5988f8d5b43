// What the page and its worker tell each other.

import type { DrawSettings } from "../src/draw-settings.js";
import type { GoldenResult } from "../src/golden-check.js";
import type { Picture } from "../src/picture.js";
import type { DrawEvent } from "../src/pipeline.js";
import type { Provider } from "../src/onnx-runner.js";
import type { DrawRequest } from "../src/request.js";

/** So many pictures, with the request's seed and those after it. */
export interface Order {
  readonly request: DrawRequest;
  readonly pictures: number;
  /** The bundle's adapters that are on. */
  readonly adapters: readonly Switch[];
}

/** An adapter by its name. */
export interface Switch {
  readonly name: string;
  readonly scale: number;
}

/** To the worker. */
export type Task =
  | { readonly kind: "open"; readonly base: string; readonly provider: Provider }
  | ({ readonly kind: "draw" } & Order)
  | { readonly kind: "stop" }
  | { readonly kind: "check" };

/** What the page shows of a bundle. */
export interface OpenedModel {
  readonly model: string;
  readonly licence: string;
  readonly styles: readonly string[];
  readonly precision: string;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly programBytes: number;
  readonly guidanceKind: "cfg" | "distilled" | "none";
  readonly guidance: number;
  readonly takesPictures: boolean;
  readonly task: DrawSettings["task"];
  /** ControlNets, each of which reads a picture. */
  readonly controls: number;
  /** Names of adapters. */
  readonly adapters: readonly string[];
  readonly latentWidth: number;
  readonly latentHeight: number;
}

/** From the worker. */
export type Answer =
  | { readonly kind: "opened"; readonly opened: OpenedModel; readonly threads: number; readonly provider: Provider }
  | { readonly kind: "loading"; readonly received: number }
  | { readonly kind: "warnings"; readonly lines: readonly string[] }
  | { readonly kind: "event"; readonly event: DrawEvent }
  | { readonly kind: "stopped" }
  | { readonly kind: "checked"; readonly result: GoldenResult }
  | { readonly kind: "check-ended" }
  /** The line for the user; the worker is ready again. */
  | { readonly kind: "problem"; readonly message: string };

export type { DrawEvent, DrawRequest, GoldenResult, Picture, Provider };
